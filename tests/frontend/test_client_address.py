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
    ("address", "host", "peer"),
    [
        (CLIENT, "203.0.113.7", "203.0.113.7:56324"),
        (Endpoint("::ffff:203.0.113.7", 1), "203.0.113.7", "203.0.113.7:1"),
        (Endpoint("2001:db8::7", 1), "2001:db8::7", "[2001:db8::7]:1"),
        (None, LOCAL, LOCAL),
    ],
)
def test_by_its_connection(address: Endpoint | None, host: str, peer: str) -> None:
    origin = ClientAddress(address)
    assert (origin.is_known, origin.host, origin.peer) == (True, host, peer)
    assert origin.receive(b"PROXY TCP4") == b"PROXY TCP4"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("proxy", [PROXY, Endpoint("::ffff:10.0.0.1", 1), Endpoint("2001:db8::1", 1)])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_by_a_trusted_header_however_it_is_cut(version: Version, proxy: Endpoint, size: int) -> None:
    origin = ClientAddress(proxy, TRUSTED)
    assert (origin.is_known, origin.host) == (False, BEHIND_A_PROXY)
    said = encode(version, CLIENT, PUBLIC) + b"first"
    got = b"".join(origin.receive(said[at : at + size]) or b"" for at in range(0, len(said), size))
    assert got == b"first"
    assert (origin.is_known, origin.is_health_check, origin.host, origin.peer) == (
        True,
        False,
        "203.0.113.7",
        "203.0.113.7:56324",
    )


@pytest.mark.parametrize(
    "said", [b"\x10\x00", b"GET / HTTP/1.1\r\n", b"PROXY TCP4 a b c d\r\n", b"\r\n\r\n\x00\r\nQUIX"]
)
def test_a_trusted_one_must_send_a_whole_one(said: bytes) -> None:
    origin = ClientAddress(PROXY, TRUSTED)
    with pytest.raises(ProtocolError, match="PROXY"):
        origin.receive(said)


@pytest.mark.parametrize("said", [local_header(), local_header("v1")])
def test_a_proxy_that_speaks_for_itself(said: bytes) -> None:
    origin = ClientAddress(PROXY, TRUSTED)
    assert origin.receive(said + b"x") == b"x"
    assert (origin.is_known, origin.is_health_check, origin.host) == (True, True, "10.0.0.1")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 1000])
def test_only_trusted_proxies_may_send_a_header(version: Version, size: int) -> None:
    origin = ClientAddress(CLIENT, TRUSTED, reject_header=True)
    assert (origin.is_known, origin.rejects_header, origin.host) == (False, True, "203.0.113.7")
    said = encode(version, PROXY, PUBLIC)
    with pytest.raises(ProtocolError, match="from an address that is not trusted"):
        for at in range(0, len(said), size):
            assert origin.receive(said[at : at + size]) is None


def test_what_only_begins_like_one_is_the_clients_own() -> None:
    origin = ClientAddress(CLIENT, TRUSTED, reject_header=True)
    assert origin.receive(b"PRO") is None
    assert origin.receive(b"TOCOL") == b"PROTOCOL"
    assert origin.is_known
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
    origin = ClientAddress(proxy, TRUSTED)
    said = encode("v1", proxy, ours)
    for at in range(0, len(said), size):
        rest = origin.receive(said[at : at + size], ours)
    assert (rest, origin.is_known, origin.is_health_check, origin.host) == (b"", True, True, proxy.host)


@pytest.mark.parametrize(
    ("source", "destination"), [(PROXY, PUBLIC), (Endpoint(PROXY.host, 40001), OURS), (CLIENT, OURS)]
)
def test_a_client_on_the_proxys_machine_is_no_proxy(source: Endpoint, destination: Endpoint) -> None:
    origin = ClientAddress(PROXY, TRUSTED)
    assert origin.receive(encode("v1", source, destination), OURS) == b""
    assert (origin.is_known, origin.is_health_check, origin.host) == (True, False, source.host)
