"""How long models take: mlc and its peers in turns, on given numbers of threads.

columns, for each number of threads
    mlc, onnxruntime, openvino    the median over the rounds of each one's median time of a run, in milliseconds
    mlc / faster                  the median over the rounds of mlc's time divided by that of the peer that is the faster
                                  one of the case; below 1 mlc is faster
    1 / N threads                 mlc on one thread divided by mlc on N, the median over the rounds
"""

import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

import others
import tables
from ours import Artifact, Compiler
from peers import PEERS, Unsupported, median
from workloads import Workload, arrays

# Cases that take longer than this on one thread should be nearly as many times faster as there are threads.
LONG_MS = 20.0
# Of the threads; 1.8 times on two.
WANTED_SCALING = 0.9
CANNOT = "cannot run"


@dataclass
class Row:
    """A case on a number of threads: milliseconds by round."""

    model: str
    case: str
    threads: int
    ours: list[float] = field(default_factory=list)
    # On one thread, in the same rounds; empty if that is what `ours` is.
    single: list[float] = field(default_factory=list)
    theirs: dict[str, list[float]] = field(default_factory=dict)
    # Why a peer cannot run it.
    refused: dict[str, str] = field(default_factory=dict)
    # Processors that other processes used meanwhile.
    others: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.model} {self.case}"

    def against(self, peer: str) -> float:
        return tables.neighbours(self.ours, self.theirs[peer])

    @property
    def ratio(self) -> float:
        """Against the peer that is faster."""
        return self.against(min(self.theirs, key=lambda peer: statistics.median(self.theirs[peer])))

    @property
    def scaling(self) -> float:
        return tables.neighbours(self.single, self.ours)

    def json(self) -> dict:
        derived = {"ratio": self.ratio} | ({"scaling": self.scaling} if self.single else {})
        return asdict(self) | derived


def measure(
    compiler: Compiler, workload: Workload, artifact: Artifact, threads: int, rounds: int, seconds: float
) -> list[Row]:
    """Run all cases of a model in turns.  A peer is opened once, for OpenVINO once a case, and closed at the end."""
    opened = {peer.name: peer.open(workload.path, threads) for peer in PEERS}
    rows = [Row(workload.name, case.name, threads) for case in workload.cases]
    for row, case in zip(rows, workload.cases, strict=True):
        measure_case(row, compiler, artifact, case, opened, rounds, seconds)
    return rows


def measure_case(
    row: Row, compiler: Compiler, artifact: Artifact, case: Path, opened: dict, rounds: int, seconds: float
) -> None:
    inputs, runs, threads = arrays(case), {}, row.threads
    for peer, bind in opened.items():
        try:
            runs[peer] = bind(inputs)
            row.theirs[peer] = []
        except Unsupported as error:
            row.refused[peer] = str(error)
    watch = others.Watch()
    for _ in range(rounds):
        row.ours.append(compiler.bench(artifact, case, threads, seconds)["p50_ms"])
        if threads > 1:
            row.single.append(compiler.bench(artifact, case, 1, seconds)["p50_ms"])
        for peer, run in runs.items():
            row.theirs[peer].append(median(run, seconds))
    row.others = watch.processors()


def report(rows: list[Row], threads: int) -> str:
    """The table of the rows of a number of threads, and what follows from it."""
    rows = [row for row in rows if row.threads == threads]
    scales = threads > 1
    heads = ["case", "mlc ms", *(f"{peer.name} ms" for peer in PEERS), "mlc / faster"]
    heads += [f"1 / {threads} threads"] if scales else []
    body = []
    for row in rows:
        theirs = [row.theirs.get(peer.name) for peer in PEERS]
        name = row.name + others.mark(row.others, threads)
        cells = [name, middle(row.ours), *(middle(times) if times else CANNOT for times in theirs)]
        cells.append(f"{row.ratio:.2f}")
        body.append(cells + ([f"{row.scaling:.2f}"] if scales else []))
    sound = [row for row in rows if others.mark(row.others, threads) != others.CROWDED]
    lines = [tables.table(heads, body), f"means over {len(sound)} of {len(rows)} cases"]
    lines += ratios(sound) if sound else []
    lines += scaling(sound, threads) if scales and sound else []
    lines += sorted({f"{row.model}: {peer} cannot run it: {why}" for row in rows for peer, why in row.refused.items()})
    lines += others.report([(row.others, row.threads) for row in rows])
    return "\n".join(lines) + "\n"


def middle(times: list[float]) -> str:
    return tables.milliseconds(statistics.median(times))


def ratios(rows: list[Row]) -> list[str]:
    worst = max(rows, key=lambda row: row.ratio)
    mean = tables.mean([row.ratio for row in rows])
    lines = [f"mlc / faster: geometric mean {mean:.2f}, worst {worst.ratio:.2f} ({worst.name})"]
    for peer in PEERS:
        found = [row for row in rows if peer.name in row.theirs]
        if found:
            worst = max(found, key=lambda row: row.against(peer.name))
            mean, most = tables.mean([row.against(peer.name) for row in found]), worst.against(peer.name)
            lines.append(f"mlc / {peer.name}: geometric mean {mean:.2f}, worst {most:.2f} ({worst.name})")
    return lines


def scaling(rows: list[Row], threads: int) -> list[str]:
    rows = [row for row in rows if statistics.median(row.single) > LONG_MS]
    if not rows:
        return [f"no case takes more than {LONG_MS:.0f} ms on one thread"]
    least, wanted = min(rows, key=lambda row: row.scaling), WANTED_SCALING * threads
    enough = sum(row.scaling >= wanted for row in rows)
    mean = tables.mean([row.scaling for row in rows])
    return [
        f"1 / {threads} threads, cases above {LONG_MS:.0f} ms on one: geometric mean {mean:.2f}, "
        f"least {least.scaling:.2f} ({least.name}); {enough} of {len(rows)} reach {wanted:.1f}"
    ]
