/* Runs machine code that comes from standard input, under an emulator of another CPU. All numbers are little-endian.
 * Request: u32 bytes of code, u32 buffers, u32 extents, u32 bytes of scratch memory, i64 tasks; the code; the extents as i64;
 * per buffer u32 bytes and the bytes. Reply: i32 status, then the bytes of each buffer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void take(void *place, size_t bytes) {
    if (fread(place, 1, bytes, stdin) != bytes) exit(0);
}

static uint64_t number(int bytes) {
    unsigned char raw[8];
    uint64_t value = 0;
    take(raw, bytes);
    for (int i = bytes; i-- > 0;) value = value << 8 | raw[i];
    return value;
}

int main(void) {
    for (;;) {
        uint32_t code_bytes = number(4), buffers = number(4), extents = number(4), scratch_bytes = number(4);
        int64_t tasks = number(8);
        unsigned char *code = mmap(NULL, code_bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        take(code, code_bytes);
        __builtin___clear_cache((char *)code, (char *)code + code_bytes);
        uint64_t words[64];
        uint32_t lengths[32];
        for (uint32_t i = 0; i < extents; i++) words[buffers + i] = number(8);
        for (uint32_t i = 0; i < buffers; i++) {
            lengths[i] = number(4);
            words[i] = (uint64_t)(uintptr_t)malloc(lengths[i] + 64);
            take((void *)(uintptr_t)words[i], lengths[i]);
        }
        int32_t status = 0;
        void *scratch = aligned_alloc(64, (scratch_bytes + 127) / 64 * 64);
        uint64_t *rest = words + buffers + extents;
        rest[0] = tasks;
        rest[1] = (uint64_t)(uintptr_t)scratch;
        rest[2] = scratch_bytes;
        rest[3] = (uint64_t)(uintptr_t)&status;
        void (*kernel)(const uint64_t *, int64_t, int64_t) = (void (*)(const uint64_t *, int64_t, int64_t))(void *)code;
        for (int64_t task = 0; task < tasks; task++) kernel(words, task, 0);
        for (int i = 0; i < 4; i++) putchar(status >> 8 * i & 255);
        for (uint32_t i = 0; i < buffers; i++) {
            fwrite((void *)(uintptr_t)words[i], 1, lengths[i], stdout);
            free((void *)(uintptr_t)words[i]);
        }
        fflush(stdout);
        free(scratch);
        munmap(code, code_bytes);
    }
}
