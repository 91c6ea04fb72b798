"""What strangers send to a public port: each message on a connection of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

AT_ONCE = 300
PATIENT = 0.03
"""The part of the messages whose sender does not close behind them, but waits until it is thrown out."""


def deliver(port: int, messages: Sequence[bytes]) -> None:
    """Sends each through a connection of its own, and waits until the proxy has closed every one of them."""
    chance = random.Random(len(messages))

    async def one(message: bytes, places: asyncio.Semaphore) -> None:
        async with places:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(message)
                if chance.random() > PATIENT:
                    with suppress(OSError):
                        writer.write_eof()
                with suppress(ConnectionError):  # it may be thrown out while it still speaks
                    await asyncio.wait_for(reader.read(-1), 20)
            finally:
                writer.transport.abort()

    async def everything() -> None:
        places = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(one(message, places) for message in messages))

    with ThreadPoolExecutor(1) as thread:  # this one has the reactor's loop already
        thread.submit(lambda: asyncio.run(everything())).result()
