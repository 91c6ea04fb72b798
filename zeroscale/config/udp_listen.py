"""The `listen` values of UDP ports: `udp:PORT`, `udp:PORT:interface=ADDRESS`, and `udp:systemd:NAME`. Pure."""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

UDP = "udp:"
HIGHEST_PORT = 65535

EXPECTED = "udp:PORT, udp:PORT:interface=ADDRESS or udp:systemd:NAME"


class UdpListen(Struct, frozen=True):
    """What a value means.

    :ivar port: the port; None: that of inherited sockets.
    :ivar interface: the address to listen on; "": all of both families.
    :ivar inherited: the name of sockets that the service manager has opened; "": none.
    """

    port: int | None = None
    interface: str = ""
    inherited: str = ""


def parse(listen: str) -> UdpListen:
    """Parse a `listen` value.

    :raises ValueError: it is not `EXPECTED`; the message says what is wrong.
    """
    kind, _, rest = listen.removeprefix(UDP).partition(":")
    if kind == "systemd":
        if not rest or ":" in rest:
            raise ValueError("after udp:systemd: comes a name, as in FileDescriptorName= of the socket unit")
        return UdpListen(inherited=rest)
    if not re.fullmatch("[0-9]{1,5}", kind, re.ASCII) or not 1 <= int(kind) <= HIGHEST_PORT:
        raise ValueError(f"a UDP port is written as {EXPECTED}, with a port from 1 to {HIGHEST_PORT}")
    if not rest:
        return UdpListen(int(kind))
    key, _, address = rest.partition("=")
    address = re.sub(r"\\(.)", r"\1", address).removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        address = ""
    if key != "interface" or not address:
        raise ValueError("after the port of a UDP port may only come :interface= and an IPv4 or IPv6 address")
    return UdpListen(int(kind), address)
