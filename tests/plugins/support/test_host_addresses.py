"""Addresses of hosts, also where no thread can be had."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from zeroscale.errors import StartRefused
from zeroscale.plugins.support.host_addresses import host_addresses


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> Any:
        raise BlockingIOError(errno.EAGAIN, "no more threads are allowed")

    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", refuse)


@pytest.mark.usefixtures("no_thread")
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
async def test_an_address_needs_no_thread(host: str) -> None:
    [(_family, kind, _protocol, _name, address)] = await host_addresses(host, 7, socket.SOCK_DGRAM, 1.0)
    assert (kind, address[:2]) == (socket.SOCK_DGRAM, (host, 7))


async def test_a_name_is_looked_up() -> None:
    found = await host_addresses("localhost", 7, socket.SOCK_STREAM, 20.0)
    assert {entry[4][0] for entry in found} <= {"127.0.0.1", "::1"}


@pytest.mark.usefixtures("no_thread")
async def test_a_name_without_a_thread_is_no_name_without_an_address() -> None:
    with pytest.raises(StartRefused, match=r"game\.internal cannot be looked up: no more threads are allowed"):
        await host_addresses("game.internal", 7, socket.SOCK_STREAM, 20.0)


async def test_a_lookup_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", lambda loop, *_: loop.create_future())
    with pytest.raises(TimeoutError):
        await host_addresses("game.internal", 7, socket.SOCK_STREAM, 0.01)


@pytest.mark.parametrize(("host", "error"), [("no-such-host.invalid", OSError), ("a..b", UnicodeError)])
async def test_what_has_no_address(host: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await host_addresses(host, 7, socket.SOCK_STREAM, 20.0)
