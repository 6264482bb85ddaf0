"""Open an artifact, run it once, and print what memory and time this process needed for it, as JSON.

usage: footprint.py RUNTIME ARTIFACT < inputs.json

RUNTIME is the runtime as a shared library (cargo rustc -p mlc-runtime --profile small --crate-type cdylib).  Standard
input lists the inputs in the model's order: [{"dtype": number of ONNX, "shape": [...], "file": raw elements}, ...].
Only the standard library is used, so that the process is small to begin with; Linux counts its pages.

printed
    load_ms, first_ms     opening the artifact; the first run
    loaded_bytes          resident memory that opening added
    peak_bytes            the most that was resident during all of it, less what was before, inputs included
    output_bytes          of the peak, what the outputs are
"""

import ctypes
import json
import os
import sys
import time

OUTPUT_RANK = 16
# Bytes of an element, by ONNX's number of its type.
SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


class Tensor(ctypes.Structure):
    """`mlc_tensor` of mlc.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_uint32),
        ("dtype", ctypes.c_uint32),
        ("bytes", ctypes.c_uint64),
    ]


def resident(field: str) -> int:
    """A line of /proc/self/status, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Let VmHWM begin anew."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as clear:
        clear.write("5")


def tensor(dtype: int, shape: list[int], data: ctypes.Array | None, size: int) -> Tensor:
    dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    address = ctypes.cast(data, ctypes.c_void_p) if data is not None else None
    return Tensor(address, dims, len(shape), dtype, size)


def main() -> None:
    library, artifact = ctypes.CDLL(sys.argv[1]), sys.argv[2].encode()
    library.mlc_last_error.restype = ctypes.c_char_p

    def check(code: int) -> None:
        if code:
            sys.exit(f"error: {library.mlc_last_error().decode()}")

    wanted = json.load(sys.stdin)
    inputs = (Tensor * len(wanted))()
    kept = []
    forget_peak()
    before = resident("VmRSS")
    for place, one in enumerate(wanted):
        size = os.path.getsize(one["file"])
        kept.append((ctypes.c_char * max(size, 1))())
        with open(one["file"], "rb", buffering=0) as file:
            file.readinto(memoryview(kept[-1])[:size])
        inputs[place] = tensor(one["dtype"], one["shape"], kept[-1], size)
    given = resident("VmRSS")

    model = ctypes.c_void_p()
    start = time.perf_counter()
    check(library.mlc_open(artifact, 1, 0, ctypes.byref(model)))
    load = time.perf_counter() - start
    loaded = resident("VmRSS") - given

    count = library.mlc_output_count(model)
    outputs = (Tensor * count)(*[tensor(0, [0] * OUTPUT_RANK, None, 0) for _ in range(count)])
    check(library.mlc_plan(model, inputs, len(wanted), outputs, count))
    total = 0
    for output in outputs:
        size = SIZES[output.dtype]
        for dim in output.shape[: output.rank]:
            size *= dim
        kept.append((ctypes.c_char * max(size, 1))())
        output.data, output.bytes, output.rank = ctypes.addressof(kept[-1]), size, OUTPUT_RANK
        total += size
    start = time.perf_counter()
    check(library.mlc_run(model, inputs, len(wanted), outputs, count))
    first = time.perf_counter() - start
    answer = {
        "load_ms": 1e3 * load,
        "first_ms": 1e3 * first,
        "loaded_bytes": loaded,
        "peak_bytes": resident("VmHWM") - before,
        "output_bytes": total,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
