"""What players read while the real server does not answer for itself: the MOTD, hover lines, kicks. Pure.

A text is chosen by the server's state, filled with what is known of it, and shown in the likeness of the real server's
last status. The language of the texts is in `templates`.

Each state has three: its name (the MOTD), its name with `_hover` (lines) and with `_kick`. `hold_kick` is for who has
waited for as long as a client can; the others are for who may not wake the server, named for the reason's one word,
where the game has no words of its own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from zeroscale.errors import ConfigError
from zeroscale.frontend.favicon import ICON
from zeroscale.frontend.message_template import ComponentTemplate, Template
from zeroscale.protocols.conversation import Component, StatusReply
from zeroscale.status import ServerSnapshot, Status

UNKNOWN_HOST_STATUS = StatusReply(description="", online=0, maximum=0, version_name="")
"""For whoever names no server of ours: what is there, and what we are, is not for scanners."""

UNKNOWN_HOST_KICK = "There is no server of this name here. Please check the address."

DEFAULTS: Mapping[str, str | Sequence[str]] = {
    "sleeping": "&3zZz &7Asleep. &fJoin to wake it[&7 ({estimate})]",
    "sleeping_hover": (
        "&7Nobody was playing, so the server went to sleep.",
        "&7Join, and it wakes up[ in {estimate}].",
    ),
    "sleeping_kick": "&3The server was asleep.\n&7It is waking up now: please join again in {estimate}.",
    "starting": "&eWaking up[&7, ready in {remaining}]",
    "starting_hover": (
        "&7The server is waking up[ and will be ready in {remaining}].",
        "[&7Players waiting for it: {waiting}]",
    ),
    "starting_kick": "&eThe server is waking up.\n&7Please join again in {remaining}.",
    "stopping": "&6Going to sleep. &fJoin to wake it again",
    "stopping_hover": ("&7The server is saving its world and going to sleep.", "&7Join, and it wakes up again."),
    "stopping_kick": "&6The server is just going to sleep.\n&7Please join again in a moment.",
    "stuck": "&6Shutting down for a long time",
    "stuck_hover": ("&7The server was told to stop, and does not.", "&7Its operator has to look after it."),
    "stuck_kick": "&6The server is stuck while shutting down.\n&7Please try again later, or tell its operator.",
    "failed": "&cSomething went wrong. &fJoin to try again[ in {remaining}]",
    "failed_hover": ("&7The server had a problem.", "[&7Reason: {reason}]"),
    "failed_kick": "&cThe server had a problem.\n[&7Reason: {reason}\n]&fPlease join again in {remaining}.",
    "given_up": "&cOut of order. &7Its operator has to look after it",
    "given_up_hover": ("&7The server failed again and again.", "[&7Reason: {reason}]"),
    "given_up_kick": "&cThe server is out of order.\n[&7Reason: {reason}\n]&fPlease tell its operator.",
    "paused": "&bPaused. &fJoin to play on",
    "paused_hover": ("&7Nobody was playing, so the server is paused.", "&7Join, and it goes on at once."),
    "paused_kick": "&bThe server was paused.\n&7It goes on now: please join again.",
    "locked_out": "&6{reason}",
    "locked_out_hover": ("&7The operator keeps the server down for now.",),
    "locked_out_kick": "&6{reason}",
    "unreachable": "&eNot answering right now",
    "unreachable_hover": ("&7The server is running and does not answer.",),
    "unreachable_kick": "&eThe server does not answer right now.\n&7Please join again in a moment.",
    "denied_kick": "&cYou may not wake this server.",
    "not_known_kick": "&3This server is asleep.\n&7Only who has played on it may wake it.",
    "not_op_kick": "&3This server is asleep.\n&7Only its operators may wake it.",
    "nobody_kick": "&3This server is asleep.\n&7Its operator wakes it.",
    "rate_kick": "&eToo many joins from your address.\n&7Please try again in a minute.",
    "hold_kick": "&eThe server takes longer to wake up than you can wait here.\n&7Please join again in {remaining}.",
}
"""Every text by its name, as it is unless the operator has another one. They name no server: names are for logs."""

EVERYWHERE = frozenset({"server", "state", "estimate", "remaining", "reason", "waiting"})
"""The placeholders of every text: the server's name and state, how long a start takes, how long it will still be, why
it failed, how many wait for it."""

IN_KICKS = EVERYWHERE | {"player"}

UNKNOWN = {"estimate": "a little while", "remaining": "a little while", "reason": "not known"}
"""What stands where nothing is known, outside a group."""

DEFAULT_MAXIMUM = 20
"""Players; the game's own default of `max-players`."""

