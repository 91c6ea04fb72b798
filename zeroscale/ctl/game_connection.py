"""A blocking connection to a game server, and the addresses that a user types."""

from __future__ import annotations

import ipaddress
import re
import socket
from types import TracebackType

from msgspec import Struct

from zeroscale.errors import BackendError

DEFAULT_PORT = 25565
READ_SIZE = 1 << 16

LONGEST_HOST = 255
"""Characters of the host in a handshake, of those that servers accept (docs/protocol.md, "Frames and handshake")."""


class Address(Struct, frozen=True):
    """The address of a server.

    :ivar host: where it is connected to.
    :ivar other_name: the host that is named to the server in place of it; "": the same.
    """

    host: str
    port: int
    other_name: str = ""

    @property
    def name(self) -> str:
        """The host that is named to the server, by which a proxy chooses one of several."""
        return self.other_name or self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Parse HOST, HOST:PORT, an IPv6 address or [IPv6 address]:PORT; the default port is Minecraft's.

    :raises ValueError: the text is none of these.
    """
    bracketed = re.fullmatch(r"\[([^\[\]]+)\](?::(\d{1,5}))?", text)
    plain = re.fullmatch(r"([^:\[\]\s]+)(?::(\d{1,5}))?", text)
    if match := bracketed or plain:
        host, port = match[1], int(match[2] or default_port)
    elif _is_ipv6(text):
        host, port = text, default_port
    else:
        raise ValueError(f"{text!r} is not an address: write HOST or HOST:PORT, or [::1]:25565")
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port: 1 to 65535")
    return Address(host, port)


def parse_host(text: str) -> str:
    """Check a host that is named to the server.

    :raises ValueError: it is empty, too long, or has blanks.
    """
    if not re.fullmatch(rf"\S{{1,{LONGEST_HOST}}}", text):
        raise ValueError(f"{text!r} is not a host's name: 1 to {LONGEST_HOST} characters without blanks")
    return text


def closed_early(address: Address) -> BackendError:
    """Return the error that a server has closed the connection instead of sending anything."""
    return BackendError(
        f"{address}: closed the connection without an answer; a zeroscale does that if none of its servers has the "
        f"host {address.name!r} (--host names another one), or if there were too many connections from here"
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


class GameConnection:
    """A connection, as a context manager that closes it."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Connect.

        :param timeout: seconds that connecting, and each `send()`, may take.
        :raises BackendError: the connection failed.
        """
        self._address = address
        self._timeout = timeout
        try:
            self._socket = socket.create_connection((address.host, address.port), timeout)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no resolver takes
            raise self._failure(error) from None

    def __enter__(self) -> GameConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all of the data.

        :raises BackendError: the connection is lost.
        """
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(data)
        except OSError as error:
            raise self._failure(error) from None

    def receive(self, timeout: float) -> bytes | None:
        """Receive data: `b""` when the server has closed or reset, None when nothing came within `timeout` seconds.

        :raises BackendError: the connection is lost.
        """
        try:
            self._socket.settimeout(max(timeout, 0.001))  # 0 would make it non-blocking
            return self._socket.recv(READ_SIZE)
        except TimeoutError:
            return None
        except ConnectionResetError:
            return b""
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError | UnicodeError) -> BackendError:
        if isinstance(error, TimeoutError):
            reason = f"no answer in {self._timeout:g} s"
        else:
            reason = getattr(error, "strerror", None) or str(error)
        return BackendError(f"{self._address}: {reason}")
