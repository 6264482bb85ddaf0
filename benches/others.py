"""How busy other processes kept the processors while something was measured.

A neighbour on the second processor makes two threads look like one, for everybody; ratios do not cancel that.
"""

import os
import time
from collections.abc import Sequence

# From here on, in processors, what was measured is to be measured again.
DISTURBED = 0.1


class Watch:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self.began, self.busy = time.perf_counter(), busy_of_others()

    def processors(self) -> float:
        """How many processors others used, on average; what the host of a virtual machine took counts, too."""
        return max(0.0, (busy_of_others() - self.busy) / (time.perf_counter() - self.began))


def busy_of_others() -> float:
    """Seconds that all processors spent on anything but this process and its finished children."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    own = os.times()
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - (own.user + own.system + own.children_user + own.children_system)


def report(names: Sequence[str], others: Sequence[float]) -> list[str]:
    """A line about the rows that were disturbed; none if there are none."""
    disturbed = [(used, name) for used, name in zip(others, names, strict=True) if used > DISTURBED]
    if not disturbed:
        return []
    used, name = max(disturbed)
    return [
        f"DISTURBED: others kept more than {DISTURBED} processors busy during {len(disturbed)} of {len(names)} rows, "
        f"most {used:.2f} ({name}); these are no measurements: " + ", ".join(name for _, name in disturbed)
    ]
