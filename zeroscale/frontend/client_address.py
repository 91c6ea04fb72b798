"""Who a client really is: what its connection says, or what a proxy that may be believed says before its first byte.

Pure: bytes in, bytes out; whose word is believed is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

from zeroscale.frontend.connection_limits import Network, is_within, normalised
from zeroscale.protocols.proxy_protocol import (
    Endpoint,
    HeaderRejector,
    ProxyHeaderParser,
    Version,
    encode,
    local_header,
)

LOCAL = "local"
"""Stands for the address of who has none, such as a client of a Unix socket."""

BEHIND_A_PROXY = "behind a proxy"
"""Stands for the address of who is behind a proxy that has not yet said who it is: no address, and so without a bound
of its own."""


class ClientAddress:
    """One client's.

    :param address: the other end of its connection; None: it has no address.
    :param accept_from: who has to send a header, and is believed. Where there is anybody, nobody else may send one.
    :param reject_header: the protocol behind the header would not notice by itself one that must not be.
    :ivar host: its address, as bans and networks know it.
    :ivar is_known: nothing has to come before that is known for certain.
    :ivar is_health_check: a proxy has connected to see whether we are here; nobody is behind it.
    """

    def __init__(
        self, address: Endpoint | None, accept_from: Sequence[Network] = (), *, reject_header: bool = False
    ) -> None:
        self._source = None if address is None else _plain(address)
        self._destination: Endpoint | None = None
        self._header: ProxyHeaderParser | None = None
        self._guard: HeaderRejector | None = None
        self.host = LOCAL if self._source is None else self._source.host
        self.is_health_check = False
        if is_within(self.host, accept_from):
            self._header = ProxyHeaderParser()
            self.host = BEHIND_A_PROXY
        elif accept_from and reject_header:
            self._guard = HeaderRejector()

    @property
    def is_known(self) -> bool:
        return self._header is None and self._guard is None

    @property
    def rejects_header(self) -> bool:
        """It must not send a header, and may yet do; after a while it will not: see `header_wait_over`."""
        return self._guard is not None

    @property
    def peer(self) -> str:
        """Its address and port, for the log."""
        if self._source is None:
            return LOCAL
        host, port = self._source.host, self._source.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def receive(self, data: bytes, ours: Endpoint | None = None) -> bytes | None:
        """Takes the next bytes.

        :param ours: our end of its connection.
        :returns: those of them that are the client's own; None while it is not known who it is.
        :raises ProtocolError: a header that must not be, that is none, or that is missing.
        """
        if self._guard is not None:
            guarded = self._guard.receive(data)
            if guarded is not None:
                self._guard = None
            return guarded
        if self._header is None:
            return data
        parsed = self._header.receive(data)
        if parsed is None:
            return None
        self._header = None
        header, rest = parsed
        self.is_health_check = header.source is None or self._is_between(header.source, header.destination, ours)
        if header.source is not None:
            self._source, self._destination = header.source, header.destination
        self.host = LOCAL if self._source is None else self._source.host
        return rest

    def _is_between(self, source: Endpoint, destination: Endpoint | None, ours: Endpoint | None) -> bool:
        """Whether these are this very connection's ends: so HAProxy's own checks say it in version 1."""
        return source == self._source and ours is not None and destination == _plain(ours)

    @property
    def has_partial_header(self) -> bool:
        """What it has sent may be the beginning of a header that must not be."""
        return self._guard is not None and bool(self._guard.received)

    def header_wait_over(self) -> None:
        """It has had the time to begin a header, and has sent nothing."""
        self._guard = None

    def header(self, version: Version, ours: Endpoint | None) -> bytes:
        """The header that says to the real server who it is.

        :param ours: our end of its connection.
        """
        destination = self._destination or ours
        if self._source is None or destination is None:
            return local_header(version)
        return encode(version, self._source, destination)


def _plain(end: Endpoint) -> Endpoint:
    return Endpoint(normalised(end.host), end.port)
