"""Write a configuration and a log without secrets, to be shown to others. Pure.

What is left out is more than what is secret: of URLs all behind the host, of a `[[notify]]` table the words of its
command. What looks like a secret is found by patterns, which cannot find everything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from zeroscale.ctl.config_template import quoted
from zeroscale.hidden_addresses import without_addresses

LEFT_OUT = "[left out]"
"""Replaces a secret."""

_MARK = "\0"
"""Stands for `LEFT_OUT` until all patterns have been applied: one character, so that no pattern splits it."""

SECRET_TABLES = frozenset({"environment", "headers", "texts"})
"""Tables all of whose values are left out: variables are often secrets, and texts may name people."""

_SHOWN_SCHEMES = re.compile(
    r"(?i)a2s|amqp|bedrock|file|ftp|https?|mongodb|mysql|postgres(ql)?|quake|query|rediss?|sftp|ssh|tcp|tls|udp|unix|wss?"
)
"""URLs whose hosts are shown; those of apprise have tokens and passwords in place of hosts."""

LONGEST_LINE = 2000
"""Characters of a line that are shown, so that the patterns take milliseconds for any line."""

SHORTEST_SECRET = 6
"""Characters of a secret that is looked for in other texts; a shorter one would be found in ordinary words."""

_WORD = "passw|passphrase|secret|token|api_?key|access_?key|private|credential|webhook|session_?id|x-auth"
_SECRET_KEY = re.compile(rf"(?i){_WORD}|authorization|cookie|discord|apprise|^url$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,32})://([^\s\"'<>]*)")
_HOST = re.compile(r"(?i)(?:[^@]*@)?((?:\[[0-9a-f:.%]*\]|[\w.-]*)(?::\d*)?)")

_LETTERS = r"[\w.-]{0,64}"
_NAMED = rf"{_LETTERS}(?:{_WORD}){_LETTERS}"
_SHORT = rf"{_LETTERS}(?:pass|pwd|pw|key|sig|signature|auth|session)"
_TEXT = r"(?:\\?\"(?:[^\"\\]|\\.)*(?:\"|$)[^\s,;)\]}]*|'[^']*(?:'|$)[^\s,;)\]}]*|\S+)"
"""In quotes, of which the second may be missing, with what a shell adds to it; or one word."""

_HEADER = re.compile(rf"((?<![\w-])(?:-H|--header) *(?=[\"'])){_TEXT}")
_REST_OF_LINE = re.compile(
    r"(?im)(\b(?:authorization|cookie)\b[\"']?\s*[:=] *|"
    r"(?<![\w/.])/(?:login|l|register|reg|changepassword|changepass|cp|unregister) +).*"
)
"""Secrets of several words: headers, and what players type to log in."""

_AFTER_NAME = re.compile(
    rf"""(?ix)(
    \b(?:bearer|basic)\ +(?=[\w.~+/=-]{{6}})
    | {_NAMED}[\"']?\s*[=:]\s*
    | {_SHORT}=
    | (?<![\w-])--?{_NAMED}\s+(?!-)
    | \b(?:passw\w*|passphrase|secret|token)\ +(?:(?:is|was):?\ +|(?=[\"']))
    | (?<![\w-])-p\ +(?!\d+\b)
    | (?<![\w-])(?:-u|--user)\ *(?=[\w.-]+:\S)
    | \b(?:hooks\.slack\.com|ntfy\.sh|api\.telegram\.org|discord(?:app)?\.com/api)/
    ){_TEXT}"""
)
_OF_CLIENT = re.compile(r"(\b(?:mysql|mariadb|mcrcon|rcon|sshpass)[\w-]{0,16} (?:[^|;&]{0,200}\s)?-p *)\S+")
"""The password of programs that take it as `-p`, at once or as the next word."""

_PRIVATE_KEY = re.compile(r"(?s)(-----BEGIN [\w ]*PRIVATE KEY-----).*?(?=-----END|$)")
_TOKEN = re.compile(
    r"(?<![\w-])()(?:(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{24,}|eyJ[\w-]+\.[\w.-]+|"
    r"(?:gh[a-z]_|github_|glpat-|xox[a-z]-|sk-|AKIA|whsec_)[\w+/=-]{8,})"
)
"""Secrets without a name: long random words, and words with a well-known beginning."""

_OPTION_ALONE = re.compile(rf"(?i:--?{_NAMED}|--header|--session|--user)|-[pHu]")
"""A word of a command whose next word is a secret."""


def redacted_toml(table: Mapping[str, object]) -> str:
    """Return a configuration as TOML, without secrets and without the addresses of people."""
    return "\n".join(_lines("", table)).strip() + "\n"


def redacted_line(line: str, secrets: Collection[str] = ()) -> str:
    """Return a line of a log without what looks like a secret, and without addresses.

    :param secrets: texts that are left out wherever they are.
    """
    for secret in secrets:
        line = line.replace(secret, _MARK)
    if len(line) > LONGEST_LINE:
        line = f"{line[:LONGEST_LINE]}..."
    line = _URL.sub(_host_of_url, line)
    for pattern in (_PRIVATE_KEY, _HEADER, _REST_OF_LINE, _AFTER_NAME, _OF_CLIENT, _TOKEN):
        line = pattern.sub(rf"\1{_MARK}", line)
    return without_addresses(line).replace(_MARK, LEFT_OUT)


def secrets_of(table: Mapping[str, object], path: str = "", *, hidden: bool = False) -> Iterator[str]:
    """Yield the texts that a configuration's keys call secret, to leave them out of a log as well."""
    for key, value in table.items():
        if key in ("env", "file"):  # says where a secret is
            continue
        secret = hidden or _is_secret(path, key)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from secrets_of(each, f"{path}{key}.", hidden=secret)
            elif secret and isinstance(each, str) and len(each) >= SHORTEST_SECRET:
                yield each


def _is_secret(path: str, key: str) -> bool:
    return path != "servers." and _SECRET_KEY.search(key) is not None


def _host_of_url(match: re.Match[str]) -> str:
    """Return scheme and host; of a Unix socket or a file the path."""
    scheme, rest = match[1], match[2]
    authority, slash, path = re.fullmatch("([^/?#]*)([/?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    host = _HOST.fullmatch(authority)
    if not _SHOWN_SCHEMES.fullmatch(scheme) or host is None or ("@" in path and "@" not in authority):
        return f"{scheme}://{_MARK}"
    if not host[1]:
        return f"{scheme}://{re.split('[?#]', rest)[0].rpartition('@')[2]}"
    return f"{scheme}://{host[1]}{slash}{_MARK if path else ''}"


def _lines(path: str, table: Mapping[str, object]) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    for key, value in table.items():
        if key in tables or _is_list_of_tables(value):
            continue
        yield f"{_key(key)} = {_value(LEFT_OUT if _is_secret(path, key) else value)}"
    for key, inner in tables.items():
        name = f"{path}{_key(key)}"
        if not inner or not all(isinstance(each, Mapping) for each in inner.values()):
            yield from ("", f"[{name}]")
        if _is_secret(path, key) or (path != "servers." and key in SECRET_TABLES):
            yield from (f"{_key(each)} = {_value(LEFT_OUT)}" for each in inner)
        else:
            yield from _lines(f"{name}.", inner)
    for key, value in table.items():
        if isinstance(value, list) and _is_list_of_tables(value):
            for each in value:
                yield from ("", f"[[{path}{_key(key)}]]")
                yield from _lines(f"{path}{_key(key)}.", each)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case list():
            before = [None, *value]
            hidden = (isinstance(word, str) and _OPTION_ALONE.fullmatch(word) for word in before)
            shown = (_value(LEFT_OUT if hide else each) for each, hide in zip(value, hidden, strict=False))
            return f"[{', '.join(shown)}]"
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_value(LEFT_OUT)}' for key in value)} }}"
        case _:
            return quoted(redacted_line(str(value)))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else quoted(key)
