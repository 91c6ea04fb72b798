"""Parse the command line of `zeroscale` and `twistd zeroscale` into a configuration, or all of its mistakes at once.

Nothing here starts anything; the only file that is read is the one that `--config` names. argparse alone would refuse
`-a -Xmx4G` and underscores; so plugin arguments are removed and option names are normalised before it parses the words.
"""

from __future__ import annotations

import keyword
import logging
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field, inspect
from msgspec.structs import replace

from zeroscale.config import conflicts, loader, model
from zeroscale.config.keys import Key, all_keys, keys_of, struct_of
from zeroscale.config.messages import Mistake, Mistakes, join, show
from zeroscale.config.model import MOST_PORTS, NAME_TEXT, PORT_TEXT, Config, PortConfig, ServerConfig
from zeroscale.config.reader import BAD, TableReader
from zeroscale.daemon.parser import (
    CONFIG_FILE,
    DISCOVER,
    MISSING,
    NAME_OPTION,
    PLUGIN_ARGUMENT,
    Discoveries,
    Option,
    build_parser,
    options,
)
from zeroscale.errors import ConfigError, suggest
from zeroscale.system import environment
from zeroscale.system.files import NAME

T = TypeVar("T", bound=msgspec.Struct)

SHORT_FLAGS = "hid"
"""The one-letter options that take no value, and so may stand before another letter in one word (`-ia VALUE`)."""

LONGEST_ENDPOINT = 60
"""Characters of an endpoint string, from its end, that the name of a server has."""

POSITIONALS = ("server_plugin", "listen_port", "server_port")


class Invocation(Struct, frozen=True):
    """What a command line means.

    :ivar config: the proxy to run, with absolute paths; with mistakes, what can be checked further.
    :ivar log_level: the threshold of the log, as stdlib logging numbers it.
    :ivar console: whether lines on our standard input are commands.
    :ivar config_file: the file that describes the proxy, absolute; None: the command line does.
    :ivar overrides: values of the command line that count instead of the file's, by the fields of `Config`; those of a
        table are a mapping again.
    :ivar mistakes: what is wrong in the command line and in the file.
    """

    config: Config
    log_level: int
    console: bool = False
    config_file: Path | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    mistakes: Mistakes = field(default_factory=Mistakes)

    def valid(self) -> Config:
        """Return the configuration of a command line without mistakes.

        :raises ConfigMistakes: it has some.
        """
        if self.mistakes:
            raise loader.mistakes_error(self.mistakes)
        return self.config

    def read_again(self) -> Config:
        """Return the configuration of the file as it is now; without a file, that of the command line.

        :raises ConfigMistakes: the file has mistakes: these and those that only a plugin can find.
        """
        if self.config_file is None:
            return self.valid()
        reading = _read(self.config_file)
        config = _overridden(reading.config, self.overrides)
        if reading.mistakes:
            from zeroscale.proxy import service  # imports the global reactor

            service.check(config, file=self.config_file, known=reading.mistakes)
        return config


def _read(file: Path) -> loader.ReadResult:
    """Read a file. The variables that it takes secrets from are then no longer in the environment of children."""
    reading = loader.examine(file, environment.readable(), os.geteuid())
    environment.withhold(reading.secret_variables)
    return reading


def parse(argv: Sequence[str], prog: str = "zeroscale", directory: Path | None = None) -> Invocation:
    """Read a command line without mistakes; see `examine`.

    :raises ConfigMistakes: it has some, or its file has.
    """
    invocation = examine(argv, prog, directory)
    invocation.valid()
    return invocation


def examine(argv: Sequence[str], prog: str = "zeroscale", directory: Path | None = None) -> Invocation:
    """Read a command line and the configuration file that it names, as far as that is possible.

    :param argv: the words after the program's name.
    :param prog: the program's name in the help text.
    :param directory: what relative paths start from; None is the current directory.
    :raises ConfigError: the words make no sense at all; its text is one line.
    :raises SystemExit: `--help` or `--version` was asked for, and has been printed.
    """
    words = _CommandLine(argv, prog)
    try:
        base = (directory or Path()).absolute()
    except FileNotFoundError:
        raise ConfigError("the current directory has been removed: change to another one, and try again") from None
    return words.invocation(base)


