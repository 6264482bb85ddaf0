"""What is measured: the cases of tests/models, and longer ones of SmolLM2 that only benchmarks need.

A case is a folder with input_0.pb, input_1.pb, ..., as ONNX keeps test data.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / ".models"
DECODER = "smollm2-135m/model.onnx"
# Tokens that were seen, new tokens: a prompt is read, and one token is made after it.
DECODER_SIZES = {"prefill-128": (0, 128), "decode-at-128": (128, 1)}


@dataclass(frozen=True)
class Workload:
    """A model and its cases."""

    path: Path
    cases: list[Path]

    @property
    def name(self) -> str:
        return self.path.parent.name if self.path.stem == "model" else f"{self.path.parent.name}/{self.path.stem}"


def input_files(case: Path) -> list[Path]:
    """The files of a case's inputs, in the model's order."""
    return sorted(case.glob("input_*.pb"), key=lambda path: int(path.stem.removeprefix("input_")))


def tensors(case: Path) -> list[onnx.TensorProto]:
    """A case's inputs, in the model's order."""
    return [onnx.TensorProto.FromString(path.read_bytes()) for path in input_files(case)]


def arrays(case: Path) -> dict[str, numpy.ndarray]:
    """A case's inputs by name.  They may be written to, as OpenVINO wants it."""
    return {tensor.name: numpy.array(numpy_helper.to_array(tensor)) for tensor in tensors(case)}


def save(folder: Path, inputs: dict[str, numpy.ndarray]) -> Path:
    """Write a case of inputs in the model's order; returns its folder."""
    folder.mkdir(parents=True)
    for place, (name, array) in enumerate(inputs.items()):
        (folder / f"input_{place}.pb").write_bytes(numpy_helper.from_array(array, name).SerializeToString())
    return folder


def decoder_cases(folder: Path) -> list[Path]:
    """Write the longer cases of SmolLM2 below a folder, made as its cases for tests are."""
    sys.path.append(str(ROOT / "tests/models"))
    import cases
    import reference

    for name, (past, seq) in DECODER_SIZES.items():
        inputs = partial(cases.smollm2, batch=1, past=past, seq=seq)
        reference.write_case(cases.Case(DECODER, name, inputs), MODELS, folder / name)
    reference.open_session.cache_clear()
    return [folder / name for name in DECODER_SIZES]


def workloads(only: list[str], folder: Path) -> list[Workload]:
    """All models that have cases and whose path contains one of some texts; what has to be made goes into a folder."""
    found = []
    for path in sorted(MODELS.glob("*/*.onnx")):
        place = str(path.relative_to(MODELS))
        kept = path.with_name("cases" if path.stem == "model" else f"cases-{path.stem}")
        if not kept.is_dir() or not any(text in place for text in only):
            continue
        cases = sorted(case for case in kept.iterdir() if case.is_dir())
        if place == DECODER:
            cases += decoder_cases(folder)
        found.append(Workload(path, cases))
    return found
