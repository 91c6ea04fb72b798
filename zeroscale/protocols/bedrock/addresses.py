"""How RakNet writes a host and a port, both ways.

Source: docs/protocol.md, "RakNet".
"""

from __future__ import annotations

import ipaddress
import struct

from zeroscale.errors import ProtocolError
from zeroscale.protocols.datagrams import DatagramReader

IPV4, IPV6 = 4, 6
IPV4_SIZE, IPV6_SIZE = 7, 29

AF_INET6 = 23
"""The family of an IPv6 address as Windows numbers it, which servers send whatever they run on."""

_IPV6 = struct.Struct("<H2sI16sI")


def encode(host: str, port: int) -> bytes:
    """Encode an address.

    :param host: an IPv4 or IPv6 address; a scope after a percent sign is left out.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == IPV4:
        return bytes((IPV4, *(byte ^ 0xFF for byte in address.packed))) + port.to_bytes(2)
    return bytes((IPV6,)) + _IPV6.pack(AF_INET6, port.to_bytes(2), 0, address.packed, 0)


def skip(reader: DatagramReader) -> None:
    """Read over an address: what peers call themselves or us is of no use."""
    version = reader.byte()
    if version not in (IPV4, IPV6):
        raise ProtocolError(f"an address of the unknown version {version}")
    reader.take((IPV4_SIZE if version == IPV4 else IPV6_SIZE) - 1)
