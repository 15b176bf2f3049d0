/* Calls a compiled model from C.
 *
 *     graven compile examples/models/digits.onnx --emit obj -o digits.o
 *     cc -I. examples/c/digits.c digits.o -o digits
 *     ./digits
 */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    if (digits_check_cpu() != 0) {
        fprintf(stderr, "this CPU lacks features that the model needs\n");
        return 3;
    }
    /* A vertical stroke: a one. */
    static float image[28 * 28];
    for (int row = 5; row < 23; row++) {
        image[row * 28 + 13] = image[row * 28 + 14] = 255.0f;
    }
    float probabilities[10];
    digits_io io = {.image = image, .probabilities = probabilities};
    void *arena = aligned_alloc(64, (DIGITS_ARENA_BYTES(1) + 63) / 64 * 64);
    int32_t code = digits_run(&io, NULL, NULL, arena, NULL);
    free(arena);
    if (code != GRAVEN_OK) {
        fprintf(stderr, "error %d\n", (int)code);
        return 2;
    }
    int best = 0;
    for (int digit = 1; digit < 10; digit++) {
        if (probabilities[digit] > probabilities[best]) {
            best = digit;
        }
    }
    printf("it is a %d\n", best);
    return 0;
}
