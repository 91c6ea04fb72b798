"""Every conversation implements the interface, and each method can be called on a new one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zeroscale.protocols.conversation import Conversation, StatusReply
from zeroscale.protocols.minecraft.dispatch import MinecraftConversation
from zeroscale.protocols.minecraft.legacy import LegacyConversation
from zeroscale.protocols.minecraft.modern import ModernConversation
from zeroscale.protocols.tcp import TcpConversation

CONVERSATIONS: list[Callable[[], Conversation]] = [
    TcpConversation,
    LegacyConversation,
    MinecraftConversation,
    ModernConversation,
]


@pytest.mark.parametrize("make", CONVERSATIONS)
def test_every_method_of_a_new_conversation(make: Callable[[], Conversation]) -> None:
    conversation = make()
    conversation.opened()
    assert not conversation.receive(b"")
    assert conversation.idle_timeout is None
    assert not conversation.on_idle()
    assert conversation.replay_bytes == b""
    assert not conversation.full
    assert isinstance(conversation.status(StatusReply("", 0, 0, "")), bytes)
    assert isinstance(conversation.closes_after_status, bool)
    assert isinstance(conversation.pong(), bytes)
    assert conversation.kick("no") == b""
    assert not conversation.hold()
    assert conversation.keepalive() == b""
    assert conversation.unanswered == 0
