"""Make the pictures of README.md from a real run of zeroscale: `python docs/pictures/make.py`, in a checkout.

server-list.svg shows what players see in the game's server list, drawn from the replies of a sleeping, a starting and a
running server. terminal.svg shows the log of the same run, line by line; long waits are shortened in it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from zeroscale.protocols.minecraft.text_component import RGB, runs

HERE = Path(__file__).parent
DEADLINE = 60.0
OPTIONS = ("--info", "--log-format", "plain")

ENTRY = 72
"""Height of one server of the list, as in the game: an icon of 64 pixels with a border of 4."""

LIST_WIDTH, TERMINAL_WIDTH = 640, 880
COLUMNS = 100
"""Characters of a line of the terminal, in the widest of the fonts: 0.61 of its size each."""

LINE = 20
LONGEST_WAIT = 1.5
"""Seconds between two lines of the log, at most."""

REST = 4.0
"""Seconds for which the whole log stays before it begins again."""

COLORS = {"INFO": "#8abeb7", "WARNING": "#f0c674", "ERROR": "#cc6666"}

Entry = tuple[str, Mapping[str, Any]]


def server_list(entries: Sequence[Entry]) -> str:
    """Return a picture of the game's server list.

    :param entries: the names under which the player has saved the servers, and their replies.
    """
    drawn = "".join(_entry(name, status, index * ENTRY) for index, (name, status) in enumerate(entries))
    return _svg(LIST_WIDTH, ENTRY * len(entries), "The game's server list", "#1b1612", drawn)


def terminal(lines: Sequence[tuple[float, str]], command: str) -> str:
    """Return a picture of a terminal in which lines appear.

    :param lines: the lines, and when each was written, in seconds.
    """
    shown = [(0.0, f"$ {command}")]
    at, before = 0.0, lines[0][0] if lines else 0.0
    for written, line in lines:
        at += min(written - before, LONGEST_WAIT) + 0.4
        before = written
        shown.append((at, line))
    whole = at + REST
    rows = [(when, row) for when, text in shown for row in textwrap.wrap(text, COLUMNS, subsequent_indent="    ")]
    drawn = "".join(_line(text, index, when, whole) for index, (when, text) in enumerate(rows))
    return _svg(TERMINAL_WIDTH, LINE * (len(rows) + 1), "A terminal with zeroscale's log", "#1d1f21", drawn)


def _svg(width: int, height: int, title: str, background: str, inner: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="100%" height="100%" rx="6" fill="{background}"/>\n{inner}</svg>\n'
    )


def _entry(name: str, status: Mapping[str, Any], top: int) -> str:
    players = status.get("players", {})
    count = f"{players.get('online', 0)}/{players.get('max', 0)}"
    icon = status.get("favicon")
    place = f'x="4" y="{top + 4}" width="64" height="64"'
    picture = f"<image {place} href={quoteattr(icon)}/>\n" if icon else _no_icon(place, top)
    right = LIST_WIDTH - 8
    return (
        f"{picture}"
        f'<text x="76" y="{top + 20}" fill="#ffffff">{escape(name)}</text>\n'
        f'<text x="{right - 24}" y="{top + 20}" fill="#aaaaaa" text-anchor="end">{count}</text>\n'
        f"{_bars(right - 16, top + 8)}{_motd(status.get('description', ''), top)}"
    )


def _no_icon(place: str, top: int) -> str:
    """Return what stands for the game's own icon, which it shows for a server that sends none."""
    return (
        f'<rect {place} fill="#4a4a4a"/>'
        f'<text x="36" y="{top + 48}" fill="#8c8c8c" font-size="36" text-anchor="middle">?</text>\n'
    )


def _bars(left: int, top: int) -> str:
    return (
        "".join(
            f'<rect x="{left + 4 * index}" y="{top + 9 - 3 * index}" width="3" height="{4 + 3 * index}" '
            'fill="#00ff21"/>'
            for index in range(4)
        )
        + "\n"
    )


