"""Whole hand-overs on real sockets, with both relays: nothing lost, nothing twice, and the end passed on as it came."""

from __future__ import annotations

import errno

import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relay.rig import (
    Connect,
    Finale,
    Pair,
    Played,
    Script,
    play,
    tcp_pair,
    unix_pair,
    until,
    within,
)
from twisted.internet.defer import gatherResults

from zeroscale.relay import Outcome, Relays, Report

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


CONDITIONS = given(
    script=st.fixed_dictionaries({"client": SCRIPTS, "backend": SCRIPTS}),
    early=st.sampled_from([0, 50, 70_000]).map(Early),
    buffers=st.sampled_from([0, 4096, 30_000]),
)
CONVERSATIONS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
    pair = Pair(connect, buffers)
    total = pairs_of(relays)
    report = pair.hand_over(relays, early)
    await until(lambda: pairs_of(relays) > total)
    peers = {"client": pair.client, "backend": pair.backend}
    played = await gatherResults([play(peers[name], script[name]) for name in peers], consumeErrors=True)
    said = await within(report)
    await pair.gone()
    check(script, early, dict(zip(peers, played, strict=True)), said, loses=loses, orderly=orderly)


# One function each: pytest-twisted wraps a function under hypothesis anew for every parameter.


@CONVERSATIONS
@CONDITIONS
@pytest_twisted.ensureDeferred
async def test_any_conversation_spliced(
    splicing: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(splicing, tcp_pair, script, early, buffers)


@CONVERSATIONS
@CONDITIONS
@pytest_twisted.ensureDeferred
async def test_any_conversation_spliced_between_unix_sockets(
    splicing: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(splicing, unix_pair, script, early, buffers, orderly=True)


@CONVERSATIONS
@CONDITIONS
@pytest_twisted.ensureDeferred
async def test_any_conversation_through_transports(
    transporting: Relays, script: dict[str, Script], early: bytes, buffers: int
) -> None:
    await converse(transporting, tcp_pair, script, early, buffers, loses=True)
