"""The configuration file: TOML in, a `Config` out, or all of its mistakes in one go.

A file's keys are the fields of the structs in `config`; only what is spelled otherwise there stands here.
docs/configuration.md describes the file. What needs Twisted or a plugin to be judged is judged by `checking`.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import inspect

from zeroscale.config import conflicts, model
from zeroscale.config.messages import join, show
from zeroscale.config.model import Config
from zeroscale.config.reader import BAD, MOST_MISTAKES, Walk, fields_of
from zeroscale.errors import ConfigMistakes
from zeroscale.system.files import NAME

LARGEST_FILE = 1024 * 1024
"""Bytes; a hundred servers with all that can be message of them are a fifth of it."""

STAND_IN = {"name": "a", "plugin": "a", "listen": ("unix:/a",), "server_port": 1}
"""Of a server: what must be there, so that the rest of it can be judged."""

SPELLED = ("server", "plugin_arguments")
HIDDEN = ("name", "default_directory", "server_host", "server_port", "plugin_positional", "plugin_keywords")
JUDGED_FURTHER = ("plugin", "texts", "listen", "hosts", "server", "working_directory", "admission", "proxy_protocol")
"""By what servers are judged once they have been read, `plugin_arguments` too. One with a mistake in these would be
blamed for what it does not say."""

_SERVER = 'write server = "127.0.0.1:25575"'
_ARGUMENTS = "write them in its table plugin_arguments"
HINTS = {
    "name": "the name is that of the table, [servers.NAME]",
    "server_host": _SERVER,
    "server_port": _SERVER,
    "port": _SERVER,
    "listen_port": "write listen = 25565",
    "plugin_positional": _ARGUMENTS,
    "plugin_keywords": _ARGUMENTS,
    "plugin_argument": _ARGUMENTS,
    "command": f"{_ARGUMENTS}, as command = [...]",
    "text": "write it in its table texts",
}
"""What is message of keys of a server that one could expect."""

_WHAT_A_SERVER_IS = 'where the real server listens, such as "127.0.0.1:25575", "[::1]:25575", or a port'
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|(end of document))\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says.

    :ivar config: all of it, or of a file with mistakes what of it can be judged further; None: nothing.
    :ivar mistakes: what is wrong in it, one line each.
    """

    config: Config | None
    mistakes: tuple[str, ...]

    def whole(self) -> Config:
        """The configuration of a file without mistakes.

        :raises ConfigMistakes: it has some.
        """
        if self.config is None or self.mistakes:
            raise ConfigMistakes(self.mistakes)
        return self.config


def read(path: Path, environment: Mapping[str, str], user_id: int) -> Config:
    """Reads a file.

    :param environment: the process's own, for the default state directory and `{ env = ... }`.
    :param user_id: whose state directory is the default.
    :raises ConfigMistakes: what is wrong, each line with the file's path before it.
    """
    return look(path, environment, user_id).whole()


def look(path: Path, environment: Mapping[str, str], user_id: int) -> Reading:
    """Reads a file as far as that is possible; see `read`."""
    path = path.absolute()
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        return Reading(None, (f"cannot read {path}: {error.strerror}",))
    try:
        if len(content) > LARGEST_FILE:
            raise ConfigMistakes([f"is longer than {LARGEST_FILE} bytes: that is no configuration of ours"])
        reading = _reading(_decoded(content), path.parent, environment, user_id)
    except ConfigMistakes as error:
        reading = Reading(None, error.mistakes)
    return Reading(reading.config, tuple(f"{path}: {mistake}" for mistake in reading.mistakes))


def parse(text: str, directory: Path, environment: Mapping[str, str], user_id: int) -> Config:
    """Reads a file's text.

    :param directory: what relative paths in it start from; absolute.
    :raises ConfigMistakes: what is wrong.
    """
    return _reading(text, directory, environment, user_id).whole()


def parse_server(
    name: str, table: Mapping[str, object], directory: Path, environment: Mapping[str, str]
) -> model.ServerConfig:
    """One server that is described elsewhere, as if it stood in a file.

    :param directory: what relative paths in it start from; absolute.
    :raises ConfigMistakes: what is wrong.
    """
    walk = Walk(directory, environment)
    server = _server(walk, name, dict(table))
    if server is None or walk.mistakes:
        raise ConfigMistakes(_bounded(walk.mistakes))
    return server


def _reading(text: str, directory: Path, environment: Mapping[str, str], user_id: int) -> Reading:
    try:
        return _walked(_toml(text), directory, environment, user_id)
    except RecursionError:
        raise ConfigMistakes(["is nested too deeply"]) from None


def _walked(table: dict[str, Any], directory: Path, environment: Mapping[str, str], user_id: int) -> Reading:
    walk = Walk(directory, environment)
    values = walk.values(table, Config, "", spelled=("servers", "state_directory"), hidden=("servers",)) or {}
    if "state_directory" not in values:
        values["state_directory"] = model.default_state_directory(environment, user_id)
    discovery = values.get("discovery", model.DiscoveryConfig())
    others = discovery.docker or discovery.kubernetes
    servers = _servers(walk, table.get("servers", {}), needed=not others)
    whole = walk.made(Config, {**values, "servers": servers}, "")
    metrics = values.get("metrics", model.MetricsConfig())
    walk.mistakes.extend(conflicts.mistakes_between(servers, metrics.listen))
    return Reading(whole, tuple(_bounded(walk.mistakes)))


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # editors of other systems begin a file with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigMistakes([f"line {line}: is not UTF-8, which TOML is written in"]) from None


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX.fullmatch(str(error))
        if found is None:
            raise ConfigMistakes([f"is not TOML: {error}"]) from None
        message, line, column, _ = found.groups()
        where = f"line {line}, column {column}" if line else f"line {text.count(chr(10)) + 1}, at the end"
        message = " ".join(message.split())
        raise ConfigMistakes([f"{where}: {message[:1].lower()}{message[1:]}"]) from None
    except ValueError:  # Python reads no number of more than 4300 digits
        raise ConfigMistakes(["has a number with more digits than any value here can have"]) from None


