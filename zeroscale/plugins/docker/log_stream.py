"""What a container says, from an engine's stream to lines. Knows no engine.

The frames are those of `POST /containers/{id}/attach` of the Docker Engine API 1.41, which its logs have too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

LONGEST_LINE = 8192
"""Bytes of one line of output; what is longer is cut. Far more than a line of any log."""

LONGEST_FRAME = 1 << 20
"""Bytes of one piece of output: engines send 16 or 32 KiB."""


class Reader(Protocol):
    """What is read from."""

    async def readexactly(self, n: int) -> bytes:
        """So many bytes.

        :raises asyncio.IncompleteReadError: there are not so many.
        """
        ...


async def read_frame(content: Reader) -> bytes:
    """One piece of output of a container without a terminal, where each has a header; empty: there is no more.

    :raises ValueError: it is too long to be one.
    """
    while True:
        try:
            header = await content.readexactly(8)
            length = int.from_bytes(header[4:], "big")
            if length > LONGEST_FRAME:
                raise ValueError(f"a piece of output of {length} bytes")
            if length:
                return await content.readexactly(length)
        except asyncio.IncompleteReadError:
            return b""


class Lines:
    """Makes lines of pieces.

    :param take: called with each line.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._tell(line)
        self._rest = rest[:LONGEST_LINE]

    def end(self) -> None:
        """There is no more; what has come of a last line is one."""
        rest, self._rest = self._rest, b""
        if rest:
            self._tell(rest)

    def _tell(self, line: bytes) -> None:
        self._take(line[:LONGEST_LINE].decode(errors="replace").rstrip("\r"))
