"""A server whose protocol we do not speak, as its configuration has it: how its clients are known, how it is asked.

Puts the parts together, for `service`; each of them knows only what it is handed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from zeroscale.config import triggers
from zeroscale.config.model import ServerConfig
from zeroscale.frontend import http_page as web
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.probes.base import ServerProbe
from zeroscale.probes.command import run_ready_command
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.probes.tcp import PROBE_INTERVAL, BytesCheck, HttpStatusCheck, ResponseCheck, TcpProbe
from zeroscale.protocols import http, sniffing
from zeroscale.protocols.conversation import Conversation
from zeroscale.protocols.proxy_protocol import local_header
from zeroscale.protocols.tcp import HttpConversation, TcpConversation
from zeroscale.status import ServerSnapshot


def unused(config: ServerConfig) -> Iterator[str]:
    """What is said of a server that speaks Minecraft, and is not for it: the fields' names."""
    for name, default in (("wake_on", "connect"), ("waiting", "auto"), ("ready", "connect")):
        if getattr(config, name) != default:
            yield name


def conversation(config: ServerConfig, view: Callable[[], ServerSnapshot], now: Callable[[], float]) -> Conversation:
    """A new client's conversation."""
    trigger = triggers.parse_wake_on(config.wake_on)
    match trigger.kind:
        case "connect":
            return TcpConversation()
        case "http":
            return HttpConversation(page=config.waiting == "page", retry_after=lambda: web.try_again_in(view(), now()))
        case "data":
            return TcpConversation(sniffer=sniffing.any_byte)
        case "tls":
            return TcpConversation(sniffer=sniffing.tls)
        case "ssh":
            return TcpConversation(sniffer=sniffing.ssh)
        case "regex":
            assert trigger.pattern is not None
            return TcpConversation(sniffer=sniffing.matching_pattern(trigger.pattern))


def texts(config: ServerConfig) -> Messages:
    """What its clients read, where their protocol has words.

    :raises ConfigError: a text is wrong.
    """
    return Messages({**web.TEXTS, **config.texts})


def probe(config: ServerConfig, reactor: Any) -> TcpProbe:
    """How it is asked."""
    check: ResponseCheck | None = None
    command = None
    match triggers.parse_ready(config.ready):
        case triggers.ExpectBytes(expected, request):
            check = BytesCheck(expected, request)
        case triggers.HttpCheck(path, statuses):
            asked = http.get_request(config.server_host, config.server_port, path)
            check = HttpStatusCheck(asked, http.parse_status, statuses)
        case triggers.ExecCheck(words):

            def command() -> Any:
                return from_coroutine(run_ready_command(words, config.directory))

    return TcpProbe(
        reactor,
        config.server_host,
        config.server_port,
        check=check,
        command=command,
        header=probe_header(config),
    )


def probe_header(config: ServerConfig) -> bytes:
    """The PROXY header that the server is sent when it is we who ask: its receiver insists on one from everybody."""
    sends = config.proxy_protocol.send
    return b"" if sends is None else local_header(sends)


def readiness(config: ServerConfig, reactor: Any, asking: ServerProbe) -> Readiness | LineReadiness:
    """A new wait until it is ready."""
    if ready_line(config) is not None:
        return LineReadiness(reactor, asking)
    return Readiness(reactor, asking, probe_interval=PROBE_INTERVAL)


def ready_line(config: ServerConfig) -> re.Pattern[str] | None:
    """The line of its output that says it is ready, where that is what tells."""
    trigger = triggers.parse_ready(config.ready)
    return re.compile(trigger.pattern) if isinstance(trigger, triggers.OutputLineCheck) else None
