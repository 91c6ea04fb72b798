"""A generic server: sends back what it receives, and floods its output when asked to. Uses the standard library only.

`python echo_server.py PORT`. Output that cannot be written is lost, as with Java's System.out.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

FLOOD = b"flood the console"
"""What a connection begins with to have it flooded."""

LINE = b"[flood] " + b"x" * 91 + b"\n"
LINES_AT_ONCE, TIMES, PAUSE = 1000, 20, 0.05
"""2 MB within a second."""


async def flood() -> None:
    for _ in range(TIMES):
        with suppress(OSError):
            os.write(1, LINE * LINES_AT_ONCE)
        await asyncio.sleep(PAUSE)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    first = True
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            if first and data.startswith(FLOOD):
                await flood()
            first = False
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
