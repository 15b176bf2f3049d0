/* The interface between a compiled Graven model and its caller, version 1.
 * Every header that Graven writes begins with this text; see docs/abi.md. */
#ifndef GRAVEN_ABI_VERSION
#define GRAVEN_ABI_VERSION 1

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One piece of parallel work: task number `task`, done by worker number `worker`. */
typedef void (*graven_task)(void *arg, int64_t task, int64_t worker);

/* A function that the model calls by its index in graven_model.custom_calls; 0 means success. */
typedef struct graven_custom_call {
    int32_t (*call)(void *context, const void *const *operands, void *const *results, const int64_t *extents);
    void *context;
} graven_custom_call;

/* What a run may use. A null pointer in its place means one thread and embedded weights. */
typedef struct graven_exec {
    uint32_t abi_version;
    uint32_t workers;
    void *context;
    void (*parallel_for)(void *context, graven_task task, void *arg, int64_t ntasks);
    const void *weights;
    const graven_custom_call *custom_calls;
    uint64_t custom_call_count;
} graven_exec;

/* What the run function of a model returns. */
enum {
    GRAVEN_OK = 0,
    GRAVEN_ERROR_ABI_VERSION = 1,
    GRAVEN_ERROR_INDEX_OUT_OF_RANGE = 2,
    GRAVEN_ERROR_TRIP_BUDGET = 3,
    GRAVEN_ERROR_DIM_OUT_OF_RANGE = 4,
    GRAVEN_ERROR_NO_WEIGHTS = 5,
    GRAVEN_ERROR_CUSTOM_CALL = 6
};

/* Element types. */
enum {
    GRAVEN_BOOL = 1,
    GRAVEN_I8 = 2,
    GRAVEN_I16 = 3,
    GRAVEN_I32 = 4,
    GRAVEN_I64 = 5,
    GRAVEN_U8 = 6,
    GRAVEN_U16 = 7,
    GRAVEN_U32 = 8,
    GRAVEN_U64 = 9,
    GRAVEN_F16 = 10,
    GRAVEN_BF16 = 11,
    GRAVEN_F32 = 12,
    GRAVEN_F64 = 13,
    GRAVEN_I4 = 14,
    GRAVEN_U4 = 15
};

/* Where the value of a symbol comes from. */
enum {
    GRAVEN_SYMBOL_INPUT = 0,
    GRAVEN_SYMBOL_RESULT = 1
};

/* A symbolic extent with its bounds, both inclusive. */
typedef struct graven_symbol {
    const char *name;
    int64_t lower;
    int64_t upper;
    uint32_t source;
} graven_symbol;

/* One dimension of a tensor. */
typedef struct graven_dim {
    int64_t bound;
    int32_t symbol;
    int32_t extent;
} graven_dim;

/* The name and type of an input, output or state. */
typedef struct graven_tensor {
    const char *name;
    uint32_t dtype;
    uint32_t rank;
    const graven_dim *dims;
} graven_tensor;

/* Everything that a generic caller needs to know about a model. */
typedef struct graven_model {
    uint32_t abi_version;
    uint32_t input_count;
    uint32_t output_count;
    uint32_t state_count;
    uint32_t symbol_count;
    uint32_t extent_count;
    uint32_t custom_call_count;
    uint32_t reserved;
    const char *name;
    const char *cpu;
    const graven_tensor *inputs;
    const graven_tensor *outputs;
    const graven_tensor *states;
    const graven_symbol *symbols;
    const char *const *custom_calls;
    uint64_t arena_bytes;
    uint64_t arena_bytes_per_worker;
    uint64_t state_bytes;
    uint64_t weights_bytes;
    uint8_t weights_hash[16];
    const void *embedded_weights;
    int32_t (*run)(void *const *io, void *const *state, int64_t *dims, void *arena, const graven_exec *exec);
    int32_t (*check_cpu)(void);
    void (*extents)(const int64_t *dims, int64_t *extents);
} graven_model;

#ifdef __cplusplus
}
#endif

#endif
