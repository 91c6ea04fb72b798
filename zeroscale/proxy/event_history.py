"""The history of all servers of the proxy: takes their events, and answers what `zeroscalectl` asks about them.

Imported at the first event: a proxy whose servers sleep has neither SQLite nor a thread for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.config.model import Config
from zeroscale.errors import ControlError
from zeroscale.events import ServerEvent
from zeroscale.history.journal import ServerJournal
from zeroscale.history.writer import HistoryWriter
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.thread_call import call_in_thread
from zeroscale.proxy.usage_sampler import UsageSampler
from zeroscale.reactor import Reactor
from zeroscale.system.files import server_directory


class _ServerHistory(Struct):
    directory: Path
    journal: ServerJournal
    sampler: UsageSampler


class EventHistory:
    """The histories of all servers.

    :param config: the configuration; its history is enabled.
    :param reactor: the clock, on whose thread everything here is called.
    :param server: returns a server by its name; None: there is none.
    """

    def __init__(self, config: Config, reactor: Reactor, server: Callable[[str], ManagedServer | None]) -> None:
        settings = config.history
        self._state_directory = config.state_directory
        self._addresses = config.log.addresses if settings.addresses is None else settings.addresses
        self._reactor = reactor
        self._server = server
        self._writer = HistoryWriter(settings.keep, settings.max_size)
        self._histories: dict[str, _ServerHistory] = {}

    def record(self, event: ServerEvent) -> None:
        """Take an event of a server."""
        history = self._history(event.server)
        if history is None:
            return
        history.journal.record(event)
        history.sampler.record_event(event)
        self._write(history)

    def close_server(self, name: str) -> None:
        """Write what is known of a server that is not this proxy's any more."""
        history = self._history(name)
        if history is not None:
            history.sampler.stop(now=True)
            history.journal.flush(final=True)
            self._write(history)
            del self._histories[name]

    def close(self, names: Sequence[str]) -> Deferred[None]:
        """Write the rest, also for servers without an event; waits a few seconds for a disk that does not answer.

        :param names: the servers.
        """
        for name in names:
            self.close_server(name)
        self._server = lambda name: None  # whatever comes now would begin another history of the same time
        return call_in_thread(self._reactor, self._writer.close)

    def entries(self, names: Sequence[str], seconds: float, limit: int) -> Deferred[msgspec.Raw]:
        """Read the latest entries.

        :param names: the servers.
        :param seconds: how far to look back.
        :param limit: how many entries at most.
        :returns: fires with an encoded `HistoryPage`; fails with `ControlError`.
        """

        def read(directories: Sequence[tuple[str, Path]], now: float) -> object:
            from zeroscale.history.queries import read_history

            return read_history(directories, now - seconds, limit)

        return self._read(names, read)

    def stats(self, names: Sequence[str], seconds: float) -> Deferred[msgspec.Raw]:
        """Read the sums of the histories; see `entries`.

        :returns: fires with an encoded list of `HistoryStats`.
        """

        def read(directories: Sequence[tuple[str, Path]], now: float) -> object:
            from zeroscale.history.queries import read_stats

            return read_stats(directories, now - seconds, now)

        return self._read(names, read)

    def _read(
        self, names: Sequence[str], read: Callable[[Sequence[tuple[str, Path]], float], object]
    ) -> Deferred[msgspec.Raw]:
        """Write what goes on now, then read in the writer's thread, and encode the answer there."""
        for name in names:
            self._flush(name)
        directories = [(name, server_directory(self._state_directory, name)) for name in names]
        now = time.time()
        answer: Deferred[msgspec.Raw] = Deferred()

        def call() -> None:
            try:
                result: object = msgspec.Raw(msgspec.json.encode(read(directories, now)))
            except ImportError as error:
                result = Failure(ControlError(f"no history is kept: this Python has no sqlite3 ({error})"))
            except Exception as error:  # whatever it is, it is raised where the answer is awaited
                result = Failure(error)
            self._reactor.callFromThread(answer.callback, result)

        if not self._writer.read(call):
            raise ControlError("the history cannot be read now: zeroscale exits, or has no thread for it")
        return answer

    def _history(self, name: str) -> _ServerHistory | None:
        history = self._histories.get(name)
        if history is None:
            server = self._server(name)
            if server is None:
                return None
            journal = ServerJournal(self._reactor.seconds, time.time, server.added_at, addresses=self._addresses)
            usage = server.lifecycle.usage
            sampler = UsageSampler(name, self._reactor, usage, journal.used, lambda: self._flush(name))
            directory = server_directory(self._state_directory, name)
            history = self._histories[name] = _ServerHistory(directory, journal, sampler)
        return history

    def _flush(self, name: str) -> None:
        history = self._history(name)
        if history is not None:
            history.sampler.report()
            history.journal.flush()
            self._write(history)

    def _write(self, history: _ServerHistory) -> None:
        self._writer.write(history.directory, history.journal.take())