def _bounded(mistakes: list[str]) -> list[str]:
    more = len(mistakes) - MOST_MISTAKES
    return [*mistakes[:MOST_MISTAKES], f"and {more} more mistakes"] if more > 0 else mistakes


def _servers(walk: Walk, tables: object, *, needed: bool) -> tuple[model.ServerConfig, ...]:
    """Those servers that can be judged further."""
    if not isinstance(tables, dict):
        walk.wrong("servers", tables, "a table; each server is a table of its own, [servers.NAME]")
        return ()
    if not tables and needed:
        walk.mistake("servers", "there is none; describe one in a table [servers.NAME]")
    found = [_server(walk, name, table) for name, table in tables.items()]
    return tuple(server for server in found if server is not None)


def _server(walk: Walk, name: str, table: object) -> model.ServerConfig | None:
    path = join("servers", name)
    if not isinstance(table, dict):
        near = "" if walk.mistakes else "; a server's keys stand below a line [servers.NAME]"
        walk.wrong(path, table, "a table", near)
        return None
    if NAME.fullmatch(name) is None:
        walk.mistake(
            path,
            f"{show(name)} cannot be a server's name, which becomes a directory's; use up to 100 letters, digits and "
            ". _ + @ -, beginning with a letter, a digit or _",
        )
        name = STAND_IN["name"]  # type: ignore[assignment]  # the stand-ins are of several types
    before = len(walk.mistakes)
    values = walk.values(table, model.ServerConfig, path, spelled=SPELLED, hidden=HIDDEN, hints=HINTS) or {}
    values["name"] = name
    values["default_directory"] = walk.base
    if "server" in table:
        values.update(_address(walk, table["server"], join(path, "server")))
    elif fields_of(model.ServerConfig)["server_port"].required:
        walk.mistake(join(path, "server"), f"is missing; it must be {_WHAT_A_SERVER_IS}")
    if "plugin_arguments" in table:
        values.update(_plugin_arguments(walk, table["plugin_arguments"], join(path, "plugin_arguments")))
    if clash := _clash(values):
        walk.mistake(join(path, "server"), clash)
        return None
    made = walk.made(model.ServerConfig, values, path, STAND_IN)
    further = tuple(join(path, key) for key in JUDGED_FURTHER)
    return None if any(mistake.startswith(further) for mistake in walk.mistakes[before:]) else made


def _address(walk: Walk, given: object, path: str) -> dict[str, Any]:
    """`server`: "host:port", a port alone, or both apart in brackets."""
    if isinstance(given, int) and not isinstance(given, bool):
        text: Any = show(given)
    else:
        text = walk.text(given, path, _WHAT_A_SERVER_IS)
        if text is BAD:
            return {}
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    near = ""
    if not colon and not text.isdecimal():
        near = "; its port is missing"
    elif ":" in host and not bracketed and re.fullmatch("[0-9A-Fa-f:.]+", host):
        near = f"; an IPv6 address is written in brackets, such as {show(f'[{host}]:{port}')}"
    elif re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= model.HIGHEST_PORT:
        host = host[1:-1] if bracketed else host
        if model.is_host(host):
            return {"server_host": host, "server_port": int(port)}
        if not colon:
            return {"server_port": int(port)}
        near = "; a host is an address, or a name of letters, digits, hyphens and dots"
    else:
        near = f"; a port is from 1 to {model.HIGHEST_PORT}"
    walk.wrong(path, given, _WHAT_A_SERVER_IS, near)
    return {}


def _plugin_arguments(walk: Walk, given: object, path: str) -> dict[str, Any]:
    """The constructor's values: `command` holds the positional ones, every other key is a keyword."""
    keywords = dict(given) if isinstance(given, dict) else given
    values: dict[str, Any] = {}
    if isinstance(keywords, dict) and "command" in keywords:
        command = walk.value(keywords.pop("command"), inspect.AnyType(), join(path, "command"))
        if command is not BAD:
            values["plugin_positional"] = _words(walk, command, join(path, "command"))
    arguments = walk.value(keywords, fields_of(model.ServerConfig)["plugin_keywords"].type, path)
    return values if arguments is BAD else {**values, "plugin_keywords": arguments}


def _words(walk: Walk, command: object, path: str) -> tuple[str, ...]:
    if isinstance(command, str):
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            walk.wrong(path, command, "a command that can be split into words", f": {str(error).lower()}")
            return ()
        if not words:
            walk.wrong(path, command, 'a command: a program and its arguments, such as ["./start.sh", "--nogui"]')
        return words
    if isinstance(command, list) and command:
        for index, word in enumerate(command):
            if not isinstance(word, str | int) or isinstance(word, bool):
                walk.wrong(f"{path}[{index}]", word, "text in quotes")
        return tuple(word if isinstance(word, str) else show(word) for word in command)
    walk.wrong(path, command, 'a command: a program and its arguments, such as ["./start.sh", "--nogui"]')
    return ()


def _clash(values: Mapping[str, Any]) -> str | None:
    """What a server cannot share with itself, in the file's words rather than the command line's."""
    port = values.get("server_port")
    host = values.get("server_host", "127.0.0.1")
    if port is None or str(port) not in values.get("listen", ()) or not model.is_loopback_name(host):
        return None
    return f"port {port} is what clients connect to, see listen; the real server needs a port of its own"
