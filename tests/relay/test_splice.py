"""The reactor's side of the splice relay: reports, refusals, crashes, and its own end."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
import pytest_twisted
from processes import Program, descriptors, python
from relay.relay_fixture import (
    DEADLINE,
    Pair,
    later,
    poller,
    reactor,
    receive,
    reset,
    send,
    tcp_pair,
    until,
    within,
)
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from zeroscale.errors import RelayError
from zeroscale.relay import Counters, Outcome, Report
from zeroscale.relay.command_queue import CommandQueue
from zeroscale.relay.splice import SpliceRelay
from zeroscale.relay.splice_loop import SpliceLoop
from zeroscale.sockets.poller import SocketPoller


def add(relay: SpliceRelay, pair: Pair, early: bytes = b"") -> Any:
    return within(relay.add(pair.to_client.transport, pair.to_backend.transport, early))


class Sockets:
    """A client and a backend, and the proxy's sockets to them, which no transport owns."""

    def __init__(self, buffers: int = 0) -> None:
        self.client, self.to_client = tcp_pair(buffers)
        self.backend, self.to_backend = tcp_pair(buffers)
        for ours in (self.to_client, self.to_backend):
            ours.setblocking(False)

    def add(self, relay: SpliceRelay, early: bytes = b"", *, client_finished: bool = False) -> Any:
        return within(relay.add_sockets(self.to_client, self.to_backend, early, client_finished=client_finished))

    @property
    def closed(self) -> bool:
        return self.to_client.fileno() == self.to_backend.fileno() == -1

    def close(self) -> None:
        for sock in (self.client, self.to_client, self.backend, self.to_backend):
            sock.close()


def ignore(failure: Failure) -> None:
    """For relays that do not crash."""


async def made(on_crash: Callable[[Failure], None] = ignore, new_pairs_by: SocketPoller | None = None) -> SpliceRelay:
    relay = SpliceRelay(reactor, on_crash, poller=new_pairs_by)
    relay.start()
    return relay


def relay_threads() -> int:
    return sum(thread.name == "zeroscale-relay" for thread in threading.enumerate())


@pytest_twisted.ensureDeferred
async def test_the_counters_know_live_and_ended_pairs() -> None:
    relay = await made()
    pair, other = Pair(), Pair()
    report, other_report = add(relay, pair, b"early"), add(relay, other)
    await send(pair.backend, b"hello")
    assert await receive(pair.client, 5) == b"hello"
    await send(other.client, b"ping")
    assert await receive(other.backend, 4) == b"ping"
    await until(lambda: relay.counters() == Counters(9, 5, 2, 2))
    pair.client.close()
    pair.backend.close()
    assert (await report).to_backend == 5
    assert relay.counters() == Counters(9, 5, 1, 2)
    stopped = relay.stop(0)
    assert (await other_report).outcome is Outcome.aborted
    await within(stopped)
    assert relay.counters() == Counters(9, 5, 0, 2)
    await pair.gone()
    await other.gone()


@pytest_twisted.ensureDeferred
async def test_the_transports_are_closed_after_the_report_as_the_pair_ended() -> None:
    relay = await made()
    orderly, broken = Pair(), Pair()
    reports = add(relay, orderly), add(relay, broken)
    endings: list[object] = []
    reports[0].addCallback(lambda report: endings.append((orderly.to_client.reason, orderly.to_backend.reason)))
    orderly.client.close()
    orderly.backend.close()
    reset(broken.client)
    await until(lambda: len(endings) == 1)
    assert endings == [(None, None)]
    await reports[1]
    await orderly.gone()
    with pytest.raises(ConnectionResetError):
        await receive(broken.backend, 1)
    await broken.gone()
    for ours, aborted in [
        (orderly.to_client, False),
        (orderly.to_backend, False),
        (broken.to_client, True),
        (broken.to_backend, True),
    ]:
        assert ours.reason is not None
        assert bool(ours.reason.check(ConnectionAborted)) is aborted
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_stopping_lets_live_pairs_end_by_themselves() -> None:
    relay = await made()
    pair, refused = Pair(), Pair()
    report = add(relay, pair)
    stopped = relay.stop(60)
    with pytest.raises(RelayError, match="being stopped"):
        await add(relay, refused)
    await send(pair.client, b"last words")
    pair.client.close()
    assert await receive(pair.backend) == b"last words"
    assert not stopped.called
    pair.backend.close()
    assert await report == Report(10, 0, Outcome.closed)
    await within(stopped)
    assert relay_threads() == 0
    await pair.gone()
    await refused.close()


