/* Loads a model at run time through the small runtime library, which owns memory and threads. */
#include <mlc.h>

#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, mlc_last_error());
    exit(1);
}

static void describe(const char *kind, mlc_info info) {
    fprintf(stderr, "%s %s: dtype %u, shape [", kind, info.name, info.dtype);
    for (uint32_t d = 0; d < info.rank; d++) fprintf(stderr, d ? ", %lld" : "%lld", (long long)info.dims[d]);
    fprintf(stderr, "]\n");
}

int main(int argc, char **argv) {
    /* As many threads as the machine has; check the weights, too, because this file comes from elsewhere. */
    mlc_model *model;
    if (mlc_open(argc > 1 ? argv[1] : "build/digits.so", 0, MLC_VERIFY, &model) != 0) fail("mlc_open");

    mlc_info info;
    for (uint32_t i = 0; i < mlc_input_count(model); i++)
        if (mlc_input_info(model, i, &info) == 0) describe("input", info);
    for (uint32_t i = 0; i < mlc_output_count(model); i++)
        if (mlc_output_info(model, i, &info) == 0) describe("output", info);

    /* A vertical stroke, four pixels wide. */
    static float image[28 * 28];
    float scores[10];
    for (int y = 4; y < 24; y++)
        for (int x = 12; x < 16; x++) image[y * 28 + x] = 1.0f;
    int64_t image_shape[4] = {1, 1, 28, 28}, scores_shape[2];
    mlc_tensor in = {image, image_shape, 4, MLC_F32, sizeof image};
    mlc_tensor out = {scores, scores_shape, 2, MLC_F32, sizeof scores};

    mlc_profile(model, 1);
    if (mlc_run(model, &in, 1, &out, 1) != 0) fail("mlc_run");

    int best = 0;
    for (int digit = 0; digit < 10; digit++) {
        printf("%d %9.3f\n", digit, scores[digit]);
        if (scores[digit] > scores[best]) best = digit;
    }
    printf("digit %d\n", best);

    for (uint32_t i = 0; i < mlc_kernel_count(model); i++) {
        uint64_t calls = 0, nanoseconds = 0;
        const char *name = mlc_kernel_time(model, i, &calls, &nanoseconds);
        if (name) fprintf(stderr, "kernel %s: %llu ns\n", name, (unsigned long long)nanoseconds);
    }
    mlc_close(model);
    return 0;
}
