"""The magic packet of Wake-on-LAN. Does no I/O.

It has six bytes FF, the address of the network card sixteen times, and a password of four or six bytes if the card
requires one (AMD, "Magic Packet Technology", publication 20213, and SecureOn).
"""

from __future__ import annotations

import ipaddress
import re

from zeroscale.errors import PluginError

_NOTATIONS = re.compile(
    r"[0-9a-f]{2}(:[0-9a-f]{2}){5}|[0-9a-f]{2}(-[0-9a-f]{2}){5}|[0-9a-f]{2}( [0-9a-f]{2}){5}"
    r"|[0-9a-f]{4}(\.[0-9a-f]{4}){2}|[0-9a-f]{6}[-:][0-9a-f]{6}|[0-9a-f]{12}"
)


def hardware_address(mac: str) -> bytes:
    """Return the six bytes of a network card's address, given in any of the usual notations.

    :raises PluginError: it is not such an address.
    """
    text = mac.strip().lower()
    found = bytes.fromhex(re.sub("[^0-9a-f]", "", text)) if _NOTATIONS.fullmatch(text) else b""
    if len(found) != 6 or found[0] & 1 or not any(found):  # the lowest bit marks a group address
        raise PluginError(
            f"mac={mac!r} is not the address of a network card, such as 00:11:22:aa:bb:cc; see `ip link` there"
        )
    return found


def password_bytes(password: str) -> bytes:
    """Return the bytes of a SecureOn password: six written like a MAC address, or four like an IPv4 address.

    :raises PluginError: it is neither; the message does not contain it.
    """
    text = password.strip().lower()
    if _NOTATIONS.fullmatch(text):
        return bytes.fromhex(re.sub("[^0-9a-f]", "", text))
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        raise PluginError("password= must be six bytes, as in 00:11:22:aa:bb:cc, or four, as in 192.0.2.1") from None


def magic_packet(address: bytes, password: bytes = b"") -> bytes:
    """Return the packet that wakes the network card with this address."""
    return b"\xff" * 6 + address * 16 + password
