"""A running server's console over RCON: a connection, a few commands, and their answers. Plain asyncio.

What is said on it is `server.rcon`'s; what to say, and when, is the plugin's.
"""

from __future__ import annotations

import asyncio
import contextlib

from zeroscale.errors import PluginError, ProtocolError
from zeroscale.protocols.minecraft.rcon import LoggedIn, LoginRefused, MoreNeeded, RconClient, Replied

READ_SIZE = 4096


class NothingSaid(PluginError):
    """It cannot be asked, and no command has reached it: another way may be tried."""


class RconConsole:
    """The console at one address.

    :param host: where the server listens for RCON.
    :param port: the port there.
    :param password: `rcon.password`.
    """

    def __init__(self, host: str, port: int, password: str) -> None:
        self._host = host
        self._port = port
        self._password = password

    async def ask(self, *commands: str, within: float, may_end: bool = False) -> list[str]:
        """Says commands, each once the one before has been answered; returns the answers.

        :param within: seconds that all of it may take.
        :param may_end: the last command ends the server, which may well be gone before it has answered.
        :raises NothingSaid: it cannot be asked.
        :raises PluginError: it does not answer as it should.
        """
        said: list[str] = []
        try:
            async with asyncio.timeout(within):
                return await self._ask(commands, may_end, said)
        except TimeoutError:
            reason = f"no answer within {within:g} s"
        except OSError as error:
            reason = error.strerror or str(error)
        except (ProtocolError, ValueError) as error:
            reason = str(error)
        raise (PluginError if said else NothingSaid)(f"RCON at {self._host}:{self._port}: {reason}")

    async def _ask(self, commands: tuple[str, ...], may_end: bool, said: list[str]) -> list[str]:
        client = RconClient(self._password)
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            exchange = _Exchange(client, reader, writer)
            if not isinstance(await exchange.answer(client.login()), LoggedIn):
                raise ProtocolError("it refuses the rcon.password of server.properties")
            answers = []
            for number, command in enumerate(commands, start=1):
                request = client.command(command)
                said.append(command)
                try:
                    answer = await exchange.answer(request)
                except (EOFError, ConnectionError):
                    if not may_end or number < len(commands):
                        raise ProtocolError("it closed the connection without an answer") from None
                    break
                if isinstance(answer, Replied):
                    answers.append(answer.text)
            return answers
        except EOFError:
            raise ProtocolError("it closed the connection without an answer") from None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Exchange:
    """Requests and answers on one connection."""

    def __init__(self, client: RconClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client = client
        self._reader = reader
        self._writer = writer

    async def answer(self, request: bytes) -> LoggedIn | LoginRefused | Replied:
        """Sends a request, and what its answer asks for on the way.

        :raises EOFError: the connection ended.
        """
        self._writer.write(request)
        while True:
            data = await self._reader.read(READ_SIZE)
            if not data:
                raise EOFError
            for event in self._client.receive(data):
                if not isinstance(event, MoreNeeded):
                    return event
                self._writer.write(event.request)
