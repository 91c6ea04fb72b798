"""Which keys labels may set, and how they get into a server's table."""

from __future__ import annotations

import pytest

from zeroscale.plugins.support.labels import Table, hosts, ports, put, settable


def test_only_keys_that_their_metadata_allow_are_set() -> None:
    table: Table = {}
    wrong: list[str] = []
    for key, text in {
        "idle_shutdown": "15m",
        "max-crashes": "3",
        "texts.sleeping": "12",
        "admission.wake": "known",
        "plugin": "command",
        "idle_shutdwn": "5",
        "idle-timeout": "5",
        "texts": "x",
        "texts.": "x",
        "join.x": "hold",
    }.items():
        put(table, key, text, f"label {key}", ["host"], wrong)
    assert table == {
        "idle_shutdown": "15m",
        "max-crashes": "3",
        "texts": {"sleeping": "12"},
        "admission": {"wake": "known"},
    }
    assert wrong == [
        "label plugin may not be set here",
        "label idle_shutdwn is not known: did you mean idle_shutdown?",
        "label idle-timeout is not known: did you mean idle_shutdown?",
        "label texts may not be set here",
        "label texts. may not be set here",
        "label join.x may not be set here",
    ]


def test_nothing_that_names_a_file_or_a_command_can_be_set() -> None:
    assert not {"plugin", "plugin_arguments", "working_directory", "listen", "server", "on_exit", "ready"} & {
        *settable()
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("25565", ["25565"]),
        ("25565, 25566", ["25565", "25566"]),
        ("[25565, 25566]", ["25565", "25566"]),
        ("unix:/run/x", None),
        ("25565 x", None),
        ("", None),
    ],
)
def test_only_ports_are_listened_on(text: str, found: list[str] | None) -> None:
    assert ports(text) == found


def test_hosts() -> None:
    assert hosts("a.example.org, *.b.example.org  c") == ["a.example.org", "*.b.example.org", "c"]
