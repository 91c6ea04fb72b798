"""The Disconnect packet's layouts by protocol number."""

from __future__ import annotations

import zlib

import pytest

from zeroscale.protocols.bedrock.connected import LARGEST_MESSAGE
from zeroscale.protocols.bedrock.disconnect import LONGEST_MESSAGE, encode

TEXT = "Wait ü"
ENCODED = b"\x07Wait \xc3\xbc"


@pytest.mark.parametrize(
    ("protocol", "packet"),
    [
        (554, b"\x05\x00" + ENCODED),
        (621, b"\x05\x00" + ENCODED),
        (622, b"\x05\x00\x00" + ENCODED),
        (711, b"\x05\x00\x00" + ENCODED),
        (712, b"\x05\x00\x00" + ENCODED + b"\x00"),
        (2225, b"\x05\x00\x00" + ENCODED + b"\x00"),
        (99999, b"\x05\x00\x00" + ENCODED + b"\x00"),
    ],
)
def test_layouts(protocol: int, packet: bytes) -> None:
    assert encode(protocol, TEXT) == b"\xfe" + bytes((len(packet),)) + packet


@pytest.mark.parametrize("protocol", [407, 553])
def test_before_network_settings_it_is_compressed(protocol: int) -> None:
    message = encode(protocol, TEXT)
    assert message[0] == 0xFE
    assert zlib.decompress(message[1:], -15) == b"\x0a\x05\x00" + ENCODED


@pytest.mark.parametrize("protocol", [407, 554, 622, 712])
def test_it_fits_into_one_datagram(protocol: int) -> None:
    assert len(encode(protocol, "ü" * 1000)) <= LARGEST_MESSAGE
    assert encode(2225, "ü" * 1000).count("ü".encode()) == LONGEST_MESSAGE // 2
    assert encode(2225, "a" + "ü" * 1000).count("ü".encode()) == LONGEST_MESSAGE // 2 - 1
