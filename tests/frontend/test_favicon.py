"""The icon is what every client draws."""

from __future__ import annotations

import base64
import struct
import zlib

from zeroscale.frontend.favicon import ICON


def test_it_is_a_small_png_of_64_by_64() -> None:
    content = base64.b64decode(ICON.removeprefix("data:image/png;base64,"), validate=True)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) < 2048
    chunks = {}
    position = 8
    while position < len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        data = content[position + 8 : position + 8 + size]
        (checksum,) = struct.unpack_from(">I", content, position + 8 + size)
        assert checksum == zlib.crc32(kind + data)
        chunks[kind] = data
        position += 12 + size
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (64, 64)
    assert len(zlib.decompress(chunks[b"IDAT"])) == 64 * 65
    assert list(chunks)[-1] == b"IEND"
