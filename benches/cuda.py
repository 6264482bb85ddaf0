#!/usr/bin/env python3
"""Checks and measures models on an NVIDIA GPU; needs a driver and Python, and onnxruntime-gpu only to compare with it.

For every folder with a `model.onnx` below --models: builds it for the GPU, compares it with the reference results in its
`cases*` folders, measures it on the inputs of the first case, and says what part of the card's roofline that is: the time
that its arithmetic on floats, or its memory, would take at the card's rates, divided by the time it took. Exits with 1 if a
model differs or fails.

columns
    outputs     how many agree with the reference, over all cases
    first       time of the first run, with the driver's compilation, in ms
    ms          median time of a run, copies of inputs and outputs included
    kernels     time of the kernels, each waited for
    GF/s, GB/s  arithmetic and memory of a run by that time
    roofline    see above
    host        kernels that the processor runs, of all
    ort         the same run by onnxruntime with CUDA, if it is installed
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# f32 TFLOP/s without tensor cores, and TB/s, as the makers say.
CARDS = {
    "H200": (67.0, 4.8),
    "H100 PCIe": (51.0, 2.0),
    "H100": (67.0, 3.35),
    "A100": (19.5, 1.55),
    "A10": (31.2, 0.6),
    "L40": (90.5, 0.86),
    "L4": (30.3, 0.3),
    "T4": (8.1, 0.3),
}


def card() -> tuple[str, tuple[float, float] | None]:
    """The card's name, and its rates if they are known."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,memory.total", "--format=csv,noheader"]
    try:
        text = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown card", None
    return text, next((rates for name, rates in CARDS.items() if name in text), None)


