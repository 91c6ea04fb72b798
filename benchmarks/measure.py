"""What a process has used, and statistics over rounds in which all contestants take turns."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What one process has used so far, without its children.

    :ivar cpu_seconds: of all its threads, in user and kernel mode; threads that have ended do not count.
    :ivar wake_ups: voluntary context switches of all its threads.
    :ivar resident_bytes: resident memory, including shared pages.
    """

    cpu_seconds: float
    wake_ups: int
    resident_bytes: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Read the values from /proc; the CPU time in nanoseconds if the kernel has it (CONFIG_SCHED_INFO)."""
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        try:
            cpu = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
        except (FileNotFoundError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        wake_ups = sum(_field((thread / "status").read_text(), "voluntary_ctxt_switches") for thread in threads)
        return cls(cpu, wake_ups, _field(Path(f"/proc/{pid}/status").read_text(), "VmRSS") * 1024)


def _field(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


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


class Results:
    """Measured values by figure, contestant and round."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, dict[int, float]]] = {}

    def add(self, name: str, number: int, figures: Mapping[str, float]) -> None:
        """Add what was measured of one contestant in one round."""
        for figure, value in figures.items():
            self._values.setdefault(figure, {}).setdefault(name, {})[number] = value

    def spread(self, figure: str, name: str) -> Spread | None:
        """Return a contestant's median and range; None: it was not measured."""
        values = self._values.get(figure, {}).get(name)
        return Spread.of(list(values.values())) if values else None

    def ratio(self, figure: str, one: str, other: str) -> Spread | None:
        """Return the spread of the ratios within each round; None: there is no round with both."""
        pairs = self._pairs(figure, one, other)
        return Spread.of([mine / theirs for mine, theirs in pairs]) if pairs else None

    def _pairs(self, figure: str, one: str, other: str) -> list[tuple[float, float]]:
        values = self._values.get(figure, {})
        mine, theirs = values.get(one, {}), values.get(other, {})
        return [(mine[number], theirs[number]) for number in mine if theirs.get(number)]

    def table(
        self, figures: Mapping[str, tuple[str, int]], names: Sequence[str], ratios: Sequence[tuple[str, str]] = ()
    ) -> str:
        """Format the medians and ranges, with a column of ratios for each pair of contestants in `ratios`.

        :param figures: title and decimals of each figure; those that were not measured have no row.
        """
        rows = [["", *names, *(f"{one} / {other}" for one, other in ratios)]]
        for figure, (title, digits) in figures.items():
            spreads = [self.spread(figure, name) for name in names]
            if any(spreads):
                cells = [spread.show(digits) if spread else "" for spread in spreads]
                quotients = [self.ratio(figure, *pair) for pair in ratios]
                rows.append([title, *cells, *(quotient.show(2) if quotient else "" for quotient in quotients)])
        return table(rows)

    def report(
        self, figures: Mapping[str, tuple[str, int]], names: Sequence[str], others: Sequence[str], options: Namespace
    ) -> None:
        """Print the machine and the table, and write all values as JSON to `options.json`.

        :param others: contestants to which the first one of `names` is compared, if they have taken part.
        """
        ratios = [(names[0], other) for other in others if other in names]
        print(f"{machine()}\n\n{self.table(figures, names, ratios)}")
        values = {
            figure: {name: list(rounds.values()) for name, rounds in by_name.items()}
            for figure, by_name in self._values.items()
        }
        content = {"machine": machine(), "options": vars(options), "results": values}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=1, default=str) + "\n")


def turns(rounds: int, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each round, and the contestants in its order: each round starts with another one."""
    for number in range(rounds):
        first = number % len(names)
        yield number, [*names[first:], *names[:first]]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows, the first of which is the head, as a Markdown table."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def machine() -> dict[str, str | int]:
    """Describe the machine."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load average": f"{os.getloadavg()[0]:.2f}",
    }
