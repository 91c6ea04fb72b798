"""Servers that play one scene: each connection is handed to a function of the test's, in a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from zeroscale.ctl.link import Address

Scene = Callable[[socket.socket], None]
Serve = Callable[..., Address]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes a server that plays the given scenes, one a connection, and then closes."""
    with contextlib.ExitStack() as stack:

        def begin(*scenes: Scene) -> Address:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            errors: list[BaseException] = []

            def play() -> None:
                try:
                    for scene in scenes:
                        connection, _ = listener.accept()
                        connection.settimeout(10)
                        with connection:
                            scene(connection)
                except BaseException as error:
                    errors.append(error)

            def end() -> None:
                thread.join(10)
                assert not thread.is_alive(), "a scene was not played to its end"
                assert errors == []

            thread = threading.Thread(target=play, daemon=True)
            stack.callback(end)
            thread.start()
            return Address("127.0.0.1", listener.getsockname()[1])

        yield begin
