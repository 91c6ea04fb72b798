"""Replace IP addresses in texts that must be without them: the log, the history, notifications. Pure."""

from __future__ import annotations

import ipaddress
import re

HIDDEN = "[address]"
"""Replaces an address that is kept out of a text."""

IPV6 = (
    r"(?i)(?:(?<![\w:.])|(?<=\dm)|(?<=\[m)|(?<=§[0-9a-fk-or])|(?<=[g-z]:)|(?<=_))"  # after a word or a colour code
    r"\[?((?:[0-9a-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}))(?:%\w+)?\]?(?::\d{1,5}\b)?"
)
IPV4 = r"(?<!\d)((?:\d{1,3}\.){3}\d{1,3})(?!\d)(?::\d{1,5}\b)?"
"""An address with its brackets, zone and port, where present."""


def without_addresses(text: str) -> str:
    """Replace each IP address in a text by `HIDDEN`, except loopback and unspecified addresses."""
    return re.sub(IPV4, _hidden, re.sub(IPV6, _hidden, text))


def _hidden(match: re.Match[str]) -> str:
    whole, address = match[0], match[1]
    tail = ""
    if address.endswith(":") and not address.endswith("::"):
        # the colon belongs to the sentence
        address, tail = address[:-1], ":"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return whole
    return whole if parsed.is_loopback or parsed.is_unspecified else HIDDEN + tail
