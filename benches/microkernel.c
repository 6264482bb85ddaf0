/* Prints the best rates in GF/s that f32 blocks of a matrix product reach here, on one thread and on hot data.

   usage: microkernel avx512|avx2 SECONDS        prints lines such as: 8x48 196.2

   A block of ROWS x VECTORS accumulators takes, at each of DEPTH steps, VECTORS vectors of the right panel and ROWS
   numbers of the left one.  Both panels lie packed in the cache nearest to the core and are gone through again and again
   without leaving the registers: what a product adds to that, writing its results and fetching its panels, is not in
   it.  Several forms of blocks are tried, in turns.  A product that is faster than this shows a fault in here.

   Build it with -ffp-contract=fast: strict C keeps products and sums apart, and there would be no fused ones. */

#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH = 96, REPEATS = 128, ALIGNMENT = 64, MOST_ROWS = 16, MOST_FLOATS = 64 };

typedef float wide __attribute__((vector_size(64)));
typedef float half __attribute__((vector_size(32)));

static float *left, *right, *result;

/* The empty statement keeps a broadcast number in a register: as a memory operand of each product it would be slower. */
#define BLOCK(NAME, FEATURES, VECTOR, ROWS, VECTORS)                                                        \
    __attribute__((target(FEATURES), noinline)) static void NAME(void) {                                    \
        VECTOR sums[ROWS][VECTORS] = {0};                                                                   \
        for (int step = 0; step < DEPTH * REPEATS; step++) {                                                \
            const float *a = left + step % DEPTH * ROWS;                                                    \
            const VECTOR *b = (const VECTOR *)right + step % DEPTH * VECTORS;                               \
            VECTOR columns[VECTORS];                                                                        \
            _Pragma("GCC unroll 16") for (int j = 0; j < VECTORS; j++) columns[j] = b[j];                   \
            _Pragma("GCC unroll 16") for (int i = 0; i < ROWS; i++) {                                       \
                VECTOR row = a[i] - (VECTOR){0};                                                            \
                __asm__("" : "+v"(row));                                                                    \
                _Pragma("GCC unroll 16") for (int j = 0; j < VECTORS; j++) sums[i][j] += row * columns[j];  \
            }                                                                                               \
        }                                                                                                   \
        memcpy(result, sums, sizeof sums);                                                                  \
    }

BLOCK(wide_8x48, "avx512f,fma", wide, 8, 3)
BLOCK(wide_14x32, "avx512f,fma", wide, 14, 2)
BLOCK(wide_6x64, "avx512f,fma", wide, 6, 4)
BLOCK(half_6x16, "avx2,fma", half, 6, 2)
BLOCK(half_4x24, "avx2,fma", half, 4, 3)

struct block {
    const char *feature;
    void (*run)(void);
    int rows, columns;
};

static const struct block blocks[] = {
    {"avx512", wide_8x48, 8, 48}, {"avx512", wide_14x32, 14, 32}, {"avx512", wide_6x64, 6, 64},
    {"avx2", half_6x16, 6, 16},   {"avx2", half_4x24, 4, 24},
};

enum { COUNT = sizeof blocks / sizeof *blocks };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

/* Numbers from 0.5 to 1.5: sums stay far from what is slow or not finite. */
static float *numbers(size_t count) {
    float *all = aligned_alloc(ALIGNMENT, count * sizeof(float));
    for (size_t i = 0; all && i < count; i++) all[i] = 0.5f + (float)(i * 7 % 1000) / 1000;
    return all;
}

static double rate(const struct block *block) {
    double start = now();
    block->run();
    return 2.0 * block->rows * block->columns * DEPTH * REPEATS / (now() - start) / 1e9;
}

int main(int count, char **arguments) {
    if (count != 3) return fprintf(stderr, "usage: microkernel avx512|avx2 SECONDS\n"), 2;
    left = numbers(DEPTH * MOST_ROWS), right = numbers(DEPTH * MOST_FLOATS), result = numbers(MOST_ROWS * MOST_FLOATS);
    if (!left || !right || !result) return fprintf(stderr, "error: no memory\n"), 1;
    double best[COUNT] = {0}, end = now() + atof(arguments[2]);
    do {
        for (int i = 0; i < COUNT; i++) {
            if (strcmp(blocks[i].feature, arguments[1])) continue;
            double reached = rate(&blocks[i]);
            if (reached > best[i]) best[i] = reached;
        }
    } while (now() < end);
    for (int i = 0; i < COUNT; i++)
        if (best[i] > 0) printf("%dx%d %.2f\n", blocks[i].rows, blocks[i].columns, best[i]);
    return 0;
}
