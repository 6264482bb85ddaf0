"""Open a model in onnxruntime, run it once, and print what that took, as JSON.

usage: firstrun.py MODEL < inputs.json

Standard input is that of footprint.py, with the names of the inputs; one thread, defaults otherwise.

printed
    load_ms, first_ms    making the session; the first run
    peak_bytes           the most that was resident, less what was when the imports were done
"""

import json
import sys
import time

import numpy
import onnxruntime
from onnx import helper

from footprint import forget_peak, resident


def main() -> None:
    inputs = {}
    for one in json.load(sys.stdin):
        dtype = helper.tensor_dtype_to_np_dtype(one["dtype"])
        inputs[one["name"]] = numpy.fromfile(one["file"], dtype).reshape(one["shape"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    forget_peak()
    before = resident("VmRSS")
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    start = time.perf_counter()
    session.run(None, inputs)
    first = time.perf_counter() - start
    answer = {"load_ms": 1e3 * load, "first_ms": 1e3 * first, "peak_bytes": resident("VmHWM") - before}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
