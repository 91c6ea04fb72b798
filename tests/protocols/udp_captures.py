"""What real query clients and servers sent; tests/fixtures/README.md says how it was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEY = bytes(range(16))
NOW = 1000.0
CLIENT = "127.0.0.1"

_RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "fixtures" / "udp_queries.json").read_text(encoding="utf-8")
)

SERVERS = {name: bytes.fromhex(datagram) for name, datagram in _RECORDED["servers"].items()}

PROXIED = {
    question: [bytes.fromhex(datagram) for datagram in datagrams]
    for question, datagrams in _RECORDED["proxied"].items()
}


def questions(protocol: str) -> dict[str, list[tuple[bytes, bool]]]:
    """Return what each client of a protocol asked, and whether the question had a challenge made with `KEY`."""
    return {
        name: [(bytes.fromhex(each["question"]), each["proved"]) for each in client["datagrams"]]
        for name, client in _RECORDED["clients"].items()
        if client["protocol"] == protocol
    }