def _motd(description: Any, top: int) -> str:
    lines: list[list[str]] = [[]]
    for text, style in runs(description):
        color = style.color or "gray"
        rgb = color if color.startswith("#") else "#{:02x}{:02x}{:02x}".format(*RGB[color])
        weight = ' font-weight="bold"' if getattr(style, "bold", False) else ""
        for index, part in enumerate(text.split("\n")):
            if index:
                lines.append([])
            if part:
                lines[-1].append(f'<tspan fill="{rgb}"{weight}>{escape(part)}</tspan>')
    return "".join(
        f'<text x="76" y="{top + 40 + LINE * index}" xml:space="preserve">{"".join(parts)}</text>\n'
        for index, parts in enumerate(lines[:2])
    )


def _line(text: str, index: int, when: float, whole: float) -> str:
    """Return a line that appears at its time, and again in each round."""
    begin = when / whole
    appears = (
        f'<animate attributeName="opacity" values="0;0;1;1" keyTimes="0;{begin:.4f};{min(begin + 0.001, 1):.4f};1" '
        f'dur="{whole:.1f}s" repeatCount="indefinite"/>'
        if when
        else ""
    )
    level, colon, rest = text.partition(":")
    words = f'<tspan fill="{COLORS[level]}">{level}</tspan>{escape(colon + rest)}' if level in COLORS else escape(text)
    return f'<text x="12" y="{LINE * (index + 1)}" fill="#c5c8c6" xml:space="preserve">{words}{appears}</text>\n'


class Run:
    """One run of zeroscale with its demo server.

    :param listen: the port of the players.
    :param server: the port of the demo server.
    :param seconds: how long the server may be idle; None: as long as without an option.
    :ivar lines: what it has logged, with the seconds since it started.
    """

    def __init__(self, directory: str, listen: int, server: int, seconds: int | None) -> None:
        words, options = ["demo", str(listen), str(server)], [*OPTIONS, "--state-directory", directory]
        if seconds is not None:
            options += ["--idle-shutdown", str(seconds)]
        self.lines: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "zeroscale", *words, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until a line with this text was logged so many times."""
        self.until(lambda: sum(text in line for _, line in self.lines) >= times, text)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise SystemExit(f"waited in vain for {what}: {self.lines}")
            time.sleep(0.05)

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(DEADLINE)
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append((time.monotonic() - self._began, line.rstrip()))


def status(listen: int) -> Mapping[str, Any]:
    """Return the server's reply for the server list, as any client gets it."""
    command = [sys.executable, "-m", "zeroscale.ctl.main", "ping", f"localhost:{listen}", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    reply: Mapping[str, Any] = json.loads(answer.stdout)
    return reply


def join(listen: int) -> subprocess.Popen[str]:
    """Let a player join, and return its process."""
    command = [sys.executable, "-m", "zeroscale.ctl.main", "join", f"localhost:{listen}", "--name", "Ada"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def record(listen: int = 25565, server: int = 25575, seconds: int | None = None) -> tuple[str, str]:
    """Run zeroscale, and return both pictures; the parameters are those of `Run`."""
    with tempfile.TemporaryDirectory() as directory:
        run = Run(directory, listen, server, seconds)
        try:
            run.wait_for("Ready")
            with join(listen) as first:
                first.wait(DEADLINE)
            run.wait_for("stopped")
            asleep = status(listen)
            with join(listen) as second:
                run.wait_for("starting", times=2)
                starting = status(listen)
                second.wait(DEADLINE)
            running = status(listen)
        finally:
            run.end()
    lines = [(at, re.sub(r"(?<=\()127\.0\.0\.1(:\d+)?(?=\))", "203.0.113.7", line)) for at, line in run.lines]
    end = next(index for index, (_, line) in enumerate(lines) if "stopped" in line)
    entries = [("Asleep", asleep), ("Starting", starting), ("Running", running)]
    command = " ".join(["zeroscale", "demo", str(listen), str(server), *OPTIONS])
    return server_list(entries), terminal(lines[: end + 1], command)


def main() -> None:
    """Write both files."""
    for name, picture in zip(("server-list.svg", "terminal.svg"), record(), strict=True):
        (HERE / name).write_text(picture)


if __name__ == "__main__":
    main()
