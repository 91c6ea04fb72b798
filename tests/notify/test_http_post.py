"""One POST to a real server: TLS, proxies, and servers that are slow, broken or redirect."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from webhooks import Answer, Receiver, make_certificate

from zeroscale.errors import ProtocolError
from zeroscale.notify import http_post
from zeroscale.notify.http_post import post
from zeroscale.notify.http_url import HttpUrl, parse_http_url


def send(url: str, timeout: float = 20.0, proxy: HttpUrl | None = None) -> int:
    return post(parse_http_url(url), {"X-Given": "yes"}, b"{}", timeout=timeout, proxy=proxy)[0]


def test_a_request_as_the_server_sees_it() -> None:
    with Receiver(Answer(200)) as receiver:
        assert send(receiver.url.replace("http://", "http://max:pw@")) == 200
        request = receiver.get()
    assert (request.method, request.target, request.body) == ("POST", "/hook?token=SECRET", b"{}")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["x-given"] == "yes"
    assert request.headers["authorization"] == "Basic bWF4OnB3"


def test_a_redirect_is_not_followed() -> None:
    with Receiver() as other, Receiver(Answer(307, [("Location", other.url)])) as receiver:
        assert send(receiver.url) == 307
        assert other.requests.empty()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 20",
        b"what?\r\n\r\n",
        b"HTTP/1.1 100 x\r\n\r\n" * 1000,
        b"HTTP/1.1 200 x\r\n" + b"A: b\r\n" * 1000,
        b"HTTP/1.1 200 " + b"x" * 100_000,
        b"\x16\x03\x01" * 100_000,
    ],
)
def test_an_answer_that_is_broken(raw: bytes) -> None:
    with Receiver(Answer(raw=raw)) as receiver, pytest.raises((ProtocolError, ConnectionError)):
        send(receiver.url)


def test_nobody_listens() -> None:
    with Receiver() as receiver:
        url = receiver.url
    with pytest.raises(ConnectionRefusedError):
        send(url)


def test_a_server_that_does_not_answer() -> None:
    never = threading.Event()
    with Receiver(Answer(wait_for=never)) as receiver, pytest.raises(TimeoutError):
        try:
            send(receiver.url, timeout=0.2)
        finally:
            never.set()


@contextmanager
def dripping(first: bytes, again: bytes) -> Iterator[int]:
    """A server that goes on to answer for ever, a little at a time, and never comes to an end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        stop = threading.Event()

        def drip() -> None:
            with listening.accept()[0] as connection:
                data = first
                while not stop.wait(0.02):
                    try:
                        connection.sendall(data)
                    except OSError:
                        return
                    data = again

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("again", [b"HTTP/1.1 100 x\r\n\r\n", b"x"])
def test_the_limit_is_for_the_whole_answer(again: bytes) -> None:
    """A byte now and then does not extend it."""
    begin = time.monotonic()
    with dripping(b"HTTP/1.1 100 x\r\n\r\n", again) as port, pytest.raises(TimeoutError):
        send(f"http://127.0.0.1:{port}/", timeout=0.3)
    assert time.monotonic() - begin < 5


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def fresh_context() -> Iterator[None]:
    http_post.tls_context.cache_clear()
    yield
    http_post.tls_context.cache_clear()


def test_a_certificate_that_nobody_vouches_for(pair: tuple[Path, Path]) -> None:
    with Receiver(certificate=pair) as receiver:
        with pytest.raises(OSError, match="certificate verify failed"):
            send(receiver.url)
        assert receiver.requests.empty()


def test_a_certificate_that_is_vouched_for_later(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(certificate=pair) as receiver:
        with pytest.raises(OSError, match="certificate verify failed"):
            send(receiver.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        assert send(receiver.url) == 204


def test_a_certificate_that_ssl_cert_file_vouches_for(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with Receiver(certificate=pair) as receiver:
        assert send(receiver.url) == 204
        assert receiver.get().body == b"{}"
        with pytest.raises(OSError, match="mismatch"):
            send(receiver.url.replace("127.0.0.1", "localhost"))


@contextmanager
def tunnel(status: int = 200) -> Iterator[tuple[HttpUrl, list[bytes]]]:
    """A proxy that accepts one CONNECT."""
    heads: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            with listening.accept()[0] as client:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(1)
                heads.append(head)
                client.sendall(b"HTTP/1.1 %d x\r\n\r\n" % status)
                if status != 200:
                    return
                host, port = head.split()[1].rsplit(b":", 1)
                with socket.create_connection((host.decode(), int(port))) as server:
                    copying = threading.Thread(target=copy, args=(server, client))
                    copying.start()
                    copy(client, server)
                    copying.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield parse_http_url(f"http://user:pw@127.0.0.1:{listening.getsockname()[1]}"), heads
        thread.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other one has closed it


def test_tls_through_a_proxy(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with Receiver(certificate=pair) as receiver, tunnel() as (proxy, heads):
        assert send(receiver.url, proxy=proxy) == 204
        assert "proxy-authorization" not in receiver.get().headers
    assert heads[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1." % receiver.port)
    assert b"Proxy-Authorization: Basic dXNlcjpwdw==\r\n" in heads[0]


def test_a_proxy_that_refuses() -> None:
    with tunnel(407) as (proxy, _), pytest.raises(OSError, match="407"):
        send("https://127.0.0.1:1/", proxy=proxy)


def test_the_limit_is_for_the_answer_of_a_proxy_as_well() -> None:
    with dripping(b"HTTP/1.1 200 x\r\n", b"A: b\r\n") as port, pytest.raises(TimeoutError):
        send("https://127.0.0.1:1/", timeout=0.3, proxy=parse_http_url(f"http://127.0.0.1:{port}"))


def test_plain_http_through_a_proxy() -> None:
    with Receiver() as receiver:
        proxy = parse_http_url(f"http://127.0.0.1:{receiver.port}")
        assert send("http://hook.example/x?y", proxy=proxy) == 204
        request = receiver.get()
    assert (request.target, request.headers["host"]) == ("http://hook.example/x?y", "hook.example")
