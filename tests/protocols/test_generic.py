"""Any TCP client: a connection is enough, and nothing it says is lost."""

from __future__ import annotations

from zeroscale.protocols.base import Opened, StatusReply
from zeroscale.protocols.generic import GenericConversation


def test_a_connection_is_a_client() -> None:
    assert list(GenericConversation().opened()) == [Opened()]


def test_all_is_kept_and_it_says_when_to_stop_reading() -> None:
    conversation = GenericConversation(capacity=4)
    assert not conversation.receive(b"abc")
    before = conversation.full
    conversation.hold()
    conversation.receive(b"d")
    assert (before, conversation.full) == (False, True)
    conversation.receive(b"efg")  # what one more read had brought is not dropped either
    assert conversation.kept == b"abcdefg"


def test_it_has_no_words() -> None:
    conversation = GenericConversation()
    conversation.receive(b"x")
    assert (conversation.quiet_timeout, conversation.unanswered, conversation.status_ends) == (None, 0, False)
    assert [*conversation.silence(), *conversation.hold()] == []
    reply = StatusReply(description="", online=0, maximum=0, version_name="")
    assert conversation.status(reply) + conversation.pong() + conversation.kick("x") + conversation.keepalive() == b""
