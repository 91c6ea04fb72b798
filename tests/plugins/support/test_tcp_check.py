"""TCP checks of machines that accept, refuse or do not answer."""

from __future__ import annotations

import asyncio
import socket

import pytest
from ports import free_port

from zeroscale.errors import PluginError
from zeroscale.plugins.support.tcp_check import TcpResult, tcp_check


async def test_a_listener_accepts_and_the_connection_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert await tcp_check("127.0.0.1", listener.getsockname()[1], 5.0) is TcpResult.accepted
        listener.setblocking(False)
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        with connection:
            connection.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(connection, 1) == b""


async def test_a_machine_without_a_listener_refuses() -> None:
    assert await tcp_check("127.0.0.1", free_port(), 5.0) is TcpResult.refused


async def test_a_machine_that_does_not_answer_is_unreachable() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        # The kernel's queue is full: what comes now waits for an answer that does not come.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex((host, port))
        assert await tcp_check(host, port, 0.05) is TcpResult.unreachable
        for each in waiting:
            each.close()


async def test_a_name_without_an_address_is_an_error() -> None:
    with pytest.raises(PluginError, match=r"a\.\.b has no address"):
        await tcp_check("a..b", 1, 20.0)
