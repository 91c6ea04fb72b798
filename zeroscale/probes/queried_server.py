"""Probe a server that is also queried by the protocols of server browsers, on its main port or on further ones.

Those queries say who is on where the main port's protocol cannot, and what a sleeping server answers in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes.base import ServerProbe, Stage
from zeroscale.probes.pace import Pace
from zeroscale.probes.query import QueryProbe
from zeroscale.status import ProbeResult


class MovableProbe(ServerProbe, Protocol):
    """A probe whose server may get another address."""

    def set_address(self, host: str, port: int) -> None:
        """Check the server at this address from now on."""
        ...


class QueriedPort(Struct, frozen=True):
    """A port of the server that is queried.

    :ivar host: its host; None: that of the main port.
    :ivar port: its port; None: that of the main port.
    """

    probe: QueryProbe
    host: str | None = None
    port: int | None = None


class QueriedServer:
    """Implements `ServerProbe`.

    :param main: checks the main port: whether the server is ready.
    :param ports: further ports that are queried; also the main one, where `main` does not do that.
    :param main_knows_players: `main` says who is on; else the first of `ports` does.
    :param taken: checks whether something has the main port, which may be no such server; None: `main` does.
    :ivar main: see above.
    """

    def __init__(
        self,
        main: MovableProbe,
        ports: Sequence[QueriedPort],
        *,
        main_knows_players: bool,
        taken: MovableProbe | None = None,
    ) -> None:
        self.main = main
        self._taken = taken or main
        self._ports = ports
        self._asked_for_players: ServerProbe = main if main_knows_players else ports[0].probe
        self._background: dict[QueryProbe, Deferred[ProbeResult]] = {}

    def set_address(self, host: str, port: int) -> None:
        """Check the server at this address of its main port from now on."""
        self.main.set_address(host, port)
        self._taken.set_address(host, port)
        for each in self._ports:
            each.probe.set_address(each.host or host, each.port or port)

    @property
    def acceptance_problem(self) -> str | None:
        """See `ServerProbe.acceptance_problem`."""
        return self.main.acceptance_problem

    @property
    def connection_pace(self) -> Pace:
        """See `ServerProbe.connection_pace`."""
        return self.main.connection_pace

    @property
    def check_pace(self) -> Pace | None:
        """See `ServerProbe.check_pace`."""
        return self.main.check_pace

    def accepts_connections(self) -> Deferred[bool]:
        """See `ServerProbe.accepts_connections`."""
        return self._taken.accepts_connections()

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`. Where it is asked who is on, all its answers to queries are stored again."""
        if stage is not Stage.running:
            return self.main.ask(stage)
        self._refresh(but=self._asked_for_players)
        return self._asked_for_players.ask(stage)

    def refresh(self) -> None:
        """Have all answers to queries stored again, as far as they come."""
        self._refresh()

    def _refresh(self, but: ServerProbe | None = None) -> None:
        queries = [each.probe for each in self._ports]
        if isinstance(self.main, QueryProbe):
            queries.append(self.main)
        for probe in queries:
            if probe is not but and probe not in self._background:
                asking = self._background[probe] = probe.ask()
                asking.addBoth(self._asked, probe)

    def _asked(self, result: ProbeResult | Failure, probe: QueryProbe) -> None:
        self._background.pop(probe, None)
        if isinstance(result, Failure):
            result.trap(BackendError, TimeoutError, CancelledError)
