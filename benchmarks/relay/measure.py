"""What processes cost, and what several rounds amount to."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, to the nanosecond where the kernel tells, else to the tick."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    try:
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except (FileNotFoundError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spread:
    """Several rounds of one figure."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def show(self, digits: int) -> str:
        """As a table shows it: the median, and from where to where."""
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}-{self.highest:.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours to theirs, round by round."""
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def machine() -> dict[str, str | int]:
    """What it was measured on."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": model[0] if model else os.uname().machine,
        "cores": os.cpu_count() or 1,
        "kernel": f"{os.uname().sysname} {os.uname().release}",
    }
