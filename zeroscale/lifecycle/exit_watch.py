"""Wait for a server to exit, and classify the exit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from zeroscale.lifecycle import exit_codes
from zeroscale.lifecycle.interfaces import AdaptedPlugin
from zeroscale.lifecycle.start import LONGEST_LINE
from zeroscale.status import Status

LINES_KEPT = 20
"""Of the server's output, for the reason of a crash: enough for the head of a Java stack trace."""


class ProcessExit(Struct, frozen=True):
    """The end of a server's process.

    :ivar clean: the server exited as servers do that were stopped.
    :ivar description: the exit code in words, or the plugin's own reason; "" where neither is known.
    :ivar last_output: the last lines of its output as the end of a sentence; "" where it has written none.
    """

    clean: bool = True
    description: str = ""
    last_output: str = ""

    def crash_reason(self, status: Status, *, adopted: bool) -> str | None:
        """Return why the exit of a server that was not being stopped is a crash; None: it is not a crash.

        A clean exit is a crash only where the server had not come up. An adopted one may have been stopping when the
        earlier proxy died.

        :param status: the server's status before the exit.
        :param adopted: the server was not started by this lifecycle.
        """
        if self.clean and (status is Status.running or (status is Status.starting and adopted)):
            return None
        when = {Status.starting: "while it started", Status.paused: "while it was paused"}
        return f"it ended {when.get(status, 'while it ran')}"


class ExitWatch:
    """Waits for the exit of one server at a time.

    :param exited: called with each exit, unless `stop` was called before.
    """

    def __init__(self, exited: Callable[[ProcessExit], None]) -> None:
        self._exited = exited
        self._call: Deferred[int | None] | None = None
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)

    @property
    def is_active(self) -> bool:
        """Whether `wait()` of a plugin was called since the last `stop`."""
        return self._call is not None

    @property
    def last_output(self) -> str:
        """The last lines of output as the end of a sentence; "" where there are none."""
        return exit_codes.quote_output(self._lines)

    def add_output(self, line: str) -> None:
        """Keep a line of the server's output, to be quoted when it exits."""
        self._lines.append(line[:LONGEST_LINE])

    def clear_output(self) -> None:
        """Forget the output of an earlier server."""
        self._lines.clear()

    def start(self, plugin: AdaptedPlugin) -> None:
        """Call the plugin's `wait()`, if it has one and was not called already."""
        if not plugin.can_wait or self._call is not None:
            return
        call = self._call = plugin.wait()

        def exited(code: int | None) -> None:
            if self._call is call:
                self._exited(ProcessExit(exit_codes.is_clean(code), exit_codes.describe(code), self.last_output))

        def failed(failure: Failure) -> None:
            if self._call is call and not failure.check(CancelledError):
                self._exited(ProcessExit(clean=False, description=failure.getErrorMessage()))

        call.addCallbacks(exited, failed)

    def stop(self) -> None:
        """Cancel the wait."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
