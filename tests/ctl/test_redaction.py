"""What a configuration and a log show of themselves in a bug report."""

from __future__ import annotations

import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.ctl.redaction import LEFT_OUT, LONGEST_LINE, redacted_line, redacted_toml, secrets_of

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
        ("curl -H 'Authorization: Bearer hunter22' x", f"curl -H {LEFT_OUT} x"),
        ("authorization: token hunter2", f"authorization: {LEFT_OUT}"),
        ("Cookie: a=hunter2; b=hunter2", f"Cookie: {LEFT_OUT}"),
        ("X-Auth-Token: hunter2", f"X-Auth-Token: {LEFT_OUT}"),
        ("Bearer hunter22", f"Bearer {LEFT_OUT}"),
        ("Ada issued server command: /register hunter2 hunter2", f"Ada issued server command: /register {LEFT_OUT}"),
        ("The RCON password is hunter2", f"The RCON password is {LEFT_OUT}"),
        ("wrong password 'hunter2'", f"wrong password {LEFT_OUT}"),
        ('password="hunter2 and no other qu', f"password={LEFT_OUT}"),
        ("DB_PASS=hunter2 rcon.pw=hunter2", f"DB_PASS={LEFT_OUT} rcon.pw={LEFT_OUT}"),
        ("GET /start?key=hunter2&sig=hunter2 HTTP/1.1", f"GET /start?key={LEFT_OUT} HTTP/1.1"),
        ("sshpass -p hunter2 ssh host", f"sshpass -p {LEFT_OUT} ssh host"),
        ("ssh -p 22 host", "ssh -p 22 host"),
        ("mysql -u root -phunter2 db", f"mysql -u root -p{LEFT_OUT} db"),
        ("mcrcon -H host -P 25575 -p 1234567 list", f"mcrcon -H host -P 25575 -p {LEFT_OUT} list"),
        ("docker run -p 25565:25565 x", "docker run -p 25565:25565 x"),
        ("curl -u ada:hunter2 -o x", f"curl -u {LEFT_OUT} -o x"),
        ("a Xy1Xy1Xy1Xy1Xy1Xy1Xy1Xy1 b", f"a {LEFT_OUT} b"),
        ("ghp_hunter2hunter2", LEFT_OUT),
        ("https://hooks.example.org/services/hunter2 x", f"https://hooks.example.org/{LEFT_OUT} x"),
        ("http://localhost:8100/?token=hunter2", f"http://localhost:8100/{LEFT_OUT}"),
        ("psql postgres://ada:hun@ter2@db/x", f"psql postgres://{LEFT_OUT}"),
        ("psql postgres://ada:hun/ter2@db/x", f"psql postgres://{LEFT_OUT}"),
        ("tgram://hunter2/1", f"tgram://{LEFT_OUT}"),
        ("curl -d x ntfy.sh/hunter2", f"curl -d x ntfy.sh/{LEFT_OUT}"),
        ("unix:///run/docker.sock", "unix:///run/docker.sock"),
        ("relayed http://localhost:8100", "relayed http://localhost:8100"),
        (
            "POST https://discord.com/api/webhooks/1/hunter2: 404",
            f"POST https://discord.com/{LEFT_OUT} 404",
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


def test_the_words_of_a_command_after_options_whose_values_are_secret() -> None:
    table = {"command": ["curl", "-H", "hunter2", "-u", "hunter2", "-p", "hunter2", "--session", "hunter2", "-o", "x"]}
    assert redacted_toml(table).count("hunter2") == 0
    assert '"-o", "x"' in redacted_toml(table)


def test_a_key_within_a_text_of_several_lines() -> None:
    assert "hunter2" not in redacted_toml({"a": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"})


def test_a_server_may_be_called_as_secrets_are() -> None:
    table = {"servers": {"private": {"listen": 25565, "rcon_password": "hunter2"}}}
    assert redacted_toml(table) == f'[servers.private]\nlisten = 25565\nrcon_password = "{LEFT_OUT}"\n'
    assert list(secrets_of(table)) == ["hunter2"]


def test_secrets_of_the_configuration_are_found_in_other_texts() -> None:
    secrets = sorted(secrets_of(tomllib.loads(FILE)))
    assert secrets == ["https://example.org/hook/hunter2"], "not the name of a variable, nor texts"
    nested = {"a": {"environment": {"B_TOKEN": "hunter2", "LEVEL": "survival"}, "webhooks": [{"x": ["hunter3"]}]}}
    assert sorted(secrets_of(nested)) == ["hunter2", "hunter3"]
    assert redacted_line("it is hunter2!", ["hunter2"]) == f"it is {LEFT_OUT}!"


def test_a_line_without_end_takes_no_time() -> None:
    for text in ("a", "-", "a.", "'", "://", "a=", "mysql ", "/l ", "x@", " -p"):
        began = time.process_time()
        assert len(redacted_line(text * 100_000)) < 4 * LONGEST_LINE
        assert time.process_time() - began < 0.5, text


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
