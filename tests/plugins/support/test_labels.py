"""What may be said of a server beside it, and how it is read."""

from __future__ import annotations

import pytest

from zeroscale.plugins.support.labels import PASSED_ON, Table, hosts, is_ports, put, value


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("15", 15),
        ("15m", "15m"),
        ("true", True),
        ("false", False),
        ('["a", 1]', ["a", 1]),
        ('[{ env = "SECRET" }]', '[{ env = "SECRET" }]'),
        ("[broken", "[broken"),
        ("1234567890", "1234567890"),
        ("", ""),
    ],
)
def test_values(text: str, read: object) -> None:
    assert value(text) == read
    assert type(value(text)) is type(read)


def test_what_counts_is_a_list() -> None:
    table: Table = {}
    wrong: list[str] = []
    for key, text in {
        "idle_shutdown": "15m",
        "texts.sleeping": "12",
        "admission.wake": "known",
        "plugin": "command",
        "idle_shutdwn": "5",
        "texts": "x",
    }.items():
        put(table, key, text, f"label {key}", ["host"], wrong)
    assert table == {"idle_shutdown": "15m", "texts": {"sleeping": "12"}, "admission": {"wake": "known"}}
    assert wrong == [
        "label plugin may not be set here",
        "label idle_shutdwn is not known: did you mean idle_shutdown?",
        "label texts may not be set here",
    ]


def test_nothing_that_names_a_file_or_a_command_can_be_said() -> None:
    assert not {"plugin", "plugin_arguments", "working_directory", "listen", "server", "on_exit"} & set(PASSED_ON)


@pytest.mark.parametrize(
    ("said", "ports"),
    [(25565, True), ([25565, 25566], True), ("unix:/run/x", False), (True, False), ([25565, "x"], False)],
)
def test_only_ports_are_listened_on(said: object, ports: bool) -> None:
    assert is_ports(said) is ports


def test_hosts() -> None:
    assert hosts("a.example.org, *.b.example.org  c") == ["a.example.org", "*.b.example.org", "c"]
