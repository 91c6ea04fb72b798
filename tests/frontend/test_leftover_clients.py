"""Clients that do not know that their server has stopped."""

from __future__ import annotations

from zeroscale.frontend.leftover_clients import LONGEST, SILENCE, LeftoverClients


def test_a_client_is_ignored_until_it_was_silent() -> None:
    clients: LeftoverClients[str] = LeftoverClients()
    clients.add("player", 10.0, 12.0)
    assert not clients.ignores("other", 12.0)
    assert clients.ignores("player", 10.0 + SILENCE - 0.1)
    assert clients.ignores("player", 10.0 + 2 * SILENCE - 0.2)
    assert not clients.ignores("player", 10.0 + 3 * SILENCE)
    assert not clients.ignores("player", 10.0 + 3 * SILENCE)


def test_a_client_that_is_never_silent_is_ignored_for_a_while() -> None:
    clients: LeftoverClients[str] = LeftoverClients()
    clients.add("player", 10.0, 10.0)
    ignored = [clients.ignores("player", 10.0 + second) for second in range(60)]
    assert ignored == [True] * int(LONGEST) + [False] * (60 - int(LONGEST))


def test_no_client_is_ignored_once_the_server_runs() -> None:
    clients: LeftoverClients[str] = LeftoverClients()
    clients.add("player", 10.0, 10.0)
    clients.clear()
    assert not clients.ignores("player", 10.0)
