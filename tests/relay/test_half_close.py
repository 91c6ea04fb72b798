"""When a pair that is ending may be closed."""

from __future__ import annotations

from zeroscale.relay.half_close import LINGER_LIMIT, LINGER_STALLED, IdleLimit, Linger


def test_a_reset_waits_while_there_is_progress() -> None:
    linger = Linger(100.0)
    assert not linger.expired(100.0, 0)
    assert not linger.expired(104.0, 1)
    assert not linger.expired(104.0 + LINGER_STALLED - 0.1, 1)
    assert linger.expired(104.0 + LINGER_STALLED, 1)


def test_a_reset_does_not_wait_for_ever_however_slow_the_progress() -> None:
    linger = Linger(0.0)
    times = [float(second) for second in range(int(LINGER_LIMIT))]
    assert not any(linger.expired(now, int(now)) for now in times)
    assert linger.expired(LINGER_LIMIT, 1000)


def test_silence_is_measured_from_the_last_byte() -> None:
    idle = IdleLimit(0.0, 10, 60.0)
    assert not idle.expired(59.0, 10, waiting=False)
    assert not idle.expired(61.0, 11, waiting=False)
    assert not idle.expired(120.0, 11, waiting=False)
    assert idle.expired(121.0, 11, waiting=False)


def test_a_peer_that_is_owed_bytes_is_not_silent() -> None:
    idle = IdleLimit(0.0, 10, 60.0)
    assert not idle.expired(1000.0, 10, waiting=True)
    assert not idle.expired(1059.0, 10, waiting=False)
    assert idle.expired(1060.0, 10, waiting=False)
