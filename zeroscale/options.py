"""THE command line, for `zeroscale` and `twistd zeroscale` alike: words in, a validated configuration out.

Nothing here starts anything or knows a plugin; what is read is the file that `--config` names. argparse alone would
refuse `-a -Xmx4G` and `--idle-shutdown`; so plugin arguments are taken out and option names are normalised before it
sees the words.
"""

from __future__ import annotations

import argparse
import difflib
import keyword
import logging
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from zeroscale import config
from zeroscale.durations import seconds_of
from zeroscale.errors import ConfigError
from zeroscale.invocation import Invocation, from_file
from zeroscale.version import VERSION

PLUGIN_ARGUMENT = "--plugin_argument"
SHORT_FLAGS = "hid"
"""The one-letter options that take no value, and so may stand before another letter in one word (`-ia VALUE`)."""

CONFIG_FILE = "--config"
DISCOVER = "--discover"
BESIDE_A_FILE = frozenset(
    {"config", "discover", "info", "debug", "log_format", "log_addresses", "state_directory", "console", "relay"}
)
"""The options that may be given beside a configuration file, and win over it. All others are about one server."""

DESCRIPTION = "Let a server sleep until somebody joins it, and stop it when everybody has left."
EPILOG = """\
Each -a NAME=VALUE is a keyword of the plugin's constructor, any other value is
positional; a single positional value with spaces in it is split as a shell
would split it. Option names may be written with hyphens instead of underscores,
and seconds also as 15m, 1h30m or 500ms. Examples:

  zeroscale demo 25565 25575 --info
  zeroscale minecraft 25565 25575 -w /srv/survival -a memory=4G -t 900
  zeroscale generic 6379 6380 -a 'redis-server --port 6380'
  zeroscale --config /etc/zeroscale.toml --info
"""
USAGE = """\
%(prog)s [options] server_plugin listen_port server_port
       %(prog)s [options] --config FILE
       %(prog)s [options] --discover {docker,kubernetes}"""


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


