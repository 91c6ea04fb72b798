"""The argument parser of the command line: each option's name, value, default and help.

Options for configuration keys come from the keys' metadata in `config.model`; only those that are no keys are declared
here. Values are taken as texts, which `daemon.options` converts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Literal, NoReturn

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from zeroscale.build_info import PrintVersion
from zeroscale.config.keys import Key, all_keys, keys_of, struct_of
from zeroscale.config.model import PLAYERS, PROXIES, PROXY, SERVER, TCP, UDP, Config, ServerConfig
from zeroscale.errors import ConfigError

PLUGIN_ARGUMENT = "--plugin-argument"
"""Declared for the help only: `options` removes it from the words before argparse parses them."""

CONFIG_FILE = "--config"
DISCOVER = "--discover"
"""With either of them, servers are described elsewhere."""

NAME_OPTION = "--name"
"""Only the server of a command line can be called by it; a file has names of its own."""

MISSING = "\0missing"
"""The value of an option without one; no word of a command line can be this."""

Discoveries = Literal["docker", "kubernetes"]

METAVARS = {"duration": "DURATION", "network": "NETWORK"}

DESCRIPTION = "Start a server when a player joins, and stop it when the last one has left."
EPILOG = """\
DURATION is a number of seconds, or such as 15m, 1h30m or 500ms. Options may be
written with underscores as well.

Each -a NAME=VALUE is a keyword of the plugin's constructor, any other value is
positional; a single positional value with spaces in it is split as a shell
would split it. Examples:

  zeroscale demo 25565 25575 --info
  zeroscale minecraft 25565 25575 -w /srv/survival -a memory=4G -t 15m
  zeroscale generic 6379 6380 -a 'redis-server --port 6380'
  zeroscale minecraft 25565 25575 --port 8123=8100,protocol=http
  zeroscale --config /etc/zeroscale.toml --info
"""
USAGE = """\
%(prog)s [options] server_plugin listen_port server_port
       %(prog)s [options] --config FILE
       %(prog)s [options] --discover {docker,kubernetes}"""


class Option(Struct, frozen=True):
    """An option for a configuration key.

    :ivar key: the key.
    :ivar fields: the fields that lead to it, from `Config` or `ServerConfig` on.
    :ivar is_about_server: whether it starts at `ServerConfig`, and a configuration file has it for each server.
    """

    key: Key
    fields: tuple[str, ...]
    is_about_server: bool

    @property
    def name(self) -> str:
        """The option as it is documented, without the dashes before it."""
        return self.key.option_name

    @property
    def dest(self) -> str:
        """The name of its value in argparse's namespace."""
        return self.name.replace("-", "_")

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self.key.field.default is False

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given several times."""
        is_several = isinstance(_plain(self.key.type), inspect.VarTupleType | inspect.DictType)
        return is_several and _kind_name(self.key.type) != "command"

    @property
    def metavar(self) -> str:
        """The word for its value in `--help`."""
        if self.key.metavar:
            return self.key.metavar
        kind = _plain(self.key.type)
        if isinstance(kind, inspect.LiteralType):
            return "{" + ",".join(str(value) for value in kind.values) + "}"
        if isinstance(kind, inspect.BoolType):
            return "{yes,no}"
        if isinstance(kind, inspect.IntType):
            return "N"
        return METAVARS.get(_kind_name(self.key.type), "DIRECTORY")

    @property
    def default(self) -> str:
        """Its default in words; "" where there is none."""
        return default_of(self.key) if not self.is_flag else "off"


def default_of(key: Key) -> str:
    """Return a key's default in words, as a command line has it."""
    default = key.field.default
    if key.default:
        return key.default
    match default:
        case bool():
            return "yes" if default else "no"
        case int() | float():
            return f"{default:g}"
        case str():
            return default
        case (str() as only,):
            return only
    return "" if default is NODEFAULT or isinstance(default, msgspec.Struct) else "none"


def options() -> tuple[Option, ...]:
    """Return all options for configuration keys."""
    return (*_options(ServerConfig, (), True), *_options(Config, (), False))


