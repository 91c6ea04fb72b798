"""Send commands to a running Minecraft server, by its console or by RCON: list the players, stop it.

Uses no processes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.minecraft.rcon_client import RconConsole, RconUnavailable
from zeroscale.plugins.minecraft.stop_method import StopMethod
from zeroscale.protocols.minecraft import player_list

logger = logging.getLogger("zeroscale.plugin.minecraft")

LIST_TIMEOUT = 15.0
"""Seconds to wait for the answer to `list`, which the server gives between two ticks: as long as for its status."""

ANSWER_TIMEOUT = 30.0
"""Seconds to wait for the answer to an operator's command, such as a save of a large world."""

RCON_STOP_AFTER = 15.0
"""Seconds after `stop` on the console until it is also sent by RCON."""

RCON_STOP_TIMEOUT = 120.0
"""Seconds to wait for the answer to a save by RCON."""


class MinecraftConsole:
    """The console of one server, used for all of its starts.

    :param files: the server's files, which say whether RCON is enabled.
    :param host: the address for RCON.
    :param write_line: writes a line to the console; raises `PluginError` if that is not possible.
    """

    def __init__(self, files: ServerFiles, host: str, write_line: Callable[[str], None]) -> None:
        self._files = files
        self._host = host
        self._write_line = write_line
        self._warned = False

    async def players(self) -> int | None:
        """Return the number of players by RCON; None: it is off or does not answer, or its answer says nothing.

        :raises PluginError: the answer is not understood, and cannot mean that nobody is on.
        """
        if not self._files.enable_rcon:
            return None
        try:
            (answer,) = await self._rcon().ask(player_list.COMMAND, within=LIST_TIMEOUT)
        except PluginError as error:
            logger.log(logging.DEBUG if self._warned else logging.WARNING, "%s", error)
            self._warned = True
            return None
        self._warned = False
        count = player_list.count(answer)
        if count is None and not player_list.may_mean_nobody(answer):
            raise PluginError(f"its answer to `list` by RCON is not understood: {player_list.shown(answer)!r}")
        return count

    async def send(self, line: str) -> str | None:
        """Send an operator's command by RCON if that is enabled and reachable, or else write it to the console.

        :returns: the answer by RCON; None: the command was written to the console.
        :raises PluginError: the command was not accepted, or it was sent by RCON and not answered.
        """
        if self._files.enable_rcon:
            try:
                answers = await self._rcon().ask(line, within=ANSWER_TIMEOUT, may_end=True)
            except RconUnavailable as error:
                logger.info("%s; writing the command to the console instead", error)
            else:
                return answers[0] if answers else None
        self._write_line(line)
        return None

    async def stop(self, method: StopMethod, wait: Callable[[], Awaitable[object]]) -> None:
        """Send the command after which the server saves and ends; return when it has ended or all ways were tried.

        :param method: has the command, and whether RCON is the only way.
        :param wait: waits for the server's end.
        :raises PluginError: the command cannot be sent.
        """
        if method.by_rcon:
            await self._stop_by_rcon(method.command)
            return
        try:
            self._write_line(method.command)
        except PluginError as error:
            if not self._files.enable_rcon:
                raise
            logger.warning("%s; sending %s by RCON instead", error, method.command)
            await self._stop_by_rcon(method.command)
            return
        if not self._files.enable_rcon:
            return
        try:
            async with asyncio.timeout(RCON_STOP_AFTER):
                await wait()
        except TimeoutError:
            logger.info(
                "The server has not stopped within %.0f s; sending %s by RCON, too", RCON_STOP_AFTER, method.command
            )
            try:
                await self._stop_by_rcon(method.command)
            except PluginError as error:
                logger.info("%s; the server may be saving", error)

    async def _stop_by_rcon(self, command: str) -> None:
        command = command.removeprefix("/")  # which a console ignores, and RCON does not
        await self._rcon().ask("save-all flush", command, within=RCON_STOP_TIMEOUT, may_end=True)

    def _rcon(self) -> RconConsole:
        return RconConsole(self._host, self._files.rcon_port, self._files.rcon_password)
