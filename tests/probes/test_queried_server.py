"""A server that is asked on several ports: for whether it is ready, for its players, and for what it answers asleep."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.errors import BackendError
from zeroscale.probes.base import Stage
from zeroscale.probes.pace import REMOTE_CONNECTION, REQUEST, Pace
from zeroscale.probes.queried_server import QueriedPort, QueriedServer
from zeroscale.probes.query import QueryProbe
from zeroscale.status import ProbeResult


class FakeProbe:
    """A probe whose answers the test gives."""

    acceptance_problem = "no such host"
    connection_pace = REMOTE_CONNECTION
    check_pace: Pace | None = REQUEST

    def __init__(self) -> None:
        self.asked: list[Stage] = []
        self.answers: list[Deferred[ProbeResult]] = []
        self.address = ("", 0)
        self.accepts = True

    def set_address(self, host: str, port: int) -> None:
        self.address = (host, port)

    def accepts_connections(self) -> Deferred[bool]:
        accepted: Deferred[bool] = Deferred()
        accepted.callback(self.accepts)
        return accepted

    def ask(self, stage: Stage = Stage.running, /) -> Deferred[ProbeResult]:
        self.asked.append(stage)
        answer: Deferred[ProbeResult] = Deferred()
        self.answers.append(answer)
        return answer


class FakeQuery(FakeProbe, QueryProbe):  # type: ignore[misc]  # the probe of datagrams has always a pace
    """The same, of a port that is queried."""

    def __init__(self) -> None:
        FakeProbe.__init__(self)

    async def _result(self) -> ProbeResult:
        raise NotImplementedError

    async def _with_names(self, result: ProbeResult) -> ProbeResult:
        raise NotImplementedError


def server(main: FakeProbe, *ports: QueryProbe, main_knows_players: bool) -> QueriedServer:
    return QueriedServer(
        main, [QueriedPort(each, None, 27015) for each in ports], main_knows_players=main_knows_players
    )


@pytest.mark.parametrize("stage", [Stage.starting, Stage.said_ready])
def test_only_the_main_port_says_whether_it_is_ready(stage: Stage) -> None:
    main, query = FakeProbe(), FakeQuery()
    asked = server(main, query, main_knows_players=False)
    asked.ask(stage)
    assert (main.asked, query.asked) == ([stage], [])
    assert (asked.connection_pace, asked.check_pace, asked.acceptance_problem) == (
        REMOTE_CONNECTION,
        REQUEST,
        "no such host",
    )
    accepted: list[bool] = []
    asked.accepts_connections().addCallback(accepted.append)
    assert accepted == [True]


def test_a_query_says_who_is_on_where_the_main_port_cannot() -> None:
    main, query, other = FakeProbe(), FakeQuery(), FakeQuery()
    results: list[ProbeResult] = []
    server(main, query, other, main_knows_players=False).ask().addCallback(results.append)
    assert (main.asked, query.asked, other.asked) == ([], [Stage.running], [Stage.running])
    query.answers[0].callback(ProbeResult(players=3))
    assert results == [ProbeResult(players=3)]


def test_a_main_port_that_can_is_asked_itself_and_queries_are_stored_again() -> None:
    main, query = FakeProbe(), FakeQuery()
    asked = server(main, query, main_knows_players=True)
    results: list[ProbeResult] = []
    asked.ask().addCallback(results.append)
    main.answers[0].callback(ProbeResult(players=1))
    assert results == [ProbeResult(players=1)]
    assert query.asked == [Stage.running]


def test_a_query_is_not_asked_again_before_it_has_ended() -> None:
    main, query = FakeQuery(), FakeQuery()
    asked = server(main, query, main_knows_players=True)
    asked.refresh()
    asked.refresh()
    assert (len(main.asked), len(query.asked)) == (1, 1)
    query.answers[0].errback(BackendError("no answer"))
    asked.refresh()
    assert (len(main.asked), len(query.asked)) == (1, 2)


def test_a_bug_in_the_background_is_not_hidden() -> None:
    query = FakeQuery()
    server(FakeProbe(), query, main_knows_players=True).refresh()
    unhandled: list[Failure] = []
    query.answers[0].addErrback(unhandled.append)  # behind the server's own callback
    query.answers[0].errback(RuntimeError("a bug"))
    assert [failure.type for failure in unhandled] == [RuntimeError]
    gc.collect()


def test_another_program_on_the_main_port_is_found_though_it_answers_no_queries() -> None:
    main, taken = FakeQuery(), FakeProbe()
    asked = QueriedServer(main, [], main_knows_players=True, taken=taken)
    main.accepts = False
    accepted: list[bool] = []
    asked.accepts_connections().addCallback(accepted.append)
    assert accepted == [True]
    asked.set_address("192.0.2.1", 4000)
    assert main.address == taken.address == ("192.0.2.1", 4000)


def test_ports_follow_the_main_port_where_they_have_no_host_of_their_own() -> None:
    main, query, elsewhere, same = FakeProbe(), FakeQuery(), FakeQuery(), FakeQuery()
    ports = [QueriedPort(query, None, 27015), QueriedPort(elsewhere, "192.0.2.9", 27016), QueriedPort(same)]
    QueriedServer(main, ports, main_knows_players=False).set_address("192.0.2.1", 4000)
    assert [each.address for each in (main, query, elsewhere, same)] == [
        ("192.0.2.1", 4000),
        ("192.0.2.1", 27015),
        ("192.0.2.9", 27016),
        ("192.0.2.1", 4000),
    ]
