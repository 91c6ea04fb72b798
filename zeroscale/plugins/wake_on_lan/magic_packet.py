"""Wake-on-LAN's magic packet. Pure.

Six bytes of FF, then the address of the network card sixteen times, then a password of four or six bytes if the card
wants one (AMD, "Magic Packet Technology", publication 20213, and its SecureOn).
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
    """The six bytes of a network card's address, in any of the usual notations.

    :raises PluginError: it is none.
    """
    text = mac.strip().lower()
    found = bytes.fromhex(re.sub("[^0-9a-f]", "", text)) if _NOTATIONS.fullmatch(text) else b""
    if len(found) != 6 or found[0] & 1 or not any(found):  # the lowest bit marks an address of a group
        raise PluginError(
            f"mac={mac!r} is no address of a network card, such as 00:11:22:aa:bb:cc; `ip link` on that machine says it"
        )
    return found


def password_bytes(password: str) -> bytes:
    """A SecureOn password: six bytes written like a MAC, or four like an IPv4 address.

    :raises PluginError: it is neither; the message does not repeat it.
    """
    text = password.strip().lower()
    if _NOTATIONS.fullmatch(text):
        return bytes.fromhex(re.sub("[^0-9a-f]", "", text))
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        raise PluginError(
            "password= is neither six bytes, as in 00:11:22:aa:bb:cc, nor four, as in 192.0.2.1"
        ) from None


def magic_packet(address: bytes, password: bytes = b"") -> bytes:
    """The packet that wakes the card with this address."""
    return b"\xff" * 6 + address * 16 + password
