"""RCON over asyncio: connect, log in, send a few commands and read their answers.

`protocols.minecraft.rcon` has the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib

from zeroscale.errors import PluginError, ProtocolError
from zeroscale.protocols.minecraft.rcon import LoggedIn, LoginRefused, MoreNeeded, RconClient, Replied

READ_SIZE = 4096


class RconUnavailable(PluginError):
    """RCON cannot be used, and no command has been sent: another way may be tried."""


class RconConsole:
    """The RCON console at one address.

    :param host: the address on which the server listens for RCON.
    :param port: the port.
    :param password: `rcon.password` in server.properties.
    """

    def __init__(self, host: str, port: int, password: str) -> None:
        self._host = host
        self._port = port
        self._password = password

    async def ask(self, *commands: str, within: float, may_end: bool = False) -> list[str]:
        """Send commands, each after the answer to the one before; return the answers.

        :param within: seconds for all of it.
        :param may_end: the last command may end the server before it has answered.
        :raises RconUnavailable: the server cannot be reached or refuses the login.
        :raises PluginError: the server does not answer, or wrongly.
        """
        sent: list[str] = []
        try:
            async with asyncio.timeout(within):
                return await self._ask(commands, may_end, sent)
        except TimeoutError:
            reason = f"no answer within {within:g} s"
        except OSError as error:
            reason = error.strerror or str(error)
        except (ProtocolError, ValueError) as error:
            reason = str(error)
        raise (PluginError if sent else RconUnavailable)(f"RCON at {self._host}:{self._port}: {reason}")

    async def _ask(self, commands: tuple[str, ...], may_end: bool, sent: list[str]) -> list[str]:
        client = RconClient(self._password)
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            exchange = _Exchange(client, reader, writer)
            if not isinstance(await exchange.answer(client.login()), LoggedIn):
                raise ProtocolError("the server refuses the rcon.password in server.properties")
            answers = []
            for number, command in enumerate(commands, start=1):
                request = client.command(command)
                sent.append(command)
                try:
                    answer = await exchange.answer(request)
                except (EOFError, ConnectionError):
                    if not may_end or number < len(commands):
                        raise ProtocolError("the server closed the connection without an answer") from None
                    break
                if isinstance(answer, Replied):
                    answers.append(answer.text)
            return answers
        except EOFError:
            raise ProtocolError("the server closed the connection without an answer") from None
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
        """Send a request, and further requests that the protocol needs, until the answer is complete.

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
