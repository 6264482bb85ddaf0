#ifndef MLC_TYPES_H
#define MLC_TYPES_H

#include <stdint.h>

#define MLC_ABI 1u

/* Element types; the numbers are those of ONNX (TensorProto.DataType). */
enum {
    MLC_F32 = 1, MLC_U8 = 2, MLC_I8 = 3, MLC_U16 = 4, MLC_I16 = 5, MLC_I32 = 6, MLC_I64 = 7,
    MLC_BOOL = 9, MLC_F16 = 10, MLC_F64 = 11, MLC_U32 = 12, MLC_U64 = 13, MLC_BF16 = 16
};

/* A dense tensor, last dimension fastest. The caller owns `data` and `shape`. */
typedef struct mlc_tensor {
    void *data;     /* the elements; any alignment that suits one element */
    int64_t *shape; /* `rank` numbers */
    uint32_t rank;  /* number of dimensions; for an output: room in `shape`, then the rank */
    uint32_t dtype; /* MLC_F32, ... */
    uint64_t bytes; /* capacity of `data` */
} mlc_tensor;

/* One kernel: runs tasks begin..end. A host calls it with what it was given and does not look inside. */
typedef void (*mlc_kernel)(const uint64_t *args, uint64_t begin, uint64_t end, uint8_t *scratch);

/* What a host program may offer a model. Every pointer may be null, and so may the pointer to this table. */
typedef struct mlc_host {
    uint32_t abi;     /* MLC_ABI */
    uint32_t workers; /* threads that `parallel_for` uses, at least 1 */
    void *ctx;        /* handed back as first argument */
    /* Runs tasks 0..tasks in disjoint ranges and returns when all are done. The range that worker w runs gets
       scratch + w * scratch_bytes; no two ranges that run at the same time share a worker number. */
    void (*parallel_for)(void *ctx, mlc_kernel kernel, const uint64_t *args, uint64_t tasks, uint8_t *scratch,
                         uint64_t scratch_bytes);
    /* Called before (phase 0) and after (phase 1) each kernel; the index is that of the descriptor's kernel names. */
    void (*profile)(void *ctx, uint32_t kernel, uint32_t phase);
    uint64_t features; /* processor features, where a program cannot ask the processor itself; 0: unknown */
} mlc_host;

#endif /* MLC_TYPES_H */
