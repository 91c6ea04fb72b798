"""The relays under test, each on the reactor that the tests run on.

`relay_fixture` is imported late: it imports the reactor, and pytest loads this file before it has installed one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure

from zeroscale.relay import Relays, new_pairs


@pytest.fixture
def crashes() -> list[Failure]:
    """Of the relay's thread."""
    return []


@pytest.fixture(params=["splice", "splice, new pairs by the reactor", "transport", "transport, on a poller"])
def relays(request: pytest.FixtureRequest, crashes: list[Failure], monkeypatch: pytest.MonkeyPatch) -> Iterator[Relays]:
    """All kinds, one after the other."""
    from relay import relay_fixture

    kind, _, variant = request.param.partition(", ")
    monkeypatch.setattr(relay_fixture, "on_a_poller", kind == "splice" or bool(variant))
    monkeypatch.setattr(new_pairs, "NEW_FOR", 0.02)  # so that many are passed on
    poller = relay_fixture.poller if kind == "splice" and variant else None
    with relay_fixture.started(Relays(relay_fixture.reactor, kind, crashes.append, poller=poller)) as relays:
        yield relays
    assert crashes == []


@pytest.fixture
def splicing(crashes: list[Failure]) -> Iterator[Relays]:
    """The splice relay alone."""
    from relay.relay_fixture import reactor, started

    with started(Relays(reactor, "splice", crashes.append)) as relays:
        yield relays


@pytest.fixture
def transporting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relays]:
    """The transport relay alone, with Twisted's transports."""
    from relay import relay_fixture

    monkeypatch.setattr(relay_fixture, "on_a_poller", False)
    with relay_fixture.started(Relays(relay_fixture.reactor, "transport")) as relays:
        yield relays


@pytest.fixture
def passing(crashes: list[Failure], monkeypatch: pytest.MonkeyPatch) -> Iterator[Relays]:
    """The splice relay alone, with new pairs in the reactor's thread."""
    from relay.relay_fixture import poller, reactor, started

    monkeypatch.setattr(new_pairs, "NEW_FOR", 0.02)
    with started(Relays(reactor, "splice", crashes.append, poller=poller)) as relays:
        yield relays
    assert crashes == []


@pytest.fixture
def transporting_on_a_poller() -> Iterator[Relays]:
    """The transport relay alone, with transports on a poller."""
    from relay.relay_fixture import reactor, started

    with started(Relays(reactor, "transport")) as relays:
        yield relays
