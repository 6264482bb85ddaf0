"""Compare mlc with onnxruntime on the models of the tests, side by side in one run.

usage: compare.py [--mlc PATH] [--runtime PATH] [--cpu NAME] [--threads N]
                  [--rounds N] [--seconds S] [--only TEXT ...]

For every case of tests/models (see tests/setup.sh, which makes them): the model is built once with its
dimensions left symbolic, then both run the case's inputs in turns, `rounds` times for `seconds` each.  Printed are the
medians over the rounds of each one's median time, and the median of the ratios of neighbouring rounds, so that a
machine whose speed drifts does not decide.  A second table has what a build costs and makes.

columns of the second table
    build    seconds and peak resident memory of `mlc build`; `weights` is the size of the weights in the artifact
    code     machine code, without constants and weights
    load     from opening the artifact to being ready to run, and the resident memory that adds (see footprint.py)
    first    the first run in a fresh process
    peak     resident memory that a fresh process gains at most when it runs the last case
    over     what of that is not weights, arena, inputs and outputs; less than nothing where not all weights are touched

needs: .venv of tests/setup.sh; cargo build --release -p mlc;
       cargo rustc -p mlc-runtime --profile small --crate-type cdylib; Linux
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / ".models"
FOOTPRINT = Path(__file__).with_name("footprint.py")

# Runs its arguments and prints the seconds and the peak resident bytes they took.
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024])
sys.exit(code)
"""


@dataclass
class Artifact:
    """A built model and what building it took."""

    path: Path
    seconds: float
    peak_bytes: int
    code_bytes: int
    weight_bytes: int


@dataclass
class Row:
    """One case, measured."""

    name: str
    ours: list[float]
    theirs: list[float]
    bench: dict

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))


def build(mlc: Path, model: Path, folder: Path, cpu: str) -> Artifact:
    """Build a model into a folder for a processor, timed."""
    parts = (mlc, "build", model, "-o", folder, "--name", "model", "--cpu", cpu)
    command = [str(part) for part in parts]
    # A process counts the memory of the one it was forked from: so a small one comes in between.
    measured = subprocess.run([sys.executable, "-ISc", MEASURE, *command], capture_output=True, text=True, check=False)
    if measured.returncode:
        raise SystemExit(f"error: `mlc build {model}` failed: {measured.stderr}")
    seconds, peak = json.loads(measured.stdout)
    library = folder / "model.so"
    inspected = subprocess.run([mlc, "inspect", library, "--json"], capture_output=True, check=True)
    manifest = json.loads((folder / "model.json").read_text())
    code = json.loads(inspected.stdout)["code_bytes"]
    return Artifact(library, seconds, peak, code, manifest["weights"]["bytes"])


def cases_of(model: Path) -> list[Path]:
    folder = "cases" if model.stem == "model" else f"cases-{model.stem}"
    cases = model.with_name(folder)
    return sorted(path for path in cases.iterdir() if path.is_dir()) if cases.is_dir() else []


def input_files(case: Path) -> list[Path]:
    """The files of a case's inputs, in the model's order."""
    return sorted(case.glob("input_*.pb"), key=lambda path: int(path.stem.removeprefix("input_")))


def inputs_of(case: Path) -> dict[str, numpy.ndarray]:
    inputs = {}
    for path in input_files(case):
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        inputs[tensor.name] = numpy_helper.to_array(tensor)
    return inputs


