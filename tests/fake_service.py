"""Replaces `zeroscale.proxy.service` in the processes of tests/daemon/test_main.py and test_tap.py.

The plugin's name on the command line selects its behaviour. It logs every call; the tests wait for those lines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from zeroscale.config.loader import mistakes_error
from zeroscale.config.messages import Mistakes
from zeroscale.config.model import Config
from zeroscale.errors import ConfigError
from zeroscale.system.privileges import Owner

logger = logging.getLogger("fake")


def check(config: Config, reactor: object = None, file: Path | None = None, known: Mistakes | None = None) -> None:
    if known:
        raise mistakes_error(known)
    if config.servers[0].plugin == "unknown":
        raise ConfigError("no plugin is called 'unknown'\ndid you mean 'generic'?")


def make_service(
    config: Config, reactor: IReactorTime, read_again: Callable[[], Config], file: Path | None
) -> FakeProxy:
    return FakeProxy(config, reactor)


class FakeProxy:
    def __init__(self, config: Config, reactor: IReactorTime) -> None:
        self._config = config
        self._reactor = reactor
        self._behaviour = config.servers[0].plugin
        self.fatal: Deferred[None] = Deferred()
        self._stopping: Deferred[None] = Deferred()

    def prepare(self, owner: Owner) -> Deferred[None]:
        logger.warning("prepare for %s", owner.user_id)
        return succeed(None)

    def start(self) -> Deferred[None]:
        logger.warning("directories: %s %s", self._config.servers[0].directory, self._config.state_directory)
        if self._behaviour == "busy":
            return fail(ConfigError("port 25565 is taken"))
        if self._behaviour == "broken":
            return fail(ZeroDivisionError("a defect"))
        if self._behaviour == "busy_later":
            starting: Deferred[None] = Deferred()
            self._reactor.callLater(0, starting.errback, ConfigError("port 25565 is taken"))
            return starting
        if self._behaviour == "dies":
            self._reactor.callLater(0, self.fatal.errback, ConfigError("the relay's thread ended"))
        # from within the loop, and so after the signal handlers are in place
        self._reactor.callLater(0, logger.warning, "started")
        return succeed(None)

    def stop(self) -> Deferred[None]:
        asyncio.get_running_loop()  # plugins are closed by coroutines
        logger.warning("stop")
        if self._behaviour not in ("hurried", "stubborn"):
            self._reactor.callLater(0, self._stopped)
        return self._stopping

    @property
    def running(self) -> Sequence[str]:
        return [server.name for server in self._config.servers]

    def skip_to_sigterm(self) -> None:
        logger.warning("skip to SIGTERM")
        if self._behaviour == "hurried":
            self._reactor.callLater(0, self._stopped)

    def send_to_consoles(self, line: str) -> None:
        logger.warning("command %r", line)

    def reload(self) -> Deferred[Sequence[str]]:
        logger.warning("reload")
        return succeed([])

    def _stopped(self) -> None:
        logger.warning("stopped")
        self._stopping.callback(None)
