"""THE command line, for `zeroscale` and `twistd zeroscale` alike: words in, a validated configuration out.

Nothing here starts anything or knows a plugin; what is read is the file that `--config` names. argparse alone would
refuse `-a -Xmx4G` and `--idle-shutdown`; so plugin arguments are taken out and option names are normalised before it
sees the words.
"""

from __future__ import annotations

import argparse
import keyword
import logging
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from zeroscale.config import loader, model
from zeroscale.config.model import Config
from zeroscale.daemon.parser import CONFIG_FILE, DISCOVER, PLUGIN_ARGUMENT, build_parser
from zeroscale.errors import ConfigError

SHORT_FLAGS = "hid"
"""The one-letter options that take no value, and so may stand before another letter in one word (`-ia VALUE`)."""

BESIDE_A_FILE = frozenset(
    {"config", "discover", "info", "debug", "log_format", "log_addresses", "state_directory", "console", "relay"}
)
"""The options that may be given beside a configuration file, and win over it. All others are about one server."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the command line said.

    :ivar config: the proxy to run; all paths in it are absolute.
    :ivar log_level: the threshold of the log, as stdlib logging numbers it.
    :ivar console: what is typed on our standard input is for us and the server.
    :ivar config_file: the file that describes the proxy, absolute; None: the command line does.
    :ivar wins: what the command line says in the file's place: `state_directory`, `relay`, `log_format`,
        `log_addresses`.
    """

    config: Config
    log_level: int
    console: bool = False
    config_file: Path | None = None
    wins: Mapping[str, Any] = field(default_factory=dict)

    def read_again(self) -> Config:
        """What the configuration file says now; without one, what the command line said.

        :raises ConfigMistakes: the file has mistakes.
        """
        return self.config if self.config_file is None else _read(self.config_file, self.wins)


def parse(argv: Sequence[str], prog: str = "zeroscale", directory: Path | None = None) -> Invocation:
    """Reads a command line, and the configuration file that it names.

    :param argv: the words after the program's name.
    :param prog: the program's name in the help text.
    :param directory: what relative paths start from; None is the current directory.
    :raises ConfigMistakes: the file has mistakes; its lines name them.
    :raises ConfigError: the words make no sense; its text is one line.
    :raises SystemExit: `--help` or `--version` was asked for, and has been printed.
    """
    words, plugin_arguments = _take_plugin_arguments(argv)
    base = (directory or Path()).absolute()
    if _names(words, CONFIG_FILE):
        return _with_file(words, plugin_arguments, prog, base)
    if _names(words, DISCOVER):
        return _with_discovery(words, plugin_arguments, prog, base)
    args = build_parser(prog).parse_args(words)
    positional, keywords = _sort_plugin_arguments(plugin_arguments)
    server = model.ServerConfig(
        name=server_name(args.server_plugin, args.server_port),
        plugin=args.server_plugin,
        listen=(args.listen_port,),
        server_host=args.server_host,
        server_port=args.server_port,
        plugin_positional=positional,
        plugin_keywords=keywords,
        working_directory=base / args.working_directory if args.working_directory else None,
        default_directory=base,
        idle_shutdown=args.idle_shutdown,
        join=args.join,
        minimum_online_time=args.minimum_online_time,
        idle_action=args.idle_action,
        pause_stop_after=args.pause_stop_after,
        on_exit=args.on_exit,
        max_crashes=args.max_crashes,
        hold_limit=args.hold_limit,
        status_protocol=args.status_protocol,
        motd=args.motd,
        legacy_hold=args.legacy_hold,
        transfer_as_login=args.transfer_as_login,
        forwarding=args.forwarding,
        texts=_texts(args.text),
        wake_on=args.wake_on,
        wake_timeout=args.wake_timeout,
        waiting=args.waiting,
        ready=args.ready,
        health_check=tuple(args.health_check),
        wake_after=args.wake_after,
        start_timeout=args.start_timeout,
        stop_timeout=args.stop_timeout,
        kill_timeout=args.kill_timeout,
        proxy_protocol=model.ProxyProtocolConfig(
            accept_from=tuple(args.proxy_protocol_from), send=args.send_proxy_protocol
        ),
    )
    state_directory = args.state_directory or model.default_state_directory(os.environ, os.geteuid())
    proxy = model.Config(
        servers=(server,),
        state_directory=base / state_directory,
        relay=args.relay,
        log=model.LogConfig(format=args.log_format, addresses=args.log_addresses),
    )
    return Invocation(config=proxy, log_level=_log_level(args), console=args.console)


def _names(words: Sequence[str], option: str) -> bool:
    options = words[: words.index("--")] if "--" in words else words
    return any(word == option or word.startswith(f"{option}=") for word in options)


def _with_file(words: Sequence[str], plugin_arguments: Sequence[str], prog: str, base: Path) -> Invocation:
    parser = build_parser(prog, with_file=True)
    args = _without_servers(parser, words, plugin_arguments, CONFIG_FILE, "in the file that --config names")
    if not args.config:
        parser.error(f"argument {CONFIG_FILE}: the name of a file must follow")
    if args.discover:
        parser.error(f"with {CONFIG_FILE} the file says what is discovered: leave out {DISCOVER}")
    wins = {"relay": args.relay, "log_format": args.log_format, "log_addresses": args.log_addresses}
    if args.state_directory is not None:
        wins["state_directory"] = base / args.state_directory
    return _from_file(
        base / args.config,
        {name: value for name, value in wins.items() if value is not None},
        log_level=_log_level(args),
        console=bool(args.console),
    )


