"""What a build takes, and what a fresh process does until it has its first answer.

columns of the first table
    build         seconds and peak resident memory of `mlc build`
    weights       the weights in the artifact
    code          machine code, without constants and weights
columns of the second table; one thread, medians over the rounds
    load          milliseconds from opening the artifact to being ready to run
    first         milliseconds of the first run after that
    onnxruntime   milliseconds of making a session and its first run, its import not counted
    sooner        how many times sooner mlc has its first answer, the median over the rounds
    adds          resident memory that opening the artifact adds (see footprint.py)
    peak          resident memory that the process gains at most, inputs and outputs included
    over          what of that is not weights, arena (which has the scratch), inputs and outputs; less than nothing where
                  not all weights are touched
    peak, theirs  resident memory that onnxruntime's process gains at most
"""

import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import others
import tables
from onnx import numpy_helper
from ours import Artifact, Compiler, answer_of
from workloads import Workload, tensors

HERE = Path(__file__).parent
WANTED_SOONER = 10.0


@dataclass
class Start:
    """A model on its first case: what fresh processes said, by round."""

    model: str
    artifact: Artifact
    arena_bytes: int
    input_bytes: int
    ours: list[dict] = field(default_factory=list)
    theirs: list[dict] = field(default_factory=list)
    # Processors that other processes used meanwhile.
    others: float = 0.0

    @property
    def sooner(self) -> float:
        return tables.neighbours([until_first(one) for one in self.theirs], [until_first(one) for one in self.ours])

    @property
    def over_bytes(self) -> float:
        given = self.input_bytes + self.ours[0]["output_bytes"]
        return middle(self.ours, "peak_bytes") - self.artifact.weight_bytes - self.arena_bytes - given

    def json(self) -> dict:
        build = {name: value for name, value in vars(self.artifact).items() if name != "path"}
        derived = {"artifact": build, "sooner": self.sooner, "over_bytes": self.over_bytes}
        return vars(self) | derived


def until_first(one: dict) -> float:
    return one["load_ms"] + one["first_ms"]


def middle(answers: list[dict], name: str) -> float:
    return statistics.median(answer[name] for answer in answers)


def measure(compiler: Compiler, runtime: Path, workload: Workload, artifact: Artifact, rounds: int) -> Start:
    """Start both in turns, on a model's first case."""
    case = workload.cases[0]
    arena = compiler.bench(artifact, case, 1, 0)["arena_bytes"]
    with tempfile.TemporaryDirectory() as folder:
        wanted = []
        for number, tensor in enumerate(tensors(case)):
            raw = Path(folder) / f"{number}.raw"
            raw.write_bytes(numpy_helper.to_array(tensor).tobytes())
            one = {"name": tensor.name, "dtype": tensor.data_type, "shape": list(tensor.dims), "file": str(raw)}
            wanted.append(one)
        given = sum(Path(one["file"]).stat().st_size for one in wanted)
        start, text = Start(workload.name, artifact, arena, given), json.dumps(wanted)
        watch = others.Watch()
        for _ in range(rounds):
            ours = [sys.executable, "-IS", HERE / "footprint.py", runtime, artifact.path]
            start.ours.append(json.loads(answer_of(ours, "mlc in a fresh process", text)))
            theirs = [sys.executable, HERE / "firstrun.py", workload.path]
            start.theirs.append(json.loads(answer_of(theirs, "onnxruntime in a fresh process", text)))
        start.others = watch.processors()
    return start


def report(starts: list[Start]) -> str:
    heads = ["model", "build s", "build peak", "weights", "code KB"]
    builds = [
        [
            start.model,
            f"{start.artifact.seconds:.2f}",
            tables.megabytes(start.artifact.peak_bytes),
            tables.megabytes(start.artifact.weight_bytes),
            f"{start.artifact.code_bytes / 1e3:.1f}",
        ]
        for start in starts
    ]
    text = tables.table(heads, builds)
    heads = ["model", "load ms", "first ms", "onnxruntime ms", "sooner", "adds", "peak", "over", "peak, theirs"]
    body = [
        [
            start.model + others.mark(start.others, 1),
            f"{middle(start.ours, 'load_ms'):.2f}",
            f"{middle(start.ours, 'first_ms'):.2f}",
            f"{statistics.median(until_first(one) for one in start.theirs):.1f}",
            f"{start.sooner:.1f}",
            tables.megabytes(middle(start.ours, "loaded_bytes")),
            tables.megabytes(middle(start.ours, "peak_bytes")),
            tables.megabytes(start.over_bytes),
            tables.megabytes(middle(start.theirs, "peak_bytes")),
        ]
        for start in starts
    ]
    least = min(starts, key=lambda start: start.sooner)
    enough = sum(start.sooner >= WANTED_SOONER for start in starts)
    most = max(starts, key=lambda start: start.over_bytes)
    disturbed = others.report([(start.others, 1) for start in starts])
    return (
        f"{text}\n{tables.table(heads, body)}\n"
        f"sooner: geometric mean {tables.mean([start.sooner for start in starts]):.1f}, least {least.sooner:.1f} "
        f"({least.model}); {enough} of {len(starts)} reach {WANTED_SOONER:.0f}\n"
        f"over: most {tables.megabytes(most.over_bytes)} ({most.model})\n" + "".join(f"{line}\n" for line in disturbed)
    )