def run(command: list) -> tuple[int, str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout if done.returncode in (0, 1) and done.stdout else done.stdout + done.stderr


class Model:
    """A model, its cases, and what was found."""

    def __init__(self, folder: Path, out: Path, args: argparse.Namespace):
        self.name, self.folder, self.args = folder.name, folder, args
        self.file = folder / "model.onnx"
        self.out = out / folder.name
        self.cases = sorted({path.parent for path in folder.glob("cases*/*/input_0.pb")})
        self.row: dict[str, object] = {"model": self.name}
        self.notes: list[str] = []

    def build(self) -> bool:
        command = [self.args.mlc, "build", self.file, "--target", "nvptx64", "--cpu", self.args.cpu, "--name", "model"]
        code, text = run([*command, "-o", self.out, "--explain", "--json"])
        if code != 0:
            self.notes.append(f"{self.name}: {text.strip()}")
            return False
        built = json.loads(text)
        self.row["host"] = f"{len(built['narrow'])}/{built['kernels']}"
        self.notes += [f"{self.name}: on the processor: {line}" for line in built["narrow"]]
        self.manifest = json.loads((self.out / "model.json").read_text())
        return True

    def verify(self) -> bool:
        if not self.cases:
            return True
        command = [self.args.mlc, "verify", self.out / "model.so", *self.cases, "--scale", self.args.scale, "--json"]
        code, text = run(command)
        try:
            outputs = json.loads(text)["outputs"]
        except (ValueError, KeyError):
            self.row["outputs"] = "failed"
            self.notes.append(f"{self.name}: {text.strip()}")
            return False
        good = sum(row["passed"] for row in outputs)
        self.row["outputs"] = f"{good}/{len(outputs)}"
        self.notes += [f"{self.name}: {row['case']}, {row['output']}: {row['message']}" for row in outputs if not row["passed"]]
        return code == 0

    def inputs(self) -> list[str]:
        """The first case's inputs, or sizes where there is none."""
        names = [row["name"] for row in self.manifest["inputs"]]
        if not self.cases:
            return [f"--dim={row['name']}=1" for row in self.manifest["symbols"]]
        return [f"--input={name}={self.cases[0] / f'input_{place}.pb'}" for place, name in enumerate(names)]

    def bench(self, rates: tuple[float, float] | None) -> bool:
        command = [self.args.mlc, "bench", self.out / "model.so", *self.inputs(), "--threads", 1, "--json"]
        code, text = run([*command, "--duration", self.args.duration])
        if code != 0:
            self.notes.append(f"{self.name}: {text.strip()}")
            return False
        times = json.loads(text)
        self.row |= {"first": f"{times['first_ms']:.0f}", "ms": f"{times['p50_ms']:.3f}"}
        code, text = run([*command, "--duration", self.args.duration, "--profile"])
        if code == 0:
            self.profile(json.loads(text)["kernels"], rates)
        return code == 0

    def profile(self, kernels: list[dict], rates: tuple[float, float] | None) -> None:
        calls = [(row["total_ms"] / max(row["calls"], 1) * 1e-3, row) for row in kernels]
        runs = min((row["calls"] for row in kernels), default=1)
        total = sum(row["total_ms"] for row in kernels) / max(runs, 1) * 1e-3
        flops = sum(row["operations"] * row["calls"] / runs for row in kernels)
        moved = sum(row["bytes"] * row["calls"] / runs for row in kernels)
        self.row |= {"kernels": f"{total * 1e3:.3f}", "GF/s": f"{flops / total * 1e-9:.0f}", "GB/s": f"{moved / total * 1e-9:.0f}"}
        least = lambda row: max(row["operations"] / (rates[0] * 1e12), row["bytes"] / (rates[1] * 1e12))
        if rates:
            self.row["roofline"] = f"{sum(least(row) * row['calls'] / runs for row in kernels) / total:.1%}"
        for seconds, row in sorted(calls, key=lambda it: -it[0])[: self.args.top]:
            part = f"{least(row) / seconds:6.1%}" if rates else ""
            rate = f"{row['operations'] / seconds * 1e-9:9.0f} GF/s {row['bytes'] / seconds * 1e-9:7.0f} GB/s"
            self.notes.append(f"{self.name}: {seconds * 1e6:8.1f} us {rate} {part} {row['kernel'][:40]} {' '.join(row['schedule'])}")

    def peer(self) -> None:
        """onnxruntime with CUDA on the same inputs."""
        if not self.cases:
            return
        try:
            import onnx
            import onnxruntime
            from onnx import numpy_helper
        except ImportError:
            return
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            return
        session = onnxruntime.InferenceSession(str(self.file), providers=["CUDAExecutionProvider"])
        read = lambda path: numpy_helper.to_array(onnx.load_tensor(str(path)))
        feed = {row.name: read(self.cases[0] / f"input_{place}.pb") for place, row in enumerate(session.get_inputs())}
        times = []
        until = time.perf_counter() + self.args.duration
        while len(times) < 5 or time.perf_counter() < until:
            begun = time.perf_counter()
            session.run(None, feed)
            times.append(time.perf_counter() - begun)
        self.row["ort"] = f"{sorted(times)[len(times) // 2] * 1e3:.3f}"


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlc", type=Path, default=root / "target/release/mlc", help="the command")
    parser.add_argument("--models", type=Path, default=root / ".models", help="a folder of models")
    parser.add_argument("--cpu", default="sm_80", help="the GPU to build for")
    parser.add_argument("--only", default="", help="names of models, with commas")
    parser.add_argument("--scale", type=float, default=1e-4, help="error that is accepted, of an output's largest value")
    parser.add_argument("--duration", type=float, default=1.0, help="seconds of each measurement")
    parser.add_argument("--top", type=int, default=5, help="kernels to show of each model")
    parser.add_argument("--check", action="store_true", help="measure nothing")
    args = parser.parse_args()
    name, rates = card()
    print(f"{name}; rates {rates or 'unknown'} (TFLOP/s, TB/s)", flush=True)
    columns = ["model", "outputs", "first", "ms", "kernels", "GF/s", "GB/s", "roofline", "host", "ort"]
    widths = [24, 8, 8, 9, 9, 8, 7, 9, 8, 9]
    line = lambda cells: "".join(str(cell).ljust(width) for cell, width in zip(cells, widths)).rstrip()
    print(line(columns), flush=True)
    good, notes = True, []
    with tempfile.TemporaryDirectory() as out:
        for folder in sorted(path.parent for path in args.models.glob("*/model.onnx")):
            if args.only and folder.name not in args.only.split(","):
                continue
            model = Model(folder, Path(out), args)
            try:
                fine = model.build() and model.verify()
                if not args.check and "outputs" not in model.row or model.row.get("outputs") != "failed":
                    fine = (args.check or model.bench(rates)) and fine
                if not args.check:
                    model.peer()
            except subprocess.TimeoutExpired as error:
                fine = False
                model.notes.append(f"{model.name}: no end after {error.timeout} s")
            good = good and fine
            notes += model.notes
            print(line([model.row.get(column, "") for column in columns]), flush=True)
    print("\n".join(notes))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
