"""Which words the command line has: every option by its name, what it takes, its default, and its help.

What they mean together, and what becomes of them, is `options`'s.
"""

from __future__ import annotations

import argparse
import difflib
import re
from typing import NoReturn

from zeroscale.config import model
from zeroscale.config.durations import seconds_of
from zeroscale.errors import ConfigError
from zeroscale.version import VERSION

PLUGIN_ARGUMENT = "--plugin_argument"
"""It is here for the help alone: `options` takes it out of the words before argparse sees them."""

CONFIG_FILE = "--config"
DISCOVER = "--discover"
"""With either of them, servers are described elsewhere."""

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


def build_parser(prog: str, *, with_file: bool = False) -> argparse.ArgumentParser:
    """A parser, whose `parse_args()` raises mistakes as `ConfigError`: one line that names the option.

    :param prog: the program's name in the help text.
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
    _add_the_server(parser)
    _add_the_players(parser)
    _add_other_protocols(parser)
    _add_other_proxies(parser)
    _add_the_proxy(parser)
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


def _add_the_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the server")
    group.add_argument(
        "--idle_shutdown",
        "-t",
        type=_seconds,
        default=model.DEFAULT_IDLE_SHUTDOWN,
        metavar="SECONDS",
        help="stop the server when nobody has been on it for so long (default: %(default)g)",
    )
    group.add_argument(
        "--working_directory", "-w", metavar="DIRECTORY", help="where the real server runs (default: here)"
    )
    group.add_argument(
        PLUGIN_ARGUMENT,
        "-a",
        metavar="VALUE",
        help="a value for the plugin's constructor; may be given often; the next word is its value, whatever it is",
    )
    group.add_argument(
        "--server_host", "-H", default="127.0.0.1", metavar="HOST", help="where it listens (default: %(default)s)"
    )
    group.add_argument(
        "--start_timeout",
        type=_seconds,
        default=model.DEFAULT_START_TIMEOUT,
        metavar="SECONDS",
        help="how long a start may take without a sign of life (default: %(default)g)",
    )
    group.add_argument(
        "--stop_timeout",
        type=_seconds,
        default=model.DEFAULT_STOP_TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for its own stop, and then again after SIGTERM (default: %(default)g)",
    )
    group.add_argument(
        "--kill_timeout",
        type=_seconds,
        metavar="SECONDS",
        help="SIGKILL it when SIGTERM has gone unanswered for so long, which may lose data (default: never)",
    )
    group.add_argument(
        "--max_crashes",
        type=_count,
        default=model.DEFAULT_MAX_CRASHES,
        metavar="N",
        help="after so many crashes in a row it stays down (default: %(default)s)",
    )
    group.add_argument(
        "--minimum_online_time",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="keep it up for so long at least, once it is ready (default: %(default)g)",
    )
    group.add_argument(
        "--idle_action",
        choices=("stop", "pause", "pause+stop"),
        default="stop",
        help="stop an idle server, freeze it, or freeze it first and stop it later (default: %(default)s)",
    )
    group.add_argument(
        "--pause_stop_after",
        type=_seconds,
        default=model.DEFAULT_PAUSE_STOP_AFTER,
        metavar="SECONDS",
        help="how long pause+stop leaves it frozen (default: %(default)g)",
    )
    group.add_argument(
        "--on_exit",
        choices=("stop", "leave"),
        default="stop",
        help="stop it when the proxy ends, or leave it for the next proxy to take over (default: %(default)s)",
    )


def _add_the_players(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("players who join while it sleeps")
    group.add_argument(
        "--join",
        choices=("hold", "kick"),
        default="hold",
        help="let them wait in the login screen, or tell them to come again (default: %(default)s)",
    )
    group.add_argument(
        "--hold_limit", type=_seconds, metavar="SECONDS", help="how long they wait at most (default: START_TIMEOUT)"
    )
    group.add_argument(
        "--wake_after",
        choices=("login", "answer"),
        default="login",
        help="wake at the login, or once the client has answered a question of ours (default: %(default)s)",
    )
    group.add_argument(
        "--status_protocol",
        choices=("client", "mirror"),
        default="client",
        help="asleep, show each client its own version as the server's, or the real server's last one "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--motd",
        choices=("beside", "replace"),
        default="beside",
        help="show our text beside the real server's MOTD, or in its place (default: %(default)s)",
    )
    group.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="what players read, such as sleeping='&3Asleep'; may be given often; README.md lists the names",
    )
    group.add_argument(
        "--legacy_hold",
        action="store_true",
        help="hold clients of 1.7 to 1.12 beyond their own 20 or 30 s, with empty frames",
    )
    group.add_argument(
        "--transfer_as_login",
        action="store_true",
        help="let the real server take players whom another server has transferred here for ordinary ones",
    )
    group.add_argument(
        "--forwarding", action="store_true", help="accept the long handshakes of BungeeCord's IP forwarding"
    )


def _add_other_protocols(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("servers that do not speak Minecraft (docs/generic.md)")
    group.add_argument(
        "--wake_on",
        default="connect",
        metavar="SIGN",
        help="what a client must show: connect (nothing), data, tls, http, ssh or regex:PATTERN (default: %(default)s)",
    )
    group.add_argument(
        "--wake_timeout",
        type=_seconds,
        default=model.DEFAULT_WAKE_TIMEOUT,
        metavar="SECONDS",
        help="how long it has to show it, before it is closed and nothing woken (default: %(default)g)",
    )
    group.add_argument(
        "--waiting",
        choices=("auto", "hold", "answer", "page"),
        default="auto",
        help="hold a client, answer it with what the plugin says and close, or send a browser a page that reloads "
        "itself; auto: answer where the plugin says something, else hold (default: %(default)s)",
    )
    group.add_argument(
        "--ready",
        default="connect",
        metavar="SIGN",
        help="how it is seen to be ready: connect, bytes:EXPECTED, http:/PATH, command:COMMAND or line:PATTERN "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--health_check",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address or network that only looks whether we listen: accepted, closed, and nothing woken; "
        "may be given often",
    )


def _add_other_proxies(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other proxies before or behind this one (docs/proxy_protocol.md)")
    group.add_argument(
        "--proxy_protocol_from",
        action="append",
        default=[],
        metavar="NETWORK",
        help="an address or network that has to send PROXY headers and is believed; may be given often",
    )
    group.add_argument(
        "--send_proxy_protocol",
        choices=("v1", "v2"),
        help="send the real server PROXY headers of this version (default: none)",
    )


def _add_the_proxy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the proxy")
    group.add_argument(
        CONFIG_FILE, metavar="FILE", help="a file that describes the servers, in place of all that is about one server"
    )
    group.add_argument(
        DISCOVER,
        action="append",
        choices=("docker", "kubernetes"),
        help="serve what describes itself, by labels of containers or annotations of StatefulSets and Deployments",
    )
    group.add_argument("--info", "-i", action="store_true", help="log what happens")
    group.add_argument("--debug", "-d", action="store_true", help="log everything (default: warnings and errors)")
    group.add_argument(
        "--log_format",
        choices=("text", "json"),
        default="text",
        help="the log's lines as text, or as JSON objects (default: %(default)s)",
    )
    group.add_argument(
        "--log_addresses",
        type=_yes_or_no,
        default=True,
        metavar="yes|no",
        help="whether IP addresses are in the log (default: yes)",
    )
    group.add_argument(
        "--state_directory",
        metavar="DIRECTORY",
        help="what must outlive the proxy is kept here (default: /var/lib/zeroscale as root, "
        "else ~/.local/state/zeroscale)",
    )
    group.add_argument(
        "--console",
        action="store_true",
        help="'stop' typed here ends the proxy, every other line goes to the server's console",
    )
    group.add_argument(
        "--relay",
        choices=("auto", "splice", "transport"),
        default="auto",
        help="which relay moves the bytes; there is no need to choose but in tests (default: %(default)s)",
    )
    group.add_argument("--version", action="version", version=f"zeroscale {VERSION}")


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


def _listen(text: str) -> str:
    if re.fullmatch("[0-9]+", text) or ":" in text:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither a port nor an endpoint string such as 'tcp:25565'")


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to {model.HIGHEST_PORT}")


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
