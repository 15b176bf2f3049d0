/* A model by hand, with everything that a descriptor can have. For x of shape [N, 3] and a scalar k it computes
 *   y        = scale * x, where scale is the only weight,          shape [N, 3]
 *   flat     = y in one dimension,                                 shape [3 * N]
 *   positive = the indices of the positive elements of x,          shape [P], known after the run
 *   small    = k, k + 1, k + 2 as 4-bit integers                   shape [3]
 *   count    = count + 1, a state                                  shape [1]
 * and fails for k < -8. */
#include <stddef.h>
#include <stdlib.h>

#include "graven_abi.h"

enum { X, K, Y, FLAT, POSITIVE, SMALL };

typedef struct work {
    const float *x;
    float *y;
    float scale;
    unsigned char *scratch;
} work;

static void row(void *arg, int64_t task, int64_t worker) {
    const work *w = arg;
    /* Each worker has 64 bytes of the arena behind the first 128. */
    float *mine = (float *)(w->scratch + 128 + 64 * worker);
    for (int i = 0; i < 3; i++) mine[i] = w->scale * w->x[3 * task + i];
    for (int i = 0; i < 3; i++) w->y[3 * task + i] = mine[i];
}

static int32_t run(void *const *io, void *const *state, int64_t *dims, void *arena, const graven_exec *exec) {
    if (exec == NULL || exec->abi_version != GRAVEN_ABI_VERSION) return GRAVEN_ERROR_ABI_VERSION;
    if (exec->weights == NULL) return GRAVEN_ERROR_NO_WEIGHTS;
    int64_t k = *(const int64_t *)io[K];
    if (k < -8) return GRAVEN_ERROR_INDEX_OUT_OF_RANGE;
    if ((uintptr_t)arena % 64 != 0 || (uintptr_t)exec->weights % 64 != 0) return 99;

    work w = {io[X], io[Y], *(const float *)exec->weights, arena};
    exec->parallel_for(exec->context, row, &w, dims[0]);

    float *flat = io[FLAT];
    int64_t *positive = io[POSITIVE], count = 0;
    for (int64_t i = 0; i < 3 * dims[0]; i++) {
        flat[i] = w.y[i];
        if (w.x[i] > 0) positive[count++] = i;
    }
    dims[1] = count;
    signed char *small = io[SMALL];
    for (int i = 0; i < 3; i++) small[i] = (signed char)((((k + i) & 15) ^ 8) - 8);
    ++*(int64_t *)state[0];
    return GRAVEN_OK;
}

static int32_t check_cpu(void) { return getenv("GRAVEN_TEST_OLD_CPU") != NULL; }

static void extents(const int64_t *dims, int64_t *result) { result[0] = 3 * dims[0]; }

static const graven_dim matrix[] = {{64, 0, -1}, {3, -1, -1}};
static const graven_dim vector[] = {{192, -1, 0}};
static const graven_dim found[] = {{192, 1, -1}};
static const graven_dim three[] = {{3, -1, -1}};
static const graven_dim one[] = {{1, -1, -1}};
static const graven_tensor inputs[] = {{"x", GRAVEN_F32, 2, matrix}, {"k", GRAVEN_I64, 0, NULL}};
static const graven_tensor outputs[] = {
    {"y", GRAVEN_F32, 2, matrix},
    {"flat", GRAVEN_F32, 1, vector},
    {"positive", GRAVEN_I64, 1, found},
    {"small", GRAVEN_I4, 1, three},
};
static const graven_tensor states[] = {{"count", GRAVEN_I64, 1, one}};
static const graven_symbol symbols[] = {
    {"N", 1, 64, GRAVEN_SYMBOL_INPUT},
    {"P", 0, 192, GRAVEN_SYMBOL_RESULT},
};

static const graven_model model = {
    .abi_version = GRAVEN_ABI_VERSION,
    .input_count = 2,
    .output_count = 4,
    .state_count = 1,
    .symbol_count = 2,
    .extent_count = 1,
    .name = "by_hand",
    .cpu = "a newer one",
    .inputs = inputs,
    .outputs = outputs,
    .states = states,
    .symbols = symbols,
    .arena_bytes = 128,
    .arena_bytes_per_worker = 64,
    .state_bytes = 64,
    .weights_bytes = 4,
    .weights_hash = {WEIGHTS_HASH},
    .run = run,
    .check_cpu = check_cpu,
    .extents = extents,
};

int graven_main(int argc, char **argv, const graven_model *model);

int main(int argc, char **argv) { return graven_main(argc, argv, &model); }
