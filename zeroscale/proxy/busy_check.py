"""Whether an idle server is busy, by the command that its configuration has now. Imports it only where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from zeroscale.config.model import ServerConfig
from zeroscale.lifecycle.plugin_adapter import from_coroutine
from zeroscale.proxy.factory import child_environment

if TYPE_CHECKING:
    from zeroscale.probes.busy_command import BusyCommand


class BusyCheck:
    """The check of one server.

    :param seconds: returns the time of a monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._config: ServerConfig | None = None
        self._command: BusyCommand | None = None

    def ask(self, config: ServerConfig) -> Deferred[str | None]:
        """Ask why the server is busy, with its present configuration; fires with None if it is not."""
        if config.busy_command is None:
            return succeed(None)
        if self._command is None or config is not self._config:
            from zeroscale.probes.busy_command import BusyCommand

            self._config = config
            self._command = BusyCommand(
                config.name,
                config.busy_command,
                config.busy_timeout,
                config.directory,
                child_environment(config),
                self._seconds,
            )
        return from_coroutine(self._command.reason())
