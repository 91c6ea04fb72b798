"""A blocking exchange of datagrams with a game server."""

from __future__ import annotations

import socket
import time
from types import TracebackType
from typing import TypeVar

from zeroscale.ctl.game_connection import Address
from zeroscale.errors import BackendError, ProtocolError
from zeroscale.protocols.datagrams import DatagramQuery, NextRequest

REPEAT_AFTER = 1.0
"""Seconds without an answer after which a request is sent again: it or its answer may be lost."""

READ_SIZE = 1 << 16

T = TypeVar("T")


class DatagramConnection:
    """A UDP socket that exchanges datagrams with one server, as a context manager that closes it.

    Of several addresses of a name the first one counts that does not refuse.
    """

    def __init__(self, address: Address) -> None:
        """Look the address up.

        :raises BackendError: it has no address that can be reached.
        """
        self._name = address
        try:
            self._addresses = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
            self._socket = self._next_socket()
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no resolver takes
            raise self._failure(error) from None

    def __enter__(self) -> DatagramConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, query: DatagramQuery[T], deadline: float) -> tuple[T, float]:
        """Ask, and wait for the answer; what is no answer is passed over.

        :param deadline: when to give up, by `time.monotonic`.
        :returns: the answer, and the seconds from the last request until it came.
        :raises BackendError: there is none in time, or it was refused.
        """
        wrong: ProtocolError | None = None
        while (now := time.monotonic()) < deadline:
            try:
                sent_at = self._send(query.request)
                while (now := time.monotonic()) < min(sent_at + REPEAT_AFTER, deadline):
                    datagram = self._receive(min(sent_at + REPEAT_AFTER, deadline) - now)
                    if datagram is None:
                        break
                    try:
                        event = query.receive(datagram)
                    except ProtocolError as error:
                        wrong = error
                        continue
                    if isinstance(event, NextRequest):
                        sent_at = self._send(event.request)
                    elif event is not None:
                        return event, time.monotonic() - sent_at
            except ConnectionRefusedError as error:
                if not self._addresses:
                    raise self._failure(error) from None
                self._socket.close()
                self._socket = self._next_socket()
            except OSError as error:
                raise self._failure(error) from None
        raise BackendError(f"{self._name}: no answer in time" + (f", but {wrong}" if wrong is not None else ""))

    def _send(self, request: bytes) -> float:
        sent_at = time.monotonic()  # before: on one machine the answer may be there when the call returns
        self._socket.send(request)
        return sent_at

    def _receive(self, seconds: float) -> bytes | None:
        try:
            self._socket.settimeout(max(seconds, 0.001))  # 0 would make it non-blocking
            return self._socket.recv(READ_SIZE)
        except TimeoutError:
            return None

    def _next_socket(self) -> socket.socket:
        family, kind, number, _, address = self._addresses.pop(0)
        made = socket.socket(family, kind, number)
        try:
            made.connect(address)
        except OSError:
            made.close()
            if not self._addresses:
                raise
            return self._next_socket()
        return made

    def _failure(self, error: OSError | UnicodeError) -> BackendError:
        reason = getattr(error, "strerror", None) or str(error)
        return BackendError(f"{self._name}: {reason}")
