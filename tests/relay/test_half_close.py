"""When a pair that is on its way out may be ended."""

from __future__ import annotations

from zeroscale.relay.half_close import LINGER_LIMIT, LINGER_STALLED, Linger, Silence


def test_a_reset_waits_while_there_is_progress() -> None:
    linger = Linger(100.0)
    assert not linger.is_over(100.0, 0)
    assert not linger.is_over(104.0, 1)
    assert not linger.is_over(104.0 + LINGER_STALLED - 0.1, 1)
    assert linger.is_over(104.0 + LINGER_STALLED, 1)


def test_a_reset_does_not_wait_for_ever_however_slow_the_progress() -> None:
    linger = Linger(0.0)
    times = [float(second) for second in range(int(LINGER_LIMIT))]
    assert not any(linger.is_over(now, int(now)) for now in times)
    assert linger.is_over(LINGER_LIMIT, 1000)


def test_silence_is_measured_from_the_last_byte() -> None:
    silence = Silence(0.0, 10, 60.0)
    assert not silence.is_over(59.0, 10, waiting=False)
    assert not silence.is_over(61.0, 11, waiting=False)
    assert not silence.is_over(120.0, 11, waiting=False)
    assert silence.is_over(121.0, 11, waiting=False)


def test_a_peer_that_is_owed_bytes_is_not_silent() -> None:
    silence = Silence(0.0, 10, 60.0)
    assert not silence.is_over(1000.0, 10, waiting=True)
    assert not silence.is_over(1059.0, 10, waiting=False)
    assert silence.is_over(1060.0, 10, waiting=False)
