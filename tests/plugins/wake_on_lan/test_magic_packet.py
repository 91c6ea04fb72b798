"""The magic packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.errors import PluginError
from zeroscale.plugins.wake_on_lan.magic_packet import hardware_address, magic_packet, password_bytes

ADDRESS = bytes.fromhex("001122aabbcc")


@pytest.mark.parametrize(
    "mac",
    [
        "00:11:22:aa:bb:cc",
        "00:11:22:AA:BB:CC",
        "00-11-22-aa-bb-cc",
        "00 11 22 aa bb cc",
        "0011.22aa.bbcc",
        "001122-aabbcc",
        "001122aabbcc",
        " 001122AABBCC ",
    ],
)
def test_the_usual_notations(mac: str) -> None:
    assert hardware_address(mac) == ADDRESS


@pytest.mark.parametrize(
    "mac",
    [
        "",
        "00:11:22:aa:bb",
        "00:11:22:aa:bb:cc:dd",
        "00:11-22:aa:bb:cc",
        "00:11:22:aa:bb:cg",
        "0:11:22:aa:bb:cc",
        "00:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01",
        "192.168.1.20",
    ],
)
def test_invalid_addresses(mac: str) -> None:
    with pytest.raises(PluginError, match="is not the address of a network card, such as 00:11:22:aa:bb:cc"):
        hardware_address(mac)


@given(st.text(max_size=30))
def test_any_text_is_six_bytes_or_an_error(mac: str) -> None:
    try:
        assert len(hardware_address(mac)) == 6
    except PluginError as error:
        assert "\n" not in str(error)


def test_passwords() -> None:
    assert password_bytes("00:11:22:aa:bb:cc") == ADDRESS
    assert password_bytes("192.0.2.1") == bytes([192, 0, 2, 1])
    with pytest.raises(PluginError) as raised:
        password_bytes("hunter2")
    assert "hunter2" not in str(raised.value)


def test_the_packet() -> None:
    packet = magic_packet(ADDRESS)
    assert len(packet) == 102
    assert packet == b"\xff" * 6 + ADDRESS * 16
    assert magic_packet(ADDRESS, b"\x01\x02\x03\x04") == packet + b"\x01\x02\x03\x04"
