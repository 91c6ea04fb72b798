"""Draw the pictures of docs/how-it-works.md: `python docs/pictures/draw.py`, in a checkout.

They have a background of their own, so that they can be read on a light and on a dark page.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent

PAPER, INK, BOX, ARROW = "#ffffff", "#1f2328", "#ddf4ff", "#0969da"
ROW = 44
COLUMNS = {"player": 90, "zeroscale": 380, "server": 670}
"""The participants of a sequence, and where their lines are."""

PING = (
    ("player", "zeroscale", "server list: status request"),
    ("zeroscale", "player", 'last known status, with "asleep"'),
)
JOIN = (
    ("player", "zeroscale", "login"),
    ("zeroscale", "server", "start"),
    ("zeroscale", "player", "keeps the login screen open"),
    ("zeroscale", "server", "status request, until it answers"),
    ("server", "zeroscale", "status"),
    ("zeroscale", "server", "the player's login, unchanged"),
    ("player", "server", "the kernel moves the bytes, both ways"),
)
STOP = (
    ("player", "server", "the last player leaves"),
    ("zeroscale", "zeroscale", "the idle time passes"),
    ("zeroscale", "server", "who is on?"),
    ("server", "zeroscale", "nobody"),
    ("zeroscale", "server", "its own stop command"),
    ("server", "zeroscale", "saves the world, and exits"),
)
STATES = {
    "stopped": (100, 60),
    "starting": (380, 60),
    "running": (660, 60),
    "failed": (100, 260),
    "stopping": (380, 260),
    "paused": (660, 260),
}
CHANGES = (
    ("stopped", "starting", "wake"),
    ("starting", "running", "it answers"),
    ("starting", "stopping", "too slow"),
    ("running", "stopping", "idle"),
    ("running", "paused", "idle"),
    ("paused", "stopping", "long enough"),
    ("paused", "starting", "wake"),
    ("stopping", "stopped", "it has exited"),
    ("starting", "failed", "it crashed"),
)


def sequence(title: str, messages: tuple[tuple[str, str, str], ...]) -> str:
    """Return a drawing of messages between the participants, in their order from top to bottom."""
    height = 64 + ROW * len(messages)
    drawn = [
        f'<line x1="{x}" y1="40" x2="{x}" y2="{height - 12}" stroke="{INK}" stroke-dasharray="4 4"/>'
        + _box(name, x, 24)
        for name, x in COLUMNS.items()
    ]
    for index, (sender, receiver, text) in enumerate(messages):
        y = 78 + ROW * index
        begin, end = COLUMNS[sender], COLUMNS[receiver]
        if begin == end:
            drawn.append(_words(text, begin, y))
            continue
        drawn.append(_words(text, (begin + end) // 2, y - 7))
        drawn.append(_arrow(begin, y, end, y, both=text.endswith("both ways")))
    return _svg(title, height, drawn)


def states() -> str:
    """Return a drawing of the states of a server."""
    drawn = []
    for before, after, text in CHANGES:
        (x1, y1), (x2, y2) = STATES[before], STATES[after]
        across, down = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
        if down and across:
            begin, end = (x1 + 40 * across, y1 + 20 * down), (x2 - 40 * across, y2 - 20 * down)
        else:
            begin, end = (x1 + 60 * across, y1 + 20 * down), (x2 - 60 * across, y2 - 20 * down)
        drawn.append(_arrow(*begin, *end))
        share = 0.3 if down and across else 0.5
        x, y = begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share
        drawn.append(_words(text, round(x), round(y) + (5 if down else -8)))
    drawn += [_box(name, x, y) for name, (x, y) in STATES.items()]
    return _svg("The states of a server", 310, drawn)


def _svg(title: str, height: int, drawn: list[str]) -> str:
    head = f'<path d="M0 0 L9 4 L0 8 z" fill="{ARROW}"/></marker>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" height="{height}" role="img" '
        f'font-family="sans-serif" font-size="14">\n<title>{escape(title)}</title>\n'
        f'<defs><marker id="head" markerWidth="9" markerHeight="8" refX="9" refY="4" orient="auto-start-reverse">{head}'
        f'</defs>\n<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _box(name: str, x: int, y: int) -> str:
    return (
        f'<rect x="{x - 60}" y="{y - 18}" width="120" height="36" rx="6" fill="{BOX}" stroke="{INK}"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle" fill="{INK}">{escape(name)}</text>'
    )


def _words(text: str, x: int, y: int) -> str:
    """Return a text, with a border of paper drawn below it, since lines cross it."""
    place = f'x="{x}" y="{y}" text-anchor="middle"'
    return (
        f'<text {place} fill="{PAPER}" stroke="{PAPER}" stroke-width="6">{escape(text)}</text>'
        f'<text {place} fill="{INK}">{escape(text)}</text>'
    )


def _arrow(x1: int, y1: int, x2: int, y2: int, *, both: bool = False) -> str:
    start = ' marker-start="url(#head)"' if both else ""
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{ARROW}" stroke-width="1.5"{start} '
        'marker-end="url(#head)"/>'
    )


def drawings() -> dict[str, str]:
    """Return all drawings by the names of their files."""
    return {
        "ping.svg": sequence("A ping of a sleeping server", PING),
        "join.svg": sequence("A player joins", JOIN),
        "stop.svg": sequence("The server becomes idle and stops", STOP),
        "states.svg": states(),
    }


def main() -> None:
    """Write all files."""
    for name, drawing in drawings().items():
        (HERE / name).write_text(drawing)


if __name__ == "__main__":
    main()
