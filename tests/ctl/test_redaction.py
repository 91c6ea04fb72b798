"""What a configuration and a log show of themselves in a bug report."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.ctl.redaction import LEFT_OUT, redacted_line, redacted_toml

FILE = """\
state_directory = "/var/lib/zeroscale"

[servers.survival]
plugin = "generic"
listen = [25565, "tcp:25566"]
server = "192.0.2.7:25575"
environment = { RCON = "hunter2" }
keep_awake = ["Mon-Fri 16:00-22:00"]

[servers.survival.plugin_arguments]
command = "run --password=hunter2 --nogui"
rcon_password = { env = "PASSWORD" }

[servers.survival.texts]
sleeping = "Ask Ada (0170 1234567)"

[[servers.survival.ports]]
listen = 8123
server = 8100

[[notify]]
url = "https://example.org/hook/hunter2"
name = "phone"
"""


def test_a_configuration_keeps_its_shape_and_loses_its_secrets() -> None:
    text = redacted_toml(tomllib.loads(FILE))
    for secret in ("hunter2", "PASSWORD", "0170", "192.0.2.7", "example.org"):
        assert secret not in text
    table = tomllib.loads(text)
    server = table["servers"]["survival"]
    assert table["state_directory"] == "/var/lib/zeroscale"
    assert server["listen"] == [25565, "tcp:25566"]
    assert server["environment"] == {"RCON": LEFT_OUT}
    assert server["texts"] == {"sleeping": LEFT_OUT}
    assert server["ports"] == [{"listen": 8123, "server": 8100}]
    assert server["plugin_arguments"]["command"] == f"run --password={LEFT_OUT} --nogui"
    assert table["notify"] == [{"url": LEFT_OUT, "name": "phone"}]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Ada (203.0.113.7:40000) joined", "Ada ([address]) joined"),
        ("rcon.password=hunter2 x", f"rcon.password={LEFT_OUT} x"),
        ('token: "a b" c', f"token: {LEFT_OUT} c"),
        ("GET https://user:hunter2@example.org/", "GET https://example.org/"),
        ("valheim -name Midgard -password hunter2 -world x", f"valheim -name Midgard -password {LEFT_OUT} -world x"),
        ('start --rcon-password "hunter 2" -v', f"start --rcon-password {LEFT_OUT} -v"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", f"AWS_SECRET_ACCESS_KEY={LEFT_OUT}"),
        ('{"rcon.password": "hunter2", "port": 1}', f'{{"rcon.password": {LEFT_OUT}, "port": 1}}'),
        ("curl -H 'Authorization: Bearer hunter22' x", f"curl -H 'Authorization: Bearer {LEFT_OUT}' x"),
        (
            "POST https://discord.com/api/webhooks/1/hunter2: 404",
            f"POST https://discord.com/api/webhooks/{LEFT_OUT} 404",
        ),
        ("the server asks for a password", "the server asks for a password"),
        ("survival: ready after 3.0 s", "survival: ready after 3.0 s"),
    ],
)
def test_a_line_of_a_log(line: str, shown: str) -> None:
    assert redacted_line(line) == shown


def test_a_command_that_is_a_list_of_words() -> None:
    table = {"command": ["./valheim", "-password", "hunter2", "-world", "x"]}
    assert tomllib.loads(redacted_toml(table)) == {"command": ["./valheim", "-password", LEFT_OUT, "-world", "x"]}


def test_a_table_of_tables_only_has_no_line_of_its_own() -> None:
    assert redacted_toml({"servers": {"a": {"listen": 1}}}) == "[servers.a]\nlisten = 1\n"


texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_shown_is_toml_again(table: dict[str, object]) -> None:
    tomllib.loads(redacted_toml(table))
