"""Texts for players while the real server does not answer itself: server list, hover lines, kicks. Pure.

A message is chosen by the server's state or by the reason of a refusal, and filled with facts about the server; the
rest of the status is the real server's last one. `message_template` has the language of the messages.

Each state has three messages: its name (the server list), its name with `_hover` (the hover lines), and with `_kick`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from zeroscale.characters import DIRECTIONS, HIGH_CONTROLS, LINE_SEPARATORS, SURROGATES
from zeroscale.errors import ConfigError, suggest
from zeroscale.frontend.favicon import ICON
from zeroscale.message_template import ComponentTemplate, Template
from zeroscale.protocols.conversation import Component, StatusReply
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.status import ServerSnapshot, Status


def _translated(key: str, fallback: str, *arguments: str) -> dict[str, object]:
    """Return a component that the client shows in its own language (docs/protocol.md, "Kick text")."""
    component: dict[str, object] = {"translate": f"multiplayer.disconnect.{key}", "fallback": fallback}
    return {**component, "with": list(arguments)} if arguments else component


_BANNED = _translated("banned.reason", "You are banned from this server.\nReason: %s", "{reason}")
_BANNED_IP = _translated("banned_ip.reason", "Your IP address is banned from this server.\nReason: %s", "{reason}")


def _until(key: str) -> dict[str, object]:
    return {"extra": [_translated(f"{key}.expiration", "\nYour ban will be removed on %s", "{until}")]}


DEFAULTS: Mapping[str, str | Sequence[str] | Mapping[str, object]] = {
    "sleeping": "&3zZz &7Asleep. &fJoin to wake it[&7 ({estimate})]",
    "sleeping_hover": (
        "&7Nobody was playing, so the server went to sleep.",
        "&7Join, and it wakes up[ in {estimate}].",
    ),
    "sleeping_kick": "&3The server was asleep.\n&7It is waking up now: please join again in {estimate}.",
    "no_wake": "&3zZz &7Asleep",
    "no_wake_hover": ("&7Nobody was playing, so the server went to sleep.", "&7This address does not wake it."),
    "no_wake_kick": "&3The server is asleep.\n&7This address does not wake it.",
    "starting": "&eWaking up[&7, ready in {remaining}]",
    "starting_hover": (
        "&7The server is waking up[ and will be ready in {remaining}].",
        "[&7Players waiting for it: {waiting}]",
    ),
    "starting_kick": "&eThe server is waking up.\n&7Please join again in {remaining}.",
    "ready_kick": "&aThe server is awake.\n&7Please join again now.",
    "stopping": "&6Going to sleep. &fJoin to wake it again",
    "stopping_hover": ("&7The server is saving its world and going to sleep.", "&7Join, and it wakes up again."),
    "stopping_kick": "&6The server is just going to sleep.\n&7Please join again in a moment.",
    "stuck": "&6Shutting down for a long time",
    "stuck_hover": ("&7The server does not react to its stop request.", "&7Its operator has to fix it."),
    "stuck_kick": "&6The server is stuck while shutting down.\n&7Please try again later, or tell its operator.",
    "failed": "&cSomething went wrong. &fJoin to try again[ in {remaining}]",
    "failed_hover": ("&7The server had a problem.", "[&7Reason: {reason}]"),
    "failed_kick": "&cThe server had a problem.\n[&7Reason: {reason}\n]&fPlease join again in {remaining}.",
    "given_up": "&cOut of order. &7Its operator has to fix it",
    "given_up_hover": ("&7The server failed again and again.", "[&7Reason: {reason}]"),
    "given_up_kick": "&cThe server is out of order.\n[&7Reason: {reason}\n]&fPlease tell its operator.",
    "paused": "&bPaused. &fJoin to continue",
    "paused_hover": ("&7Nobody was playing, so the server is paused.", "&7Join, and it continues at once."),
    "paused_kick": "&bThe server was paused.\n&7It continues now: please join again.",
    "locked_out": "&6{reason}",
    "locked_out_hover": ("&7The operator keeps the server down for now.",),
    "locked_out_kick": "&6{reason}",
    "unreachable": "&eNot answering right now",
    "unreachable_hover": ("&7The server is running and does not answer.",),
    "unreachable_kick": "&eThe server does not answer right now.\n&7Please join again in a moment.",
    "denied_kick": "&cYou may not wake this server.",
    "not_known_kick": "&3This server is asleep.\n&7Only players who have joined before may wake it.",
    "not_op_kick": "&3This server is asleep.\n&7Only its operators may wake it.",
    "nobody_kick": "&3This server is asleep.\n&7Only its operator can wake it.",
    "not_whitelisted_kick": _translated("not_whitelisted", "You are not white-listed on this server!"),
    "banned_kick": _BANNED,
    "banned_until_kick": _BANNED | _until("banned"),
    "banned_ip_kick": _BANNED_IP,
    "banned_ip_until_kick": _BANNED_IP | _until("banned_ip"),
    "name_kick": "&cA player's name has 1 to 16 characters, and no control characters.",
    "rate_kick": "&eToo many joins from your address.\n&7Please try again in a minute.",
    "hold_kick": "&eThe server takes longer to wake up than you can wait here.\n&7Please join again in {remaining}.",
    "silent_kick": "&eYour connection did not answer in time.\n&7Please join again.",
    "unexpected_kick": "&cYour client sent something that is not part of a login.\n&7Please join again.",
    "hold_full_kick": "Sorry: too many players are waiting already.",
    "proxy_full_kick": "Sorry: this proxy is full.",
    "unavailable_kick": "Sorry: {reason}.",
    "unknown_host": "",
    "unknown_host_kick": "There is no server of this name here. Please check the address.",
    "page_note": "This page reloads itself until the server is there.",
    "version": "zeroscale",
    "lockout_reason": "This server is under maintenance. Please come back later.",
    "keep_asleep_reason": "This server sleeps[ until {until}].",
    "stop_warning": "The server stops in {time}.",
    "restart_warning": "The server restarts in {time}.",
    "warning_seconds": "{number} s",
    "warning_minutes": "{number} min",
    "unknown_reason": "not known",
    "unknown_time": "a little while",
    "about_moments": "a few seconds",
    "about_seconds": "about {number} s",
    "about_minutes": "about {number} min",
    "about_hours": "about {number} h",
}
"""Every message by its name, with its default. They do not name the server: its name is for logs."""

IN_STATES = frozenset({"server", "state", "estimate", "remaining", "reason", "waiting"})
"""The variables of a state's messages: the server's name and state, how long a start takes, how long this one (or the
wait for the next try) still takes, why the server failed or is locked, how many players are held."""

IN_KICKS = IN_STATES | {"player"}

VARIABLES: Mapping[str, frozenset[str]] = {
    "banned_until_kick": IN_KICKS | {"until"},
    "banned_ip_until_kick": IN_KICKS | {"until"},
    "unknown_host": frozenset({"host"}),
    "unknown_host_kick": frozenset({"host", "player"}),
    "page_note": frozenset(),
    "version": frozenset(),
    "lockout_reason": frozenset(),
    "keep_asleep_reason": frozenset({"until"}),
    "stop_warning": frozenset({"time"}),
    "restart_warning": frozenset({"time"}),
    "warning_seconds": frozenset({"number"}),
    "warning_minutes": frozenset({"number"}),
    "unknown_reason": frozenset(),
    "unknown_time": frozenset(),
    "about_moments": frozenset(),
    "about_seconds": frozenset({"number"}),
    "about_minutes": frozenset({"number"}),
    "about_hours": frozenset({"number"}),
}
"""The variables of each message that has others than `IN_STATES`, or `IN_KICKS` for a kick."""

PHRASES = frozenset(
    {
        "page_note",
        "version",
        "lockout_reason",
        "keep_asleep_reason",
        "stop_warning",
        "restart_warning",
        "warning_seconds",
        "warning_minutes",
        "unknown_reason",
        "unknown_time",
        "about_moments",
        "about_seconds",
        "about_minutes",
        "about_hours",
    }
)
"""Messages that are shown as part of others, and so have no colours and are no components."""

SHOWN_TO_ALL = frozenset({"starting", "unreachable", "locked_out"})
"""States whose messages do not say that joining helps, or whose clients only have to wait."""

DEFAULT_MAXIMUM = 20
"""Players; the game's own default of `max-players`."""

