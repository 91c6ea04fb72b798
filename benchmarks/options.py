"""Options that all benchmarks have."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.processes import ROOT


def benchmark_parser(name: str, description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have.

    :param name: the benchmark's, as in `python -m benchmarks.NAME`.
    :param description: its docstring.
    :param rounds: how many, if it is not given.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    parser.add_argument("--short", action="store_true", help="about a minute: fewer and shorter rounds")
    parser.add_argument("--pinned", action="store_true", help="contestants on one core, everything else on another")
    parser.add_argument(
        "--baseline", type=tree, metavar="DIR", help="also measure the zeroscale of this checkout, in the same rounds"
    )
    file = ROOT / "build" / "benchmarks" / f"{name}.json"
    parser.add_argument("--json", type=Path, default=file, metavar="FILE", help="all values; default: %(default)s")
    return parser


def add_also(parser: argparse.ArgumentParser) -> None:
    """Add the option that names more contestants."""
    parser.add_argument(
        "--also",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "COMMAND"),
        help="also measure this proxy; in COMMAND, {listen} and {server} are replaced by the ports, and {backend} by "
        "the command line that starts the server, if the proxy does that itself",
    )


def parse(parser: argparse.ArgumentParser, **short: object) -> argparse.Namespace:
    """Return the options of the command line.

    :param short: what `--short` means: the values of options that are not given.
    """
    options = parser.parse_args()
    if options.short:
        parser.set_defaults(**short)
        options = parser.parse_args()
    return options


def tree(text: str) -> Path:
    """Return the absolute path of a directory with a package `zeroscale`."""
    found = Path(text).resolve()
    if not (found / "zeroscale" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no zeroscale/__main__.py")
    return found
