"""Whole hand-overs on real sockets, with both relays: nothing lost, nothing twice, and the end passed on as it came."""

from __future__ import annotations

import errno
import gc
import hashlib
import logging
import os
import random
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, ParamSpec, cast

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import descriptors
from relay import relay_fixture
from relay.relay_fixture import (
    Connect,
    Finale,
    Ours,
    Pair,
    Played,
    Script,
    later,
    play,
    reactor,
    receive,
    reset,
    send,
    tcp_pair,
    unix_pair,
    unsent,
    until,
    within,
)
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.threadpool import ThreadPool

from zeroscale.errors import RelayError
from zeroscale.relay import Outcome, Relays, Report, new_pairs
from zeroscale.relay.base import Moved
from zeroscale.relay.pipe_pool import MOST_SPARE
from zeroscale.sockets.transport import SocketTransport

PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.004])
SIZES = st.one_of(st.integers(1, 600), st.integers(1, 150_000))
SCRIPTS = st.builds(
    Script,
    st.lists(st.tuples(PAUSES, SIZES), max_size=6).map(tuple),
    st.lists(st.tuples(PAUSES, st.sampled_from([1000, 20_000, 65536])), min_size=1, max_size=4).map(tuple),
    st.sampled_from([Finale.finish, Finale.finish, *Finale]),
    st.integers(0, 1000),
)


class Early(bytes):
    """So many early bytes, shown as their number."""

    def __new__(cls, size: int) -> Early:
        return super().__new__(cls, b"e" * size)

    def __repr__(self) -> str:
        return f"Early({len(self)})"


P = ParamSpec("P")


def any_conversation(function: Callable[P, Deferred[None]]) -> Callable[P, None]:
    """Has hypothesis make up scripts. Its annotations know no tests that return a Deferred."""
    quiet = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    made_up = given(
        script=st.fixed_dictionaries({"client": SCRIPTS, "backend": SCRIPTS}),
        early=st.sampled_from([0, 50, 70_000]).map(Early),
        buffers=st.sampled_from([0, 4096, 30_000]),
    )
    return cast(Callable[P, None], quiet(made_up(cast(Any, function))))


def pairs_of(relays: Relays) -> int:
    return sum(each.total for each in relays.counters().values())


def check(
    script: dict[str, Script], early: bytes, played: dict[str, Played], report: Report, *, loses: bool, orderly: bool
) -> None:
    """What came of a client's and a backend's scripts, against the model.

    :param loses: what came before a reset may be lost (the transport relay, when it writes to a peer that has reset).
    :param orderly: a peer that resets may look like one that finished (a Unix socket that has read everything).
    """
    sent = {"client": early + script["client"].data, "backend": script["backend"].data}
    received = {"client": bytes(played["backend"].received), "backend": bytes(played["client"].received)}
    resetting = [name for name in sent if script[name].finale is not Finale.finish]
    for name in sent:
        assert sent[name].startswith(received[name]), f"what the {name} sent was changed"
    if not resetting:
        assert received == sent
        assert report == Report(len(sent["client"]), len(sent["backend"]), Outcome.closed)
        assert played["client"].ended
        assert played["backend"].ended
    if len(resetting) != 1:
        return
    [name] = resetting
    other = played["backend" if name == "client" else "client"]
    finale = script[name].finale
    outcomes = {Outcome.client_reset if name == "client" else Outcome.backend_reset}
    if orderly or finale is Finale.finish_and_reset:
        outcomes.add(Outcome.closed)  # the other may have finished before the reset came
    assert report.outcome in outcomes
    assert finale is Finale.reset or loses or received[name] == sent[name], "what came before the reset was lost"
    assert other.ended or other.error in (errno.ECONNRESET, errno.EPIPE)


async def talk(
    pair: Pair,
    report: Deferred[Report],
    script: dict[str, Script],
    early: bytes,
    threads: ThreadPool | None = None,
    *,
    loses: bool = False,
    orderly: bool = False,
) -> None:
    """Plays both scripts on a pair that is relayed, and checks what came of it."""
    peers = {"client": pair.client, "backend": pair.backend}
    played = await gatherResults([play(peers[name], script[name], threads) for name in peers], consumeErrors=True)
    result = await within(report)
    await pair.gone()
    check(script, early, dict(zip(peers, played, strict=True)), result, loses=loses, orderly=orderly)


