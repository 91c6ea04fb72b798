"""Determine a client's address: its connection's, or the one in a trusted proxy's PROXY protocol header. Pure."""

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
"""Stands for the address of a client that has none, such as one of a Unix socket."""

BEHIND_A_PROXY = "behind a proxy"
"""Stands for the address of a client until its proxy has sent the header. It is no address, so it has no limit."""


class ClientAddress:
    """The address of one client.

    :param address: the other end of its connection; None: it has none.
    :param accept_from: networks that must send a header, which is trusted. If there are any, no other address may
        send one.
    :param reject_header: reject a header that must not be sent; for protocols whose parsers would not notice it.
    :ivar host: the client's address without the port, normalised; `LOCAL` or `BEHIND_A_PROXY` where there is none.
    :ivar is_health_check: by its header this is the proxy's own connection, a health check.
    """

    def __init__(
        self, address: Endpoint | None, accept_from: Sequence[Network] = (), *, reject_header: bool = False
    ) -> None:
        self._source = None if address is None else _normalised(address)
        self._destination: Endpoint | None = None
        self._header: ProxyHeaderParser | None = None
        self._rejector: HeaderRejector | None = None
        self.host = LOCAL if self._source is None else self._source.host
        self.is_health_check = False
        if is_within(self.host, accept_from):
            self._header = ProxyHeaderParser()
            self.host = BEHIND_A_PROXY
        elif accept_from and reject_header:
            self._rejector = HeaderRejector()

    @property
    def is_known(self) -> bool:
        """Whether the address is final, and all further bytes are the client's."""
        return self._header is None and self._rejector is None

    @property
    def rejects_header(self) -> bool:
        """Whether the next bytes may still be a header that must not be sent; see `header_wait_over`."""
        return self._rejector is not None

    def __str__(self) -> str:
        return self.peer

    @property
    def peer(self) -> str:
        """The client's address and port, for the log."""
        if self._source is None:
            return LOCAL
        host, port = self._source.host, self._source.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def receive(self, data: bytes, our_end: Endpoint | None = None) -> bytes | None:
        """Take the next bytes of the connection.

        :param our_end: our end of the connection.
        :returns: those of them that follow the header; None while the address is not known.
        :raises ProtocolError: a header that must not be sent, that is wrong, or that is missing.
        """
        if self._rejector is not None:
            passed = self._rejector.receive(data)
            if passed is not None:
                self._rejector = None
            return passed
        if self._header is None:
            return data
        parsed = self._header.receive(data)
        if parsed is None:
            return None
        self._header = None
        header, rest = parsed
        self.is_health_check = header.source is None or self._is_this_connection(
            header.source, header.destination, our_end
        )
        if header.source is not None:
            self._source, self._destination = header.source, header.destination
        self.host = LOCAL if self._source is None else self._source.host
        return rest

    def _is_this_connection(self, source: Endpoint, destination: Endpoint | None, our_end: Endpoint | None) -> bool:
        """Return whether these are the ends of this connection: HAProxy's health checks send them in version 1."""
        return source == self._source and our_end is not None and destination == _normalised(our_end)

    @property
    def has_partial_header(self) -> bool:
        """Whether what was sent so far may be the beginning of a header that must not be sent."""
        return self._rejector is not None and bool(self._rejector.received)

    def header_wait_over(self) -> None:
        """Stop looking for a header: the client has sent nothing for long enough."""
        self._rejector = None

    def proxy_header(self, version: Version, our_end: Endpoint | None) -> bytes:
        """Return the header that names this address to the server.

        :param our_end: our end of the connection.
        """
        destination = self._destination or our_end
        if self._source is None or destination is None:
            return local_header(version)
        return encode(version, self._source, destination)


def _normalised(end: Endpoint) -> Endpoint:
    return Endpoint(normalised(end.host), end.port)
