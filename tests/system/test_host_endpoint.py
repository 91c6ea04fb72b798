"""Connections to hosts by name and address, also where names cannot be looked up."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from harness import running_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as TwistedConnectionRefusedError
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from zeroscale.system import host_endpoint as module
from zeroscale.system.host_endpoint import host_endpoint

Lookup = Callable[..., Any]


class Names:
    """What the loop finds for names; the loop's own answer without `answer`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[str, int], Any] | None = None


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    loop = asyncio.get_event_loop_policy().get_event_loop()
    look_up = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        names.asked.append(host)
        if names.answer is None:
            return await look_up(host, port, **options)
        answer = names.answer(host, port)
        if isinstance(answer, BaseException):
            raise answer
        return await answer if isinstance(answer, asyncio.Future) else answer

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    yield names


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def connect(host: str, port: int) -> Deferred[Any]:
    connected = host_endpoint(running_reactor(), host, port, 5.0).connect(Factory.forProtocol(Protocol))
    return connected.addTimeout(20.0, running_reactor())


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


async def is_reached(host: str, listener: socket.socket) -> None:
    protocol = await connect(host, port_of(listener))
    assert protocol.transport.getPeer().host == "127.0.0.1"
    protocol.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_an_address_is_not_looked_up(names: Names, listener: socket.socket) -> None:
    await is_reached("127.0.0.1", listener)
    with pytest.raises(TwistedConnectionRefusedError):
        await connect("::1", port_of(listener))
    assert names.asked == []


@pytest_twisted.ensureDeferred
async def test_a_name_is_looked_up(names: Names, listener: socket.socket) -> None:
    await is_reached("localhost", listener)
    assert names.asked == ["localhost"]


@pytest_twisted.ensureDeferred
async def test_all_addresses_of_a_name_are_tried(names: Names, listener: socket.socket) -> None:
    names.answer = lambda host, port: [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
    ]
    await is_reached("game.example", listener)


@pytest_twisted.ensureDeferred
async def test_a_name_whose_address_refuses(names: Names, listener: socket.socket) -> None:
    port = port_of(listener)
    listener.close()
    with pytest.raises(TwistedConnectionRefusedError):
        await connect("localhost", port)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_name_without_an_address_is_an_error_with_its_cause(
    names: Names, problem: Exception, text: str
) -> None:
    names.answer = lambda _host, _port: problem
    with pytest.raises(DNSLookupError) as raised:
        await connect("game.example", 1)
    assert str(raised.value).rstrip(".").endswith(f"game.example has no address: {text}")


@pytest_twisted.ensureDeferred
async def test_a_lookup_for_which_there_may_be_no_thread_is_an_error_of_its_own(names: Names) -> None:
    names.answer = lambda _host, _port: BlockingIOError(errno.EAGAIN, "no more threads are allowed")
    with pytest.raises(BlockingIOError, match="no more threads are allowed"):
        await connect("game.example", 1)


@pytest_twisted.ensureDeferred
async def test_a_lookup_that_does_not_end_is_given_up(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKUP_LIMIT", 0.01)
    names.answer = lambda _host, _port: asyncio.get_running_loop().create_future()
    with pytest.raises(DNSLookupError, match="no name server answers with the address of game"):
        await connect("game.example", 1)


@pytest_twisted.ensureDeferred
async def test_a_lookup_that_is_cancelled_fails_at_once(names: Names) -> None:
    answer = asyncio.get_running_loop().create_future()
    names.answer = lambda _host, _port: answer
    connecting = connect("game.example", 1)
    await deferLater(running_reactor(), 0, lambda: None)
    connecting.cancel()
    assert connecting.called
    with pytest.raises(CancelledError):
        await connecting
    await deferLater(running_reactor(), 0, lambda: None)
    assert answer.cancelled()
