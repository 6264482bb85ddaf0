"""Compute what onnxruntime answers on the reference cases of every test model.

usage: reference.py [DEST] [--only FOLDER [FOLDER ...]]

For each row of cases.py this writes, in the format of ONNX test data (TensorProto
files whose names are the graph's, in the graph's order), below DEST (by default
.models at the root of the repository):

    FOLDER/cases/CASE/input_N.pb, output_N.pb          of FOLDER/model.onnx
    FOLDER/cases-STEM/CASE/input_N.pb, output_N.pb     of any other FOLDER/STEM.onnx

onnxruntime runs on one thread without graph optimizations.  A model is left alone
while the scripts, the model and onnxruntime are those of the last run.

needs: numpy onnx onnxruntime pillow tokenizers; the models and data of fetch.py
"""

import argparse
import hashlib
import shutil
import sys
from functools import lru_cache
from pathlib import Path

import onnxruntime
from onnx import numpy_helper

from cases import CASES, Arrays, Case

SCRIPTS = Path(__file__).resolve().parent
DEFAULT_DEST = SCRIPTS.parents[1] / ".models"
STAMP = "stamp"


@lru_cache(maxsize=1)
def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def run_model(path: Path, inputs: Arrays) -> Arrays:
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def cases_folder(dest: Path, model: str) -> Path:
    path = dest / model
    is_main = path.stem == "model"
    return path.with_name("cases" if is_main else f"cases-{path.stem}")


def write_tensors(folder: Path, prefix: str, names: list[str], arrays: Arrays) -> None:
    for index, name in enumerate(names):
        tensor = numpy_helper.from_array(arrays[name], name)
        (folder / f"{prefix}_{index}.pb").write_bytes(tensor.SerializeToString())


def write_case(case: Case, dest: Path, folder: Path) -> None:
    model = dest / case.model
    inputs = case.inputs(dest, lambda name, values: run_model(dest / name, values))
    outputs = run_model(model, inputs)
    order = [entry.name for entry in open_session(model).get_inputs()]
    if set(order) != set(inputs):
        raise ValueError(f"{case.model} has the inputs {order}, the case others")
    folder.mkdir(parents=True)
    write_tensors(folder, "input", order, inputs)
    write_tensors(folder, "output", list(outputs), outputs)


def recipe_of(model: Path) -> str:
    """Return a hash of all that a model's cases are made from, but for the data."""
    digest = hashlib.sha256(onnxruntime.__version__.encode())
    for path in (SCRIPTS / "reference.py", SCRIPTS / "cases.py", model):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def make_cases(model: str, dest: Path) -> str:
    """Bring a model's cases up to date and say what was done."""
    cases = [case for case in CASES if case.model == model]
    folder, recipe = cases_folder(dest, model), recipe_of(dest / model)
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text() == recipe:
        if all((folder / case.name).is_dir() for case in cases):
            return f"up to date ({len(cases)} cases)"
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for case in cases:
        write_case(case, dest, partial / case.name)
    (partial / STAMP).write_text(recipe)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return f"wrote {len(cases)} cases"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "dest", type=Path, metavar="DEST", nargs="?", default=DEFAULT_DEST
    )
    folders = list(dict.fromkeys(case.model.split("/")[0] for case in CASES))
    parser.add_argument(
        "--only", nargs="+", choices=folders, default=folders, metavar="FOLDER"
    )
    args = parser.parse_args()
    dest = args.dest.resolve()
    for model in dict.fromkeys(case.model for case in CASES):
        if model.split("/")[0] not in args.only:
            continue
        if not (dest / model).is_file():
            print(f"error: {dest / model} is missing; run fetch.py", file=sys.stderr)
            return 1
        print(f"{model}: {make_cases(model, dest)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
