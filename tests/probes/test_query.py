"""What all probes by the protocols of server browsers share."""

from __future__ import annotations

from typing import cast

import pytest
from datagram_server import INFO, RULES, every_other, minecraft, quake, source
from ports import free_port
from probes.udp_server import silent, udp_server
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from zeroscale.errors import BackendError
from zeroscale.probes.base import Stage
from zeroscale.probes.minecraft_query import MinecraftQueryProbe
from zeroscale.probes.quake_query import QuakeProbe
from zeroscale.probes.query import QueryProbe
from zeroscale.probes.source_query import SourceProbe
from zeroscale.reactor import Reactor
from zeroscale.status import ProbeResult

REACTOR = cast("Reactor", reactor)

SERVERS = [(SourceProbe, source()), (QuakeProbe, quake), (MinecraftQueryProbe, minecraft)]
PROBES = [probe for probe, _ in SERVERS]


@pytest.mark.parametrize(("make", "answer"), SERVERS)
@ensureDeferred
async def test_a_server_that_answers_is_ready(make: type[QueryProbe], answer: object) -> None:
    async with udp_server(lambda datagram: list(answer(datagram))) as server:  # type: ignore[operator]
        probe = make(REACTOR, "localhost", server.port)
        assert await probe.accepts_connections()
        assert (await probe.ask(Stage.starting)).players is not None


@pytest.mark.parametrize(("make", "answer"), SERVERS)
@ensureDeferred
async def test_lost_datagrams_are_sent_again(make: type[QueryProbe], answer: object) -> None:
    lossy = every_other(answer)  # type: ignore[arg-type]
    async with udp_server(lambda datagram: list(lossy(datagram))) as server:
        assert (await make(REACTOR, "127.0.0.1", server.port).ask(Stage.starting)).players is not None


@pytest.mark.parametrize("make", PROBES)
@ensureDeferred
async def test_a_server_that_is_silent(make: type[QueryProbe]) -> None:
    async with udp_server(silent) as server:
        probe = make(REACTOR, "127.0.0.1", server.port, timeout=0.1)
        assert not await probe.accepts_connections()
        with pytest.raises(TimeoutError, match="did not answer within"):
            await probe.ask()


@pytest.mark.parametrize("make", PROBES)
@ensureDeferred
async def test_a_port_that_nothing_has(make: type[QueryProbe]) -> None:
    probe = make(REACTOR, "127.0.0.1", free_port())
    assert not await probe.accepts_connections()
    with pytest.raises(BackendError, match="refused"):
        await probe.ask()


@pytest.mark.parametrize("make", PROBES)
@ensureDeferred
async def test_something_else_is_no_answer(make: type[QueryProbe]) -> None:
    hostile = [b"", b"\xff" * 4, b"\xfe\xff\xff\xff" + b"\x80" * 40, b"x" * 9000, b"\xff\xff\xff\xffI"]
    async with udp_server(lambda _: hostile) as server:
        probe = make(REACTOR, "127.0.0.1", server.port, timeout=0.2)
        with pytest.raises(TimeoutError):
            await probe.ask()


@ensureDeferred
async def test_what_need_not_be_answered_is_given_up() -> None:
    async with udp_server(lambda datagram: list(source(players=None, rules=None)(datagram))) as server:
        assert await SourceProbe(REACTOR, "127.0.0.1", server.port).ask() == ProbeResult(players=2)


@ensureDeferred
async def test_a_cancelled_check_asks_no_more() -> None:
    answered = source(rules=None)
    async with udp_server(lambda datagram: list(answered(datagram))) as server:
        check = SourceProbe(REACTOR, "127.0.0.1", server.port).ask()
        await server.count(3)  # the rules are asked for, and never sent
        check.cancel()
        with pytest.raises(Exception) as raised:
            await check
        assert type(raised.value).__name__ == "CancelledError"


@ensureDeferred
async def test_of_a_server_that_may_not_be_ready_only_one_question_is_asked() -> None:
    stored: dict[str, bytes] = {}
    answered = source(INFO, rules=RULES)
    async with udp_server(lambda datagram: list(answered(datagram))) as server:
        probe = SourceProbe(REACTOR, "127.0.0.1", server.port, store=stored.__setitem__)
        assert await probe.ask(Stage.starting) == ProbeResult(players=2)
    assert set(stored) == {"info"}