def build_parser(prog: str, *, with_file: bool = False) -> argparse.ArgumentParser:
    """The parser behind `parse()`; its mistakes are raised as `ConfigError`.

    :param with_file: a file describes the servers: nothing on the command line may, and what it does not say is None.
    """
    parser = _Parser(
        prog=prog,
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if not with_file:
        _add_positionals(parser)
    seed = parser.add_argument_group("the server")
    seed.add_argument(
        "--idle_shutdown",
        "-t",
        type=_seconds,
        default=config.DEFAULT_IDLE_SHUTDOWN,
        metavar="SECONDS",
        help="stop the server when nobody has been on it for so long (default: %(default)g)",
    )
    seed.add_argument(
        "--working_directory", "-w", metavar="DIRECTORY", help="where the real server runs (default: here)"
    )
    seed.add_argument(
        PLUGIN_ARGUMENT,
        "-a",
        metavar="VALUE",
        help="a value for the plugin's constructor; may be given often; the next word is its value, whatever it is",
    )
    seed.add_argument(
        "--server_host", "-H", default="127.0.0.1", metavar="HOST", help="where it listens (default: %(default)s)"
    )
    seed.add_argument(
        "--start_timeout",
        type=_seconds,
        default=config.DEFAULT_START_TIMEOUT,
        metavar="SECONDS",
        help="how long a start may take without a sign of life (default: %(default)g)",
    )
    seed.add_argument(
        "--stop_timeout",
        type=_seconds,
        default=config.DEFAULT_STOP_TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for its own stop, and then again after SIGTERM (default: %(default)g)",
    )
    seed.add_argument(
        "--kill_timeout",
        type=_seconds,
        metavar="SECONDS",
        help="SIGKILL it when SIGTERM has gone unanswered for so long, which may lose data (default: never)",
    )

    seed.add_argument(
        "--max_crashes",
        type=_count,
        default=config.DEFAULT_MAX_CRASHES,
        metavar="N",
        help="after so many crashes in a row it stays down (default: %(default)s)",
    )
    seed.add_argument(
        "--minimum_online_time",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="keep it up for so long at least, once it is ready (default: %(default)g)",
    )
    seed.add_argument(
        "--idle_action",
        choices=("stop", "pause", "pause+stop"),
        default="stop",
        help="stop an idle server, freeze it, or freeze it first and stop it later (default: %(default)s)",
    )
    seed.add_argument(
        "--pause_stop_after",
        type=_seconds,
        default=config.DEFAULT_PAUSE_STOP_AFTER,
        metavar="SECONDS",
        help="how long pause+stop leaves it frozen (default: %(default)g)",
    )
    seed.add_argument(
        "--on_exit",
        choices=("stop", "leave"),
        default="stop",
        help="stop it when the proxy ends, or leave it for the next proxy to take over (default: %(default)s)",
    )

    players = parser.add_argument_group("players who join while it sleeps")
    players.add_argument(
        "--join",
        choices=("hold", "kick"),
        default="hold",
        help="let them wait in the login screen, or tell them to come again (default: %(default)s)",
    )
    players.add_argument(
        "--hold_limit", type=_seconds, metavar="SECONDS", help="how long they wait at most (default: START_TIMEOUT)"
    )
    players.add_argument(
        "--wake_after",
        choices=("login", "answer"),
        default="login",
        help="wake at the login, or once the client has answered a question of ours (default: %(default)s)",
    )

    players.add_argument(
        "--status_protocol",
        choices=("client", "mirror"),
        default="client",
        help="asleep, show each client its own version as the server's, or the real server's last one "
        "(default: %(default)s)",
    )
    players.add_argument(
        "--motd",
        choices=("beside", "replace"),
        default="beside",
        help="show our text beside the real server's MOTD, or in its place (default: %(default)s)",
    )
    players.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="what players read, such as sleeping='&3Asleep'; may be given often; README.md lists the names",
    )
    players.add_argument(
        "--legacy_hold",
        action="store_true",
        help="hold clients of 1.7 to 1.12 beyond their own 20 or 30 s, with empty frames",
    )
    players.add_argument(
        "--transfer_as_login",
        action="store_true",
        help="let the real server take players whom another server has transferred here for ordinary ones",
    )
    players.add_argument(
        "--forwarding", action="store_true", help="accept the long handshakes of BungeeCord's IP forwarding"
    )

    others = parser.add_argument_group("servers that do not speak Minecraft (docs/generic.md)")
    others.add_argument(
        "--wake_on",
        default="connect",
        metavar="SIGN",
        help="what a client must show: connect (nothing), data, tls, http, ssh or regex:PATTERN (default: %(default)s)",
    )
    others.add_argument(
        "--wake_timeout",
        type=_seconds,
        default=config.DEFAULT_WAKE_TIMEOUT,
        metavar="SECONDS",
        help="how long it has to show it, before it is closed and nothing woken (default: %(default)g)",
    )
    others.add_argument(
        "--waiting",
        choices=("auto", "hold", "answer", "page"),
        default="auto",
        help="hold a client, answer it with what the plugin says and close, or send a browser a page that reloads "
        "itself; auto: answer where the plugin says something, else hold (default: %(default)s)",
    )
    others.add_argument(
        "--ready",
        default="connect",
        metavar="SIGN",
        help="how it is seen to be ready: connect, bytes:EXPECTED, http:/PATH, command:COMMAND or line:PATTERN "
        "(default: %(default)s)",
    )
    others.add_argument(
        "--health_check",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address or network that only looks whether we listen: accepted, closed, and nothing woken; "
        "may be given often",
    )

    addresses = parser.add_argument_group("other proxies before or behind this one (docs/proxy_protocol.md)")
    addresses.add_argument(
        "--proxy_protocol_from",
        action="append",
        default=[],
        metavar="NETWORK",
        help="an address or network that has to send PROXY headers and is believed; may be given often",
    )
    addresses.add_argument(
        "--send_proxy_protocol",
        choices=("v1", "v2"),
        help="send the real server PROXY headers of this version (default: none)",
    )

    ours = parser.add_argument_group("the proxy")
    ours.add_argument(
        CONFIG_FILE, metavar="FILE", help="a file that describes the servers, in place of all that is about one server"
    )
    ours.add_argument(
        DISCOVER,
        action="append",
        choices=("docker", "kubernetes"),
        help="serve what describes itself, by labels of containers or annotations of StatefulSets and Deployments",
    )
    ours.add_argument("--info", "-i", action="store_true", help="log what happens")
    ours.add_argument("--debug", "-d", action="store_true", help="log everything (default: warnings and errors)")
    ours.add_argument(
        "--log_format",
        choices=("text", "json"),
        default="text",
        help="the log's lines as text, or as JSON objects (default: %(default)s)",
    )
    ours.add_argument(
        "--log_addresses",
        type=_yes_or_no,
        default=True,
        metavar="yes|no",
        help="whether IP addresses are in the log (default: yes)",
    )
    ours.add_argument(
        "--state_directory",
        metavar="DIRECTORY",
        help="what must outlive the proxy is kept here (default: /var/lib/zeroscale as root, "
        "else ~/.local/state/zeroscale)",
    )
    ours.add_argument(
        "--console",
        action="store_true",
        help="'stop' typed here ends the proxy, every other line goes to the server's console",
    )
    ours.add_argument(
        "--relay",
        choices=("auto", "splice", "transport"),
        default="auto",
        help="which relay moves the bytes; there is no need to choose but in tests (default: %(default)s)",
    )
    ours.add_argument("--version", action="version", version=f"zeroscale {VERSION}")
    return parser


def _add_positionals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "server_plugin",
        help="the kind of server: minecraft, generic, demo, docker, kubernetes, systemd_unit, command, wake_on_lan, "
        "or a plugin's dotted path",
    )
    parser.add_argument(
        "listen_port", type=_listen, help="the port that clients connect to, or a Twisted endpoint string"
    )
    parser.add_argument("server_port", type=_port, help="the port that the real server listens on")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}{self._near_miss(message)}; '{self.prog} --help' tells more")

    def _near_miss(self, message: str) -> str:
        """What was meant by an option that there is not."""
        unknown = re.fullmatch("unrecognized arguments: (--[^ =]+).*", message, re.DOTALL)
        if unknown is None:
            return ""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        begun = [option for option in options if option.startswith(unknown[1])]
        near = begun or difflib.get_close_matches(unknown[1], options, n=1)
        return f"; did you mean {' or '.join(near)}?" if near else ""


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


def _listen(text: str) -> str:
    if re.fullmatch("[0-9]+", text) or ":" in text:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor an endpoint string such as 'tcp:25565'")


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to {config.HIGHEST_PORT}")


def _yes_or_no(text: str) -> bool:
    if text in ("yes", "no"):
        return text == "yes"
    raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")


def _count(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")


def _seconds(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
