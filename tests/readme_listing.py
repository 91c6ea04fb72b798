"""Make the listing of README.md from a real run: `python tests/readme_listing.py` writes it there.

It shows the log of the demo server, which a player wakes, and which is stopped again when it was idle.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from processes import Program, python

README = Path(__file__).parent.parent / "README.md"
BEFORE = "The first terminal shows what happens."


def listing(listen: int, server: int, options: Sequence[str] = ()) -> list[str]:
    """Run the demo with `--info` until it sleeps again, and return the lines of its log."""
    with tempfile.TemporaryDirectory() as state:
        command = ["demo", str(listen), str(server), "--info", "--state_directory", state, "-w", state, *options]
        with Program(python("-m", "zeroscale", *command), times=True) as proxy:
            proxy.wait_for("Ready: players come to")
            for asked in ("ping", "join"):
                subprocess.run(
                    python("-m", "zeroscale.ctl.main", asked, f"localhost:{listen}"), check=False, capture_output=True
                )
            proxy.wait_for(": stopped after")
            return proxy.lines


def shown() -> list[str]:
    """Return the lines that README.md shows."""
    return README.read_text().partition(BEFORE)[2].split("```")[1].strip().splitlines()


def form(lines: Sequence[str]) -> list[str]:
    """Return lines without what differs from run to run."""
    return [re.sub(r"[0-9]+", "0", re.sub(r"[+-]([0-9]{4}) ", r"+\1 ", line)) for line in lines]


def main() -> None:
    """Write the listing."""
    text = README.read_text()
    lines = "\n".join(listing(25565, 25575))
    before, begin, after = text.partition(BEFORE)
    introduction, _, rest = after.split("```", 2)
    README.write_text(f"{before}{begin}{introduction}```\n{lines}\n```{rest}")


if __name__ == "__main__":
    main()
