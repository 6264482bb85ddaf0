"""mlc: builds models and runs them in fresh processes."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from workloads import input_files, tensors

# Runs its arguments and prints the seconds and the peak resident bytes they took.
MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024])
sys.exit(code)
"""


@dataclass(frozen=True)
class Artifact:
    """A built model and what building it took."""

    path: Path
    seconds: float
    peak_bytes: int
    code_bytes: int
    weight_bytes: int
    features: list[str]


@dataclass(frozen=True)
class Compiler:
    """The command, and the processor it builds for."""

    mlc: Path
    cpu: str

    def build(self, model: Path, folder: Path) -> Artifact:
        """Build a model into a folder, its dimensions left symbolic, and measure that."""
        parts = (self.mlc, "build", model, "-o", folder, "--name", "model", "--cpu", self.cpu)
        command = [sys.executable, "-ISc", MEASURE, *map(str, parts)]
        # A process counts the memory of the one it was forked from: so a small one comes in between.
        seconds, peak = json.loads(answer_of(command, f"mlc build {model}"))
        library = folder / "model.so"
        inspected = json.loads(answer_of([self.mlc, "inspect", library, "--json"], "mlc inspect"))
        manifest = json.loads((folder / "model.json").read_text())
        weights, features = manifest["weights"]["bytes"], manifest["features"]
        return Artifact(library, seconds, peak, inspected["code_bytes"], weights, features)

    def bench(self, artifact: Artifact, case: Path, threads: int, seconds: float) -> dict:
        """What `mlc bench` says of an artifact on a case."""
        command = [self.mlc, "bench", artifact.path, "--threads", str(threads), "--duration", str(seconds), "--json"]
        for tensor, path in zip(tensors(case), input_files(case), strict=True):
            command += ["-i", f"{tensor.name}={path}"]
        return json.loads(answer_of(command, f"mlc bench on {case}"))


def answer_of(command: list, what: str, given: str | None = None) -> str:
    """What a process prints; ends this one if it fails."""
    answer = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"error: {what}: {answer.stdout}{answer.stderr}")
    return answer.stdout
