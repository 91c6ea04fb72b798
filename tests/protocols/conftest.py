"""Fixtures of the tests of conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from zeroscale.protocols.conversation import Conversation, Event

Feed = Callable[..., list[Event]]


@pytest.fixture(scope="session")
def feed() -> Feed:
    """Feed bytes in pieces of a size, or cut at places; return all events."""

    def feed_pieces(
        conversation: Conversation, data: bytes, size: int | None = None, cuts: Sequence[int] = ()
    ) -> list[Event]:
        if size is not None:
            cuts = range(size, len(data), size)
        events: list[Event] = []
        begin = 0
        for end in [*cuts, len(data)]:
            events.extend(conversation.receive(data[begin:end]))
            begin = end
        return events

    return feed_pieces
