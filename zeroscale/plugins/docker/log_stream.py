"""Split the output stream of a container into lines. Makes no requests.

The frames are those of `POST /containers/{id}/attach` of the Docker Engine API 1.41; logs have the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

LONGEST_LINE = 8192
"""Bytes of one line of output; a longer one is cut. Far more than a line of any log."""

LONGEST_FRAME = 1 << 20
"""Bytes of one frame: engines send 16 or 32 KiB."""


class ExactReader(Protocol):
    """The part of `asyncio.StreamReader` that is used here."""

    async def readexactly(self, n: int) -> bytes:
        """Read exactly so many bytes.

        :raises asyncio.IncompleteReadError: the stream ended before.
        """
        ...


async def read_frame(content: ExactReader) -> bytes:
    """Read the next frame of output of a container without a terminal; empty at the end of the stream.

    :raises ValueError: its length shows that it is not a frame.
    """
    while True:
        try:
            header = await content.readexactly(8)
            length = int.from_bytes(header[4:], "big")
            if length > LONGEST_FRAME:
                raise ValueError(f"a frame of output of {length} bytes")
            if length:
                return await content.readexactly(length)
        except asyncio.IncompleteReadError:
            return b""


class LineSplitter:
    """Splits a stream of bytes into lines.

    :param on_line: called with each line.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next part of the stream."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._report(line)
        self._rest = rest[:LONGEST_LINE]

    def end(self) -> None:
        """Take the end of the stream: a last line without an end is reported."""
        rest, self._rest = self._rest, b""
        if rest:
            self._report(rest)

    def _report(self, line: bytes) -> None:
        self._on_line(line[:LONGEST_LINE].decode(errors="replace").rstrip("\r"))
