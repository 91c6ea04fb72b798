"""A client's address: from its connection, from a trusted PROXY header, and never from another one."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest

from zeroscale.errors import ProtocolError
from zeroscale.frontend.client_address import BEHIND_A_PROXY, LOCAL, ClientAddress
from zeroscale.frontend.connection_limits import Network
from zeroscale.protocols.proxy_protocol import Endpoint, Version, encode, local_header

PROXY = Endpoint("10.0.0.1", 40000)
CLIENT = Endpoint("203.0.113.7", 56324)
PUBLIC = Endpoint("192.0.2.1", 25565)
OURS = Endpoint("10.0.0.2", 25565)
TRUSTED: Sequence[Network] = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
VERSIONS: list[Version] = ["v1", "v2"]


@pytest.mark.parametrize(
    ("endpoint", "host", "peer"),
    [
        (CLIENT, "203.0.113.7", "203.0.113.7:56324"),
        (Endpoint("::ffff:203.0.113.7", 1), "203.0.113.7", "203.0.113.7:1"),
        (Endpoint("2001:db8::7", 1), "2001:db8::7", "[2001:db8::7]:1"),
        (None, LOCAL, LOCAL),
    ],
)
def test_by_its_connection(endpoint: Endpoint | None, host: str, peer: str) -> None:
    address = ClientAddress(endpoint)
    assert (address.is_known, address.host, address.peer) == (True, host, peer)
    assert address.receive(b"PROXY TCP4") == b"PROXY TCP4"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("proxy", [PROXY, Endpoint("::ffff:10.0.0.1", 1), Endpoint("2001:db8::1", 1)])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_by_a_trusted_header_however_it_is_cut(version: Version, proxy: Endpoint, size: int) -> None:
    address = ClientAddress(proxy, TRUSTED)
    assert (address.is_known, address.host) == (False, BEHIND_A_PROXY)
    sent = encode(version, CLIENT, PUBLIC) + b"first"
    got = b"".join(address.receive(sent[at : at + size]) or b"" for at in range(0, len(sent), size))
    assert got == b"first"
    assert (address.is_known, address.is_health_check, address.host, address.peer) == (
        True,
        False,
        "203.0.113.7",
        "203.0.113.7:56324",
    )


@pytest.mark.parametrize(
    "sent", [b"\x10\x00", b"GET / HTTP/1.1\r\n", b"PROXY TCP4 a b c d\r\n", b"\r\n\r\n\x00\r\nQUIX"]
)
def test_a_trusted_one_must_send_a_whole_one(sent: bytes) -> None:
    address = ClientAddress(PROXY, TRUSTED)
    with pytest.raises(ProtocolError, match="PROXY"):
        address.receive(sent)


@pytest.mark.parametrize("sent", [local_header(), local_header("v1")])
def test_a_proxy_that_speaks_for_itself(sent: bytes) -> None:
    address = ClientAddress(PROXY, TRUSTED)
    assert address.receive(sent + b"x") == b"x"
    assert (address.is_known, address.is_health_check, address.host) == (True, True, "10.0.0.1")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 1000])
def test_only_trusted_proxies_may_send_a_header(version: Version, size: int) -> None:
    address = ClientAddress(CLIENT, TRUSTED, reject_header=True)
    assert (address.is_known, address.rejects_header, address.host) == (False, True, "203.0.113.7")
    sent = encode(version, PROXY, PUBLIC)
    with pytest.raises(ProtocolError, match="from an address that is not trusted"):
        for at in range(0, len(sent), size):
            assert address.receive(sent[at : at + size]) is None


def test_what_only_begins_like_one_is_the_clients_own() -> None:
    address = ClientAddress(CLIENT, TRUSTED, reject_header=True)
    assert address.receive(b"PRO") is None
    assert address.receive(b"TOCOL") == b"PROTOCOL"
    assert address.is_known
    late = ClientAddress(CLIENT, TRUSTED, reject_header=True)
    assert late.receive(b"\r\n") is None
    begun = late.has_partial_header
    assert begun
    silent = ClientAddress(CLIENT, TRUSTED, reject_header=True)
    silent.header_wait_over()
    assert silent.is_known


def test_a_protocol_that_would_notice_is_not_guarded() -> None:
    assert ClientAddress(CLIENT, TRUSTED).is_known


@pytest.mark.parametrize("version", VERSIONS)
def test_the_header_for_the_real_server(version: Version) -> None:
    assert ClientAddress(CLIENT).proxy_header(version, OURS) == encode(version, CLIENT, OURS)
    behind = ClientAddress(PROXY, TRUSTED)
    behind.receive(encode("v2", CLIENT, PUBLIC))
    assert behind.proxy_header(version, OURS) == encode(version, CLIENT, PUBLIC)
    assert ClientAddress(None).proxy_header(version, OURS) == local_header(version)
    assert ClientAddress(CLIENT).proxy_header(version, None) == local_header(version)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("proxy", "ours"), [(PROXY, OURS), (Endpoint("2001:db8::1", 9), Endpoint("2001:db8::2%2", 25565))]
)
def test_a_proxy_that_names_this_very_connection_speaks_for_itself(size: int, proxy: Endpoint, ours: Endpoint) -> None:
    address = ClientAddress(proxy, TRUSTED)
    sent = encode("v1", proxy, ours)
    for at in range(0, len(sent), size):
        rest = address.receive(sent[at : at + size], ours)
    assert (rest, address.is_known, address.is_health_check, address.host) == (b"", True, True, proxy.host)


@pytest.mark.parametrize(
    ("source", "destination"), [(PROXY, PUBLIC), (Endpoint(PROXY.host, 40001), OURS), (CLIENT, OURS)]
)
def test_a_client_on_the_proxys_machine_is_no_proxy(source: Endpoint, destination: Endpoint) -> None:
    address = ClientAddress(PROXY, TRUSTED)
    assert address.receive(encode("v1", source, destination), OURS) == b""
    assert (address.is_known, address.is_health_check, address.host) == (True, False, source.host)
