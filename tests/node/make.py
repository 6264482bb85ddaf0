"""Write the ONNX backend tests as folders that a runner can read.

usage: make.py [DEST]

DEST (by default .node-tests at the root of the repository) then has

    DEST/SUITE/TEST/model.onnx
    DEST/SUITE/TEST/tolerance.json             {"rtol": R, "atol": A}
    DEST/SUITE/TEST/test_data_set_N/input_M.pb, output_M.pb

for the suites node, simple, pytorch-converted, pytorch-operator and light.  A .pb
file holds a TensorProto, SequenceProto or OptionalProto, whichever the type of the
graph's input or output says.  The node tests are generated, the others come with the
onnx package.  A second run with the same script and package does nothing.

needs: numpy ml_dtypes onnx pillow, as pinned in tests/requirements.txt
"""

import argparse
import hashlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, ValueInfoProto, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

ONNX_VERSION = "1.23.2"
EXPECTED = {
    "node": 1884,
    "simple": 23,
    "pytorch-converted": 82,
    "pytorch-operator": 35,
    "light": 9,
}
DEFAULT_DEST = Path(__file__).resolve().parents[2] / ".node-tests"
PACKAGE = Path(onnx.__file__).parent
STAMP = "stamp"


def serialized(value, info: ValueInfoProto) -> bytes:
    """Return a value as the message that the type of `info` asks for, with its name."""
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name).SerializeToString()
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name).SerializeToString()
    if kind != "tensor_type":
        raise ValueError(f"{info.name} has a {kind}, which no test had so far")
    if isinstance(value, TensorProto):
        named = TensorProto()
        named.CopyFrom(value)
        named.name = info.name
        return named.SerializeToString()
    return numpy_helper.from_array(np.asarray(value), info.name).SerializeToString()


def write_values(folder: Path, prefix: str, values, infos) -> None:
    for index, (value, info) in enumerate(zip(values, infos)):
        (folder / f"{prefix}_{index}.pb").write_bytes(serialized(value, info))


def write_node_test(case, folder: Path) -> None:
    """Write a test whose model and data the onnx package computes."""
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data_set = folder / f"test_data_set_{number}"
        data_set.mkdir()
        if len(inputs) > len(case.model.graph.input):
            raise ValueError(f"{case.name} has more inputs than its model")
        write_values(data_set, "input", inputs, case.model.graph.input)
        write_values(data_set, "output", outputs, case.model.graph.output)


def write_light_test(case, folder: Path) -> None:
    """Write a test of a large network whose weights are ConstantOfShape nodes."""
    path = PACKAGE.parent / case.url
    shutil.copy(path, folder / "model.onnx")
    data_set = folder / "test_data_set_0"
    data_set.mkdir()
    graph = onnx.load(path).graph
    initializers = {tensor.name for tensor in graph.initializer}
    infos = [info for info in graph.input if info.name not in initializers]
    inputs = [Runner.generate_dummy_data(info) for info in infos]
    write_values(data_set, "input", inputs, infos)
    for index, info in enumerate(graph.output):
        output = TensorProto()
        stored = path.with_name(f"{path.stem}_output_{index}.pb")
        output.ParseFromString(stored.read_bytes())
        write_values(data_set, "output", [output], [info])
        (data_set / "output_0.pb").replace(data_set / f"output_{index}.pb")


def copy_stored_test(case, folder: Path) -> None:
    """Copy a test that the onnx package has as files."""
    source = Path(case.model_dir)
    shutil.copy(source / "model.onnx", folder)
    for data_set in sorted(source.glob("test_data_set_*")):
        shutil.copytree(data_set, folder / data_set.name)


def write_test(suite: str, case, folder: Path) -> None:
    folder.mkdir()
    if suite == "node":
        write_node_test(case, folder)
    elif suite == "light":
        write_light_test(case, folder)
    else:
        copy_stored_test(case, folder)
    tolerance = {"rtol": case.rtol, "atol": case.atol}
    (folder / "tolerance.json").write_text(json.dumps(tolerance) + "\n")


def write_suite(suite: str, dest: Path) -> None:
    """Write all tests of a suite; the folder appears once it is complete."""
    cases = load_model_tests(kind="real" if suite == "light" else suite)
    if len(cases) != EXPECTED[suite]:
        raise ValueError(f"onnx has {len(cases)} {suite} tests, not {EXPECTED[suite]}")
    partial = dest / f"{suite}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for case in cases:
        write_test(suite, case, partial / case.name)
    shutil.rmtree(dest / suite, ignore_errors=True)
    partial.replace(dest / suite)


def is_complete(dest: Path, recipe: str) -> bool:
    stamp = dest / STAMP
    if not stamp.is_file() or stamp.read_text() != recipe:
        return False
    return all(
        (dest / suite).is_dir() and len(list((dest / suite).iterdir())) == count
        for suite, count in EXPECTED.items()
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "dest", type=Path, metavar="DEST", nargs="?", default=DEFAULT_DEST
    )
    dest = parser.parse_args().dest.resolve()
    if onnx.__version__ != ONNX_VERSION:
        message = f"onnx {onnx.__version__} is installed, {ONNX_VERSION} is needed"
        print(f"error: {message}", file=sys.stderr)
        return 1
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    recipe = f"onnx {ONNX_VERSION}, make.py {script}\n"
    if is_complete(dest, recipe):
        print(f"node tests: up to date ({sum(EXPECTED.values())} tests)")
        return 0
    warnings.simplefilter("ignore")
    (dest / STAMP).unlink(missing_ok=True)
    for suite, count in EXPECTED.items():
        write_suite(suite, dest)
        print(f"{suite}: {count} tests", flush=True)
    (dest / STAMP).write_text(recipe)
    return 0


if __name__ == "__main__":
    sys.exit(main())
