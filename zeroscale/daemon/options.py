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
from collections.abc import Iterator, Sequence
from pathlib import Path

from zeroscale.config import model as config
from zeroscale.daemon.invocation import Invocation, from_file
from zeroscale.daemon.parser import CONFIG_FILE, DISCOVER, PLUGIN_ARGUMENT, build_parser
from zeroscale.errors import ConfigError

SHORT_FLAGS = "hid"
"""The one-letter options that take no value, and so may stand before another letter in one word (`-ia VALUE`)."""

BESIDE_A_FILE = frozenset(
    {"config", "discover", "info", "debug", "log_format", "log_addresses", "state_directory", "console", "relay"}
)
"""The options that may be given beside a configuration file, and win over it. All others are about one server."""


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
    told = build_parser(prog).parse_args(words)
    positional, keywords = _sort_plugin_arguments(plugin_arguments)
    server = config.ServerConfig(
        name=server_name(told.server_plugin, told.server_port),
        plugin=told.server_plugin,
        listen=(told.listen_port,),
        server_host=told.server_host,
        server_port=told.server_port,
        plugin_positional=positional,
        plugin_keywords=keywords,
        working_directory=base / told.working_directory if told.working_directory else None,
        default_directory=base,
        idle_shutdown=told.idle_shutdown,
        join=told.join,
        minimum_online_time=told.minimum_online_time,
        idle_action=told.idle_action,
        pause_stop_after=told.pause_stop_after,
        on_exit=told.on_exit,
        max_crashes=told.max_crashes,
        hold_limit=told.hold_limit,
        status_protocol=told.status_protocol,
        motd=told.motd,
        legacy_hold=told.legacy_hold,
        transfer_as_login=told.transfer_as_login,
        forwarding=told.forwarding,
        texts=_texts(told.text),
        wake_on=told.wake_on,
        wake_timeout=told.wake_timeout,
        waiting=told.waiting,
        ready=told.ready,
        health_check=tuple(told.health_check),
        wake_after=told.wake_after,
        start_timeout=told.start_timeout,
        stop_timeout=told.stop_timeout,
        kill_timeout=told.kill_timeout,
        proxy_protocol=config.ProxyProtocolConfig(
            accept_from=tuple(told.proxy_protocol_from), send=told.send_proxy_protocol
        ),
    )
    state_directory = told.state_directory or config.default_state_directory(os.environ, os.geteuid())
    proxy = config.Config(
        servers=(server,),
        state_directory=base / state_directory,
        relay=told.relay,
        log=config.LogConfig(format=told.log_format, addresses=told.log_addresses),
    )
    return Invocation(config=proxy, log_level=_log_level(told), console=told.console)


def _names(words: Sequence[str], option: str) -> bool:
    options = words[: words.index("--")] if "--" in words else words
    return any(word == option or word.startswith(f"{option}=") for word in options)


def _with_file(words: Sequence[str], plugin_arguments: Sequence[str], prog: str, base: Path) -> Invocation:
    parser = build_parser(prog, with_file=True)
    told = _without_servers(parser, words, plugin_arguments, CONFIG_FILE, "in the file that --config names")
    if not told.config:
        parser.error(f"argument {CONFIG_FILE}: the name of a file must follow")
    if told.discover:
        parser.error(f"with {CONFIG_FILE} the file says what is discovered: leave out {DISCOVER}")
    wins = {"relay": told.relay, "log_format": told.log_format, "log_addresses": told.log_addresses}
    if told.state_directory is not None:
        wins["state_directory"] = base / told.state_directory
    return from_file(
        base / told.config,
        {name: value for name, value in wins.items() if value is not None},
        log_level=_log_level(told),
        console=bool(told.console),
    )


def _with_discovery(words: Sequence[str], plugin_arguments: Sequence[str], prog: str, base: Path) -> Invocation:
    parser = build_parser(prog, with_file=True)
    told = _without_servers(parser, words, plugin_arguments, DISCOVER, "in the labels of the servers")
    state_directory = told.state_directory or config.default_state_directory(os.environ, os.geteuid())
    log = {"format": told.log_format, "addresses": told.log_addresses}
    proxy = config.Config(
        servers=(),
        state_directory=base / state_directory,
        relay=told.relay or "auto",
        log=config.LogConfig(**{name: value for name, value in log.items() if value is not None}),
        discovery=config.DiscoveryConfig(docker="docker" in told.discover, kubernetes="kubernetes" in told.discover),
    )
    return Invocation(config=proxy, log_level=_log_level(told), console=bool(told.console))


def _without_servers(
    parser: argparse.ArgumentParser, words: Sequence[str], plugin_arguments: Sequence[str], option: str, where: str
) -> argparse.Namespace:
    """What a command line says that describes no server. What it does not say is None.

    :param option: why it may describe none.
    :param where: where servers are described then.
    """
    untold = argparse.Namespace(**dict.fromkeys(vars(parser.parse_args([]))))
    told, rest = parser.parse_known_args(words, untold)
    foreign = sorted({name for name, value in vars(told).items() if value is not None} - BESIDE_A_FILE)
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
    return told


def _log_level(told: argparse.Namespace) -> int:
    return logging.DEBUG if told.debug else logging.INFO if told.info else logging.WARNING


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
