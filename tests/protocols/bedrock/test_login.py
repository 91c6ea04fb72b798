"""A client's first message: protocol number and claimed name, bounded."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.bedrock.joins import request_settings

from zeroscale.errors import ProtocolError
from zeroscale.protocols.bedrock.login import LONGEST_NAME, JoinClaim, read_first
from zeroscale.protocols.minecraft.packets import varint


def token(claims: object) -> str:
    """Return a JSON Web Token without a signature."""
    return "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".sig"


def compressed(batch: bytes, *, header: bool = False) -> bytes:
    deflater = zlib.compressobj(wbits=15 if header else -15)
    return b"\xfe" + deflater.compress(batch) + deflater.flush()


def login(chain: object, protocol: int = 503, rest: bytes = b"skin" * 100, *, header: bool = False) -> bytes:
    encoded = chain if isinstance(chain, bytes) else json.dumps({"chain": chain}).encode()
    body = struct.pack("<i", len(encoded)) + encoded + struct.pack("<i", len(rest)) + rest
    packet = b"\x01" + struct.pack(">i", protocol) + varint(len(body)) + body
    return compressed(varint(len(packet)) + packet, header=header)


ADA = token({"extraData": {"displayName": "Ada", "XUID": "1"}})
CHAIN = [token({"certificateAuthority": True}), token({"x": 1}), ADA]


@pytest.mark.parametrize("protocol", [554, 712, 2225, 2**31 - 1])
def test_a_request_of_network_settings(protocol: int) -> None:
    assert read_first(request_settings(protocol)) == JoinClaim(protocol, "")


@pytest.mark.parametrize("header", [True, False])
def test_a_login_with_a_name(header: bool) -> None:
    assert read_first(login(CHAIN, header=header)) == JoinClaim(503, "Ada")
    assert read_first(login([ADA], 422, header=header)) == JoinClaim(422, "Ada")


def test_the_beginning_of_a_login_suffices() -> None:
    whole = login(CHAIN, rest=bytes(range(256)) * 2000)
    claims = {read_first(whole[:size]) for size in range(600, len(whole), 500)}
    assert claims == {JoinClaim(503, "Ada")}


@pytest.mark.parametrize(
    "chain",
    [
        [],
        b"",
        b"null",
        b"{}",
        b"[" * 5000,
        b"\xff",
        ["no token"],
        ["e30.!!!.sig"],
        [token([])],
        [token({"extraData": None})],
        [token({"extraData": {"displayName": 7}})],
        [token({"extraData": {}})],
        [7],
        {"a": 1},
        "text",
        [token({})] * 20 + [ADA],
        b"x" * 40000,
    ],
)
def test_a_login_without_a_readable_name(chain: object) -> None:
    assert read_first(login(chain)) == JoinClaim(503, "")


def test_a_long_name_is_cut() -> None:
    assert read_first(login([token({"extraData": {"displayName": "x" * 9999}})])).name == "x" * LONGEST_NAME


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xfe",
        b"\x15",
        b"\xfe\x06\xc1\x01\x00",
        request_settings(0),
        request_settings(-1),
        compressed(b"\x05\x02\x00\x00\x01\xf7"),
        compressed(b"\xff" * 20),
        compressed(b""),
        b"\xfe" + b"\x78\x9c" + bytes(20),
        login(CHAIN, protocol=-5),
    ],
)
def test_what_is_no_first_message(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_first(message)


def test_truncated_at_every_byte() -> None:
    for whole in (login(CHAIN), request_settings(2225)):
        for size in range(len(whole)):
            try:
                claim = read_first(whole[:size])
            except ProtocolError:
                continue
            assert claim in (JoinClaim(503, ""), JoinClaim(503, "Ada"))


def test_a_bomb_is_decompressed_in_part() -> None:
    bomb = compressed(bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(ProtocolError):
        read_first(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@given(st.binary(max_size=200), st.booleans())
def test_any_message_raises_nothing_else(data: bytes, is_compressed: bool) -> None:
    try:
        read_first(compressed(data) if is_compressed else b"\xfe" + data)
    except ProtocolError:
        return
