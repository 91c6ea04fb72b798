"""Ask a running server for its players by a command to its console, and find the answer in its output."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from zeroscale.errors import BackendError, PluginError
from zeroscale.lifecycle.interfaces import AdaptedPlugin, PlayerList

ANSWER_TIMEOUT = 15.0
"""Seconds to wait for the answer: a server between two long ticks may take as long as for its status, and its output
is read once a second."""


class ConsoleList:
    """Asks one server.

    :param clock: limits the time of an answer.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._has_answered = False
        self._window: _Window | None = None

    def output_received(self, line: str) -> None:
        """Look for the answer in a line of the server's output."""
        if self._window is not None:
            self._window.add(line)

    async def count(self, plugin: AdaptedPlugin, player_list: PlayerList) -> int | None:
        """Return the number of players; None: the console does not answer, nor has it ever.

        :raises BackendError: the answer is not understood or late, or a console that has answered before does not any
            more.
        """
        window = self._window = _Window(player_list)

        def late(_: object, seconds: float) -> None:
            if not window.sent:
                raise BackendError(f"its console has not answered `{player_list.COMMAND}` within {seconds:g} s")

        asking = Deferred.fromCoroutine(self._ask(plugin, player_list, window))
        asking.addTimeout(ANSWER_TIMEOUT, self._clock, late)
        try:
            count = await asking
        finally:
            self._window = None
        if count is None and window.text:
            raise BackendError(f"its answer to `{player_list.COMMAND}` is not understood: {window.text!r}")
        if count is None and self._has_answered:
            raise BackendError(f"its console no longer answers `{player_list.COMMAND}`")
        self._has_answered = count is not None
        return count

    async def _ask(self, plugin: AdaptedPlugin, player_list: PlayerList, window: _Window) -> int | None:
        try:
            answer = await plugin.send(player_list.COMMAND)
        except PluginError:
            return None
        window.sent = True
        if answer:
            window.add_text(answer)
            return player_list.count(answer)
        return await window.counted


class _Window:
    """The output from the command on until its answer.

    :ivar counted: fires with the number of players once it has been read.
    :ivar text: what is likely the answer, though it is not understood: the first message with a number in it, else the
        first one; "" where there was none.
    :ivar sent: the plugin has sent the command. With RCON it waits for the answer as well.
    """

    def __init__(self, player_list: PlayerList) -> None:
        self.counted: Deferred[int] = Deferred()
        self.text = ""
        self.sent = False
        self._player_list = player_list

    def add(self, line: str) -> None:
        message = self._player_list.message(line)
        count = self._player_list.count(message)
        if count is not None and not self.counted.called:
            self.counted.callback(count)
        self.add_text(message)

    def add_text(self, message: str) -> None:
        text = self._player_list.shown(message)
        if text.lstrip("/") == self._player_list.COMMAND:  # some consoles repeat what is typed
            return
        if not self.text or (_has_number(text) and not _has_number(self.text)):
            self.text = text


def _has_number(text: str) -> bool:
    return any(character.isdigit() for character in text)