@pytest_twisted.ensureDeferred
async def test_stopping_aborts_what_has_not_ended_in_time() -> None:
    relay = await made()
    pair = Pair()
    report = add(relay, pair)
    await within(relay.stop(0.05))
    assert (await report).outcome is Outcome.aborted
    with pytest.raises(ConnectionResetError):
        await receive(pair.client)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_second_stop_may_be_shorter() -> None:
    relay = await made()
    pair = Pair()
    report = add(relay, pair)
    patient = relay.stop(1000)
    await within(relay.stop(0))
    await within(patient)
    assert (await report).outcome is Outcome.aborted
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_stopped_before_it_was_started_or_twice_it_is_stopped() -> None:
    relay = SpliceRelay(reactor, ignore)
    await within(relay.stop(0))
    relay = await made()
    await within(relay.stop(0))
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_cancelling_the_report_aborts_the_pair_and_still_reports() -> None:
    relay = await made()
    pair = Pair()
    report = relay.add(pair.to_client.transport, pair.to_backend.transport, b"early")
    report.cancel()
    report.cancel()
    assert await within(report) == Report(5, 0, Outcome.aborted)
    await pair.gone()
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_heartbeat_is_answered_by_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = await made()
    await within(relay.heartbeat())
    hangs, may_continue = threading.Event(), threading.Event()
    obey = CommandQueue.run

    def hang(commands: CommandQueue) -> None:
        hangs.set()
        may_continue.wait(60)
        obey(commands)

    monkeypatch.setattr(CommandQueue, "run", hang)
    relay.heartbeat()  # what has answered the first may still be at it, and answer this one as well
    try:
        await until(hangs.is_set)
        answered = relay.heartbeat()
        await later()
        assert not answered.called
    finally:
        may_continue.set()
    await within(answered)
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_a_stopped_relay_answers_heartbeats_at_once() -> None:
    relay = await made()
    stopped = relay.stop(0)
    asked = relay.heartbeat()
    await within(stopped)
    await within(asked)
    assert relay.heartbeat().called


@pytest_twisted.ensureDeferred
async def test_a_crash_of_the_thread_is_reported_and_nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[Failure] = []
    before = descriptors()
    relay = await made(crashes.append)
    pair, refused, stalled = Pair(buffers=4096), Pair(), Pair(buffers=4096)
    report, stalled_report = add(relay, pair, b"early"), add(relay, stalled)
    assert await receive(pair.backend, 5) == b"early"
    monkeypatch.setattr(SpliceLoop, "_update_pair", lambda loop, pair: 1 / 0)
    pair.client.close()
    assert await report == Report(5, 0, Outcome.aborted)
    assert (await stalled_report).outcome is Outcome.aborted
    await until(lambda: bool(crashes))
    assert crashes[0].check(ZeroDivisionError)
    assert len(crashes) == 1
    with pytest.raises(RelayError, match="died"):
        await add(relay, refused)
    with pytest.raises(ConnectionResetError):
        await receive(stalled.client)
    await within(relay.stop(10))
    for each in (pair, stalled):
        await each.gone()
    await refused.close()
    assert relay_threads() == 0
    await until(lambda: descriptors() == before)


