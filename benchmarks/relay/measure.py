"""CPU time of processes, and statistics over several rounds."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of all threads of a process so far; in nanosecond resolution if the kernel has it."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    try:
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except (FileNotFoundError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spread:
    """Median and range of one figure over several rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Make it from at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def show(self, digits: int) -> str:
        """Format as the median and the range."""
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f}-{self.highest:.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the spread of the ratios of the rounds."""
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


def machine() -> dict[str, str | int]:
    """Describe the machine."""
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
