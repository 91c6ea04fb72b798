"""`zeroscalectl example`: print the systemd units and example files that are installed with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zeroscale.ctl import exit_codes

EXAMPLES = Path(__file__).parents[2] / "examples"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "example",
        help="print a systemd unit, or an example for containers or Kubernetes",
        description="Prints an example file, to be changed and saved where it belongs. Without a name: lists all.",
    )
    names = [path.name for path in examples()]
    parser.add_argument("file", metavar="EXAMPLE", nargs="?", choices=names, help="the name of one of the files")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    found = examples()
    if args.file is not None:
        sys.stdout.write(next(path for path in found if path.name == args.file).read_text("utf-8"))
        return exit_codes.DONE
    width = max(len(path.name) for path in found)
    for path in found:
        print(f"{path.name:{width}}  {summary(path)}")
    return exit_codes.DONE


def examples() -> list[Path]:
    """Return the example files, by directory and name; no two have the same name."""
    return sorted(path for level in ("*/*", "*/*/*") for path in EXAMPLES.glob(level) if path.is_file())


def summary(path: Path) -> str:
    """Return what a file's first line says, which is a comment."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip("\n")
