/* Runs the model MODEL, whose header is included by the compiler's flags, on the tensors of a file, and prints the results.
 *
 *     program INPUTS OUTPUTS [WEIGHTS]
 *
 * A file holds tensors one after another: element type and rank (uint32), extents (int64), number of bytes (uint64), bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define MAX_RANK 16
#define MAX_TENSORS 64

static int fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

/* Memory filled with what nobody should rely on. */
static void *dirty(uint64_t align, uint64_t bytes) {
    uint64_t rounded = (bytes + align) / align * align;
    void *data = aligned_alloc(align, rounded);
    if (data) memset(data, 0xa5, rounded);
    return data;
}

static int get(FILE *file, mlc_tensor *t) {
    uint32_t head[2];
    if (fread(head, sizeof head, 1, file) != 1) return 0;
    t->dtype = head[0];
    t->rank = head[1];
    t->shape = calloc(MAX_RANK, sizeof *t->shape);
    if (!t->shape || t->rank > MAX_RANK) exit(fail("a tensor of too many dimensions"));
    if (fread(t->shape, sizeof *t->shape, t->rank, file) != t->rank) exit(fail("no extents"));
    if (fread(&t->bytes, sizeof t->bytes, 1, file) != 1) exit(fail("no size"));
    t->data = dirty(64, t->bytes);
    if (!t->data || fread(t->data, 1, t->bytes, file) != t->bytes) exit(fail("no elements"));
    return 1;
}

static void put(FILE *file, const mlc_tensor *t, uint64_t element) {
    uint32_t head[2] = {t->dtype, t->rank};
    uint64_t bytes = element;
    for (uint32_t d = 0; d < t->rank; d++) bytes *= (uint64_t)t->shape[d];
    fwrite(head, sizeof head, 1, file);
    fwrite(t->shape, sizeof *t->shape, t->rank, file);
    fwrite(&bytes, sizeof bytes, 1, file);
    fwrite(t->data, 1, bytes, file);
}

static uint64_t element_bytes(uint32_t dtype) {
    switch (dtype) {
    case MLC_U8: case MLC_I8: case MLC_BOOL: return 1;
    case MLC_U16: case MLC_I16: case MLC_F16: case MLC_BF16: return 2;
    case MLC_F32: case MLC_I32: case MLC_U32: return 4;
    default: return 8;
    }
}

static void *weights_of(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return NULL;
    long bytes = ftell(file);
    rewind(file);
    void *weights = dirty(4096, (uint64_t)bytes);
    if (!weights || fread(weights, 1, (size_t)bytes, file) != (size_t)bytes) return NULL;
    fclose(file);
    return weights;
}

int main(int argc, char **argv) {
    if (argc < 3) return fail("usage: program INPUTS OUTPUTS [WEIGHTS]");
    mlc_tensor in[MAX_TENSORS] = {{0}}, out[MAX_TENSORS] = {{0}};
    uint32_t inputs = 0;
    FILE *file = fopen(argv[1], "rb");
    if (!file) return fail("no inputs");
    while (inputs < MAX_TENSORS && get(file, &in[inputs])) inputs++;
    fclose(file);
    if (inputs != INPUTS) return fail("another number of inputs");
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        out[i].shape = calloc(MAX_RANK, sizeof *out[i].shape);
        out[i].rank = MAX_RANK;
    }
    uint64_t arena_bytes;
    int32_t code = JOIN(MODEL, _plan)(in, out, &arena_bytes, 1);
    if (code) return fail(JOIN(MODEL, _message)(code));
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        out[i].bytes = element_bytes(out[i].dtype);
        for (uint32_t d = 0; d < out[i].rank; d++) out[i].bytes *= (uint64_t)out[i].shape[d];
        out[i].data = dirty(64, out[i].bytes);
        out[i].rank = MAX_RANK;
    }
    void *arena = dirty(64, arena_bytes), *weights = argc > 3 ? weights_of(argv[3]) : NULL;
    if (!arena || (argc > 3 && !weights)) return fail("no memory or no weights");
    code = JOIN(MODEL, _run)(weights, in, out, arena, arena_bytes, NULL);
    if (code) return fail(JOIN(MODEL, _message)(code));
    file = fopen(argv[2], "wb");
    if (!file) return fail("no outputs");
    for (uint32_t i = 0; i < OUTPUTS; i++) put(file, &out[i], element_bytes(out[i].dtype));
    return fclose(file) ? fail("the outputs cannot be written") : 0;
}
