/* The optional runtime: loads any model compiled by mlc, checks it, owns its memory and threads, and measures it.
 *
 *     mlc_model *model;
 *     if (mlc_open("digits.so", 0, 0, &model) != 0) { fputs(mlc_last_error(), stderr); return 1; }
 *     float image[28 * 28] = {0}, scores[10];
 *     int64_t in_shape[] = {1, 1, 28, 28}, out_shape[2];
 *     mlc_tensor in = {image, in_shape, 4, MLC_F32, sizeof image};
 *     mlc_tensor out = {scores, out_shape, 2, MLC_F32, sizeof scores};
 *     mlc_run(model, &in, 1, &out, 1);
 *     mlc_close(model);
 *
 * Functions that can fail return 0 if they did not, a code of the model if that refused (see the model's own header),
 * or -1 for all else; mlc_last_error() has the words. None aborts on what a file or a caller's numbers say. A model may
 * be used by one thread at a time; different models, and the same file opened twice, are independent.
 */
#ifndef MLC_H
#define MLC_H

#ifndef MLC_TYPES_H
#define MLC_TYPES_H

#include <stdint.h>

#define MLC_ABI 4u

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

/* What a run of a model needs on a GPU. */
typedef struct mlc_device_needs {
    const char *code;        /* text of a PTX module; the same in every run of a model */
    const void *weights;     /* packed weights on the host, 64 readable bytes behind them; the same in every run */
    uint64_t weights_bytes;  /* their size */
    uint64_t arena_bytes;    /* memory for everything else */
    uint64_t device_weights; /* written: address of the weights on the GPU */
    uint64_t device_arena;   /* written: address of the memory on the GPU, a multiple of 64 */
} mlc_device_needs;

/* A GPU for models that have kernels for one. All functions return 0 or MLC_CODE_DEVICE_FAILED. What they start is done
   in that order; a copy to the host has happened when it returns. */
typedef struct mlc_device {
    void *ctx; /* handed back as first argument */
    /* Called first in every run: makes code, weights and memory ready. */
    int32_t (*begin)(void *ctx, mlc_device_needs *needs);
    /* Runs tasks 0..tasks of the entry `k` followed by the number: each by a block of `crew` threads, or by one thread of
       blocks of any size if that is 0. Where `scratch` is not 0, each such block or thread has so many bytes of memory for
       itself, in the order of their numbers; there may then be fewer of them than tasks, which they take in turn. The
       entry's parameters are the arguments, `tasks`, and the address of that memory, a multiple of 64. */
    int32_t (*launch)(void *ctx, uint32_t kernel, const uint64_t *args, uint32_t count, uint64_t tasks, uint32_t crew,
                      uint64_t scratch);
    /* Copies to the GPU if `up` is not 0, else from it. */
    int32_t (*copy)(void *ctx, uint64_t device, void *host, uint64_t bytes, uint32_t up);
} mlc_device;

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
    const mlc_device *device; /* a GPU, for models with kernels for one */
} mlc_host;

#endif /* MLC_TYPES_H */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlc_model mlc_model;

/* An input or output. The pointers live as long as the model. */
typedef struct mlc_info {
    const char *name;
    const int64_t *dims; /* `rank` numbers; -1: not fixed */
    uint32_t rank;
    uint32_t dtype;
} mlc_info;

/* For mlc_open: read all weights and compare their hash. Code is always checked, of weights else only the size. */
#define MLC_VERIFY 1u
/* For mlc_open: tie each thread but the caller's to a processor of its own, from the second on of those that the process
   may use; for machines that do nothing else. Linux. */
#define MLC_PIN 2u

/* Opens NAME.so, with NAME.weights beside it where the model has one; `threads` 0: as many as the machine has. */
int32_t mlc_open(const char *path, uint32_t threads, uint32_t flags, mlc_model **out);
void mlc_close(mlc_model *model);

/* The text of this thread's last error, until its next one; "" if there was none. */
const char *mlc_last_error(void);
uint32_t mlc_abi_version(void);

uint32_t mlc_input_count(const mlc_model *model);
uint32_t mlc_output_count(const mlc_model *model);
int32_t mlc_input_info(const mlc_model *model, uint32_t index, mlc_info *info);
int32_t mlc_output_info(const mlc_model *model, uint32_t index, mlc_info *info);

/* The input that an output continues in the same memory, -1 if none: both get one `data` and one shape, whose dim along
   which the state grows says how much has room; how much of it is there follows from the dims of other inputs. */
int32_t mlc_output_state(const mlc_model *model, uint32_t index);

/* Checks ranks, dtypes and dims of the inputs and writes rank, dtype and shape of the outputs (upper bounds where they
   depend on data), whose `shape` has room for as many numbers as `rank` says. No data is read or written. */
int32_t mlc_plan(mlc_model *model, const mlc_tensor *inputs, uint32_t input_count, mlc_tensor *outputs,
                 uint32_t output_count);

/* Runs the model: writes data and actual shapes of the outputs. */
int32_t mlc_run(mlc_model *model, const mlc_tensor *inputs, uint32_t input_count, mlc_tensor *outputs,
                uint32_t output_count);

/* Time by kernel. Switching on begins at 0. */
void mlc_profile(mlc_model *model, int32_t on);
uint32_t mlc_kernel_count(const mlc_model *model);
const char *mlc_kernel_time(const mlc_model *model, uint32_t index, uint64_t *calls, uint64_t *nanoseconds);

#ifdef __cplusplus
}
#endif

#endif /* MLC_H */
