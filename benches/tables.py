"""Tables as text, and the statistics they are made of."""

import math
import statistics
from collections.abc import Iterable, Sequence

MISSING = "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown that also lines up as text; the first column is for names."""
    rows = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in [list(heads), *rows]) for i in range(len(heads))]
    lines = []
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def neighbours(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of what was measured in the same round, so that a drift of the machine cancels out."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def mean(ratios: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.mean(math.log(ratio) for ratio in ratios))


def milliseconds(value: float) -> str:
    return f"{value:.3f}"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"
