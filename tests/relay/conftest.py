"""The relays under test, each on the reactor that the tests run on.

`relay_fixture` is imported late: it imports the reactor, and pytest loads this file before it has installed one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure

from zeroscale.relay import Relays


@pytest.fixture
def crashes() -> list[Failure]:
    """Of the relay's thread."""
    return []


@pytest.fixture(params=["splice", "transport"])
def relays(request: pytest.FixtureRequest, crashes: list[Failure]) -> Iterator[Relays]:
    """Both kinds, one after the other."""
    from relay.relay_fixture import reactor, started

    with started(Relays(reactor, request.param, crashes.append)) as relays:
        yield relays
    assert crashes == []


@pytest.fixture
def splicing(crashes: list[Failure]) -> Iterator[Relays]:
    """The splice relay alone."""
    from relay.relay_fixture import reactor, started

    with started(Relays(reactor, "splice", crashes.append)) as relays:
        yield relays


@pytest.fixture
def transporting() -> Iterator[Relays]:
    """The transport relay alone."""
    from relay.relay_fixture import reactor, started

    with started(Relays(reactor, "transport")) as relays:
        yield relays
