"""How busy other processes kept the processors while something was measured.

A neighbour on the second processor makes two threads look like one, for everybody; ratios do not cancel that.  What a
virtual machine's host does is seen only as far as it reports stolen time: a row without a mark may still be disturbed, and
its rounds (--json) then differ.
"""

import os
import time
from collections.abc import Sequence

# In processors; less is what any system does.
NOTICED = 0.1
CROWDED, SHARED = " *", " ~"


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


def mark(others: float, threads: int) -> str:
    """What is put behind the name of a row that was disturbed."""
    if others <= NOTICED:
        return ""
    return CROWDED if threads + others > len(os.sched_getaffinity(0)) + NOTICED else SHARED


def report(rows: Sequence[tuple[float, int]]) -> list[str]:
    """What the marks of rows mean, if there are any; a row is what others used, and the threads it ran on."""
    marks = [mark(*row) for row in rows]
    meanings = {
        CROWDED: "others left fewer processors than threads: no measurement, and left out of the means",
        SHARED: "others used another processor, and so caches, memory and clock were shared",
    }
    found = [(sign.strip(), marks.count(sign), meaning) for sign, meaning in meanings.items() if sign in marks]
    return [f"{sign} {count} of {len(rows)} rows: {meaning}" for sign, count, meaning in found]
