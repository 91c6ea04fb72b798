"""Like `factory`, for servers that do not speak Minecraft: their conversations, probes and readiness checks.

Modules that only these servers need are imported where they are used: every proxy would need memory for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from twisted.internet.defer import Deferred

from zeroscale.config import triggers
from zeroscale.config.model import PortConfig, ServerConfig
from zeroscale.frontend.decision import JoinPolicy
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.interfaces import Logger
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.probes.base import ServerProbe
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.process.environment import ChildEnvironment
from zeroscale.protocols.conversation import Conversation
from zeroscale.protocols.proxy_protocol import local_header
from zeroscale.reactor import Reactor
from zeroscale.status import ServerSnapshot

if TYPE_CHECKING:
    from zeroscale.probes.tcp import ResponseCheck, TcpProbe
    from zeroscale.protocols.tcp import PageFor


HostKind = Literal["minecraft", "http", "tls"]
"""Where clients name the host that they want: in their handshake, in the Host field, or in the ClientHello (SNI)."""


def unused_fields(config: ServerConfig) -> Iterator[str]:
    """Return the configured fields that have no effect on a Minecraft server."""
    for name, default in (("wake_on", None), ("waiting", "auto"), ("ready", "connect"), ("health_path", None)):
        if getattr(config, name) != default:
            yield name


def fields_for_http(config: ServerConfig) -> Iterator[str]:
    """Return the configured fields that have an effect on HTTP servers only."""
    if config.waiting in PAGES:
        yield "waiting"
    if config.health_path is not None:
        yield "health_path"


def wake_trigger(wake_on: str | None, protocol: str) -> triggers.WakeTrigger:
    """Return what a client must send to wake the server.

    :param wake_on: as configured; None: that depends on the protocol.
    :param protocol: what clients of the port speak; see `config.model.PortProtocol`.
    """
    return triggers.parse_wake_on(wake_on or ("http" if protocol == "http" else "connect"))


def host_kind(wake_on: str | None, protocol: str) -> HostKind | None:
    """Return how clients of a TCP port name the host that they want; None: they do not.

    The parameters are those of `wake_trigger`.
    """
    if protocol == "minecraft":
        return "minecraft"
    kind = wake_trigger(wake_on, protocol).kind
    return kind if kind == "http" or kind == "tls" else None


PAGES: Mapping[str, PageFor] = {"page": "browsers", "page-only": "everyone"}
"""Which clients get the page at once, by the value of `waiting`."""


def conversation(
    port: PortConfig,
    protocol: str,
    policy: JoinPolicy,
    view: Callable[[], ServerSnapshot],
    now: Callable[[], float],
    page_note: Callable[[], str],
) -> Conversation:
    """Make the conversation of a new client of a port.

    :param protocol: what its clients speak.
    :param policy: how they are treated.
    :param view: returns the current state of the server.
    :param now: returns the time of the clock that the state's times are of.
    :param page_note: returns the last paragraph of the page that browsers get.
    """
    from zeroscale.frontend import http_page
    from zeroscale.protocols import sniffing
    from zeroscale.protocols.tcp import HttpConversation, TcpConversation

    trigger = wake_trigger(port.wake_on, protocol)
    match trigger.kind:
        case "connect":
            return TcpConversation()
        case "http":
            return HttpConversation(
                page=PAGES.get(policy.waiting, "nobody"),
                retry_after=lambda: http_page.try_again_in(view(), now(), wakes=policy.wakes),
                page_note=page_note,
                reloads=lambda: http_page.will_be_there(view(), wakes=policy.wakes),
                health_path=port.health_path,
            )
        case "data":
            return TcpConversation(sniffer=sniffing.any_byte)
        case "tls":
            return TcpConversation(sniffer=sniffing.tls)
        case "ssh":
            return TcpConversation(sniffer=sniffing.ssh)
        case "regex":
            assert trigger.pattern is not None
            return TcpConversation(sniffer=sniffing.matching_pattern(trigger.pattern))
        case "datagrams":
            raise ValueError("for UDP only")


def shared_conversation(
    kind: HostKind, choose: Callable[[str], Conversation | None], health_paths: Iterable[str]
) -> Conversation:
    """Make the conversation of a new client of a port that several servers share.

    :param kind: how their clients name the host that they want; HTTP or TLS.
    :param choose: makes the conversation with the server of a host, if there is one.
    :param health_paths: the paths of health checks of all these servers.
    """
    from zeroscale.protocols.virtual_hosts import HttpHostConversation, TlsHostConversation

    return HttpHostConversation(choose, health_paths) if kind == "http" else TlsHostConversation(choose)


def messages(config: ServerConfig, *, wakes: bool = True) -> Messages:
    """Make the texts for clients of protocols that can show one.

    :param wakes: they wake the server.
    :raises ConfigError: a text is invalid.
    """
    from zeroscale.frontend import http_page

    return Messages({**http_page.TEXTS, **config.texts}, wakes=wakes)


def probe(config: ServerConfig, reactor: Reactor, environment: ChildEnvironment) -> TcpProbe:
    """Make the probe of the server, according to `ready`.

    :param environment: the environment of a command that is the check.
    """
    from zeroscale.probes.tcp import BytesCheck, HttpStatusCheck, TcpProbe
    from zeroscale.protocols import http

    check: ResponseCheck | None = None
    command: Callable[[], Deferred[int]] | None = None
    match triggers.parse_ready(config.ready):
        case triggers.ExpectBytes(expected, request):
            check = BytesCheck(expected, request)
        case triggers.HttpCheck(path, statuses):
            request = http.get_request(config.server_host, config.server_port, path)
            check = HttpStatusCheck(request, http.parse_status, statuses)
        case triggers.ExecCheck(words):
            command = partial(run_ready_command, words, config, environment)
    return TcpProbe(
        reactor,
        config.server_host,
        config.server_port,
        check=check,
        command=command,
        header=probe_header(config),
    )


def run_ready_command(words: tuple[str, ...], config: ServerConfig, environment: ChildEnvironment) -> Deferred[int]:
    """Run the command of a check; fires with its exit code."""
    from zeroscale.probes import command

    return from_coroutine(command.run_ready_command(words, config.directory, environment))


def probe_header(config: ServerConfig) -> bytes:
    """Return the PROXY header that probes send to the server, which requires one on every connection; b"": none."""
    version = config.proxy_protocol.send
    return b"" if version is None else local_header(version)


def readiness(config: ServerConfig, reactor: Reactor, probe: ServerProbe, log: Logger) -> Readiness | LineReadiness:
    """Make the check that waits until a starting server is ready."""
    return Readiness(reactor, probe, log=log) if ready_line(config) is None else LineReadiness(reactor, probe, log=log)


def ready_line(config: ServerConfig) -> re.Pattern[str] | None:
    """Return the pattern of the output line that means ready; None: `ready` is another check."""
    check = triggers.parse_ready(config.ready)
    return re.compile(check.pattern) if isinstance(check, triggers.OutputLineCheck) else None