LONGEST_VALUE = 300
"""Characters of a variable's value."""

_NUMBER = "\ue000"
"""Placeholder of the number in a parsed phrase: a character that no message has."""

_OTHER_KEYS = frozenset({"description", "players", "version", "favicon"})
_UNFIT = f"[\x00-\x09\x0b-\x1f{HIGH_CONTROLS}\u00a7{DIRECTIONS}{LINE_SEPARATORS}{SURROGATES}]"
"""Control characters but the newline, section signs, line separators, bidirectional controls and surrogates."""


class _LastStatus(NamedTuple):
    """The last status reply, and what it was made of."""

    view: ServerSnapshot
    remaining: str
    shown: tuple[object, ...]
    reply: StatusReply


class Messages:
    """The messages of one server.

    :param overrides: the operator's messages by name: a text, a JSON component, or for `..._hover` a text or a list of
        texts.
    :param status_protocol: whether the status shows the client's own protocol number, or the real server's last one.
    :param motd: whether our message stands below the first line of the real server's MOTD, or replaces it.
    :param wakes: clients wake the server; of a port whose clients do not, its states have the messages `no_wake`.
    :raises ConfigError: naming the message that is unknown, wrong, or has a wrong variable.
    """

    def __init__(
        self,
        overrides: Mapping[str, object] = {},
        *,
        status_protocol: Literal["client", "mirror"] = "client",
        motd: Literal["replace", "beside"] = "beside",
        wakes: bool = True,
    ) -> None:
        for name in overrides:
            if name not in DEFAULTS:
                suggestion = suggest(name, DEFAULTS)
                raise ConfigError(f"texts has no text {name!r}" + (f": {suggestion}" if suggestion else ""))
        self._templates: dict[str, Template | ComponentTemplate] = {}
        self._hovers: dict[str, tuple[Template, ...]] = {}
        for name, default in DEFAULTS.items():
            text = overrides.get(name, default)
            if name.endswith("_hover"):
                self._hovers[name] = _hover(text, name)
            else:
                self._templates[name] = _template(text, name)
        self._phrases = {
            name: plain(self._templates[name].fill({"number": _NUMBER, "until": "", "time": _NUMBER}, {}))
            for name in PHRASES
        }
        unknown_time = self._phrase("unknown_time")
        self._unknown = {
            "estimate": unknown_time,
            "remaining": unknown_time,
            "reason": self._phrase("unknown_reason"),
        }
        self._mirrors_protocol = status_protocol == "mirror"
        self._beside = motd == "beside"
        self._wakes = wakes
        self._last: _LastStatus | None = None

    def status(self, view: ServerSnapshot, now: float) -> StatusReply:
        """Return the status for the server list; the same object as long as nothing in it changes.

        :param now: the time of the clock that the snapshot's times are of.
        """
        last, remaining = self._last, self.duration(_remaining(view, now))
        if last is not None and last.view is view and last.remaining == remaining:
            return last.reply
        state = _state(view)
        values = self._values(view, state, remaining)
        shown = (state, view.players, *values.values())
        if last is not None and last.shown == shown and last.view.cached_status is view.cached_status:
            reply = last.reply
        else:
            reply = self._reply(view, state, values)
        self._last = _LastStatus(view, remaining, shown, reply)
        return reply

    def kick(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """Return the kick message for a player that cannot join in the server's present state.

        :param now: the time of the clock that the snapshot's times are of.
        :param player: the name it claims.
        """
        return self.refusal(self._shown_as(_state(view)), view, now, player)

    def held_too_long(self, view: ServerSnapshot, now: float, player: str) -> Component:
        """Return the kick message for a player that was held as long as its client can be, or may be.

        If the server is not starting any more, it is the message of its new state.
        """
        shown = "hold" if view.status is Status.starting else self._shown_as(_state(view))
        return self.refusal(shown, view, now, player)

    def join_again(self, view: ServerSnapshot, now: float) -> Component:
        """Return the kick message for a player that cannot be handed to the server, and has to join again."""
        if view.status is Status.running and not _locked_out(view):
            return self.refusal("ready", view, now, "")
        return self.kick(view, now, "")

    def entry(self, view: ServerSnapshot, now: float) -> Component:
        """Return the text of the server's state in the server list, without anything of the real server's."""
        state = _state(view)
        values = self._values(view, state, self.duration(_remaining(view, now)))
        return self._templates[state].fill({name: _one_line(value) for name, value in values.items()}, self._unknown)

    def refusal(
        self, name: str, view: ServerSnapshot, now: float, player: str, values: Mapping[str, str] = {}
    ) -> Component:
        """Return the kick message for a refused player.

        :param name: the message's name, without `_kick`.
        :param values: further variables of that message; they take precedence over those of the server.
        """
        known = self._values(view, _state(view), self.duration(_remaining(view, now)))
        given = {key: _fit(value) for key, value in values.items()}
        return self._templates[f"{name}_kick"].fill(known | {"player": _one_line(player)} | given, self._unknown)

    @property
    def lockout_reason(self) -> str:
        """The reason of a lockout without a text."""
        return self._phrase("lockout_reason")

    def keep_asleep_reason(self, until: str) -> str:
        """Return the reason of a lockout by a schedule.

        :param until: when it ends, in words; "": never.
        """
        return plain(self._templates["keep_asleep_reason"].fill({"until": until}, {}))

    def stop_warning(self, seconds: float, *, restart: bool) -> str:
        """Return the warning of a planned stop, without codes and in one line.

        :param seconds: until the stop.
        :param restart: the server is started again.
        """
        whole = max(1, round(seconds))
        in_seconds = whole < 100 and whole % 60 != 0
        time = (
            self._phrase("warning_seconds", whole) if in_seconds else self._phrase("warning_minutes", round(whole / 60))
        )
        text = self._phrases["restart_warning" if restart else "stop_warning"].replace(_NUMBER, time)
        return " ".join(re.sub(_UNFIT, "", text).split())

    @property
    def page_note(self) -> str:
        """The last paragraph of the page that browsers get."""
        return self._phrase("page_note")

    def unknown_host_status(self, host: str) -> StatusReply:
        """Return the status for a host that matches no server.

        It reveals nothing to scanners: no version, no icon.
        """
        description = self._templates["unknown_host"].fill({"host": _fit(host)}, {})
        return StatusReply(description=description, online=0, maximum=0, version_name="")

    def unknown_host_kick(self, host: str, player: str) -> Component:
        """Return the kick message for a player whose host matches no server."""
        return self._templates["unknown_host_kick"].fill({"host": _fit(host), "player": _one_line(player)}, {})

    def duration(self, seconds: float) -> str:
        """Return a duration in rounded words, such as "about 40 s"; "" where there is none left."""
        if seconds <= 0:
            return ""
        if seconds < 7.5:
            return self._phrase("about_moments")
        if seconds < 27.5:
            return self._phrase("about_seconds", round(seconds / 5) * 5)
        if seconds < 95:
            return self._phrase("about_seconds", round(seconds / 10) * 10)
        if seconds < 90 * 60:
            return self._phrase("about_minutes", round(seconds / 60))
        return self._phrase("about_hours", round(seconds / 3600))

    def _shown_as(self, state: str) -> str:
        """Return the name of a state's messages."""
        return state if self._wakes or state in SHOWN_TO_ALL else "no_wake"

    def _phrase(self, name: str, number: int = 0) -> str:
        return self._phrases[name].replace(_NUMBER, str(number))

    def _values(self, view: ServerSnapshot, state: str, remaining: str) -> dict[str, str]:
        reason = view.lockout if _locked_out(view) else view.reason
        return {
            "server": _fit(view.name),
            "state": state.replace("_", " "),
            "estimate": self.duration(view.estimate) if view.estimate is not None else "",
            "remaining": remaining,
            "reason": _fit(reason or ""),
            "waiting": str(view.waiting),
        }

    def _reply(self, view: ServerSnapshot, state: str, values: Mapping[str, str]) -> StatusReply:
        one_line = {name: _one_line(value) for name, value in values.items()}
        cached = view.cached_status or {}
        shown = self._shown_as(state)
        ours = self._templates[shown].fill(one_line, self._unknown)
        version = _object(cached, "version")
        protocol = version.get("protocol") if self._mirrors_protocol else None
        maximum = _object(cached, "players").get("max")
        icon = cached.get("favicon")
        hover = [template.line(one_line, self._unknown) for template in self._hovers[f"{shown}_hover"]]
        return StatusReply(
            description=self._motd(ours, cached.get("description")),
            online=view.players,
            maximum=maximum if isinstance(maximum, int) else DEFAULT_MAXIMUM,
            version_name=str(version.get("name", self._phrase("version"))),
            sample=tuple(line for line in hover if line),
            protocol=protocol if isinstance(protocol, int) and protocol >= 0 else None,
            favicon=icon if isinstance(icon, str) else ICON,
            extra={key: value for key, value in cached.items() if key not in _OTHER_KEYS},
        )

    def _motd(self, ours: Component, cached: object) -> Component:
        if not self._beside or not isinstance(cached, str | list | dict) or not cached:
            return ours
        theirs, _ = _first_line(cached)
        ours, _ = _first_line(ours)
        if isinstance(theirs, str) and isinstance(ours, str):
            return f"{theirs}\u00a7r\n{ours}"
        return {"text": "", "extra": [theirs, "\n", ours]}


def _remaining(view: ServerSnapshot, now: float) -> float:
    """Return how long a start, or the wait for the next try, still takes: all that changes in a snapshot's texts."""
    if view.status is Status.starting and view.estimate is not None:
        return view.since + view.estimate - now
    if view.status is Status.failed and view.retry_at is not None:
        return view.retry_at - now
    return 0.0


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
    """Return whether clients get the lockout's message; that of a server that does not stop comes first."""
    return view.lockout is not None and not view.stop_timed_out


def _fit(value: str) -> str:
    """Return an untrusted value without colour codes and control characters, and not too long."""
    return re.sub(_UNFIT, "", value)[:LONGEST_VALUE]


def _one_line(value: str) -> str:
    return _fit(value).replace("\n", " ")


def _template(text: object, name: str) -> Template | ComponentTemplate:
    variables = VARIABLES.get(name, IN_KICKS if name.endswith("_kick") else IN_STATES)
    match text:
        case str():
            return Template(text, name, variables)
        case Mapping() | list() if name not in PHRASES:
            return ComponentTemplate(text, name, variables)
    raise ConfigError(f"texts.{name} is {text!r}: a text{'' if name in PHRASES else ' or a JSON component'}")


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
    return tuple(Template(str(line), name, IN_STATES) for line in lines)


def _object(parent: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = parent.get(key)
    return value if isinstance(value, Mapping) else {}


def _first_line(component: object) -> tuple[Component, bool]:
    """Return a component up to its first line break, and whether there was one. A client draws two lines in all."""
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