async def converse(
    relays: Relays,
    connect: Connect,
    script: dict[str, Script],
    early: bytes,
    buffers: int,
    *,
    loses: bool = False,
    orderly: bool = False,
) -> None:
    """Relays one pair, and has it play both scripts as soon as the relay has it."""
    total = pairs_of(relays)
    pair = Pair(connect, buffers)
    report = pair.hand_over(relays, early)
    await until(lambda: pairs_of(relays) > total)
    await talk(pair, report, script, early, loses=loses, orderly=orderly)


# One function each: pytest-twisted wraps a function under hypothesis anew for every parameter.


@any_conversation
@pytest_twisted.ensureDeferred
async def test_any_conversation_spliced(
    splicing: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(splicing, tcp_pair, script, early, buffers)


@pytest.mark.slow
@any_conversation
@pytest_twisted.ensureDeferred
async def test_any_conversation_spliced_between_unix_sockets(
    splicing: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(splicing, unix_pair, script, early, buffers, orderly=True)


@any_conversation
@pytest_twisted.ensureDeferred
async def test_any_conversation_through_transports(
    transporting: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(transporting, tcp_pair, script, early, buffers, loses=True)


@any_conversation
@pytest_twisted.ensureDeferred
async def test_any_conversation_through_transports_on_a_poller(
    transporting_on_a_poller: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(transporting_on_a_poller, tcp_pair, script, early, buffers, loses=True)


@any_conversation
@pytest_twisted.ensureDeferred
async def test_any_conversation_passed_on_in_the_middle(
    passing: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    new_pairs.NEW_FOR = script["client"].seed % 8 * 0.004
    await converse(passing, tcp_pair, script, early, buffers)


@pytest_twisted.ensureDeferred
async def test_early_bytes_beyond_every_buffer_go_first(relays: Relays) -> None:
    pair = Pair(buffers=4096)
    early = os.urandom(1_000_000)
    report = pair.hand_over(relays, early)
    sending = send(pair.client, b"then this")
    assert await receive(pair.backend, len(early) + 9) == early + b"then this"
    await sending
    pair.client.close()
    pair.backend.close()
    assert await within(report) == Report(len(early) + 9, 0, Outcome.closed)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_the_first_bytes_of_a_backend_are_relayed(relays: Relays) -> None:
    pair = Pair()
    pair.backend.sendall(b"220 welcome\r\n")
    await later()
    report = pair.hand_over(relays)
    assert await receive(pair.client, 13) == b"220 welcome\r\n"
    assert pair.to_backend.received == b""
    pair.backend.close()
    assert await receive(pair.client) == b""
    pair.client.close()
    assert await within(report) == Report(0, 13, Outcome.closed)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_bytes_written_before_the_hand_over_arrive_before_the_backends(relays: Relays) -> None:
    pair = Pair(buffers=4096)
    ours = os.urandom(500_000)
    pair.to_client.transport.write(ours)
    pair.backend.sendall(b"from the backend")
    report = pair.hand_over(relays)
    assert await receive(pair.client, len(ours) + 16) == ours + b"from the backend"
    pair.client.close()
    pair.backend.close()
    assert (await within(report)).outcome is Outcome.closed
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_client_whose_end_was_read_already_is_passed_on(relays: Relays) -> None:
    pair = Pair()
    pair.client.sendall(b"all I have")
    pair.client.shutdown(socket.SHUT_WR)
    pair.to_client.transport.resumeProducing()
    await until(lambda: pair.to_client.finished)
    report = pair.hand_over(relays, pair.to_client.received, client_finished=True)
    assert await receive(pair.backend) == b"all I have"
    pair.backend.sendall(b"answer")
    pair.backend.close()
    assert await receive(pair.client) == b"answer"
    assert await within(report) == Report(10, 6, Outcome.closed)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_kick_before_a_reset_is_read(relays: Relays) -> None:
    """A server that kicks closes with bytes of the client's unread, which is a reset behind the text."""
    pair = Pair()
    report = pair.hand_over(relays)
    pair.client.sendall(b"never read")
    await until(lambda: sum(each.to_backend for each in relays.counters().values()) == 10)
    pair.backend.sendall(b"You are banned")
    pair.backend.close()
    assert await receive(pair.client, 14) == b"You are banned"
    with pytest.raises(ConnectionResetError):
        await receive(pair.client, 1)
    assert (await within(report)).outcome is Outcome.backend_reset
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_slow_reader_gets_all_that_was_sent_before_a_reset(relays: Relays) -> None:
    pair = Pair(buffers=30_000)
    report = pair.hand_over(relays)
    await until(lambda: pairs_of(relays) == 1)
    pair.backend.setblocking(False)
    data = os.urandom(1 << 20)
    sent, waits = 0, 0
    while waits < 20:  # by then the relay has stopped to read
        try:
            sent += pair.backend.send(data[sent:])
            waits = 0
        except BlockingIOError:
            waits += 1
            await later(0.005)
    arrived = sent - unsent(pair.backend)
    reset(pair.backend)
    await later(0.05)
    assert await receive(pair.client, arrived) == data[:arrived]
    with pytest.raises(ConnectionResetError):
        await receive(pair.client)
    assert (await within(report)).outcome is Outcome.backend_reset
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_cancelled_before_the_relay_has_them_both_are_the_callers_again(splicing: Relays) -> None:
    pair = Pair(buffers=4096)
    unwritten = os.urandom(500_000)
    pair.to_client.transport.write(unwritten)
    report = pair.hand_over(splicing, b"early")
    await later()
    report.cancel()
    with pytest.raises(CancelledError):
        await report
    assert splicing.counters()["splice"].total == 0
    pair.to_client.transport.write(b"Goodbye")
    pair.to_client.transport.loseConnection()
    pair.to_backend.transport.loseConnection()
    assert await receive(pair.client) == unwritten + b"Goodbye"
    assert await receive(pair.backend) == b""
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_the_bytes_moved_so_far_are_known_while_a_pair_is_relayed(relays: Relays) -> None:
    pair = Pair()
    moved: list[Moved] = []
    report = pair.hand_over(relays, b"early", on_started=moved.append)
    await send(pair.backend, b"x" * 4096)
    await receive(pair.client, 4096)
    await until(lambda: moved[0]() == (5, 4096))
    pair.client.close()
    pair.backend.close()
    await within(report)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_cancelled_later_the_pair_is_aborted_and_reports(relays: Relays) -> None:
    pair = Pair()
    report = pair.hand_over(relays, b"early")
    assert await receive(pair.backend, 5) == b"early"
    report.cancel()
    assert await within(report) == Report(5, 0, Outcome.aborted)
    with pytest.raises(ConnectionResetError):
        await receive(pair.backend)
    await pair.gone()


@pytest_twisted.ensureDeferred
async def test_a_client_lost_while_it_is_flushed_fails_the_hand_over(splicing: Relays) -> None:
    pair = Pair(buffers=4096)
    pair.to_client.transport.write(b"x" * 500_000)
    report = pair.hand_over(splicing)
    reset(pair.client)
    with pytest.raises(RelayError):
        await within(report)
    await pair.close()


class Half:
    """A client with a transport on a poller, and a backend of which the proxy has the bare socket."""

    def __init__(self) -> None:
        self.client, ours = tcp_pair()
        ours.setblocking(False)
        self.to_client = Ours()
        SocketTransport(relay_fixture.poller, ours, None, self.to_client).start()
        self.backend, self.to_backend = tcp_pair()
        self.to_backend.setblocking(False)

    async def gone(self) -> None:
        await within(self.to_client.lost)
        for sock in (self.client, self.backend, self.to_backend):
            sock.close()


@pytest_twisted.ensureDeferred
async def test_a_backend_without_a_transport_is_relayed_and_closed(relays: Relays) -> None:
    half = Half()
    await send(half.backend, b"banner")
    report = relays.relay_socket(half.to_client.transport, half.to_backend, b"early ")
    await send(half.client, b"question")
    half.client.shutdown(socket.SHUT_WR)
    assert await receive(half.backend) == b"early question"
    await send(half.backend, b", answer")
    half.backend.close()
    assert await receive(half.client) == b"banner, answer"
    assert await within(report) == Report(14, 14, Outcome.closed)
    assert half.to_backend.fileno() == -1
    await half.gone()


@pytest_twisted.ensureDeferred
async def test_a_backend_without_a_transport_is_reset_when_the_report_is_cancelled(relays: Relays) -> None:
    half = Half()
    report = relays.relay_socket(half.to_client.transport, half.to_backend, b"early")
    report.cancel()
    report.cancel()
    assert (await within(report)).outcome is Outcome.aborted
    for peer in (half.client, half.backend):
        with pytest.raises(ConnectionResetError):
            await receive(peer)
    await half.gone()


@pytest_twisted.ensureDeferred
async def test_a_backend_without_a_transport_that_no_relay_takes_is_the_callers(relays: Relays) -> None:
    half = Half()
    await within(relays.stop(0))
    with pytest.raises(RelayError, match="being stopped"):
        relays.relay_socket(half.to_client.transport, half.to_backend, b"early")
    await send(half.backend, b"hello")
    half.to_backend.setblocking(True)
    assert half.to_backend.recv(5) == b"hello"
    half.to_client.transport.write(b"sorry")
    half.to_client.transport.loseConnection()
    assert await receive(half.client) == b"sorry"
    await half.gone()


@pytest_twisted.ensureDeferred
async def test_the_relay_is_chosen_by_what_the_transports_are() -> None:
    for forced, chosen in [("auto", "splice"), ("splice", "splice"), ("transport", "transport")]:
        relays = Relays(reactor, forced)
        relays.start()
        pair = Pair()
        report = pair.hand_over(relays, b"early")
        assert await receive(pair.backend, 5) == b"early"
        assert {name for name, counters in relays.counters().items() if counters.total} == {chosen}
        await within(relays.stop(0))
        await report
        await pair.gone()


def test_there_is_no_other_relay() -> None:
    with pytest.raises(RelayError, match="teleport"):
        Relays(reactor, "teleport")


def test_elsewhere_the_automatic_choice_does_without_splice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert list(Relays(reactor).counters()) == ["transport"]


# Loads. What they hold is held small by the properties above, and here in earnest.


def pump(sock: socket.socket, size: int, seed: int) -> tuple[str, str]:
    """Sends `size` bytes of a seed's and receives as many, at once; the digests of both."""
    block = random.Random(seed).randbytes(1 << 20)
    sent, received = hashlib.sha256(), hashlib.sha256()

    def work() -> None:
        for number in range(size >> 20):
            data = number.to_bytes(8, "big") + block[8:]
            sent.update(data)
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=work)
    sender.start()
    sock.settimeout(120)
    while data := sock.recv(1 << 20):
        received.update(data)
    sender.join()
    return sent.hexdigest(), received.hexdigest()


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_a_gibibyte_both_ways_at_once(relays: Relays) -> None:
    pair = Pair()
    report = pair.hand_over(relays)
    work = [deferToThread(pump, sock, 1 << 30, seed) for seed, sock in enumerate((pair.client, pair.backend))]
    (client_sent, client_received), (backend_sent, backend_received) = await gatherResults(work)
    assert (client_received, backend_received) == (backend_sent, client_sent)
    assert await report == Report(1 << 30, 1 << 30, Outcome.closed)
    await pair.gone()


def mixed_script(number: int, *, volume: int) -> Script:
    """Return a script of one of many speeds, and one of many ways to close."""
    choice = random.Random(number)
    pause = choice.choice([0.0, 0.0, 0.002, 0.01])
    writes = tuple((pause, choice.randrange(1, volume)) for _ in range(choice.randrange(1, 30)))
    reads = ((choice.choice([0.0, 0.0, 0.001, 0.02]), choice.choice([2048, 16384, 65536])),)
    finale = choice.choice([Finale.finish] * 6 + list(Finale))
    return Script(writes, reads, finale, number)


async def crowd(relays: Relays, count: int, *, volume: int, first: int = 0) -> None:
    """So many conversations at once."""
    total = pairs_of(relays)
    pairs = [Pair(buffers=(0, 4096, 30_000)[number % 3]) for number in range(count)]
    reports = [pair.hand_over(relays, b"early") for pair in pairs]
    await until(lambda: pairs_of(relays) == total + count)
    scripts = [
        {
            name: mixed_script(2 * (first + number) + side, volume=volume)
            for side, name in enumerate(("client", "backend"))
        }
        for number in range(count)
    ]
    threads = ThreadPool(0, 2 * count, name="peers")
    threads.start()
    try:
        talks = [
            Deferred.fromCoroutine(talk(pair, report, script, b"early", threads, loses=True))
            for pair, report, script in zip(pairs, reports, scripts, strict=True)
        ]
        await gatherResults(talks, consumeErrors=True)
    finally:
        threads.stop()


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_forty_connections_of_mixed_speeds(relays: Relays) -> None:
    await crowd(relays, 40, volume=8000)


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_five_hundred_connections_of_mixed_speeds(relays: Relays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_fixture, "DEADLINE", 300.0)
    await crowd(relays, 500, volume=60_000)


def resident() -> int:
    """KiB of memory that this process has."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0])


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_soak(relays: Relays) -> None:
    """Connections come and go; descriptors, threads and memory are where they were.

    For 20 seconds; ZEROSCALE_SOAK_SECONDS says how long else.
    """
    for number in range(3):
        await crowd(relays, 20, volume=20_000, first=number * 20)
    gc.collect()
    opened, threads, memory = descriptors(), threading.active_count(), resident()
    until = monotonic() + float(os.environ.get("ZEROSCALE_SOAK_SECONDS", "20"))
    number = 3
    while monotonic() < until:
        await crowd(relays, 20, volume=20_000, first=number * 20)
        number += 1
    gc.collect()
    assert all(each.live == 0 for each in relays.counters().values())
    # Pipes may be kept for the next stall, up to a bound.
    assert descriptors() <= opened + 2 * MOST_SPARE
    assert threading.active_count() <= threads
    assert resident() < memory + 8 * 1024


class NoRelayThread:
    """Refuses the relay's thread, and counts the attempts, until `allowed`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0
        self.allowed = False
        start = threading.Thread.start

        def start_or_refuse(thread: threading.Thread) -> None:
            if thread.name == "zeroscale-relay" and not self.allowed:
                self.attempts += 1
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_refuse)


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> NoRelayThread:
    return NoRelayThread(monkeypatch)


async def relayed_by(relays: Relays) -> set[str]:
    """Relay a pair; return the names of the relays that had it."""
    before = {name: sums.total for name, sums in relays.counters().items()}
    pair = Pair()
    report = pair.hand_over(relays, b"early")
    assert await receive(pair.backend, 5) == b"early"
    report.cancel()
    await within(report)
    await pair.gone()
    return {name for name, sums in relays.counters().items() if sums.total > before.get(name, 0)}


@pytest.mark.usefixtures("no_thread")
def test_a_forced_relay_without_a_thread_is_an_error() -> None:
    forced = Relays(reactor, "splice")
    with pytest.raises(RelayError, match="can't start new thread"):
        forced.start()


@pytest_twisted.ensureDeferred
async def test_without_a_thread_the_other_relay_takes_all_pairs_until_one_can_be_had(
    no_thread: NoRelayThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zeroscale.access")
    clock = Clock()
    relays = Relays(reactor, clock=clock.seconds)
    relays.start()
    tried_at = []
    for _ in range(60):
        clock.advance(10)
        before = no_thread.attempts
        assert await relayed_by(relays) == {"transport"}
        if no_thread.attempts > before:
            tried_at.append(clock.seconds())
    assert tried_at == [10, 30, 70, 150, 310]
    no_thread.allowed = True
    assert await relayed_by(relays) == {"transport"}, "not before its time"
    clock.advance(300)
    assert await relayed_by(relays) == {"splice"}
    assert await relayed_by(relays) == {"splice"}
    assert [record.getMessage() for record in caplog.records] == [
        "Relaying without splice for now, which costs more CPU time: the relay cannot start: can't start new thread",
        "Relaying by splice now",
    ]
    await within(relays.stop(0))


@pytest_twisted.ensureDeferred
async def test_no_relay_is_started_after_the_stop(no_thread: NoRelayThread) -> None:
    clock = Clock()
    relays = Relays(reactor, clock=clock.seconds)
    relays.start()
    await within(relays.stop(0))
    attempts = no_thread.attempts
    clock.advance(1000)
    pair = Pair()
    with pytest.raises(RelayError, match="being stopped"):
        await within(pair.hand_over(relays))
    await pair.close()
    assert no_thread.attempts == attempts
