"""The host that an HTTP/1 request is for. Sans-I/O.

Sources: RFC 9112, 3.2 and 3.3 (which of the target and the field counts), RFC 9110, 4.2 and 7.2, RFC 3986, 3.2.2.
"""

from __future__ import annotations

import ipaddress
import re

from zeroscale.errors import ProtocolError
from zeroscale.protocols.http import Head

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([0-9a-z._-]{1,255}))(?::[0-9]*)?", re.IGNORECASE | re.ASCII)
"""A host, with or without a port. Of the names that RFC 3986 allows, those that DNS can have."""


def requested_host(head: Head) -> str | None:
    """Return the host: lower case, without a port, brackets and trailing dots; "" where the request names none.

    :returns: None where the request names none, but has to (HTTP/1.1).
    :raises ProtocolError: it names several, or what is no host. Such a request is refused with 400.
    """
    field = _host_field(head)
    absolute = _ABSOLUTE.match(head.target)
    if absolute is not None:
        authority: str | None = absolute[1]
    elif head.method == "CONNECT":
        authority = head.target
    else:
        authority = field
    host = "" if authority is None or (not authority and absolute is None) else _host(authority)
    if field is None and not host and head.version >= (1, 1):
        return None
    return host


def _host_field(head: Head) -> str | None:
    if any(name != "host" and name.strip() == "host" for name in head.fields):
        raise ProtocolError("white space around the name of the Host field")
    field = head.fields.get("host")
    if field:
        _host(field)
    return field


def _host(authority: str) -> str:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise ProtocolError("no valid host, or more than one, in the Host field or the target")
    address, name = found.groups()
    if address is not None:
        try:
            return str(ipaddress.IPv6Address(address))  # in one spelling, as addresses in a configuration are
        except ValueError:
            raise ProtocolError("no valid address in the Host field or the target") from None
    host: str = name.rstrip(".").lower()
    if not host:
        raise ProtocolError("no valid host in the Host field or the target")
    return host
