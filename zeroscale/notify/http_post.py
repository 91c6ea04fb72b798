"""One POST over HTTP/1.1, in the calling thread, with one time limit for all of it.

The standard library's client has a limit for each read only, and takes 2 MiB, with proxies (`urllib`) 6 MiB. Redirects
are not followed. TLS is verified against the system's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
name.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from zeroscale.errors import ProtocolError
from zeroscale.notify.http_response import ResponseHead, parse_head
from zeroscale.notify.http_url import HttpUrl

if TYPE_CHECKING:
    import ssl

READ_SIZE = 4096


def post(
    url: HttpUrl, headers: Mapping[str, str], body: bytes, *, timeout: float, proxy: HttpUrl | None = None
) -> ResponseHead:
    """Send a request and return the head of its response.

    :param headers: further headers; names and values without line breaks.
    :param timeout: seconds for all of it, except for looking up the host's name.
    :param proxy: the proxy to use.
    :raises OSError: it could not be sent, or was not answered in time.
    :raises ProtocolError: the answer is not HTTP.
    """
    deadline = time.monotonic() + timeout
    connection = _connect(proxy or url, deadline)
    try:
        target = url.target
        fields = {"Host": url.authority, "Connection": "close", "Content-Length": str(len(body)), **headers}
        if url.authorization:
            fields["Authorization"] = url.authorization
        if proxy is not None and not url.secure:
            target = f"http://{url.authority}{url.target}"
            fields |= _proxy_fields(proxy)
        if proxy is not None and url.secure:
            _open_tunnel(connection, url, proxy, deadline)
        if url.secure:
            _limit(connection, deadline)
            connection = tls_context().wrap_socket(connection, server_hostname=url.host)
        _send(connection, _request("POST", target, fields) + body, deadline)
        return _read_head(connection, deadline)
    except OSError as error:
        if hasattr(error, "verify_message"):  # the next attempt reads the certificates anew
            tls_context.cache_clear()
        raise
    finally:
        connection.close()


def _connect(where: HttpUrl, deadline: float) -> socket.socket:
    error: OSError = OSError("it has no address")
    for family, kind, number, _, address in socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM):
        try:
            connection = socket.socket(family, kind, number)
        except OSError as problem:
            error = problem
            continue
        try:
            _limit(connection, deadline)
            connection.connect(address)
            return connection
        except OSError as problem:
            connection.close()
            error = problem
    raise error


def _open_tunnel(connection: socket.socket, url: HttpUrl, proxy: HttpUrl, deadline: float) -> None:
    host = f"[{url.host}]" if ":" in url.host else url.host
    where = f"{host}:{url.port}"
    _send(connection, _request("CONNECT", where, {"Host": where, **_proxy_fields(proxy)}), deadline)
    status = _read_head(connection, deadline).status
    if not 200 <= status < 300:
        raise OSError(f"the proxy answers {status}")


def _proxy_fields(proxy: HttpUrl) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def _request(method: str, target: str, fields: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def _send(connection: socket.socket, data: bytes, deadline: float) -> None:
    _limit(connection, deadline)
    connection.sendall(data)  # its time-out is for all of the data


def _read_head(connection: socket.socket, deadline: float) -> ResponseHead:
    data = b""
    while (head := parse_head(data)) is None:
        _limit(connection, deadline)
        more = connection.recv(READ_SIZE)
        if not more:
            raise ProtocolError("it has closed the connection without an answer")
        data += more
    return head


def _limit(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the settings of all TLS connections: hosts are verified against the system's certificates."""
    import ssl

    return ssl.create_default_context()
