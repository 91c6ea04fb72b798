"""Speaking with a running Minecraft server as its operator would: through its console, and by RCON where that is on.

It knows how to ask who is on and how to say that it is to stop, and nothing of processes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.minecraft.rcon_client import NothingSaid, RconConsole
from zeroscale.protocols.minecraft.rcon import parse_list

logger = logging.getLogger(__name__)

LIST_TIMEOUT = 5.0
"""Seconds that an answer to `list` may take: a tick may be slow, and the output is looked at once a second."""

ANSWER_TIMEOUT = 30.0
"""Seconds that the answer to an operator's command may take: a save of a large world takes so long."""

RCON_STOP_AFTER = 15.0
"""Seconds after `stop` on the console until it is said by RCON as well."""

RCON_STOP_TIMEOUT = 120.0
"""Seconds that a save may take, which comes before RCON's answer to it."""

# Behind the log's own time and thread: a player's words stand behind the player's name.
LIST_ANSWER = re.compile(r"[0-9 :.,/-]*(?:\[[^\]]*\][ :]*)*There are [0-9]")


class MinecraftConsole:
    """What is said to one server, start after start.

    :param files: its files, which say whether there are RCON and a status.
    :param host: where RCON is reached.
    :param type_line: types a line into its console; raises `PluginError` where that cannot be.
    """

    def __init__(self, files: ServerFiles, host: str, type_line: Callable[[str], None]) -> None:
        self._files = files
        self._host = host
        self._type_line = type_line
        self._answer: asyncio.Future[int] | None = None
        self._has_listed = False
        self._warned = False

    def heard(self, line: str) -> None:
        """A line of its output."""
        if self._answer is None or self._answer.done() or not LIST_ANSWER.match(line):
            return
        listed = parse_list(line)
        if listed is not None:
            self._answer.set_result(listed.count)

    async def players(self) -> int | None:
        """How many are on, by RCON, or through the console where the status is off; None: it cannot say.

        :raises PluginError: it could before, has no status, and does not answer now.
        """
        count = await self._list_by_rcon() if self._files.enable_rcon else None
        if self._files.enable_status:
            return count
        if count is None:
            count = await self._list_by_console()
        if count is None and self._has_listed:
            raise PluginError("it has answered `list` before, and does not now")
        self._has_listed = count is not None
        return count

    async def say(self, line: str) -> str | None:
        """Gives it a command of its operator's.

        :returns: its answer, which only RCON gives; None: it was typed into its console.
        :raises PluginError: it does not take it, or may have taken it and does not answer.
        """
        if self._files.enable_rcon:
            try:
                answers = await self._rcon().ask(line, within=ANSWER_TIMEOUT, may_end=True)
            except NothingSaid as error:
                logger.info("%s: the command is typed into its console", error)
            else:
                return answers[0] if answers else None
        self._type_line(line)
        return None

    async def stop(self, ended: Callable[[], Awaitable[object]]) -> None:
        """Says that it is to stop, on which it saves; returns once it has, or once all is said.

        :param ended: waits for its end.
        :raises PluginError: it cannot be told.
        """
        try:
            self._type_line("stop")
        except PluginError as error:
            if not self._files.enable_rcon:
                raise
            logger.warning("%s: it is told to stop by RCON", error)
            await self._stop_by_rcon()
            return
        if not self._files.enable_rcon:
            return
        try:
            async with asyncio.timeout(RCON_STOP_AFTER):
                await ended()
        except TimeoutError:
            logger.info("It has not stopped for %.0f s: it is told by RCON as well", RCON_STOP_AFTER)
            try:
                await self._stop_by_rcon()
            except PluginError as error:
                logger.info("%s; it may be saving", error)

    async def _list_by_console(self) -> int | None:
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._type_line("list")
            async with asyncio.timeout(LIST_TIMEOUT):
                return await self._answer
        except (PluginError, TimeoutError) as error:
            logger.debug("It does not say on its console who is on (%s)", error or "no answer")
            return None
        finally:
            self._answer = None

    async def _list_by_rcon(self) -> int | None:
        try:
            (answer,) = await self._rcon().ask("list", within=LIST_TIMEOUT)
        except PluginError as error:
            logger.log(logging.DEBUG if self._warned else logging.WARNING, "%s", error)
            self._warned = True
            return None
        self._warned = False
        listed = parse_list(answer)
        return listed.count if listed else None

    async def _stop_by_rcon(self) -> None:
        await self._rcon().ask("save-all flush", "stop", within=RCON_STOP_TIMEOUT, may_end=True)

    def _rcon(self) -> RconConsole:
        return RconConsole(self._host, self._files.rcon_port, self._files.rcon_password)
