"""Host and name of an unauthenticated client, and a guess at the protocol of other clients."""

from __future__ import annotations

from zeroscale.access_lists import LONGEST_NAME

_OTHER_PROTOCOLS = (
    (b"\x16\x03", "TLS"),
    (b"SSH-", "SSH"),
    (b"\x03\x00\x00", "RDP"),
    (b"PROXY ", "a PROXY protocol header"),
    (b"\r\n\r\n\x00\r\nQUIT\n", "a PROXY protocol header"),
    *((verb, "HTTP") for verb in (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI ")),
)


def routing_host(host: str) -> str:
    """Return the host for routing, without what mods and proxies append, in lower case.

    Source: docs/protocol.md, "Host decorations".
    """
    return host.partition("\x00")[0].partition("///")[0].rstrip(".").lower()


def bounded_name(name: str) -> str:
    """Return a claimed name, or as much of it as shows that it is too long (`access_lists.is_player_name`)."""
    return name[: LONGEST_NAME + 1]


def guess_protocol(data: bytes | bytearray) -> str | None:
    """Return the name of the well-known protocol that these first bytes look like, or None."""
    return next((name for start, name in _OTHER_PROTOCOLS if data.startswith(start)), None)