def _options(struct: type[msgspec.Struct], fields: tuple[str, ...], is_about_server: bool) -> Iterator[Option]:
    for key in all_keys(struct):
        deeper = (*fields, key.field.name)
        inner = struct_of(key.type)
        if key.group:
            yield Option(key, deeper, is_about_server)
        elif inner is not None:
            yield from _options(inner, deeper, is_about_server)


def build_parser(prog: str, *, for_help: bool = True) -> argparse.ArgumentParser:
    """Return a parser that raises each mistake as a `ConfigError` of one line in `parse_known_args()`.

    What is not given is None, an option without its value is `MISSING`, and every value is a text.

    :param prog: the program's name in the help text.
    :param for_help: whether it has the positional words; with them, argparse reports only one mistake at once.
    """
    parser = _Parser(
        prog=prog,
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=for_help,
    )
    if for_help:
        parser.add_argument("server_plugin", help=_plain_text(keys_of(ServerConfig)["plugin"].help))
        parser.add_argument("listen_port", help=_plain_text(keys_of(ServerConfig)["listen"].help))
        parser.add_argument("server_port", help="port that the real server listens on")
    value: dict[str, Any] = {} if for_help else {"nargs": "?", "const": MISSING}
    groups = {title: parser.add_argument_group(title) for title in (SERVER, PLAYERS, TCP, UDP, PROXIES, PROXY)}
    groups[SERVER].add_argument(
        PLUGIN_ARGUMENT,
        "-a",
        metavar="VALUE",
        help="value for the plugin's constructor; may be given several times; the next word is its value, whatever it "
        "is",
    )
    groups[SERVER].add_argument(
        NAME_OPTION,
        metavar="NAME",
        **value,
        help="what it is called in the log, by zeroscalectl and in the state directory (default: PLUGIN-LISTENPORT)",
    )
    _add_the_proxy(groups[PROXY], value)
    if not for_help:  # of a parser's own -h argparse checks the text, for which it imports shutil and three compressors
        groups[PROXY].add_argument("-h", "--help", action="help")
    for option in options():
        names = [f"--{option.name}", *([f"-{option.key.short}"] if option.key.short else [])]
        if option.is_flag:
            kind: dict[str, Any] = {"action": "store_const", "const": "yes"}
        else:
            kind = {"metavar": option.metavar, **value}
            if option.is_repeatable:
                kind["action"] = "append"
        groups[option.key.group].add_argument(*names, dest=option.dest, help=_help(option), **kind)
    return parser


def _add_the_proxy(group: argparse._ArgumentGroup, value: dict[str, Any]) -> None:
    """Add the options that are no configuration keys."""
    group.add_argument(
        CONFIG_FILE,
        metavar="FILE",
        **value,
        help="file that describes the servers, in place of all options about one server (docs/configuration.md)",
    )
    group.add_argument(
        DISCOVER,
        action="append",
        metavar="{docker,kubernetes}",
        **value,
        help="serve only what describes itself, by labels of containers or annotations of StatefulSets and Deployments",
    )
    group.add_argument("--info", "-i", action="store_true", help="log what happens")
    group.add_argument("--debug", "-d", action="store_true", help="log everything (default: warnings and errors)")
    group.add_argument(
        "--console",
        action="store_true",
        help="'stop' typed here ends the proxy, every other line goes to the server's console",
    )
    group.add_argument("--version", action=PrintVersion)


def _help(option: Option) -> str:
    text = _plain_text(option.key.help)
    if option.is_repeatable:
        text += "; may be given several times"
    elif option.default and not option.is_flag:
        text += f" (default: {option.default})"
    return text.replace("%", "%%")


def _plain_text(text: str) -> str:
    return text.replace("`", "")


def _plain(kind: inspect.Type) -> inspect.Type:
    """Return a type without its metadata and without None."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next(_plain(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind


def _kind_name(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return (kind.extra or {}).get("kind") or _kind_name(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next(_kind_name(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    return _kind_name(kind.item_type) if isinstance(kind, inspect.VarTupleType) else ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see '{self.prog} --help'")

    def format_help(self) -> str:
        """Return the help text, which has the positional words whether they are parsed here or not."""
        if any(not action.option_strings for action in self._actions):
            return super().format_help()
        return build_parser(self.prog).format_help()
