/* Runs a model that is linked into the program. Nothing else is needed: no library, no file. */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 1

int main(void) {
    /* A vertical stroke, four pixels wide. */
    static float image[BATCH * 28 * 28];
    float scores[BATCH * 10];
    for (int y = 4; y < 24; y++)
        for (int x = 12; x < 16; x++) image[y * 28 + x] = 1.0f;

    int64_t image_shape[4] = {BATCH, 1, 28, 28}, scores_shape[2];
    mlc_tensor in = {image, image_shape, 4, MLC_F32, sizeof image};
    mlc_tensor out = {scores, scores_shape, 2, MLC_F32, sizeof scores};

    /* Planning says how much memory a run needs and what the outputs look like. */
    uint64_t arena_bytes;
    int32_t code = digits_plan(&in, &out, &arena_bytes, 1);
    if (code != DIGITS_OK) {
        fprintf(stderr, "digits_plan: %s\n", digits_message(code));
        return 1;
    }
    uint64_t rounded = (arena_bytes + DIGITS_ARENA_ALIGN) / DIGITS_ARENA_ALIGN * DIGITS_ARENA_ALIGN;
    void *arena = aligned_alloc(DIGITS_ARENA_ALIGN, rounded);
    if (!arena) return 1;

    /* The weights are embedded, and one thread is enough: two null pointers. */
    code = digits_run(NULL, &in, &out, arena, arena_bytes, NULL);
    free(arena);
    if (code != DIGITS_OK) {
        fprintf(stderr, "digits_run: %s\n", digits_message(code));
        return 1;
    }
    int best = 0;
    for (int digit = 0; digit < 10; digit++) {
        printf("%d %9.3f\n", digit, scores[digit]);
        if (scores[digit] > scores[best]) best = digit;
    }
    printf("digit %d\n", best);
    return 0;
}
