"""Options that all benchmarks have."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.processes import ROOT


def benchmark_parser(name: str, description: str | None, *, rounds: int, short: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have.

    :param name: the benchmark's, as in `python -m benchmarks.NAME`.
    :param rounds: how many, if it is not given.
    :param short: what `--short` does.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    made.add_argument("--short", action="store_true", help=short)
    made.add_argument("--pinned", action="store_true", help="contestants on one core, everything else on another")
    made.add_argument(
        "--baseline", type=tree, metavar="DIR", help="also measure the zeroscale of this checkout, in the same rounds"
    )
    made.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks" / f"{name}.json", metavar="FILE")
    return made


def tree(text: str) -> Path:
    """Return the absolute path of a directory with a package `zeroscale`."""
    found = Path(text).resolve()
    if not (found / "zeroscale" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no zeroscale/__main__.py")
    return found
