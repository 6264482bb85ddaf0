"""The peers: installed with pip, opened for a case, run and timed.

Both get the threads they are told, f32 arithmetic where the model has f32, inputs that lie ready, and outputs that need not
be copied.  OpenVINO is compiled for the shapes of the case, which is where it is fastest; onnxruntime keeps its defaults.
"""

import importlib.metadata
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# A peer's threads spin for a while after a run: nobody else is measured meanwhile.
QUIET_SECONDS = 0.05

Run = Callable[[], object]


class Unsupported(Exception):
    """A peer cannot run a model; says why in one line."""


def install() -> None:
    """Install what is missing of requirements.txt into the environment that runs this."""
    lines = [line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    if all(is_installed(line) for line in lines if line):
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--requirement", REQUIREMENTS], check=True)


def is_installed(requirement: str) -> bool:
    name, version = requirement.split("==")
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False


@dataclass(frozen=True)
class Peer:
    """A program to compare with; `open(model, threads)` gives what makes a run of a case's inputs."""

    name: str
    open: Callable[[Path, int], Callable[[dict[str, numpy.ndarray]], Run]]

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.name)


def onnxruntime(model: Path, threads: int) -> Callable[[dict[str, numpy.ndarray]], Run]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def bind(inputs: dict[str, numpy.ndarray]) -> Run:
        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for output, value in zip(session.get_outputs(), session.run(None, inputs), strict=True):
            binding.bind_ortvalue_output(output.name, ort.OrtValue.ortvalue_from_numpy(value))
        return lambda: session.run_with_iobinding(binding)

    return bind


def openvino(model: Path, threads: int) -> Callable[[dict[str, numpy.ndarray]], Run]:
    import openvino as ov

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        # Weights kept as int8 otherwise make it round activations to int8, too: of MiniLM int8 by a hundredth of their scale.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }

    def compile(inputs: dict[str, numpy.ndarray]) -> Run:
        try:
            network = ov.Core().read_model(model)
            # An input's tensor may have lost its name to another; its node has it still.
            names = [port.get_node().get_friendly_name() for port in network.inputs]
            network.reshape({place: list(inputs[name].shape) for place, name in enumerate(names)})
            request = ov.Core().compile_model(network, "CPU", settings).create_infer_request()
            for place, name in enumerate(names):
                request.set_input_tensor(place, ov.Tensor(inputs[name], shared_memory=True))
            request.infer()
        except RuntimeError as error:
            raise Unsupported(reason(error)) from error

        def run() -> None:
            request.start_async()
            request.wait()

        return run

    return compile


def reason(error: Exception) -> str:
    """The last line of a long message that says anything."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if len(line) > len("(null)")), str(error))


PEERS = [Peer("onnxruntime", onnxruntime), Peer("openvino", openvino)]


def median(run: Run, seconds: float) -> float:
    """The median time of a run in milliseconds, over at least three of them in a span of time."""
    run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    time.sleep(QUIET_SECONDS)
    return statistics.median(times)
