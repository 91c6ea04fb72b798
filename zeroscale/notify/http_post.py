"""One POST over HTTP/1.1, in the calling thread, with one time limit for all of it.

Redirects are not followed, and the body of the answer is not read. TLS is verified against the system's certificates,
or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from zeroscale.errors import ProtocolError
from zeroscale.notify.http_url import HttpUrl

if TYPE_CHECKING:
    import http.client
    import ssl


def post(
    url: HttpUrl, headers: Mapping[str, str], body: bytes, *, timeout: float, proxy: HttpUrl | None = None
) -> tuple[int, str]:
    """Send a request, and return the status of its answer and the header `Retry-After`.

    :param headers: further headers; names and values without line breaks.
    :param timeout: seconds for all of it, except for looking up the host's name; where it has several addresses, each
        may take as long to connect to.
    :param proxy: the proxy to use.
    :raises OSError: it could not be sent, or was not answered in time.
    :raises ProtocolError: the answer is not HTTP.
    """
    import http.client  # here, since it takes 1 MiB

    where, target = proxy or url, url.target
    fields = {"Host": url.authority, "Connection": "close", **_authorization("Authorization", url), **headers}
    through = {} if proxy is None else _authorization("Proxy-Authorization", proxy)
    if url.secure:
        secure = http.client.HTTPSConnection(where.host, where.port, timeout=timeout, context=tls_context())
        if proxy is not None:
            secure.set_tunnel(url.host, url.port, through)
        connection: http.client.HTTPConnection = secure
    else:
        connection = http.client.HTTPConnection(where.host, where.port, timeout=timeout)
        if proxy is not None:
            target = f"http://{url.authority}{url.target}"
            fields |= through
    with contextlib.closing(connection), _time_limit(connection, timeout) as check:
        try:
            connection.connect()
            check()  # during a handshake there was no socket to shut down
            connection.request("POST", target, body, fields)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            check()
            if hasattr(error, "verify_message"):  # the next attempt reads the certificates anew
                tls_context.cache_clear()
            if isinstance(error, OSError):
                raise
            raise ProtocolError("it does not answer with HTTP/1.1") from error
        with contextlib.closing(answer):
            return answer.status, answer.getheader("Retry-After", "")


def _authorization(name: str, url: HttpUrl) -> dict[str, str]:
    return {name: url.authorization} if url.authorization else {}


@contextlib.contextmanager
def _time_limit(connection: http.client.HTTPConnection, seconds: float) -> Iterator[Callable[[], None]]:
    """Shut the connection's socket down after this time: the time-out of a socket is for each read alone.

    Yields what raises TimeoutError once the time is over.
    """
    over = threading.Event()

    def end() -> None:
        over.set()
        current: socket.socket | None = connection.sock
        if current is not None:
            with contextlib.suppress(OSError):  # it is not connected
                socket.socket.shutdown(current, socket.SHUT_RDWR)  # `SSLSocket.shutdown` is for its own thread only

    def check() -> None:
        if over.is_set():
            raise TimeoutError("timed out")

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError as error:
        raise OSError(f"no thread can be started: {error}") from error
    try:
        yield check
    finally:
        timer.cancel()
        timer.join()  # else it might shut down another socket that gets the same number


@cache
def tls_context() -> ssl.SSLContext:
    """Return the settings of all TLS connections: hosts are verified against the system's certificates."""
    import ssl

    return ssl.create_default_context()
