"""Probe a Minecraft server by its status, as the server list does."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from zeroscale.errors import BackendError
from zeroscale.probes.base import BaseProbe, NoReply, NotAccepting, SilentStatus, Stage
from zeroscale.probes.first_reply import FirstReply
from zeroscale.probes.pace import STATUS
from zeroscale.probes.status_connection import legacy_ping, status_request
from zeroscale.protocols.minecraft import versions
from zeroscale.status import ProbeResult

REPLY_TIMEOUT = 15.0
"""Seconds that a status reply may take: servers that answer in their main loop do so between two long ticks."""

PATIENCE = 5.0
"""Seconds of silence after which the server is asked in another way, too. Forge logs a line for each request (lazymc
issue 103)."""

ASK_AGAIN_AFTER = 0.2
"""Seconds after which a refusal of `UNDECIDED` may be of the time before the server was up."""

UNDECIDED = -1
"""The protocol number of a status handshake (docs/protocol.md, "Status"). Vanilla answers any number with its own;
ViaVersion, Velocity and BungeeCord echo a number they know, and we would take our own number for the server's."""

LEGACY: Literal["legacy"] = "legacy"
"""In place of a number: the ping of before 1.7."""

Way = int | Literal["legacy"]


class MinecraftProbe(BaseProbe):
    """Checks a Minecraft server by its status; the server's host is named in the request, too.

    It asks with `UNDECIDED`. Where that brings no reply it asks with the number of the last player, with the newest
    number known, and by the ping of before 1.7; the way that brings one is the only one used until it
    brings none, or until the next `set_address`. A starting server, which may refuse all of them, is asked in one way
    each time; at first also in the one that has worked before.

    :param status_disabled: returns whether the server has its status off; then it is up if it accepts the request and
        closes the connection.
    :param timeout: seconds that each reply may take.
    :param player_protocol: returns the protocol number of the last player that has joined; None: it is not known.

    The other parameters are those of `BaseProbe`.
    """

    check_pace = STATUS
    _timeout_message = "accepted the status request and did not answer {within}"
    _timeout_error = SilentStatus

    def __init__(
        self,
        reactor: object,
        host: str,
        port: int,
        *,
        timeout: float = REPLY_TIMEOUT,
        header: bytes = b"",
        status_disabled: Callable[[], bool] = lambda: False,
        player_protocol: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(reactor, host, port, timeout=timeout, header=header)
        self._status_disabled = status_disabled
        self._player_protocol = player_protocol
        self._known_before: Way | None = None

    def set_address(self, host: str, port: int) -> None:
        """See `BaseProbe.set_address`."""
        super().set_address(host, port)
        self._known: Way | None = None
        self._refused_at = math.inf
        self._checks_at_start = 0
        self._is_modern = False

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        """See `ServerProbe.ask`."""
        return Deferred.fromCoroutine(self._ask(stage))

    async def _ask(self, stage: Stage) -> ProbeResult:
        if self._status_disabled():
            try:
                return await self._ask_in(UNDECIDED)
            except NoReply:
                return ProbeResult(status_disabled=True)
        ways = self._ways(stage)
        if self._known is not None:
            try:
                return await self._ask_in(self._known)
            except NotAccepting:
                raise
            except TimeoutError:
                self._known = None  # a server that is only slow has the time to reply to the next check
                raise
            except BackendError:
                ways = [way for way in ways if way != self._known]
                self._known = None
        if stage is Stage.starting:
            return await self._ask_starting(ways)
        return await self._ask_in_turn(ways)

    def _ways(self, stage: Stage) -> list[Way]:
        player = self._player_protocol()
        others: Sequence[Way] = (versions.NEWEST, LEGACY)
        if stage is Stage.starting:
            # The newest number seldom helps where the player's does not. Servers of 1.7 and later answer the old ping
            # before they are ready, too, so that it says nothing more once it has told the version.
            others = (versions.NEWEST,) if self._is_modern else (LEGACY, versions.NEWEST)
        elif stage is Stage.said_ready:
            others = (versions.NEWEST,)  # which such a server answers or refuses at once
        return list(dict.fromkeys((UNDECIDED, UNDECIDED if player is None else player, *others)))

    async def _ask_starting(self, ways: Sequence[Way]) -> ProbeResult:
        number, self._checks_at_start = self._checks_at_start, self._checks_at_start + 1
        if number == 0 and self._known_before is not None:
            return await self._ask_in_turn(list(dict.fromkeys((UNDECIDED, self._known_before))))
        number %= len(ways)
        return await self._ask_in_turn([*ways[number:], *ways[:number]], after_refusal=False)

    async def _ask_in_turn(self, ways: Sequence[Way], *, after_refusal: bool = True) -> ProbeResult:
        search: FirstReply[Way, ProbeResult] = FirstReply(
            self._clock, ways, self._ask_in, patience=PATIENCE, limit=self._timeout, after_refusal=after_refusal
        )
        try:
            way, result = await search.run()
        finally:
            self._refused_at = search.refused_at.get(UNDECIDED, self._refused_at)
        if way != UNDECIDED and self._clock.seconds() - self._refused_at > ASK_AGAIN_AFTER:
            with contextlib.suppress(BackendError, TimeoutError):
                way, result = UNDECIDED, await self._in_time(self._request(UNDECIDED), PATIENCE)
        if result.may_be_starting:
            self._is_modern = True
        else:
            self._known = self._known_before = way
        return result

    def _ask_in(self, way: Way) -> Deferred[ProbeResult]:
        return self._in_time(self._request(way), self._timeout)

    async def _request(self, way: Way) -> ProbeResult:
        address = self._host, self._port
        if way == LEGACY:
            connection = legacy_ping(*address, self._header)
        else:
            connection = status_request(*address, way, self._header)
        await self._connect(connection)
        result = await connection.result
        if way == UNDECIDED or result.status is None:
            return result
        return replace(result, status={key: value for key, value in result.status.items() if key != "version"})
