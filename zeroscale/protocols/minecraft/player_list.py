"""Read the number of players out of the answer to `list`, by RCON or in a server's log. Pure.

Source: docs/protocol.md, "The list of players". What is not understood has no number: the caller must take the server
for one with players on.
"""

from __future__ import annotations

import json
import re

COMMAND = "list"

LONGEST_SHOWN = 200
"""Characters of an answer in a message."""

MESSAGE_KEYS = ("message", "msg", "@message", "short_message")
"""Where JSON layouts of logs have the text: log4j's own and its templates for ECS, logstash and GELF."""

_LEVEL = r"\b(?:TRACE|DEBUG|FINE(?:ST|R)?|CONFIG|INFO|WARN(?:ING)?|ERROR|SEVERE|FATAL)\b"
_CLOCK = r"[0-9]{2}:[0-9]{2}"
_DATE = "(?:[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[A-Z][a-z]+ [0-9]{1,2}[a-z]* [0-9]{4}),?[ T]"
_TIME = rf"(?:(?:{_DATE})?{_CLOCK}(?::[0-9]{{2}})?(?:[.,][0-9]+)?(?:Z|[+-][0-9:]+)?\s+)?"


def _bracket(part: str) -> str:
    """Return the pattern of a bracket with this in it; atomic, else some lines take exponential time."""
    return rf"\[(?>[^\[\]]*?{part})[^\[\]]*\]\s*"


# What a log writes before its message. A player's chat message follows a name, often in brackets, which must not be
# taken for a part of it: only brackets with a time, a level or a logger's name are skipped. Players may be called INFO,
# or .Steve by Floodgate: a logger's name counts only after a thread and its level, and of two levels only the first.
_PREFIX = (
    rf"(?:>\s*)*{_TIME}"  # the prompt, whose line break is missing
    r"(?:"
    rf"(?:{_bracket(_CLOCK)})?(?:"
    rf"{_bracket('/' + _LEVEL)}(?:{_bracket('[./]')})*:"  # [12:00:00] [Server thread/INFO] [minecraft/Server]:
    rf"|{_bracket(_LEVEL)}:?)\s*"  # 12:00:00 [INFO]
    rf"|(?:\[[^\[\]]*\]\s*)?{_LEVEL}\s+[\w.$]+\s+-\s"  # 12:00:00 [main] INFO  net.minestom.Server -
    rf"|{_LEVEL}(?::|\s+(?:[a-z_]+(?:::[a-z_]+)*:)?)\s*"  # 2026-05-01T12:00:00.123Z  INFO pumpkin::command:
    rf"|\[[0-9:.,/ -]+\]\s*(?:{_LEVEL}:\s*)?"  # [12:00:00] INFO:
    r")?"
)
_LOGGED = rf"{_CLOCK}|{_LEVEL}"
_JSON_MESSAGE = r'"(?:message|msg)"\s*:\s*("(?:[^"\\]|\\.)*")\s*,?\s*'
"""A line of a JSON object that is spread over several."""

_CODES = "\u00a7.|\x1b(?:\\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])"
"""The game's colours, and ECMA-48 escape sequences: terminals in containers also send `ESC =` and `ESC >`."""

_THERE_ARE = r"\s*(?:there (?:are|is) (?:currently )?)?([0-9]{1,9})"
_FORMS = tuple(
    f"(?i){_THERE_ARE}{form}"
    for form in (
        r"(?: ?/ ?([0-9]{1,9}))? (?:out )?of (?:the |a )?(?:max(?:imum)? )?(?:of )?[0-9][0-9.,]* players? online\b",
        r"() ?/ ?[0-9]+ players? online\b",
        r"() players? online\b",
    )
)
_NOBODY = r"(?i)\s*there are (?:currently )?no players online\W*$"
_NAMES_ONLY = r"(?i)\s*connected players:(.*)$"


def message(line: str) -> str:
    """Return the text of a line of a server's log, without what the log writes before it, or in a JSON object."""
    text = re.sub(_CODES, "", line).strip()
    found = re.fullmatch(_JSON_MESSAGE, text)
    if found is not None:
        return _text(found[1])
    if text.lstrip("> ").startswith("{"):
        return _json_message(text.lstrip("> "))
    prefix = re.match(_PREFIX, text)
    if prefix is None or not re.search(_LOGGED, prefix[0]):
        return text.lstrip("> ")
    return text[prefix.end() :]


def count(answer: str) -> int | None:
    """Return how many players are on, by the answer to `list` without a log's prefix; None: it is not understood.

    Hidden players count. Of several numbers, as servers behind one proxy have, the largest counts.
    """
    numbers = [number for line in re.sub(_CODES, "", answer).splitlines() if (number := _in_line(line)) is not None]
    return max(numbers, default=None)


def may_mean_nobody(answer: str) -> bool:
    """Return whether an answer that is not understood may say that nobody is on: it has no number, or a 0."""
    numbers = re.findall("[0-9]+", re.sub(_CODES, "", answer))
    return not numbers or any(not number.strip("0") for number in numbers)


def shown(answer: str) -> str:
    """Return an answer as one line for a message, without colours and not too long."""
    return " ".join(re.sub(_CODES, "", answer).split())[:LONGEST_SHOWN]


def _in_line(line: str) -> int | None:
    for form in _FORMS:
        found = re.match(form, line)
        if found is not None:
            return int(found[1]) + int(found[2] or 0)
    if re.match(_NOBODY, line):
        return 0
    names = re.match(_NAMES_ONLY, line)
    return None if names is None else len(names[1].replace(",", " ").split())


def _json_message(text: str) -> str:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    texts = (fields.get(key) for key in MESSAGE_KEYS)
    return next((value for value in texts if isinstance(value, str)), text)


def _text(literal: str) -> str:
    try:
        return str(json.loads(literal))
    except ValueError:
        return literal