def _with_discovery(words: Sequence[str], plugin_arguments: Sequence[str], prog: str, base: Path) -> Invocation:
    parser = build_parser(prog, with_file=True)
    args = _without_servers(parser, words, plugin_arguments, DISCOVER, "in the labels of the servers")
    state_directory = args.state_directory or model.default_state_directory(os.environ, os.geteuid())
    log = {"format": args.log_format, "addresses": args.log_addresses}
    proxy = model.Config(
        servers=(),
        state_directory=base / state_directory,
        relay=args.relay or "auto",
        log=model.LogConfig(**{name: value for name, value in log.items() if value is not None}),
        discovery=model.DiscoveryConfig(docker="docker" in args.discover, kubernetes="kubernetes" in args.discover),
    )
    return Invocation(config=proxy, log_level=_log_level(args), console=bool(args.console))


def _without_servers(
    parser: argparse.ArgumentParser, words: Sequence[str], plugin_arguments: Sequence[str], option: str, where: str
) -> argparse.Namespace:
    """What a command line says that describes no server. What it does not say is None.

    :param option: why it may describe none.
    :param where: where servers are described then.
    """
    untold = argparse.Namespace(**dict.fromkeys(vars(parser.parse_args([]))))
    args, rest = parser.parse_known_args(words, untold)
    foreign = sorted({name for name, value in vars(args).items() if value is not None} - BESIDE_A_FILE)
    if plugin_arguments:
        foreign.append(PLUGIN_ARGUMENT[2:])
    rest = [word for word in rest if word != "--"]
    unknown = [word for word in rest if word.startswith("-")]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        parser.error(f"with {option} servers are described elsewhere: leave out {' '.join(rest)}")
    if foreign:
        options = ", ".join(f"--{name}" for name in foreign)
        raise ConfigError(f"{options}: say it {where}, as it is about one server")
    return args


def _log_level(args: argparse.Namespace) -> int:
    return logging.DEBUG if args.debug else logging.INFO if args.info else logging.WARNING


def server_name(plugin: str, server_port: int) -> str:
    """The name, on disk and in the log, of a server that the command line describes.

    A dotted path gives its last part; what is not a letter, digit, underscore or hyphen becomes a hyphen.
    """
    last = plugin.strip(".").rpartition(".")[2]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', last) or 'server'}-{server_port}"


def _take_plugin_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the words into those for argparse, with option names normalised, and the plugin's arguments.

    They do not go through argparse: it takes values that begin with a dash for options, and loses a `--`.
    """
    words: list[str] = []
    plugin_arguments: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words += [word, *rest]
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            name = "--" + name[2:].replace("-", "_")
            if name != PLUGIN_ARGUMENT:
                words.append(name + equals + value)
            else:
                plugin_arguments.append(value if equals else _value_after(rest))
        elif cluster := re.fullmatch(f"-([{SHORT_FLAGS}]*)a(.*)", word, re.DOTALL):
            flags, value = cluster.groups()
            if flags:
                words.append("-" + flags)
            plugin_arguments.append(value or _value_after(rest))
        else:
            words.append(word)
    return words, plugin_arguments


def _value_after(rest: Iterator[str]) -> str:
    for value in rest:
        return value
    raise ConfigError(f"argument {PLUGIN_ARGUMENT}/-a: a value must follow")


def _sort_plugin_arguments(arguments: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    positional: list[str] = []
    keywords: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name.isidentifier() or keyword.iskeyword(name):
            positional.append(argument)
        elif name in keywords:
            raise ConfigError(f"argument {PLUGIN_ARGUMENT}/-a: {name} is given twice")
        else:
            keywords[name] = value
    if len(positional) == 1 and len(positional[0].split()) > 1:
        try:
            positional = shlex.split(positional[0])
        except ValueError as error:
            raise ConfigError(f"argument {PLUGIN_ARGUMENT}/-a: {positional[0]!r}: {error}") from None
    return tuple(positional), keywords


def _texts(arguments: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name:
            raise ConfigError(f"argument --text: {argument!r} is not NAME=TEXT")
        texts[name] = text.replace("\\n", "\n")
    return texts


def _from_file(path: Path, wins: Mapping[str, Any], *, log_level: int, console: bool) -> Invocation:
    """The invocation that names a configuration file.

    :param path: the file; absolute.
    :param wins: see `Invocation`.
    :raises ConfigMistakes: the file has mistakes.
    """
    return Invocation(config=_read(path, wins), log_level=log_level, console=console, config_file=path, wins=dict(wins))


def _read(path: Path, wins: Mapping[str, Any]) -> Config:
    config = loader.read(path, os.environ, os.geteuid())
    changed = dict(wins)
    log = {name: changed.pop(f"log_{name}") for name in ("format", "addresses") if f"log_{name}" in changed}
    return msgspec.structs.replace(config, **changed, log=msgspec.structs.replace(config.log, **log))
