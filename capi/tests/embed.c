/* Runs the small model of the repository through libgraven_c: usage, errors, threads. Arguments: a model, and a module with an open extent. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graven.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, graven_jit_error()); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

static graven_jit_model *model;
static const size_t image_shape[] = {1, 1, 28, 28};
static const size_t scores_shape[] = {1, 10};

/* A vertical stroke, a one, a number of pixels from the left. */
static void stroke(float *image, int column) {
    memset(image, 0, 784 * sizeof(float));
    for (int row = 5; row < 23; row++) image[row * 28 + column] = image[row * 28 + column + 1] = 255;
}

static int best(const float *scores) {
    int best = 0;
    for (int i = 1; i < 10; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}

static void *reads_ones(void *result) {
    graven_jit_session *session;
    CHECK(graven_jit_session_new(model, &session) == GRAVEN_JIT_OK);
    float image[784], scores[10];
    stroke(image, 13);
    graven_jit_tensor input = {GRAVEN_F32, 4, image_shape, image};
    graven_jit_tensor output = {GRAVEN_F32, 2, scores_shape, scores};
    for (int i = 0; i < 50; i++) {
        CHECK(graven_jit_run(session, &input, 1, &output, 1) == GRAVEN_JIT_OK);
        CHECK(best(scores) == 1);
    }
    graven_jit_session_free(session);
    memcpy(result, scores, sizeof scores);
    return NULL;
}

static void *hears_of_no_failure(void *unused) {
    (void)unused;
    CHECK(strcmp(graven_jit_error(), "") == 0);
    return NULL;
}

static void threads(void) {
    enum { COUNT = 4 };
    pthread_t thread[COUNT];
    float results[COUNT][10];
    for (int i = 0; i < COUNT; i++) CHECK(pthread_create(&thread[i], NULL, reads_ones, results[i]) == 0);
    for (int i = 0; i < COUNT; i++) CHECK(pthread_join(thread[i], NULL) == 0);
    for (int i = 1; i < COUNT; i++) CHECK(memcmp(results[0], results[i], sizeof results[0]) == 0);
}

static void ports(void) {
    graven_jit_port port;
    CHECK(graven_jit_model_input_count(model) == 1 && graven_jit_model_output_count(model) == 1);
    CHECK(graven_jit_model_input(model, 0, &port) == GRAVEN_JIT_OK);
    CHECK(strcmp(port.name, "image") == 0 && port.dtype == GRAVEN_F32 && port.rank == 4);
    CHECK(port.extents[0] == 1 && port.extents[3] == 28);
    CHECK(graven_jit_model_output(model, 0, &port) == GRAVEN_JIT_OK);
    CHECK(strcmp(port.name, "probabilities") == 0 && port.rank == 2 && port.extents[1] == 10);
    CHECK(graven_jit_model_output(model, 1, &port) == GRAVEN_JIT_BAD_INPUT);
}

static void fails(graven_jit_status status, graven_jit_status expected, const char *message) {
    if (status != expected || strstr(graven_jit_error(), message) == NULL) {
        fprintf(stderr, "status %d: %s, not %s\n", status, graven_jit_error(), message);
        exit(1);
    }
}

static void errors(void) {
    graven_jit_model *none = model;
    fails(graven_jit_load_file("missing.onnx", NULL, &none), GRAVEN_JIT_BAD_INPUT, "missing.onnx");
    CHECK(none == NULL);
    fails(graven_jit_load_memory("no model", 8, NULL, &none), GRAVEN_JIT_BAD_INPUT, "ONNX");
    fails(graven_jit_load_file(NULL, NULL, &none), GRAVEN_JIT_BAD_INPUT, "`path`: is null");
    fails(graven_jit_load_file("x", NULL, NULL), GRAVEN_JIT_BAD_INPUT, "`model`: is null");
    graven_jit_options *options = graven_jit_options_new();
    fails(graven_jit_options_set(options, "speed", "11"), GRAVEN_JIT_BAD_INPUT, "no option `speed`");
    fails(graven_jit_options_set(options, "threads", "many"), GRAVEN_JIT_BAD_INPUT, "`many`");
    fails(graven_jit_options_set(options, "threads", "0"), GRAVEN_JIT_BAD_INPUT, "threads");
    fails(graven_jit_options_set_dim(options, "N", 3, 2), GRAVEN_JIT_BAD_INPUT, "3..=2");
    graven_jit_options_free(options);

    graven_jit_session *session;
    CHECK(graven_jit_session_new(model, &session) == GRAVEN_JIT_OK);
    float image[784] = {0}, scores[10];
    const size_t small[] = {1, 1, 4, 4};
    graven_jit_tensor input = {GRAVEN_F32, 4, image_shape, image};
    graven_jit_tensor output = {GRAVEN_F32, 2, scores_shape, scores};
    graven_jit_tensor wrong = {GRAVEN_F32, 4, small, image};
    fails(graven_jit_run(session, &wrong, 1, &output, 1), GRAVEN_JIT_BAD_INPUT, "`image`");
    wrong = (graven_jit_tensor){GRAVEN_I32, 4, image_shape, image};
    fails(graven_jit_run(session, &wrong, 1, &output, 1), GRAVEN_JIT_BAD_INPUT, "`image` is i32");
    wrong = (graven_jit_tensor){99, 4, image_shape, image};
    fails(graven_jit_run(session, &wrong, 1, &output, 1), GRAVEN_JIT_BAD_INPUT, "99");
    wrong = (graven_jit_tensor){GRAVEN_F32, 4, image_shape, NULL};
    fails(graven_jit_run(session, &wrong, 1, &output, 1), GRAVEN_JIT_BAD_INPUT, "`data`: is null");
    fails(graven_jit_run(session, &input, 0, &output, 1), GRAVEN_JIT_BAD_INPUT, "0 inputs");
    fails(graven_jit_run(session, &input, 1, &output, 0), GRAVEN_JIT_BAD_INPUT, "0 outputs");
    fails(graven_jit_run(NULL, &input, 1, &output, 1), GRAVEN_JIT_BAD_INPUT, "`session`: is null");
    /* The message of a failure belongs to its thread. */
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hears_of_no_failure, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(graven_jit_run(session, &input, 1, &output, 1) == GRAVEN_JIT_OK);
    graven_jit_session_free(session);
    graven_jit_session_free(NULL);
    graven_jit_model_free(NULL);
    graven_jit_options_free(NULL);
}

/* y[N, 2] = x + x, for any N. */
static void open_extent(const char *path) {
    graven_jit_options *options = graven_jit_options_new();
    CHECK(graven_jit_options_set(options, "threads", "1") == GRAVEN_JIT_OK);
    graven_jit_model *doubles;
    CHECK(graven_jit_load_file(path, options, &doubles) == GRAVEN_JIT_OK);
    graven_jit_options_free(options);
    graven_jit_session *session;
    CHECK(graven_jit_session_new(doubles, &session) == GRAVEN_JIT_OK);
    graven_jit_port port;
    CHECK(graven_jit_model_input(doubles, 0, &port) == GRAVEN_JIT_OK);
    CHECK(port.extents[0] == -1 && port.extents[1] == 2);
    fails(graven_jit_output(session, 0, &port), GRAVEN_JIT_BAD_INPUT, "not prepared");
    /* The session holds what it needs. */
    graven_jit_model_free(doubles);
    for (size_t n = 1; n <= 3; n++) {
        const size_t shape[] = {n, 2};
        float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {0};
        graven_jit_tensor input = {GRAVEN_F32, 2, shape, NULL};
        CHECK(graven_jit_prepare(session, &input, 1) == GRAVEN_JIT_OK);
        CHECK(graven_jit_output_count(session) == 1);
        CHECK(graven_jit_output(session, 0, &port) == GRAVEN_JIT_OK && port.extents[0] == (int64_t)n);
        input.data = x;
        graven_jit_tensor output = {GRAVEN_F32, 2, shape, y};
        CHECK(graven_jit_run(session, &input, 1, &output, 1) == GRAVEN_JIT_OK);
        for (size_t i = 0; i < 6; i++) CHECK(y[i] == (i < 2 * n ? 2 * x[i] : 0));
    }
    graven_jit_session_free(session);
}

static void *contents(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
    *size = (size_t)ftell(file);
    rewind(file);
    void *data = malloc(*size);
    CHECK(fread(data, 1, *size, file) == *size && fclose(file) == 0);
    return data;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    CHECK(strlen(graven_jit_version()) > 0);
    CHECK(graven_jit_load_file(argv[1], NULL, &model) == GRAVEN_JIT_OK);
    ports();
    threads();
    errors();
    graven_jit_model_free(model);
    size_t size;
    void *data = contents(argv[1], &size);
    CHECK(graven_jit_load_memory(data, size, NULL, &model) == GRAVEN_JIT_OK);
    free(data);
    float scores[10];
    reads_ones(scores);
    graven_jit_model_free(model);
    open_extent(argv[2]);
    puts("ok");
    return 0;
}
