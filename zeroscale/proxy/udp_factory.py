"""Like `tcp_factory`, for UDP: the conversation of a port whose protocol is not known, and the probe of its server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import thread_time

from twisted.internet.defer import Deferred

from zeroscale.config import triggers
from zeroscale.config.model import ServerConfig
from zeroscale.lifecycle.interfaces import Logger
from zeroscale.probes.base import ServerProbe
from zeroscale.probes.readiness import LineReadiness, Readiness
from zeroscale.probes.udp import AnswerProbe, StartedProbe, UdpProbe
from zeroscale.process import listeners
from zeroscale.process.environment import ChildEnvironment
from zeroscale.protocols.datagrams import DatagramConversation
from zeroscale.protocols.udp import PatternConversation, UdpConversation, WakeRule
from zeroscale.proxy import tcp_factory
from zeroscale.proxy.server_port import ServerPort
from zeroscale.reactor import Reactor


def conversation(port: ServerPort, key: bytes, now: Callable[[], float]) -> DatagramConversation:
    """Make the conversation of a port.

    :param key: random bytes, for proofs of addresses.
    :param now: the monotonic clock.
    """
    pattern = trigger(port).pattern
    return UdpConversation(wake_rule(port)) if pattern is None else PatternConversation(pattern, thread_time)


def trigger(port: ServerPort) -> triggers.WakeTrigger:
    """Return what a client of a port has to send to wake the server."""
    wake_on = port.config.wake_on
    return triggers.DEFAULT_DATAGRAMS if wake_on is None else triggers.parse_wake_on(wake_on)


def wake_rule(port: ServerPort) -> WakeRule:
    """Return how many datagrams that are; the default where a pattern wakes it."""
    found = trigger(port)
    return WakeRule(found.count, found.seconds) if found.count else WakeRule()


def probe(config: ServerConfig, reactor: Reactor, environment: ChildEnvironment) -> UdpProbe | AnswerProbe:
    """Make the probe of the server, according to `ready`.

    :param environment: the environment of a command that is the check.
    """
    host, port, header = config.server_host, config.server_port, tcp_factory.probe_header(config)
    command: Callable[[], Deferred[int]] | None = None
    match triggers.parse_ready(config.ready):
        case triggers.ExpectBytes(expected, request):
            return AnswerProbe(reactor, host, port, request=request, expected=expected, header=header)
        case triggers.ExecCheck(words):
            command = partial(tcp_factory.run_ready_command, words, config, environment)
    return UdpProbe(reactor, host, port, is_bound=_is_bound, command=command, header=header)


def readiness(config: ServerConfig, reactor: Reactor, probe: ServerProbe, log: Logger) -> Readiness | LineReadiness:
    """Make the check that waits until a starting server is ready."""
    started = StartedProbe(probe) if isinstance(probe, UdpProbe) else probe
    return tcp_factory.readiness(config, reactor, started, log)


def _is_bound(host: str, port: int) -> bool:
    return bool(listeners.listeners(port, host, datagrams=True))
