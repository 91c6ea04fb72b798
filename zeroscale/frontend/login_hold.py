"""Hold a client in its login screen: keep it alive, notice when it stops answering, wait for its last answer.

The client's Conversation makes the requests and parses the answers; this module decides when to send one.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime

from zeroscale.frontend.timer import Deadlines, Timer
from zeroscale.protocols.conversation import Conversation

KEEPALIVE_EVERY = 7.0
"""Seconds between two requests. The client disconnects after 30 s without one, and a bad line may lose some."""

MOST_UNANSWERED = 3
"""Requests that a held client may leave unanswered: 20 s and more; a client normally needs one round trip."""

DRAIN_TIMEOUT = 5.0
"""Seconds that a ready server waits for the last answer of a held client."""


class LoginHold:
    """The hold of one client, which may begin and end more than once.

    :param write: sends bytes to the client.
    :param on_unanswered: called when the client has stopped answering.
    """

    def __init__(
        self,
        conversation: Conversation,
        write: Callable[[bytes], object],
        clock: IReactorTime,
        deadlines: Deadlines,
        on_unanswered: Callable[[], object],
    ) -> None:
        self._conversation = conversation
        self._write = write
        self._clock = clock
        self._on_unanswered = on_unanswered
        self._next_request = Timer(deadlines)
        self._begun = False
        self._has_answered = False
        self._answered: Deferred[None] | None = None
        self._drained: Deferred[None] | None = None

    def begin(self, *, at_once: bool = False) -> None:
        """Send requests from now on, one every `KEEPALIVE_EVERY` seconds.

        :param at_once: send the first one now.
        :raises ProtocolError: the client has already sent more than its login.
        """
        if not self._begun:
            self._conversation.hold()  # its events mean nothing yet: no request has been sent
            self._begun = True
        if at_once:
            self._ask()
        else:
            self._next_request.start(KEEPALIVE_EVERY, self._ask)

    def end(self) -> None:
        """Send no more requests."""
        self._next_request.cancel()

    def client_sent(self, *, answered: bool) -> None:
        """Note that the client has sent something, after its Conversation has read it.

        :param answered: it contained an answer to a request.
        """
        self._has_answered |= answered
        if self._has_answered and self._answered is not None:
            self._answered.callback(None)
        elif self._conversation.unanswered == 0 and self._drained is not None:
            self._drained.callback(None)

    async def first_answer(self) -> None:
        """Wait until the client has answered once; returns at once for a client that cannot be sent requests."""
        if self._has_answered or self._conversation.unanswered == 0:
            return
        self._answered = Deferred()
        try:
            await self._answered
        finally:
            self._answered = None

    async def drained(self) -> bool:
        """Wait until no request is unanswered: the real server kicks a client that sends it an answer of ours.

        :returns: False when that took longer than `DRAIN_TIMEOUT`.
        """
        if self._conversation.unanswered == 0:
            return True
        self._drained = Deferred()
        try:
            await self._drained.addTimeout(DRAIN_TIMEOUT, self._clock)
        except DeferredTimeoutError:
            return False
        finally:
            self._drained = None
        return True

    def _ask(self) -> None:
        if self._conversation.unanswered >= MOST_UNANSWERED:
            self._on_unanswered()
            return
        request = self._conversation.keepalive()
        if request:
            self._write(request)
        self._next_request.start(KEEPALIVE_EVERY, self._ask)
