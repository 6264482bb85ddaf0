"""Matrix products: rates, what of the processor's limit they are, and what cold weights cost.

columns, for each number of threads
    mlc, onnxruntime, openvino    GF/s of one f32 product with constant weights that is run again and again
    limit                         GF/s of the best block of microkernel.c, times the threads
    mlc / limit                   the median over the rounds
    cold / hot                    mlc's time of a chain of products by more weights than the caches hold, divided by that
                                  of an equally long chain of products by the same weights; 1 is best
"""

import math
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy
import onnx
import others
import tables
import workloads
from onnx import helper, numpy_helper
from ours import Artifact, Compiler
from peers import PEERS, median

SIZES = (512, 1024)
# More than what caches hold; the chains are as long as it takes.
COLD_BYTES = 128 << 20
SOURCE = Path(__file__).with_name("microkernel.c")


@dataclass
class Row:
    """A size on a number of threads: GF/s by round, and times of the chains in milliseconds."""

    size: int
    threads: int
    ours: list[float] = field(default_factory=list)
    theirs: dict[str, list[float]] = field(default_factory=lambda: {peer.name: [] for peer in PEERS})
    # Empty where there is no microkernel.
    limit: list[float] = field(default_factory=list)
    hot: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    # Processors that other processes used meanwhile.
    others: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.size} x {self.size} x {self.size}"

    @property
    def fraction(self) -> float | None:
        return tables.neighbours(self.ours, self.limit) if self.limit else None

    @property
    def coldness(self) -> float:
        return tables.neighbours(self.cold, self.hot)

    def json(self) -> dict:
        return asdict(self) | {"fraction": self.fraction, "cold_over_hot": self.coldness}


def product(path: Path, size: int, weights: int, length: int) -> Path:
    """Write a model of a chain of products of f32[size, size] by so many weights in turn."""
    random = numpy.random.default_rng(0)
    # Products by such weights neither grow nor shrink.
    scale = numpy.float32(1 / math.sqrt(size))
    constants = [
        numpy_helper.from_array(random.standard_normal((size, size), numpy.float32) * scale, f"w{i}")
        for i in range(weights)
    ]
    names = ["x", *(f"y{i}" for i in range(1, length)), "y"]
    steps = enumerate(zip(names, names[1:]))
    nodes = [helper.make_node("MatMul", [given, f"w{i % weights}"], [made]) for i, (given, made) in steps]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [size, size]) for name in "xy"]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


class Limit:
    """The best rate of a block of a product, with the vectors that an artifact uses; none where it is not known."""

    def __init__(self, folder: Path, features: list[str]) -> None:
        wanted = {"avx512": "avx512f", "avx2": "avx2"}
        self.vectors = next((name for name, feature in wanted.items() if feature in features), None)
        self.program = folder / "microkernel"
        if self.vectors:
            command = ["cc", "-std=c11", "-O2", "-ffp-contract=fast", str(SOURCE), "-o", str(self.program)]
            subprocess.run(command, check=True)

    def measure(self, seconds: float) -> float | None:
        """GF/s on one thread."""
        if not self.vectors:
            return None
        command = [self.program, self.vectors, str(seconds)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return max(float(line.split()[1]) for line in answer.splitlines())


def measure(compiler: Compiler, folder: Path, threads: list[int], rounds: int, seconds: float) -> list[Row]:
    """Measure all sizes in turns; what is made goes into a folder."""
    rows, limit = [], None
    for size in SIZES:
        length = COLD_BYTES // (4 * size * size)
        sizes = {"once": (1, 1), "hot": (1, length), "cold": (length, length)}
        models = {name: product(folder / f"{name}-{size}.onnx", size, *counts) for name, counts in sizes.items()}
        built = {name: compiler.build(model, folder / f"{name}-{size}") for name, model in models.items()}
        x = numpy.random.default_rng(1).standard_normal((size, size), numpy.float32)
        case = workloads.save(folder / f"case-{size}", {"x": x})
        limit = limit or Limit(folder, built["once"].features)
        for count in threads:
            row = Row(size, count)
            runs = {peer.name: peer.open(models["once"], count)({"x": x}) for peer in PEERS}
            watch = others.Watch()
            for _ in range(rounds):
                measure_round(row, compiler, built, case, runs, limit, seconds)
            row.others = watch.processors()
            rows.append(row)
    return rows


def measure_round(
    row: Row, compiler: Compiler, built: dict[str, Artifact], case: Path, runs: dict, limit: Limit, seconds: float
) -> None:
    def time(name: str) -> float:
        return compiler.bench(built[name], case, row.threads, seconds)["p50_ms"]

    best = limit.measure(seconds)
    row.limit += [best * row.threads] if best else []
    row.ours.append(rate(row.size, time("once")))
    row.hot.append(time("hot"))
    row.cold.append(time("cold"))
    for peer, run in runs.items():
        row.theirs[peer].append(rate(row.size, median(run, seconds)))


def rate(size: int, milliseconds: float) -> float:
    """GF/s of a product."""
    return 2 * size**3 / milliseconds / 1e6


def report(rows: list[Row]) -> str:
    heads = ["product", "threads", "mlc GF/s", *(f"{peer.name} GF/s" for peer in PEERS)]
    heads += ["limit GF/s", "mlc / limit", "cold / hot"]
    body = [
        [
            row.name + others.mark(row.others, row.threads),
            str(row.threads),
            middle(row.ours),
            *(middle(row.theirs[peer.name]) for peer in PEERS),
            middle(row.limit),
            tables.MISSING if row.fraction is None else f"{row.fraction:.2f}",
            f"{row.coldness:.2f}",
        ]
        for row in rows
    ]
    notes = others.report([(row.others, row.threads) for row in rows])
    return "\n".join([tables.table(heads, body), *notes]) + "\n"


def middle(rates: list[float]) -> str:
    return f"{statistics.median(rates):.1f}" if rates else tables.MISSING
