"""A client that waits in its login screen: kept alive, known to be there, and with nothing unanswered at the end.

What it is asked and what it may answer is its Conversation's; when it is asked, and when it is given up, is decided
here.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from zeroscale.protocols.conversation import Conversation

KEEPALIVE_EVERY = 7.0
"""Seconds between two requests that keep a held client alive: some of its 30 s may pass on a bad line unanswered."""

MOST_UNANSWERED = 3
"""Requests a held client may leave unanswered: 20 s and more of silence, where a live one takes a round trip."""

DRAIN_TIMEOUT = 5.0
"""Seconds that a ready server waits for the last answer of a held client."""


class LoginHold:
    """One client's waiting, which may begin and end more than once.

    :param conversation: knows what to ask.
    :param write: sends to the client.
    :param clock: for the requests' times.
    :param silent: called when the client has stopped answering.
    """

    def __init__(
        self,
        conversation: Conversation,
        write: Callable[[bytes], object],
        clock: IReactorTime,
        silent: Callable[[], object],
    ) -> None:
        self._conversation = conversation
        self._write = write
        self._clock = clock
        self._silent = silent
        self._next: IDelayedCall | None = None
        self._begun = False
        self._has_answered = False
        self._answered: Deferred[None] | None = None
        self._drained: Deferred[None] | None = None

    def begin(self, *, at_once: bool = False) -> None:
        """Asks the client from now on, again and again.

        :param at_once: the first request goes out now.
        :raises ProtocolError: it has sent more than its login already.
        """
        if not self._begun:
            self._conversation.hold()  # means nothing yet: nothing has been asked
            self._begun = True
        if at_once:
            self._ask()
        else:
            self._next = self._clock.callLater(KEEPALIVE_EVERY, self._ask)

    def end(self) -> None:
        """Asks no more."""
        pending, self._next = self._next, None
        if pending is not None and pending.active():
            pending.cancel()

    def heard(self, *, answered: bool) -> None:
        """The client has sent something, and its Conversation has taken it.

        :param answered: an answer was in it.
        """
        self._has_answered |= answered
        if self._has_answered and self._answered is not None:
            self._answered.callback(None)
        elif self._conversation.unanswered == 0 and self._drained is not None:
            self._drained.callback(None)

    async def first_answer(self) -> None:
        """Waits until the client has answered once; one that cannot be asked is not waited for."""
        if self._has_answered or self._conversation.unanswered == 0:
            return
        self._answered = Deferred()
        try:
            await self._answered
        finally:
            self._answered = None

    async def drained(self) -> bool:
        """Waits until everything is answered, for a stray answer would make the real server kick.

        :returns: whether it was, in time.
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
        self._next = None
        if self._conversation.unanswered >= MOST_UNANSWERED:
            self._silent()
            return
        request = self._conversation.keepalive()
        if request:
            self._write(request)
        self._next = self._clock.callLater(KEEPALIVE_EVERY, self._ask)
