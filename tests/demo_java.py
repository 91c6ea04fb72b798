"""A `java` that runs the demo server in the place of Minecraft, for the commands of pages."""

from __future__ import annotations

import sys
from pathlib import Path

import zeroscale

CONSOLE = """\
{program} &
while read -r line && [ "$line" != stop ]; do :; done
kill $!
wait
"""


def demo_java(
    python: str = sys.executable,
    path: Path | None = Path(zeroscale.__file__).parents[1],
    seconds: float = 0.1,
    *,
    console: bool = True,
) -> str:
    """Return the script.

    :param python: the interpreter that runs the demo server.
    :param path: where it finds zeroscale; None: it is installed.
    :param seconds: how long a start takes.
    :param console: it has one, and ends when "stop" is written to it.
    """
    program = f'{python} -P -m zeroscale.plugins.demo.program --port "${{2:-25575}}" --start-seconds {seconds}'
    return (
        "#!/bin/bash\n"
        + (f"export PYTHONPATH='{path}'\n" if path is not None else "")
        + 'while [ "$1" != --port ] && [ $# -gt 0 ]; do shift; done\n'
        + (CONSOLE.format(program=program) if console else f"exec {program}\n")
    )
