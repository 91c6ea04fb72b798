"""A blocking client of the admin socket."""

from __future__ import annotations

import itertools
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec
from msgspec import Struct

from zeroscale.control.protocol import (
    MAX_PENDING_REQUESTS,
    MAX_RESPONSE_BYTES,
    LineBuffer,
    Response,
    decode_body,
    decode_response,
    encode_request,
)
from zeroscale.errors import BackendError, ConfigMistakes, ControlError, ProtocolError, ZeroscaleError

T = TypeVar("T")

ANSWER_TIMEOUT = 60.0
"""Seconds that an answer may take; a stream has no time limit."""

READ_SIZE = 1 << 16

OF_ANOTHER_VERSION = {"malformed", "version", "unknown_command"}
OF_THE_CONFIGURATION = {"configuration", "environment"}
OF_THE_COMMAND_LINE = {"unknown_server", "which_server"}


class UsageError(ControlError):
    """The command line names no server of the proxy, or is ambiguous about the server or proxy."""


class Event(Struct, frozen=True):
    """One event of a stream."""

    body: msgspec.Raw


class Result(Struct, frozen=True):
    """The answer; the end of a stream."""

    body: msgspec.Raw


class ControlClient:
    """A connection to an admin socket, as a context manager that closes it.

    :ivar path: the path of the socket.
    :raises BackendError: nothing answers there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = LineBuffer(MAX_RESPONSE_BYTES)
        self._unread: list[bytes] = []
        self._numbers = itertools.count(1)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_TIMEOUT)
        try:
            self._socket.connect(str(path))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            self._socket.close()
            reason = getattr(error, "strerror", None) or error
            if isinstance(error, PermissionError):
                raise BackendError(f"{path}: {reason}; only zeroscale's user and group, and root, may use it") from None
            raise BackendError(f"no zeroscale answers on {path}: {reason}") from None

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, kind: type[T], command: str, **fields: object) -> T:
        """Send a command and return its result.

        :param kind: the type to decode the result to.
        :raises ZeroscaleError: the command was refused, or there was no answer.
        """
        return decode_body(self.ask_raw(command, **fields), kind)

    def ask_raw(self, command: str, **fields: object) -> msgspec.Raw:
        """Send a command and return its result undecoded.

        :raises ZeroscaleError: as of `ask`.
        """
        self._socket.settimeout(ANSWER_TIMEOUT)
        for answer in self._exchange(command, fields):
            if isinstance(answer, Result):
                return answer.body
        raise AssertionError("an exchange ends with its result")

    def stream(self, command: str, **fields: object) -> Iterator[Event | Result]:
        """Send a command that is answered with a stream of events.

        :return: the events, and at the end the result, if there is one.
        :raises ZeroscaleError: the command was refused or failed, or the proxy has ended.
        """
        self._socket.settimeout(None)
        return self._exchange(command, fields)

    def together(
        self, command: str, requests: Sequence[Mapping[str, object]], *, stream: bool
    ) -> Iterator[tuple[int, Event | Result | ZeroscaleError]]:
        """Send a command several times, as many at once as a proxy executes for one client.

        :param requests: the fields of each request.
        :param stream: the command is answered with a stream of events, which has no time limit.
        :return: the answers as they come, each with the index of its request; the last of a request is a `Result`, or
            the error with which it was refused.
        :raises ZeroscaleError: the proxy has ended, or does not understand us.
        """
        self._socket.settimeout(None if stream else ANSWER_TIMEOUT)
        return self._together(command, requests)

    def _exchange(self, command: str, fields: dict[str, object]) -> Iterator[Event | Result]:
        for _, answer in self._together(command, [fields]):
            if isinstance(answer, ZeroscaleError):
                raise answer
            yield answer

    def _together(
        self, command: str, requests: Sequence[Mapping[str, object]]
    ) -> Iterator[tuple[int, Event | Result | ZeroscaleError]]:
        waiting = deque(enumerate(requests))
        pending: dict[int | str | None, int] = {}
        while waiting or pending:
            while waiting and len(pending) < MAX_PENDING_REQUESTS:
                index, fields = waiting.popleft()
                pending[self._send(command, fields)] = index
            answer = self._receive()
            if answer.error is not None and answer.id is None:
                raise _refusal(answer.error.code, answer.error.message)
            if answer.id not in pending:
                continue  # belongs to an earlier stream
            if isinstance(answer.event, msgspec.Raw):
                yield pending[answer.id], Event(answer.event)
            elif answer.error is not None:
                yield pending.pop(answer.id), _refusal(answer.error.code, answer.error.message)
            elif isinstance(answer.result, msgspec.Raw):
                yield pending.pop(answer.id), Result(answer.result)

    def _send(self, command: str, fields: Mapping[str, object]) -> int:
        number = next(self._numbers)
        try:
            self._socket.sendall(encode_request(command, number, fields))
        except BrokenPipeError:
            pass  # the proxy has closed; why, as that there are too many clients, is still to be read
        except OSError as error:
            raise self._lost(error) from None
        return number

    def _receive(self) -> Response:
        while not self._unread:
            try:
                data = self._socket.recv(READ_SIZE)
            except OSError as error:
                raise self._lost(error) from None
            if not data:
                raise BackendError(f"the zeroscale on {self.path} has ended")
            self._unread = self._lines.feed(data)[::-1]
        return decode_response(self._unread.pop())

    def _lost(self, error: OSError) -> BackendError:
        reason = (
            f"no answer in {ANSWER_TIMEOUT:g} s" if isinstance(error, TimeoutError) else error.strerror or str(error)
        )
        return BackendError(f"the zeroscale on {self.path}: {reason}")


def _refusal(code: str, message: str) -> BackendError | ConfigMistakes | ControlError | ProtocolError:
    if code in OF_THE_COMMAND_LINE:
        return UsageError(message)
    if code in OF_ANOTHER_VERSION:
        return ProtocolError(message)
    if code in OF_THE_CONFIGURATION:
        return ConfigMistakes(message.splitlines(), usage=code == "configuration")
    return BackendError(message) if code == "busy" else ControlError(message)