@pytest_twisted.ensureDeferred
async def test_a_crash_while_stopping_ends_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[Failure] = []
    relay = await made(crashes.append)
    pair = Pair()
    report = add(relay, pair)
    stopped = relay.stop(1000)
    monkeypatch.setattr(SpliceLoop, "_update_pair", lambda loop, pair: 1 / 0)
    pair.client.close()
    assert (await report).outcome is Outcome.aborted
    await within(stopped)
    assert len(crashes) == 1
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_lost_or_wrapped_transport_is_refused() -> None:
    relay = await made()
    pair = Pair()
    pair.to_client.transport.abortConnection()
    await within(pair.to_client.lost)
    with pytest.raises(RelayError, match="lost"):
        await add(relay, pair)
    await pair.close()
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_where_epoll_takes_no_more_the_pair_is_the_callers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = await made()
    pair, other = Pair(), Pair()

    def refuse(loop: SpliceLoop, pair: Any) -> None:
        loop._forget(pair)
        loop._observer.refused(pair, OSError(28, "No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(SpliceLoop, "_admit", refuse)
        with pytest.raises(RelayError, match="No space left"):
            await add(relay, pair)
    assert relay.counters() == Counters(0, 0, 0, 0)
    pair.to_client.transport.write(b"sorry")
    pair.to_client.transport.loseConnection()
    assert await receive(pair.client) == b"sorry"
    await pair.close()
    await other.close()
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_other_systems_get_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RelayError, match="Linux"):
        SpliceRelay(reactor, ignore).start()


@pytest_twisted.ensureDeferred
async def test_the_hot_path_leaves_nothing_behind() -> None:
    """Descriptors and threads are where they were, whatever became of the pairs."""
    await later()
    threads, before = threading.active_count(), descriptors()
    relay = await made()
    for ending in ("client", "backend", "both", "cancelled"):
        pairs = [Pair(buffers=4096) for _ in range(5)]
        reports = [add(relay, pair, b"e" * 100_000) for pair in pairs]
        for pair, report in zip(pairs, reports, strict=True):
            if ending == "client":
                pair.client.close()
                assert len(await receive(pair.backend)) == 100_000
                pair.backend.close()
            elif ending == "backend":
                reset(pair.backend)
            elif ending == "both":
                pair.client.close()
                pair.backend.close()
            else:
                report.cancel()
            await report
            await pair.gone()
    await within(relay.stop(0))
    assert descriptors() == before
    assert relay_threads() == 0
    assert threading.active_count() <= threads + 1


@pytest_twisted.ensureDeferred
async def test_sockets_without_a_transport_are_relayed_and_closed_in_order() -> None:
    relay = await made()
    sockets = Sockets()
    report = sockets.add(relay, b"early")
    await send(sockets.client, b", later")
    sockets.client.shutdown(socket.SHUT_WR)
    assert await receive(sockets.backend) == b"early, later"
    await send(sockets.backend, b"answer")
    sockets.backend.close()
    assert await receive(sockets.client) == b"answer"
    assert await report == Report(12, 6, Outcome.closed)
    assert sockets.closed
    assert relay.counters() == Counters(12, 6, 0, 1)
    await within(relay.stop(0))
    sockets.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_had_finished_before_its_socket_was_added() -> None:
    relay = await made()
    sockets = Sockets()
    report = sockets.add(relay, b"question", client_finished=True)
    assert await receive(sockets.backend) == b"question"
    sockets.backend.close()
    assert await receive(sockets.client) == b""
    assert await report == Report(8, 0, Outcome.closed)
    await within(relay.stop(0))
    sockets.close()


@pytest_twisted.ensureDeferred
async def test_a_reset_of_a_socket_without_a_transport_is_passed_on() -> None:
    relay = await made()
    sockets = Sockets()
    report = sockets.add(relay, b"early")
    assert await receive(sockets.backend, 5) == b"early"
    reset(sockets.client)
    with pytest.raises(ConnectionResetError):
        await receive(sockets.backend, 1)
    assert await report == Report(5, 0, Outcome.client_reset)
    assert sockets.closed
    await within(relay.stop(0))
    sockets.close()


@pytest_twisted.ensureDeferred
async def test_sockets_are_reset_when_their_report_is_cancelled_and_when_the_relay_stops() -> None:
    relay = await made()
    cancelled, stopped = Sockets(), Sockets()
    reports = cancelled.add(relay, b"early"), stopped.add(relay)
    reports[0].cancel()
    assert await reports[0] == Report(5, 0, Outcome.aborted)
    await within(relay.stop(0))
    assert await reports[1] == Report(0, 0, Outcome.aborted)
    for sockets in (cancelled, stopped):
        assert sockets.closed
        for peer in (sockets.client, sockets.backend):
            with pytest.raises(ConnectionResetError):
                await receive(peer)
        sockets.close()


@pytest_twisted.ensureDeferred
async def test_sockets_are_reset_when_the_thread_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[Failure] = []
    relay = await made(crashes.append)
    sockets, other = Sockets(), Sockets()
    reports = sockets.add(relay), other.add(relay)
    await within(relay.heartbeat())
    monkeypatch.setattr(SpliceLoop, "_update_pair", lambda loop, pair: 1 / 0)
    sockets.client.close()
    for report in reports:
        assert (await report).outcome is Outcome.aborted
    assert sockets.closed
    assert other.closed
    with pytest.raises(ConnectionResetError):
        await receive(other.client)
    await until(lambda: len(crashes) == 1)
    await within(relay.stop(0))
    sockets.close()
    other.close()


def fail_in_thread(
    monkeypatch: pytest.MonkeyPatch, method: str, *, of_relay: bool, owner: type[object] = SpliceLoop
) -> None:
    """Have a method of the loops fail in the relay's thread, or in the other one."""
    as_it_is = getattr(owner, method)

    def run_or_fail(loop: object, *arguments: Any) -> Any:
        if (threading.current_thread().name == "zeroscale-relay") is of_relay:
            raise ValueError("a fault")
        return as_it_is(loop, *arguments)

    monkeypatch.setattr(owner, method, run_or_fail)


@pytest_twisted.ensureDeferred
async def test_a_pair_that_is_new_ends_when_the_thread_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[Failure] = []
    before = descriptors()
    relay = await made(crashes.append, poller)
    sockets = Sockets(buffers=4096)
    report = sockets.add(relay, b"early" * 10_000)
    assert await receive(sockets.backend, 5) == b"early"
    fail_in_thread(monkeypatch, "run", of_relay=True, owner=CommandQueue)
    relay.heartbeat()
    assert (await report).outcome is Outcome.aborted
    assert sockets.closed
    await until(lambda: len(crashes) == 1)
    await within(relay.stop(10))
    sockets.close()
    await until(lambda: descriptors() <= before)


@pytest_twisted.ensureDeferred
async def test_the_thread_goes_on_when_what_relays_new_pairs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[Failure] = []
    relay = await made(crashes.append, poller)
    sockets = [Sockets() for _ in range(3)]
    with monkeypatch.context() as patch:
        fail_in_thread(patch, "_update_pair", of_relay=False)
        reports = [each.add(relay, b"early") for each in sockets[:2]]
        sockets[0].client.close()
        assert [(await report).outcome for report in reports] == [Outcome.aborted] * 2
    assert relay.counters().live == 0
    report = sockets[2].add(relay, b"early")
    assert await receive(sockets[2].backend, 5) == b"early"
    sockets[2].client.close()
    sockets[2].backend.close()
    assert await report == Report(5, 0, Outcome.closed)
    assert crashes == []
    await within(relay.stop(0))
    for each in sockets:
        each.close()


@pytest_twisted.ensureDeferred
async def test_stopping_waits_for_new_pairs_and_then_aborts_them() -> None:
    relay = await made(new_pairs_by=poller)
    ends, stays = Sockets(), Sockets()
    reports = ends.add(relay, b"early"), stays.add(relay, b"early")
    stopped = relay.stop(0.1)
    assert await receive(ends.backend, 5) == b"early"
    ends.client.close()
    ends.backend.close()
    assert await reports[0] == Report(5, 0, Outcome.closed)
    assert not stopped.called
    assert await reports[1] == Report(5, 0, Outcome.aborted)
    await within(stopped)
    assert relay_threads() == 0
    for each in (ends, stays):
        each.close()


@pytest_twisted.ensureDeferred
async def test_refused_sockets_are_the_callers_again() -> None:
    relay = await made()
    sockets = Sockets()
    await send(sockets.client, b"hello")
    with pytest.raises(RelayError, match="accepts no more connections"):
        # The same socket twice: epoll refuses the second.
        await within(relay.add_sockets(sockets.to_client, sockets.to_client, b"early"))
    assert relay.counters() == Counters(0, 0, 0, 0)
    await within(relay.stop(0))
    with pytest.raises(RelayError, match="being stopped"):
        sockets.add(relay)
    assert not sockets.closed
    assert sockets.to_client.recv(100) == b"hello"
    sockets.to_client.sendall(b"sorry")
    assert await receive(sockets.client, 5) == b"sorry"
    sockets.close()


class CountingReactor:
    """The reactor; counts what other threads ask of it."""

    def __init__(self) -> None:
        self.calls = 0

    def callFromThread(self, *args: Any) -> None:
        self.calls += 1
        reactor.callFromThread(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


@pytest_twisted.ensureDeferred
async def test_all_pairs_that_end_before_the_reactor_has_time_are_reported_at_once() -> None:
    counting = CountingReactor()
    relay = SpliceRelay(counting, ignore)  # type: ignore[arg-type]
    relay.start()
    several = [Sockets() for _ in range(20)]
    reports = [sockets.add(relay) for sockets in several]
    for sockets in several:
        sockets.client.close()
        sockets.backend.close()
    deadline = monotonic() + DEADLINE
    while not all(sockets.closed for sockets in several):  # the reactor does nothing in the meantime
        assert monotonic() < deadline
    for report in reports:
        assert await report == Report(0, 0, Outcome.closed)
    assert counting.calls <= 2  # the last socket is closed a moment before that is announced
    await within(relay.stop(0))


@pytest_twisted.ensureDeferred
async def test_idle_pairs_are_looked_for_as_long_as_there_are_pairs() -> None:
    async def end_an_idle_pair() -> None:
        idle = Sockets()
        report = relay.add_sockets(idle.to_client, idle.to_backend, b"")
        idle.client.shutdown(socket.SHUT_WR)
        await until(lambda: bool(report.called))
        assert (await report).outcome is Outcome.aborted
        idle.close()

    before = set(reactor.getDelayedCalls())
    relay = SpliceRelay(reactor, ignore, half_closed_limit=0.2)
    relay.start()
    await end_an_idle_pair()
    assert set(reactor.getDelayedCalls()) <= before
    live = Sockets()
    report = live.add(relay)
    await end_an_idle_pair()
    await within(relay.stop(0))
    await report
    assert set(reactor.getDelayedCalls()) <= before
    live.close()


OUT_OF_DESCRIPTORS = """
import os, resource, socket, sys
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from relay.relay_fixture import Pair, later, receive, send, until, within
from zeroscale.errors import RelayError
from zeroscale.relay import Relays

async def main():
    relays = Relays(reactor, "splice")
    relays.start()
    live = [Pair(buffers=4096) for _ in range(3)]
    reports = [pair.hand_over(relays) for pair in live]
    new_pair = Pair()
    await until(lambda: relays.counters()["splice"].live == 3)
    held = []
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    # A stalled pair takes the last pipe, the next one has its leftovers in memory.
    data = os.urandom(300_000)
    sending = [send(pair.client, data) for pair in live[:2]]
    await until(lambda: relays.counters()["splice"].to_backend > 0)
    await later(0.2)
    try:
        await new_pair.hand_over(relays, b"early")
        print("taken")
    except RelayError as error:
        print(error)
    new_pair.to_client.transport.write(b"sorry")
    print((await receive(new_pair.client, 5)).decode())
    await send(live[2].client, b"ping")
    print((await receive(live[2].backend, 4)).decode())
    print([await receive(pair.backend, len(data)) == data for pair in live[:2]])
    for number in held:
        os.close(number)
    await relays.stop(0)
    print([(await report).outcome.value for report in reports])
    for pair in live:
        await pair.gone()
    await new_pair.close()

def done(result):
    if result is not None:
        result.printTraceback(sys.stdout)
    reactor.stop()

def begin():
    Deferred.fromCoroutine(main()).addBoth(done)

resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
reactor.callWhenRunning(begin)
reactor.run()
"""


@pytest.mark.slow
def test_without_descriptors_new_connections_are_refused_and_players_play_on() -> None:
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with Program(python("-c", OUT_OF_DESCRIPTORS), environment=environment) as program:
        assert program.wait() == 0, program.output
    assert program.lines == [
        "the relay accepts no more connections: Too many open files",
        "sorry",
        "ping",
        "[True, True]",
        "['aborted', 'aborted', 'aborted']",
    ]
