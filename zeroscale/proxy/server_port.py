"""One port of one server, as clients reach it: its configuration, and the server as the frontend sees it there.

All ports of a server share its lifecycle, and what is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from zeroscale.config.model import PortConfig, ServerConfig
from zeroscale.frontend.interfaces import Backend
from zeroscale.lifecycle.lifecycle import ServerLifecycle
from zeroscale.proxy import tcp_factory
from zeroscale.proxy.factory import PortSettings
from zeroscale.reactor import Reactor
from zeroscale.reports import DatagramReport, PortReport

if TYPE_CHECKING:
    from zeroscale.state.answer_cache import AnswerCache


class PortOwner(Protocol):
    """The server of a port; `managed_server.ManagedServer` implements it.

    :ivar config: its latest configuration.
    :ivar lifecycle: its state machine.
    """

    config: ServerConfig
    lifecycle: ServerLifecycle

    @property
    def reactor(self) -> Reactor:
        """The reactor that it runs on."""
        ...

    @property
    def answers(self) -> AnswerCache:
        """The last answers of the real server to queries over UDP."""
        ...

    def protocol_of(self, port: PortConfig) -> str:
        """Return what clients of a port speak; see `config.model.PortProtocol`."""
        ...


class ServerPort:
    """One port.

    :ivar server: its server.
    :ivar config: its configuration.
    :ivar backend: its server as the frontend sees it there; changed in place.
    :ivar datagrams: returns the sums of each of its UDP ports that is open, by `listen` value.
    """

    def __init__(self, server: PortOwner, config: PortConfig, backend: Backend) -> None:
        self.server = server
        self.config = config
        self.backend = backend
        self.datagrams: dict[str, Callable[[], DatagramReport]] = {}
        self._is_new = True

    @property
    def protocol(self) -> str:
        """What its clients speak; see `config.model.PortProtocol`."""
        return self.server.protocol_of(self.config)

    @property
    def host_kind(self) -> tcp_factory.HostKind | None:
        """How clients of a TCP port name the host that they want; None: they do not."""
        return tcp_factory.host_kind(self.config.wake_on, self.protocol)

    @property
    def clients(self) -> int:
        """How many clients are relayed now; over UDP, how many have a session."""
        return self.backend.clients

    def report(self) -> PortReport:
        """Return its current state."""
        config = self.config
        return PortReport(
            listen=config.listen,
            hosts=config.hosts,
            protocol=self.protocol,
            wakes=config.wakes,
            keeps_awake=config.counts,
            clients=self.clients,
            datagrams=_sum([report() for report in self.datagrams.values()]) if config.is_udp else None,
        )

    def use_config(self, config: PortConfig) -> None:
        """Use another configuration, without what depends on settings."""
        self.config = config
        if not config.is_main:  # that of the main port changes with the plugin
            self.backend.proxy_version = config.send_proxy_protocol

    def use_address(self, host: str, port: int) -> None:
        """Use an address of the server's main port; a further port may have a host and has a port of its own."""
        config = self.config
        is_main = config.is_main
        self.backend.host = host if is_main else config.server_path or config.server_host or host
        self.backend.port = port if is_main else config.server_port or 0

    def apply(self, settings: PortSettings, *, admission: bool = True) -> None:
        """Apply settings at once.

        :param admission: also replace the admission rules, which resets their rate limits; a new port's always are.
        """
        self.backend.messages = settings.messages
        self.backend.policy = settings.join_policy
        self.backend.sign = settings.sign
        self.backend.counts = self.config.counts
        self.backend.minecraft_options = settings.minecraft_options
        if admission or self._is_new:
            self.backend.admission = settings.admission
        self._is_new = False


def _sum(reports: Sequence[DatagramReport]) -> DatagramReport:
    dropped: Counter[str] = Counter()
    for report in reports:
        dropped.update(report.dropped)
    names = ("to_server", "to_server_bytes", "to_client", "to_client_bytes", "answers", "sessions")
    return DatagramReport(**{name: sum(getattr(each, name) for each in reports) for name in names}, dropped=dropped)
