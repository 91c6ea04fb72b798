"""The configuration file: TOML in, a `Config` out, or all of its mistakes at once.

docs/configuration.md describes the file. What needs Twisted or a plugin to be checked is checked by `proxy.preflight`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from zeroscale.config import conflicts, model
from zeroscale.config.messages import Mistake, Mistakes, join, show
from zeroscale.config.model import Config, ServerConfig
from zeroscale.config.reader import TableReader
from zeroscale.errors import ConfigError, ConfigMistakes
from zeroscale.system.files import NAME, read_configured

LARGEST_FILE = 1024 * 1024
"""Bytes; a hundred servers with every key written out are a fifth of it."""

MOST_MISTAKES = 100
"""The most lines of mistakes shown."""

_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|(end of document))\)", re.DOTALL)

_SERVER_HEADER = re.compile(r"\s*\[\[?\s*servers\s*\.")

HEADER_RULE = (
    "the NAME in [servers.NAME] has letters from A to Z, digits, _ and -, and no spaces; with . + or @ in it, it is "
    'written in quotes: [servers."my.server"]'
)


class ReadResult(Struct, frozen=True):
    """The content of a file.

    :ivar config: the configuration; of a file with mistakes the part that can be checked further.
    :ivar mistakes: the mistakes in it.
    :ivar secret_variables: the environment variables that it names by `{ env = ... }`.
    """

    config: Config
    mistakes: Mistakes
    secret_variables: Collection[str] = ()

    def valid(self) -> Config:
        """Return the configuration of a file without mistakes.

        :raises ConfigMistakes: it has some.
        """
        if self.mistakes:
            raise mistakes_error(self.mistakes)
        return self.config


def read(path: Path, environment: Mapping[str, str], user_id: int) -> Config:
    """Read a file.

    :param environment: the process's, for the default state directory and `{ env = ... }`.
    :param user_id: the user, for the default state directory.
    :raises ConfigMistakes: what is wrong, each line with the file's path before it.
    """
    return examine(path, environment, user_id).valid()


def examine(path: Path, environment: Mapping[str, str], user_id: int) -> ReadResult:
    """Read a file as far as that is possible; see `read`."""
    path = path.absolute()
    try:
        content = read_configured(path, LARGEST_FILE)
    except ConfigError as error:
        return ReadResult(empty(environment, user_id), Mistakes([Mistake("", str(error), environment=True)]))
    try:
        reading = _read(_decoded(content), path.parent, environment, user_id)
    except _NotRead as error:
        reading = ReadResult(empty(environment, user_id), Mistakes([Mistake("", str(error))]))
    return replace(reading, mistakes=Mistakes(in_file(mistake, path) for mistake in reading.mistakes))


def parse(text: str, directory: Path, environment: Mapping[str, str], user_id: int) -> Config:
    """Read a file's text.

    :param directory: what relative paths in it start from; absolute.
    :raises ConfigMistakes: what is wrong.
    """
    try:
        return _read(text, directory, environment, user_id).valid()
    except _NotRead as error:
        raise ConfigMistakes([str(error)]) from None


def parse_server(name: str, table: Mapping[str, object], directory: Path) -> ServerConfig:
    """Read one server that labels or annotations describe: a table as in the file, with plain texts for values.

    :param directory: what relative paths in it start from; absolute.
    :raises ConfigMistakes: what is wrong.
    """
    reader = TableReader(directory, {}, text=True)
    server = _server(reader, name, dict(table))
    if server is None or reader.mistakes:
        raise mistakes_error(reader.mistakes)
    return server


def empty(environment: Mapping[str, str], user_id: int) -> Config:
    """Return the configuration of no servers, with all defaults; see `read`."""
    return Config(servers=(), state_directory=model.default_state_directory(environment, user_id))


def bad_name(name: str) -> str:
    """Return the mistake of a name that `system.files.NAME` does not match."""
    return (
        f"{show(name)} cannot be a server's name, which becomes a directory's; use up to 100 letters, digits and "
        ". _ + @ -, beginning with a letter, a digit or _"
    )


def in_file(mistake: Mistake, file: Path) -> Mistake:
    """Return a mistake that is shown with its file."""
    return replace(mistake, where=f"{file}: {mistake.path}" if mistake.path else f"{file}")


def mistakes_error(mistakes: Iterable[Mistake]) -> ConfigMistakes:
    """Return the error of mistakes, of at most `MOST_MISTAKES` lines."""
    found = list(mistakes)
    lines = [str(mistake) for mistake in found[:MOST_MISTAKES]]
    if len(found) > MOST_MISTAKES:
        lines.append(f"and {len(found) - MOST_MISTAKES} more mistakes")
    return ConfigMistakes(lines, usage=not all(mistake.environment for mistake in found))


class _NotRead(Exception):
    """A file is not TOML; the text is the reason."""


def _read(text: str, directory: Path, environment: Mapping[str, str], user_id: int) -> ReadResult:
    try:
        return _read_table(_toml(text), directory, environment, user_id)
    except RecursionError:
        raise _NotRead("is nested too deeply") from None


def _read_table(table: dict[str, object], directory: Path, environment: Mapping[str, str], user_id: int) -> ReadResult:
    reader = TableReader(directory, environment)
    tables = table.pop("servers", {})
    values = reader.values(table, Config, "", provided=("servers", "state_directory")) or {}
    values.setdefault("state_directory", model.default_state_directory(environment, user_id))
    discovery = values.get("discovery")
    discovers = isinstance(discovery, model.DiscoveryConfig) and (discovery.docker or discovery.kubernetes)
    values["servers"] = _servers(reader, tables, needed=not discovers)
    notify = cast("tuple[model.NotifyConfig, ...]", values.get("notify", ()))
    values["notify"] = tuple(replace(each, directory=directory) for each in notify)
    config = reader.made(Config, values, "")
    is_bad = reader.mistakes.is_bad
    for mistake in conflicts.mistakes_between(
        config.servers, config.metrics.listen, is_bad, discovers=bool(config.discovery.enabled)
    ):
        reader.mistakes.add(mistake)
    return ReadResult(config, reader.mistakes, reader.secret_variables)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _NotRead(f"line {line}: is not UTF-8, which TOML is written in") from None


def _toml(text: str) -> dict[str, object]:
    import tomllib  # here, since a command line without a file does not need it

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX.fullmatch(str(error))
        if found is None:
            raise _NotRead(f"is not TOML: {error}") from None
        message, line, column, _ = found.groups()
        where = f"line {line}, column {column}" if line else f"line {text.count(chr(10)) + 1}, at the end"
        message = " ".join(message.split())
        message = f"{message[:1].lower()}{message[1:]}"
        if line and _SERVER_HEADER.match(text.split("\n")[int(line) - 1]) and not message.startswith("cannot"):
            message += f"; {HEADER_RULE}"
        raise _NotRead(f"{where}: {message}") from None
    except ValueError:  # Python reads no number of more than 4300 digits
        raise _NotRead("has a number with more digits than any value here can have") from None


def _servers(reader: TableReader, tables: object, *, needed: bool) -> tuple[ServerConfig, ...]:
    if not isinstance(tables, dict):
        reader.wrong("servers", tables, "a table; each server is a table of its own, [servers.NAME]")
        return ()
    if not tables and needed:
        reader.mistake("servers", "there is none; describe one in a table [servers.NAME]")
    found = [_server(reader, name, table) for name, table in tables.items()]
    return tuple(server for server in found if server is not None)


def _server(reader: TableReader, name: str, table: object) -> ServerConfig | None:
    path = join("servers", name)
    if not isinstance(table, dict):
        suggestion = "" if reader.mistakes else "; a server's keys stand below a line [servers.NAME]"
        reader.wrong(path, table, "a table", suggestion)
        return None
    good = NAME.fullmatch(name) is not None
    if not good:
        reader.mistake(path, bad_name(name))
    values = reader.values(table, ServerConfig, path) or {}
    server = reader.made(ServerConfig, {**values, "name": name, "default_directory": reader.base}, path)
    return server if good else None