DEFAULT_VERSION = "zeroscale"

LONGEST_VALUE = 300
"""Characters of a reason or a name."""

_OTHER_KEYS = frozenset({"description", "players", "version", "favicon"})
_UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f\u00a7]")


class Messages:
    """The texts of one server.

    :param overrides: the operator's, by name: a text, a JSON component, or for `..._hover` a text or a list of texts.
    :param status_protocol: whether the status shows the client's own protocol number, or the mirrored one.
    :param motd: whether our text stands beside the mirrored MOTD's first line, or in its place.
    :raises ConfigError: naming the text that is unknown, wrong, or has a wrong placeholder.
    """

    def __init__(
        self,
        overrides: Mapping[str, object] = {},
        *,
        status_protocol: Literal["client", "mirror"] = "client",
        motd: Literal["replace", "beside"] = "beside",
    ) -> None:
        for name in overrides:
            if name not in DEFAULTS:
                near = difflib.get_close_matches(name, DEFAULTS, n=1)
                raise ConfigError(f"texts has no text {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
        self._texts: dict[str, Template | ComponentTemplate] = {}
        self._hovers: dict[str, tuple[Template, ...]] = {}
        for name, default in DEFAULTS.items():
            text = overrides.get(name, default)
            if name.endswith("_hover"):
                self._hovers[name] = _hover(text, name)
            else:
                self._texts[name] = _text(text, name, IN_KICKS if name.endswith("_kick") else EVERYWHERE)
        self._mirrors_protocol = status_protocol == "mirror"
        self._beside = motd == "beside"
        self._last: tuple[tuple[object, ...], Mapping[str, object] | None, StatusReply] | None = None

    def status(self, view: ServerSnapshot, now: float) -> StatusReply:
        """What the server list shows. The same object, as long as it shows the same.

        :param now: the clock's reading that `view.since` is of.
        """
        state = _state(view)
        values = _values(view, state, now)
        shown = (state, view.players, *values.values())
        if self._last is None or self._last[0] != shown or self._last[1] is not view.cached_status:
            self._last = (shown, view.cached_status, self._reply(view, state, values))
        return self._last[2]

    def kick(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """What a player reads who cannot join now.

        :param now: the clock's reading that `view.since` is of.
        :param player: the name it claims.
        """
        return self._kick(f"{_state(view)}_kick", view, now, player)

    def held_too_long(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """What a player reads who has waited for as long as its client, or its operator, lets it.

        What has happened to the server meanwhile goes before that.
        """
        name = "hold_kick" if view.status is Status.starting else f"{_state(view)}_kick"
        return self._kick(name, view, now, player)

    def refusal(self, word: str, view: ServerSnapshot, now: float, player: str) -> Component:
        """What a player reads who may not come in.

        :param word: why: one for which there is a text.
        """
        return self._kick(f"{word}_kick", view, now, player)

    def _kick(self, name: str, view: ServerSnapshot, now: float, player: str) -> Component:
        values = _values(view, _state(view), now) | {"player": _fit(player)}
        return self._texts[name].fill(values, UNKNOWN)

    def _reply(self, view: ServerSnapshot, state: str, values: Mapping[str, str]) -> StatusReply:
        one_line = {name: value.replace("\n", " ") for name, value in values.items()}
        mirrored = view.cached_status or {}
        ours = self._texts[state].fill(one_line, UNKNOWN)
        version = _object(mirrored, "version")
        protocol = version.get("protocol") if self._mirrors_protocol else None
        maximum = _object(mirrored, "players").get("max")
        icon = mirrored.get("favicon")
        hover = [template.line(one_line, UNKNOWN) for template in self._hovers[f"{state}_hover"]]
        return StatusReply(
            description=self._motd(ours, mirrored.get("description")),
            online=view.players,
            maximum=maximum if isinstance(maximum, int) else DEFAULT_MAXIMUM,
            version_name=str(version.get("name", DEFAULT_VERSION)),
            sample=tuple(line for line in hover if line),
            protocol=protocol if isinstance(protocol, int) and protocol >= 0 else None,
            favicon=icon if isinstance(icon, str) else ICON,
            extra={key: value for key, value in mirrored.items() if key not in _OTHER_KEYS},
        )

    def _motd(self, ours: Component, mirrored: object) -> Component:
        if not self._beside or not isinstance(mirrored, str | list | dict) or not mirrored:
            return ours
        theirs, _ = _first_line(mirrored)
        ours, _ = _first_line(ours)
        if isinstance(theirs, str) and isinstance(ours, str):
            return f"{theirs}\u00a7r\n{ours}"
        return {"text": "", "extra": [theirs, "\n", ours]}


def about(seconds: float) -> str:
    """A duration as one says it: "about 40 s", "about 2 min"; empty where there is none left."""
    if seconds <= 0:
        return ""
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 27.5:
        return f"about {round(seconds / 5) * 5} s"
    if seconds < 95:
        return f"about {round(seconds / 10) * 10} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"


def _state(view: ServerSnapshot) -> str:
    if _locked_out(view):
        return "locked_out"
    match view.status:
        case Status.stopped:
            return "sleeping"
        case Status.stopping:
            return "stuck" if view.stop_timed_out else "stopping"
        case Status.failed:
            return "failed" if view.retry_at is not None else "given_up"
        case Status.running:
            return "unreachable"
    return view.status.name


def _locked_out(view: ServerSnapshot) -> bool:
    """Whether who comes now is kept out by the operator; that the server is stuck goes before that."""
    return view.lockout is not None and not view.stop_timed_out


def _values(view: ServerSnapshot, state: str, now: float) -> dict[str, str]:
    remaining = 0.0
    if view.status is Status.starting and view.estimate is not None:
        remaining = view.since + view.estimate - now
    elif view.status is Status.failed and view.retry_at is not None:
        remaining = view.retry_at - now
    return {
        "server": _fit(view.name),
        "state": state.replace("_", " "),
        "estimate": about(view.estimate) if view.estimate is not None else "",
        "remaining": about(remaining),
        "reason": _fit((view.lockout if _locked_out(view) else view.reason) or ""),
        "waiting": str(view.waiting),
    }


def _fit(value: str) -> str:
    """A value that is not ours to trust: without codes and control characters, and not too long."""
    return _UNFIT.sub("", value)[:LONGEST_VALUE]


def _text(text: object, name: str, allowed: frozenset[str]) -> Template | ComponentTemplate:
    match text:
        case str():
            return Template(text, name, allowed)
        case Mapping() | list():
            return ComponentTemplate(text, name, allowed)
    raise ConfigError(f"texts.{name} is {text!r}: a text or a JSON component")


def _hover(text: object, name: str) -> tuple[Template, ...]:
    match text:
        case str():
            lines: Sequence[object] = text.split("\n") if text else ()
        case list() | tuple():
            lines = text
        case _:
            raise ConfigError(f"texts.{name} is {text!r}: a text or a list of texts")
    for line in lines:
        if not isinstance(line, str) or "\n" in line:
            raise ConfigError(f"texts.{name} has {line!r}: each line is a text, without a line break in it")
    return tuple(Template(str(line), name, EVERYWHERE) for line in lines)


def _object(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = parent.get(key)
    return value if isinstance(value, Mapping) else {}


def _first_line(component: object) -> tuple[Component, bool]:
    """A component up to its first line break, and whether there was one. A client draws two lines in all."""
    match component:
        case str():
            line, line_break, _ = component.partition("\n")
            return line, bool(line_break)
        case list() | tuple():
            lines, ended = _first_of(component)
            return lines or "", ended
        case Mapping():
            cut = dict(component)
            siblings = cut.pop("extra", None)
            ended = False
            if isinstance(cut.get("text"), str):
                cut["text"], ended = _first_line(cut["text"])
            if not ended and isinstance(siblings, list):
                siblings, ended = _first_of(siblings)
                if siblings:
                    cut["extra"] = siblings
            return cut, ended
    return "", False


def _first_of(components: Sequence[object]) -> tuple[list[object], bool]:
    lines: list[object] = []
    for component in components:
        line, ended = _first_line(component)
        lines.append(line)
        if ended:
            return lines, True
    return lines, False
