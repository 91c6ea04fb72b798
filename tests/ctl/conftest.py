"""Fixtures: servers that pass each connection to a function of the test, and a harness for `zeroscalectl`."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_twisted

from zeroscale.ctl.game_connection import Address

if TYPE_CHECKING:
    from ctl.ctl_fixture import CtlHarness

ConnectionHandler = Callable[[socket.socket], None]
Serve = Callable[..., Address]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that runs one of the given functions for each connection, and then closes."""
    with contextlib.ExitStack() as stack:

        def begin(*handlers: ConnectionHandler) -> Address:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            errors: list[BaseException] = []

            def play() -> None:
                try:
                    for handle in handlers:
                        connection, _ = listener.accept()
                        connection.settimeout(10)
                        with connection:
                            handle(connection)
                except BaseException as error:
                    errors.append(error)

            def end() -> None:
                thread.join(10)
                assert not thread.is_alive(), "a connection was not handled to its end"
                assert errors == []

            thread = threading.Thread(target=play, daemon=True)
            stack.callback(end)
            thread.start()
            return Address("127.0.0.1", listener.getsockname()[1])

        yield begin


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose name is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="zs-") as name:
        yield Path(name)


@pytest_twisted.async_yield_fixture
async def harness(directory: Path) -> AsyncIterator[CtlHarness]:
    """A proxy's admin socket, and the command that uses it."""
    from ctl.ctl_fixture import CtlHarness
    from twisted.internet import reactor

    harness = CtlHarness(directory, reactor)
    await harness.open()
    yield harness
    await harness.close()