def run_ours(mlc: Path, artifact: Artifact, case: Path, threads: int, seconds: float) -> dict:
    """What `mlc bench` says of the artifact on a case, in a fresh process."""
    command = [mlc, "bench", artifact.path, "--threads", str(threads), "--duration", str(seconds), "--json"]
    for path in input_files(case):
        name = onnx.TensorProto.FromString(path.read_bytes()).name
        command += ["-i", f"{name}={path}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"error: {answer.stdout}{answer.stderr}")
    return json.loads(answer.stdout)


def footprint(runtime: Path, artifact: Artifact, case: Path) -> dict:
    """What a fresh process needs to open an artifact and run a case once; see footprint.py."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = []
        for number, path in enumerate(input_files(case)):
            tensor = onnx.TensorProto.FromString(path.read_bytes())
            raw = Path(folder) / f"{number}.raw"
            raw.write_bytes(numpy_helper.to_array(tensor).tobytes())
            wanted.append({"dtype": tensor.data_type, "shape": list(tensor.dims), "file": str(raw)})
        command = [sys.executable, "-IS", FOOTPRINT, runtime, artifact.path]
        answer = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"error: {answer.stderr}")
    given = sum(array.nbytes for array in inputs_of(case).values())
    return json.loads(answer.stdout) | {"input_bytes": given}


def run_theirs(session: onnxruntime.InferenceSession, inputs: dict[str, numpy.ndarray], seconds: float) -> float:
    """The median time of a run of onnxruntime, in milliseconds."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, inputs)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def open_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(args: argparse.Namespace, model: Path, artifact: Artifact) -> list[Row]:
    session = open_session(model, args.threads)
    rows = []
    for case in cases_of(model):
        name = f"{model.parent.name}/{model.stem}" if model.stem != "model" else model.parent.name
        row = Row(f"{name} {case.name}", [], [], {})
        inputs = inputs_of(case)
        session.run(None, inputs)
        for _ in range(args.rounds):
            row.bench = run_ours(args.mlc, artifact, case, args.threads, args.seconds)
            row.ours.append(row.bench["p50_ms"])
            row.theirs.append(run_theirs(session, inputs, args.seconds))
        rows.append(row)
    return rows


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("| " + " | ".join(cells) + " |")
    print()


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def processor() -> str:
    """The processor's name and its widest vectors."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        facts = dict(line.split(":", 1) for line in file if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    widest = next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), "SSE")
    return f"{facts.get('model name', 'processor')} ({widest})"


def models() -> list[Path]:
    return sorted(path for path in MODELS.glob("*/*.onnx") if cases_of(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlc", type=Path, default=ROOT / "target/release/mlc", help="the command (default: %(default)s)")
    runtime = ROOT / "target/small/libmlc_runtime.so"
    parser.add_argument("--runtime", type=Path, default=runtime, help="the runtime as a library (default: %(default)s)")
    parser.add_argument("--cpu", default="host", help="what mlc builds for, as --cpu of mlc build (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of both (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns a case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="models whose path has this in it")
    args = parser.parse_args()
    for path in (args.mlc, args.runtime):
        if not path.is_file():
            print(f"error: {path} is missing; see --help for what builds it", file=sys.stderr)
            return 1
    chosen = [path for path in models() if any(text in str(path.relative_to(MODELS)) for text in args.only)]
    if not chosen:
        print("error: no such model with cases below .models; run tests/setup.sh", file=sys.stderr)
        return 1
    rows, builds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for model in chosen:
            print(f"{model.relative_to(MODELS)} ...", file=sys.stderr, flush=True)
            artifact = build(args.mlc, model, Path(folder) / model.parent.name / model.stem, args.cpu)
            measured = measure(args, model, artifact)
            rows += measured
            weights, arena = artifact.weight_bytes, measured[-1].bench["arena_bytes"]
            needs = footprint(args.runtime, artifact, cases_of(model)[-1])
            over = needs["peak_bytes"] - weights - arena - needs["input_bytes"] - needs["output_bytes"]
            builds.append([
                str(model.relative_to(MODELS)),
                f"{artifact.seconds:.2f} s",
                megabytes(artifact.peak_bytes),
                megabytes(weights),
                f"{artifact.code_bytes / 1e3:.1f} KB",
                f"{needs['load_ms']:.2f} ms",
                megabytes(needs["loaded_bytes"]),
                f"{needs['first_ms']:.2f} ms",
                megabytes(needs["peak_bytes"]),
                megabytes(over),
            ])
    print(f"{processor()}; mlc for {args.cpu}; onnxruntime {onnxruntime.__version__}; {args.threads} thread(s)")
    print(f"{args.rounds} rounds of {args.seconds} s in turns\n")
    table = [
        [row.name, f"{statistics.median(row.ours):.3f}", f"{statistics.median(row.theirs):.3f}", f"{row.ratio:.2f}"]
        for row in rows
    ]
    print_table(["case", "mlc ms", "onnxruntime ms", "mlc / onnxruntime"], table)
    print(f"geometric mean of the ratios: {math.exp(statistics.mean(math.log(row.ratio) for row in rows)):.2f}\n")
    print_table(["model", "build", "build peak", "weights", "code", "load", "adds", "first", "peak", "over"], builds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
