"""Whether a server runs: by a command, by its port, or by both where the command has shown that it cannot tell.

Starts and stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zeroscale.errors import PluginError
from zeroscale.plugins.support.status_trust import StatusTrust, Trust
from zeroscale.plugins.support.tcp_check import TcpResult, tcp_check
from zeroscale.process.command_runner import CommandResult

logger = logging.getLogger("zeroscale.plugin.command")

CHECK_EVERY = 1.0
"""Seconds between two checks of a server that starts or stops; clients may wait for it."""

CONNECT_LIMIT = 3.0
"""Seconds to wait for a TCP connection to the server."""

UNKNOWN_STATUS = frozenset({4, 126, 127})
"""Exit codes of the command without a result: "unknown" in LSB scripts, and the shell's codes for a
command that it cannot run. The same goes for codes from 128 on, of signals and of ssh (255). 0 means that the server
runs, and any other code that it does not."""

Check = Callable[[], Awaitable[bool]]
"""Returns whether the server runs."""


class CommandStatus:
    """Tells whether one server runs.

    :ivar address: where it answers, for messages.
    :ivar has_answered: whether its port, where that is asked, has been open since the last start.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[CommandResult]] | None, program: str, host: str, port: int, trust: StatusTrust
    ) -> None:
        """Ask nothing yet.

        :param ask: runs the command; None: there is none, and the port alone tells.
        :param program: its program, for messages.
        :param host: the address on which the server listens.
        :param port: the port.
        :param trust: how far the command is believed.
        """
        self.address = f"{host}:{port}"
        self.has_answered = False
        self._ask = ask
        self._program = program
        self._host, self._port = host, port
        self._trust = trust

    @property
    def goes_by_command(self) -> bool:
        """Whether the command alone tells."""
        return self._ask is not None and self._trust.level is not Trust.doubted

    @property
    def is_proven(self) -> bool:
        """Whether the command has said before that the server does not run."""
        return self._ask is not None and self._trust.level is Trust.proven

    @property
    def is_doubted(self) -> bool:
        """Whether the command has said before that the server runs though nothing answered."""
        return self._ask is not None and self._trust.level is Trust.doubted

    async def runs(self, *, in_use: bool = False) -> bool:
        """Return whether the server runs.

        :param in_use: players may be on it: if its machine cannot be reached, that does not mean that it has ended.
        :raises PluginError: that cannot be told now.
        """
        if self._ask is not None and not await self.command_says_running():
            return False
        if self.goes_by_command:
            return True
        answer = await tcp_check(self._host, self._port, CONNECT_LIMIT)
        if in_use and self.has_answered and answer is TcpResult.unreachable:
            raise PluginError(f"{self.address} cannot be reached")
        self.has_answered |= answer is TcpResult.accepted
        return answer is TcpResult.accepted

    async def command_says_running(self) -> bool:
        """Return what the command says.

        :raises PluginError: it has no result.
        """
        assert self._ask is not None
        done = await self._ask()
        if done.code in UNKNOWN_STATUS or done.code >= 128:
            raise PluginError(f"the status command ({self._program}) cannot tell: {done.summary()}")
        if done.code != 0:
            self._trust.prove()
        return done.code == 0

    async def may_be_wrong(self) -> bool:
        """Return whether the command, which says that the server runs, has never said otherwise, and nothing answers.

        A port that cannot be asked counts as one that answers.
        """
        if not self.goes_by_command or self.is_proven:
            return False
        try:
            return await tcp_check(self._host, self._port, CONNECT_LIMIT) is not TcpResult.accepted
        except PluginError:  # its name cannot be looked up
            return False

    async def becomes(self, wanted: bool, limit: float | None, check: Check | None = None) -> bool:
        """Wait until the server runs or, if not `wanted`, does not run; return whether it happened in time.

        :param limit: seconds; None: no limit.
        :param check: returns whether it runs; None: `runs`.
        """
        loop = asyncio.get_running_loop()
        deadline = None if limit is None else loop.time() + limit
        problem = ""
        while True:
            try:
                if await (check or self.runs)() is wanted:
                    return True
            except PluginError as error:
                if str(error) != problem:
                    problem = str(error)
                    logger.warning("%s; trying again", problem)
            if deadline is not None and loop.time() >= deadline:
                return False
            await asyncio.sleep(CHECK_EVERY)

    def doubt(self) -> bool:
        """Do not believe the command any more while no port answers, unless it is proven.

        :returns: whether that is news.
        """
        if self._ask is None or not self._trust.doubt():
            return False
        logger.warning(
            "status= (%s) says that the server runs, but %s does not answer: it is taken for stopped. From now on "
            "status= is not believed while nothing answers there: let it end with another code than 0 when the server "
            "does not run",
            self._program,
            self.address,
        )
        return True