class _CommandLine:
    """One command line while it is read."""

    def __init__(self, argv: Sequence[str], prog: str) -> None:
        self._base = Path()
        self._more = f"see '{prog} --help'"
        self._mistakes = Mistakes()
        self._port_texts: list[str] = []
        parser = build_parser(prog, for_help=False)
        self._flags = {name: action.nargs == 0 for action in parser._actions for name in action.option_strings}
        words, self._plugin_arguments, tail = self._split(argv)
        self._args, rest = parser.parse_known_args(words)
        self._positional = [*self._known(rest), *tail]
        self._given = [option for option in options() if getattr(self._args, option.dest) is not None]

    def invocation(self, base: Path) -> Invocation:
        """Return what it means.

        :param base: the absolute path that relative paths start from.
        """
        self._base = base
        args = self._args
        overrides = self._values([option for option in self._given if not option.is_about_server], "")
        file = None
        if args.config is not None:
            config, file = self._with_file()
            config = _overridden(config, overrides)
        else:
            config = self._without_file(overrides)
        level = logging.DEBUG if args.debug else logging.INFO if args.info else logging.WARNING
        return Invocation(config, level, args.console, file, overrides, self._mistakes)

    def _with_file(self) -> tuple[Config, Path | None]:
        self._refuse_servers(CONFIG_FILE, "in the file that --config names")
        if self._args.discover:
            self._mistake(f"with {CONFIG_FILE} the file's [discovery] applies: leave out {DISCOVER}")
        if self._args.config in (MISSING, ""):
            self._mistake(f"{CONFIG_FILE}: the name of a file must follow")
            return loader.empty(os.environ, os.geteuid()), None
        file = self._base / self._args.config
        reading = _read(file)
        for mistake in reading.mistakes:
            self._mistakes.add(mistake)
        return reading.config, file

    def _without_file(self, overrides: Mapping[str, object]) -> Config:
        default = model.default_state_directory(os.environ, os.geteuid())
        values: dict[str, object] = {"state_directory": default, **overrides, "servers": ()}
        if self._args.discover:
            self._refuse_servers(DISCOVER, "in the labels of the servers")
            kind = inspect.type_info(Discoveries)
            given = ["" if each == MISSING else each for each in self._args.discover]
            found = [self._value(each, kind, "discovery", DISCOVER) for each in given]
            values["discovery"] = {name: True for name in found if name is not BAD}
        else:
            server = self._server()
            values["servers"] = () if server is None else (server,)
            if server is not None and server.ports:
                self._compare_ports(server)
        return self._made(Config, values, "")

    def _refuse_servers(self, option: str, where: str) -> None:
        """Keep the mistake that the command line describes a server, which `option` excludes."""
        if self._positional:
            words = " ".join(self._positional)
            self._mistake(f"with {option} servers are described elsewhere: leave out {words}")
        foreign = [f"--{option.name}" for option in self._given if option.is_about_server]
        foreign += [NAME_OPTION] if self._args.name is not None else []
        foreign += [PLUGIN_ARGUMENT] if self._plugin_arguments else []
        if foreign:
            self._mistake(f"{', '.join(sorted(foreign))}: write it {where}, as it is about one server")

    def _server(self) -> ServerConfig | None:
        missing = POSITIONALS[len(self._positional) :]
        if more := self._positional[len(POSITIONALS) :]:
            self._mistake(f"unrecognized arguments: {' '.join(more)}; {self._more}")
        plugin, listen, port = [*self._positional, "", "", ""][: len(POSITIONALS)]
        name = self._server_name(plugin, listen)
        path = join("servers", name)
        values: dict[str, object] = {
            "name": name,
            "former_name": former_name(plugin, port),
            "plugin": plugin,
            "default_directory": self._base,
            "on_command_line": True,
        }
        if missing:
            text = f"the following arguments are required: {', '.join(missing)}; {self._more}"
            self._mistakes.add(Mistake(f"{path}.server", text, where=""))
        if "listen_port" not in missing:
            values["listen"] = self._value(
                [listen], keys_of(ServerConfig)["listen"].type, f"{path}.listen", "listen_port"
            )
        if "server_port" not in missing:
            values["server_port"] = self._value(port, inspect.type_info(model.Port), f"{path}.server", "server_port")
        values = {name: value for name, value in values.items() if value is not BAD}
        values |= self._values([option for option in self._given if option.is_about_server], path)
        positional, keywords, twice = _sort_plugin_arguments(self._plugin_arguments)
        for name in twice:
            self._mistake(f"{PLUGIN_ARGUMENT}/-a: {name} is given twice")
        try:
            values["plugin_positional"] = _split_single(positional)
        except ConfigError as error:
            self._mistakes.add(Mistake(f"{path}.plugin_arguments", str(error), where=""))
        values["plugin_keywords"] = keywords
        if "listen_port" in missing:
            return None
        return self._made(ServerConfig, values, path)

    def _compare_ports(self, server: ServerConfig) -> None:
        """Keep the mistakes that two ports of the server make together, in the words of the command line."""
        path = join("servers", server.name)

        def as_given(text: str) -> str:
            text = re.sub(
                rf"{re.escape(path)}\.ports\[([0-9]+)\](?:\.(\w+))?",
                lambda found: self._port_texts[int(found[1])] + (f": {found[2]}" if found[2] else ""),
                text,
            )
            return text.replace(f"{path}.listen", "listen_port").replace(path, "listen_port")

        for mistake in conflicts.mistakes_between([server], is_bad=self._mistakes.is_bad):
            self._mistakes.add(replace(mistake, where=as_given(mistake.path), text=as_given(mistake.text)))

    def _server_name(self, plugin: str, listen: str) -> str:
        name: str | None = self._args.name
        if name is None:
            return server_name(plugin, listen)
        if name == MISSING:
            self._mistake(f"{NAME_OPTION}: a value must follow")
        elif NAME.fullmatch(name) is None:
            self._mistake(f"{NAME_OPTION}: {loader.bad_name(name)}")
        else:
            return name
        return server_name(plugin, listen)

    # Values.

    def _values(self, given: Sequence[Option], path: str) -> dict[str, object]:
        """Return the values of options by their fields; those of a table are a mapping again."""
        values: dict[str, object] = {}
        for option in given:
            inner = values
            at = path
            for name in option.fields[:-1]:
                deeper = inner.setdefault(name, {})
                assert isinstance(deeper, dict)
                inner, at = deeper, join(at, name)
            text = getattr(self._args, option.dest)
            at = join(at, option.key.part_of or option.key.name)
            where = f"--{option.name}"
            if MISSING in (text if isinstance(text, list) else [text]):
                self._mistakes.add(Mistake(at, "a value must follow", where=where))
            elif option.key.metavar == PORT_TEXT:
                inner[option.fields[-1]] = self._ports(text, at, where)
            elif option.key.metavar == NAME_TEXT:
                inner[option.fields[-1]] = self._texts(text, at, where)
            else:
                value = self._value(text, option.key.type, at, where)
                if value is not BAD:
                    inner[option.fields[-1]] = value
        return values

    def _value(self, text: object, kind: inspect.Type, path: str, where: str) -> object:
        """Return a value, or BAD.

        :param where: how the option is called.
        """
        reader = TableReader(self._base, {}, text=True)
        value = reader.value(text, kind, path)
        for mistake in reader.mistakes:
            self._mistakes.add(replace(mistake, where=where))
        return value

    def _texts(self, given: Sequence[str], path: str, where: str) -> dict[str, str]:
        texts: dict[str, str] = {}
        for argument in given:
            name, equals, text = argument.partition("=")
            if equals and name:
                texts[name] = text.replace("\\n", "\n")
            else:
                self._mistakes.add(Mistake(path, f"{argument!r} is not NAME=TEXT", where=where))
        return texts

    def _ports(self, given: Sequence[str], path: str, where: str) -> tuple[PortConfig, ...]:
        """Return the further ports, without those that cannot be read."""
        if len(given) > MOST_PORTS:
            self._mistakes.add(Mistake(path, f"is given {len(given)} times; at most {MOST_PORTS} are possible", where))
            return ()
        from zeroscale.config.port_text import parse_port  # only where there is one

        ports: list[PortConfig] = []
        for text in given:
            at, shown = f"{path}[{len(ports)}]", f"{where} {show(text)}"
            reader = TableReader(self._base, {}, text=True)
            try:
                port = reader.struct(parse_port(text), PortConfig, at)
            except ValueError as error:
                self._mistakes.add(Mistake(at, f"{show(text)} {error}", where))
                continue
            for mistake in reader.mistakes:
                key = mistake.path.removeprefix(at).removeprefix(".")
                self._mistakes.add(replace(mistake, where=f"{shown}: {key}"))
            if port is not None:
                ports.append(port)
                self._port_texts.append(shown)
        return tuple(ports)

    def _made(self, struct: type[T], values: Mapping[str, object], path: str) -> T:
        """Return the struct of values, in which tables are mappings."""
        whole = dict(values)
        for key in all_keys(struct):
            inner = struct_of(key.type)
            inner_values = values.get(key.field.name)
            if inner is not None and isinstance(inner_values, Mapping):
                whole[key.field.name] = self._made(inner, inner_values, join(path, key.name))
        reader = TableReader(self._base, {}, text=True, name_of=_name_of, mistakes=self._mistakes)
        return reader.made(struct, whole, path)

    # Words.

    def _mistake(self, text: str) -> None:
        self._mistakes.add(Mistake("", text))

    def _split(self, argv: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Split the words into those for argparse, with option names normalised, the plugin's arguments, and the tail.

        Plugin arguments do not go through argparse: it takes values that begin with a dash for options, and loses a
        `--`. The tail is what stands behind a `--`.
        """
        words: list[str] = []
        plugin_arguments: list[str] = []
        rest = iter(argv)
        for word in rest:
            if word == "--":
                return words, plugin_arguments, list(rest)
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                name = "--" + name[2:].replace("_", "-")
                if name == PLUGIN_ARGUMENT:
                    plugin_arguments += [value] if equals else self._value_after(rest)
                elif equals and self._flags.get(name):
                    self._mistake(f"{name} takes no value: leave out ={value}")
                else:
                    words.append(name + equals + value)
            elif cluster := re.fullmatch(f"-([{SHORT_FLAGS}]*)a(.*)", word, re.DOTALL):
                flags, value = cluster.groups()
                if flags:
                    words.append("-" + flags)
                plugin_arguments += [value] if value else self._value_after(rest)
            else:
                words.append(word)
        return words, plugin_arguments, []

    def _value_after(self, rest: Iterator[str]) -> list[str]:
        for value in rest:
            return [value]
        self._mistake(f"{PLUGIN_ARGUMENT}/-a: a value must follow")
        return []

    def _suggestion(self, word: str) -> str:
        """Return a suggestion for an unknown option."""
        if not word.startswith("--"):
            return ""
        known = [name for name in self._flags if name.startswith("--")]
        aliases = {f"--{alias}": f"--{option.name}" for option in options() for alias in option.key.aliases}
        return suggest(word.partition("=")[0], known, aliases, show=str)

    def _known(self, rest: Sequence[str]) -> list[str]:
        """Return the positional words among those that argparse left over; keep a mistake for each unknown option.

        A word after an unknown option may be its value; it is taken for it where there are too many words otherwise.
        """
        positional: list[str] = []
        values: list[int] = []
        unknown: list[str] = []
        follows = False
        for word in rest:
            if word.startswith("-") and not re.fullmatch("-[0-9.]*", word):
                unknown.append(word)
                follows = "=" not in word
            else:
                if follows:
                    values.append(len(positional))
                positional.append(word)
                follows = False
        for option in unknown:
            self._mistake(f"unrecognized arguments: {option}; {self._suggestion(option) or self._more}")
        described_elsewhere = self._args.config is not None or self._args.discover
        too_many = len(positional) - (0 if described_elsewhere else len(POSITIONALS))
        left_out = set(values[-too_many:]) if too_many > 0 else set()
        return [word for index, word in enumerate(positional) if index not in left_out]


def _name_of(key: Key) -> str:
    """Return how a key is called on the command line."""
    names = {"plugin": "server_plugin", "listen": "listen_port", "server_port": "server_port"}
    return names.get(key.field.name) or f"--{key.option_name}"


def _overridden(config: T, values: Mapping[str, object]) -> T:
    """Return a struct with other values, in which tables are mappings."""
    changed = {
        name: _overridden(getattr(config, name), value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    return msgspec.structs.replace(config, **changed)


def server_name(plugin: str, listen: str) -> str:
    """Return the name, on disk and in the log, of a server that the command line describes: `minecraft-25565`.

    :param plugin: the plugin; of a dotted path, only the last part counts.
    :param listen: the port that it listens on, or the endpoint, of which all counts: other zeroscales may listen on the
        same port of other addresses.
    """
    where = re.sub("[^A-Za-z0-9._-]+", "-", listen)[-LONGEST_ENDPOINT:].strip("-")
    return f"{_plugin_name(plugin)}-{where}"


def former_name(plugin: str, server_port: str) -> str:
    """Return the name that earlier versions gave the same server, after the port of the real server."""
    return f"{_plugin_name(plugin)}-{server_port}"


def _plugin_name(plugin: str) -> str:
    """Return a plugin's name with a hyphen for each character that is not a letter, digit, underscore or hyphen."""
    last = plugin.strip(".").rpartition(".")[2]
    return re.sub("[^A-Za-z0-9_-]", "-", last) or "server"


def _sort_plugin_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Return the positional ones, the keywords with their values, and the keywords that are given twice."""
    positional: list[str] = []
    keywords: dict[str, str] = {}
    twice: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name.isidentifier() or keyword.iskeyword(name):
            positional.append(argument)
        elif name in keywords:
            twice.append(name)
        else:
            keywords[name] = value
    return positional, keywords, list(dict.fromkeys(twice))


def _split_single(positional: Sequence[str]) -> tuple[str, ...]:
    """Return positional arguments; a single one with blanks is split as a shell would."""
    if len(positional) == 1 and len(positional[0].split()) > 1:
        try:
            return tuple(shlex.split(positional[0]))
        except ValueError as error:
            raise ConfigError(f"{PLUGIN_ARGUMENT}/-a: {positional[0]!r}: {str(error).lower()}") from None
    return tuple(positional)
