/* Graven from C: compiles a model in this process and runs it. Link with libgraven_c (-lgraven_c), shared or static; the static one also needs
 * -lpthread -ldl -lm.
 *
 *     graven_jit_model *model;
 *     if (graven_jit_load_file("model.onnx", NULL, &model) != GRAVEN_JIT_OK) {
 *         fprintf(stderr, "%s\n", graven_jit_error());
 *         return 1;
 *     }
 *     graven_jit_session *session;
 *     graven_jit_session_new(model, &session);
 *     ...
 *     graven_jit_run(session, inputs, 1, outputs, 1);
 *     graven_jit_session_free(session);
 *     graven_jit_model_free(model);
 *
 * Threads: a model may be used by any number of threads at once, each with sessions of its own; a session or options belong to one thread at a
 * time. Models and sessions may be freed in any order.
 *
 * Strings are UTF-8 and end with a zero. Functions that can fail return a graven_jit_status and leave a message for graven_jit_error. A null pointer
 * where an object or a result is expected is GRAVEN_JIT_BAD_INPUT; freeing null does nothing. */
#ifndef GRAVEN_H
#define GRAVEN_H

#include <stddef.h>
#include <stdint.h>

#include "graven_abi.h" /* GRAVEN_F32 and the other element types */

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return; the numbers are those of the command line's exit codes. */
typedef enum graven_jit_status {
    GRAVEN_JIT_OK = 0,
    /* The model, a file, an option or a tensor is wrong. */
    GRAVEN_JIT_BAD_INPUT = 2,
    /* This version can't do it, or it has a bug. */
    GRAVEN_JIT_UNSUPPORTED = 3
} graven_jit_status;

typedef struct graven_jit_options graven_jit_options;
typedef struct graven_jit_model graven_jit_model;
typedef struct graven_jit_session graven_jit_session;

/* What the last function that failed in this thread has to say: one sentence that names the place, valid until the next failure in this
 * thread. Empty if there was none. */
const char *graven_jit_error(void);

/* The version of the library, such as "0.1.0". */
const char *graven_jit_version(void);

/* Options with their defaults: this machine, all its CPUs, no limits. Where options are taken, null stands for these. They may be freed as soon
 * as the model is loaded. */
graven_jit_options *graven_jit_options_new(void);
void graven_jit_options_free(graven_jit_options *options);

/* Sets an option. Names and values are those of the command line:
 *   threads    threads of a session, "4"
 *   backend    "auto", "wide", "cranelift" or "interp"
 *   accuracy   "strict", "default" or "fast"
 *   max-memory bytes that weights, working memory and tensors may take, "2000000000" */
graven_jit_status graven_jit_options_set(graven_jit_options *options, const char *name, const char *value);

/* Gives a named extent of the inputs the range low to high, both inclusive; equal numbers make it constant. Extents that are not given
 * are taken from the tensors of each run, and the model is compiled anew for other shapes, of which the last 16 are kept. */
graven_jit_status graven_jit_options_set_dim(graven_jit_options *options, const char *name, int64_t low, int64_t high);

/* Loads and compiles a model: an ONNX file, or a module as text (.gir) or JSON (.json). The file must not change as long as the model is used. */
graven_jit_status graven_jit_load_file(const char *path, const graven_jit_options *options, graven_jit_model **model);

/* The same for the bytes of an ONNX file, which are copied. */
graven_jit_status graven_jit_load_memory(const void *data, size_t size, const graven_jit_options *options,
                                         graven_jit_model **model);

void graven_jit_model_free(graven_jit_model *model);

/* An input or output. Pointers are valid as long as the model, or the session, that it was asked of; for a session, until it is prepared again. */
typedef struct graven_jit_port {
    const char *name;
    /* GRAVEN_F32, ...; 0 where the model leaves it open. */
    uint32_t dtype;
    /* Number of dimensions; -1 where the model leaves it open. */
    int32_t rank;
    /* Extents, outermost first; -1 where the model leaves one open. */
    const int64_t *extents;
} graven_jit_port;

size_t graven_jit_model_input_count(const graven_jit_model *model);
size_t graven_jit_model_output_count(const graven_jit_model *model);
graven_jit_status graven_jit_model_input(const graven_jit_model *model, size_t index, graven_jit_port *port);
graven_jit_status graven_jit_model_output(const graven_jit_model *model, size_t index, graven_jit_port *port);

/* Working memory, states and threads to run a model. States begin as zeros and go on from run to run, until inputs have other shapes. */
graven_jit_status graven_jit_session_new(const graven_jit_model *model, graven_jit_session **session);
void graven_jit_session_free(graven_jit_session *session);

/* A dense tensor in memory of the application: row-major, in the CPU's byte order, booleans and 4-bit integers a byte each, aligned to its elements. */
typedef struct graven_jit_tensor {
    uint32_t dtype;
    uint32_t rank;
    const size_t *extents;
    void *data;
} graven_jit_tensor;

/* Makes everything ready for inputs of these shapes, in the model's order; data may be null here. A model with open extents is compiled now, and the
 * session can tell its outputs. */
graven_jit_status graven_jit_prepare(graven_jit_session *session, const graven_jit_tensor *inputs, size_t count);

/* Outputs for the shapes that the session is prepared for. An extent that depends on data is given by its bound. */
size_t graven_jit_output_count(const graven_jit_session *session);
graven_jit_status graven_jit_output(const graven_jit_session *session, size_t index, graven_jit_port *port);

/* Runs the model once: inputs and outputs in the model's order, outputs of the shapes that graven_jit_output tells. Outputs overlap neither inputs nor each
 * other. For shapes that the session is prepared for, machine code allocates nothing; for others, it is prepared first. */
graven_jit_status graven_jit_run(graven_jit_session *session, const graven_jit_tensor *inputs, size_t input_count,
                                 graven_jit_tensor *outputs, size_t output_count);

#ifdef __cplusplus
}
#endif

#endif
