"""How RakNet writes addresses."""

from __future__ import annotations

import pytest

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock import addresses
from zeroscale.protocols.datagrams import DatagramReader


@pytest.mark.parametrize(
    ("host", "port", "encoded"),
    [
        ("127.0.0.1", 19132, "04 80fffffe 4abc"),
        ("::1", 19133, "06 1700 4abd 00000000 00000000000000000000000000000001 00000000"),
        ("fe80::1%eth0", 1, "06 1700 0001 00000000 fe800000000000000000000000000001 00000000"),
    ],
)
def test_addresses_are_encoded_and_read_over(host: str, port: int, encoded: str) -> None:
    data = addresses.encode(host, port)
    assert data == bytes.fromhex(encoded)
    reader = DatagramReader(data + b"rest", "a test")
    addresses.skip(reader)
    assert reader.rest() == b"rest"
    for size in range(len(data)):
        with pytest.raises(ProtocolError):
            addresses.skip(DatagramReader(data[:size], "a test"))


def test_an_address_of_another_version() -> None:
    with pytest.raises(ProtocolError, match="version 5"):
        addresses.skip(DatagramReader(bytes((5,)) * 40, "a test"))
