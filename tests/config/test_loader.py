"""The configuration file: what it says, and fifty files and more with mistakes, each with its exact lines."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscale.config.keys import keys_of
from zeroscale.config.loader import HEADER_RULE, LARGEST_FILE, parse, read
from zeroscale.config.model import Config, LogConfig, MetricsConfig, ServerConfig
from zeroscale.errors import ConfigMistakes

BASE = Path("/srv")
BROKEN = tomllib.loads((Path(__file__).parent.parent / "fixtures" / "broken_configs.toml").read_text())["file"]
TABLES = {"log": keys_of(LogConfig), "servers.NAME": keys_of(ServerConfig)}
SERVER = '[servers.a]\nplugin = "minecraft"\nlisten = 25565\nserver = 25575\n'


def config(text: str, environment: dict[str, str] | None = None) -> Config:
    return parse(text, BASE, environment or {}, 0)


def only(text: str, environment: dict[str, str] | None = None) -> ServerConfig:
    [server] = config(SERVER + text, environment).servers
    return server


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigMistakes) as raised:
        config(text)
    return raised.value.mistakes


def test_a_whole_file() -> None:
    parsed = config(
        """
        state_directory = "/var/lib/games"
        unknown_host = "answer"
        [control]
        listen = "unix:/run/zeroscale/control.sock"
        [metrics]
        listen = "tcp:9225:interface=127.0.0.1"
        [log]
        format = "json"
        addresses = false
        [limits]
        trusted = ["10.0.0.0/8"]
        handshake_timeout = "2s"
        [servers.survival]
        plugin = "minecraft"
        listen = [25565, "tcp:25566:interface=192.0.2.1"]
        hosts = ["survival.example.org", "*.mc.example.org"]
        server = "127.0.0.1:25575"
        working_directory = "survival"
        idle_shutdown = 900
        kill_timeout = "1h30m"
        [servers.survival.plugin_arguments]
        memory = "4G"
        [servers.survival.texts]
        sleeping = "&6Asleep"
        sleeping_hover = ["one", "two"]
        [servers.survival.admission]
        wake = "whitelist"
        allow = ["Notch", "192.0.2.0/24"]
        [servers.survival.proxy_protocol]
        accept_from = "192.0.2.7"
        send = "v2"
        [servers.redis]
        plugin = "generic"
        listen = 6379
        server = "[::1]:6380"
        plugin_arguments = { command = ["redis-server", "--port", 6380], stop_signal = "SIGINT" }
        """
    )
    assert (parsed.state_directory, parsed.unknown_host) == (Path("/var/lib/games"), "answer")
    assert (parsed.control.listen, parsed.metrics) == (
        "unix:/run/zeroscale/control.sock",
        MetricsConfig(listen="tcp:9225:interface=127.0.0.1"),
    )
    assert (parsed.log, parsed.limits.trusted) == (LogConfig(format="json", addresses=False), ("10.0.0.0/8",))
    assert parsed.limits.handshake_timeout == 2.0
    survival, redis = parsed.servers
    assert (survival.name, survival.plugin, survival.listen) == (
        "survival",
        "minecraft",
        ("25565", "tcp:25566:interface=192.0.2.1"),
    )
    assert survival.hosts == ("survival.example.org", "*.mc.example.org")
    assert (survival.server_host, survival.server_port) == ("127.0.0.1", 25575)
    assert (survival.directory, survival.idle_shutdown, survival.kill_timeout) == (BASE / "survival", 900.0, 5400.0)
    assert (survival.plugin_positional, survival.plugin_keywords) == ((), {"memory": "4G"})
    assert survival.texts == {"sleeping": "&6Asleep", "sleeping_hover": ["one", "two"]}
    assert (survival.admission.wake, survival.admission.allow) == ("whitelist", ("Notch", "192.0.2.0/24"))
    assert (survival.proxy_protocol.accept_from, survival.proxy_protocol.send) == (("192.0.2.7",), "v2")
    assert (redis.server_host, redis.server_port) == ("::1", 6380)
    assert (redis.plugin_positional, redis.plugin_keywords) == (
        ("redis-server", "--port", "6380"),
        {"stop_signal": "SIGINT"},
    )


def test_the_defaults() -> None:
    parsed = config(SERVER)
    assert parsed == Config(
        servers=(
            ServerConfig(name="a", plugin="minecraft", listen=("25565",), server_port=25575, default_directory=BASE),
        ),
        state_directory=Path("/var/lib/zeroscale"),
    )
    [server] = parsed.servers
    assert (server.idle_shutdown, server.minimum_online_time, server.on_command_line) == (None, None, False)
    assert parse(SERVER, BASE, {"HOME": "/home/steve"}, 1000).state_directory == Path(
        "/home/steve/.local/state/zeroscale"
    )


def test_relative_paths_start_from_the_files_directory(tmp_path: Path) -> None:
    (tmp_path / "zeroscale.toml").write_text(f'state_directory = "state"\n{SERVER}working_directory = "."\n')
    parsed = read(tmp_path / "zeroscale.toml", {}, 0)
    assert (parsed.state_directory, parsed.servers[0].directory) == (tmp_path / "state", tmp_path)


@pytest.mark.parametrize(
    ("spelled", "host", "port"),
    [
        ("25575", "127.0.0.1", 25575),
        ('"25575"', "127.0.0.1", 25575),
        ('"localhost:1"', "localhost", 1),
        ('"[2001:db8::1]:65535"', "2001:db8::1", 65535),
        ('"game.internal:25575"', "game.internal", 25575),
    ],
)
def test_the_real_servers_address(spelled: str, host: str, port: int) -> None:
    [server] = config(SERVER.replace("25575", spelled)).servers
    assert (server.server_host, server.server_port) == (host, port)


def test_a_command_is_split_as_a_shell_would_and_a_list_is_taken_as_it_is() -> None:
    assert only("plugin_arguments.command = \"java -Dname='a b' -jar x.jar\"").plugin_positional == (
        "java",
        "-Dname=a b",
        "-jar",
        "x.jar",
    )
    assert only('plugin_arguments.command = ["./start.sh --nogui"]').plugin_positional == ("./start.sh --nogui",)


def test_plugins_are_given_values_of_any_type() -> None:
    parsed = only('plugin_arguments = {a = 1, b = [true, 1.5], c = {d = "e"}}')
    assert parsed.plugin_keywords == {"a": 1, "b": [True, 1.5], "c": {"d": "e"}}


def test_secrets_reach_the_plugin_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    parsed = only(
        f'plugin_arguments = {{token = {{file = "{tmp_path}/token"}}, command = ["x", {{env = "WORD"}}]}}\n'
        'texts.sleeping = {env = "TEXT"}',
        {"WORD": "hunter3", "TEXT": "hunter4"},
    )
    assert parsed.plugin_keywords == {"token": "hunter2"}
    assert parsed.plugin_positional == ("x", "hunter3")
    assert parsed.texts == {"sleeping": "hunter4"}
    assert "hunter" not in repr(parsed)


@pytest.mark.parametrize("name", ["file", "env"])
def test_a_plugin_may_have_one_argument_named_like_a_reference(name: str) -> None:
    assert only(f'plugin_arguments = {{{name} = "x"}}').plugin_keywords == {name: "x"}


@pytest.mark.parametrize("key", ["plugin", "listen", "server", "idle_shutdown", "hosts", "join", "max_crashes"])
def test_a_secret_where_it_does_not_fit_is_not_shown(key: str) -> None:
    text = "\n".join(line for line in SERVER.splitlines() if not line.startswith(key))
    try:
        parse(f'{text}\n{key} = {{env = "SECRET"}}', BASE, {"SECRET": "hunter2 :x"}, 0)
    except ConfigMistakes as error:
        assert "hunter2" not in str(error)
        assert f"servers.a.{key}: " in str(error)
    else:
        assert key == "plugin"


@pytest.mark.parametrize("broken", BROKEN, ids=[case["is"] for case in BROKEN])
def test_a_broken_file(broken: dict[str, Any]) -> None:
    def keys(found: re.Match[str]) -> str:
        return ", ".join(sorted(TABLES[found[1]]))

    assert list(mistakes(broken["text"])) == [re.sub("KEYS OF (.*)", keys, line) for line in broken["says"]]


def test_there_are_fifty_broken_files() -> None:
    assert len({case["text"] for case in BROKEN}) >= 50


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("relay = " + "[" * 3000, "is nested too deeply"),
        (SERVER + "plugin_arguments." + "a." * 2000 + "a = 1", "is nested too deeply"),
        ("relay = " + "9" * 5000, "has a number with more digits than any value here can have"),
    ],
)
def test_toml_that_python_cannot_read(text: str, expected: str) -> None:
    assert mistakes(text) == (expected,)


@pytest.mark.parametrize(
    ("line", "explained"),
    [
        ("[servers.my creative]", True),
        (" [[ servers . caf\u00e9 ]]", True),
        ("[servers.a]", False),  # declared twice
        ("[limits x]", False),
    ],
)
def test_a_name_that_toml_cannot_read_is_explained(line: str, explained: bool) -> None:
    [message] = mistakes(f"{SERVER}{line}\n")
    where, _, rest = message.partition(": ")
    assert where.startswith(f"line {SERVER.count(chr(10)) + 1}, column ")
    assert rest.endswith(f"; {HEADER_RULE}") == explained


def test_a_server_with_a_mistake_is_not_blamed_for_what_it_does_not_say() -> None:
    message = mistakes(SERVER + SERVER.replace("[servers.a]", "[servers.b]").replace("25575", "25576") + 'hosts = "*"')
    assert [line.partition(":")[0] for line in message] == ["servers.b.hosts"]


def test_mistakes_are_bounded() -> None:
    message = mistakes(SERVER + "\n".join(f"x{number} = 1" for number in range(150)))
    assert len(message) == 101
    assert message[-1] == "and 50 more mistakes"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"relay = 'x'\n", "{path}: relay: "),
        (b"[log]\n# m\xfcnchen\n", "{path}: line 2: is not UTF-8, which TOML is written in"),
    ],
)
def test_every_line_names_the_file(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "zeroscale.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigMistakes) as raised:
        read(path, {}, 0)
    assert raised.value.mistakes[0].startswith(expected.format(path=path))
    assert all(line.startswith(f"{path}: ") for line in str(raised.value).splitlines())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigMistakes, match=f"^cannot read {tmp_path}/gone: No such file or directory$"):
        read(tmp_path / "gone", {}, 0)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigMistakes, match=f"^cannot read {tmp_path}/pipe: it is not a regular file$"):
        read(tmp_path / "pipe", {}, 0)


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigMistakes, match=f"^cannot read {tmp_path}/file: it is longer than 1048576 bytes$"):
        read(tmp_path / "file", {}, 0)


def test_an_editors_mark_at_the_beginning_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "zeroscale.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SERVER.replace("\n", "\r\n").encode())
    assert read(path, {}, 0).servers[0].name == "a"


NAMES = """
servers a plugin listen server hosts limits admission texts plugin_arguments command idle_shutdown working_directory
control proxy_protocol accept_from file env relay
"""
KEYS = st.text(max_size=5) | st.sampled_from(NAMES.split())
SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["25565", "tcp:1", "15m", "*.a", "127.0.0.1:1", "unix:x", "::1", "hold"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


def toml(value: object) -> str:
    """A value as TOML writes it inline."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    return str(value)


@settings(max_examples=40)
@given(st.dictionaries(KEYS, VALUES, max_size=5), VALUES)
def test_any_toml_is_a_configuration_or_a_list_of_lines(top: dict[str, object], server: object) -> None:
    top["servers"] = {"a": server, "b": {"plugin": "minecraft", "listen": 1, "server": 2}}
    try:
        config("\n".join(f"{toml(key)} = {toml(value)}" for key, value in top.items()))
    except ConfigMistakes as error:
        assert error.mistakes
        assert all(line and line.isprintable() for line in error.mistakes)


@given(st.text())
def test_any_text_is_a_configuration_or_a_list_of_lines(text: str) -> None:
    try:
        config(text)
    except ConfigMistakes as error:
        assert error.mistakes
        assert all(line and line.isprintable() for line in error.mistakes)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@settings(max_examples=25)
@given(
    arguments=st.dictionaries(TEXTS.filter(lambda key: key != "command"), SCALARS.filter(lambda value: value == value)),
    seconds=st.floats(0, 1e6),
    hosts=st.lists(st.from_regex(r"\A(\*\.)?[a-z0-9]{1,9}(\.[a-z]{2,5}){1,3}\Z"), unique=True),
    text=TEXTS,
)
def test_what_is_written_is_what_is_read(
    arguments: dict[str, object], seconds: float, hosts: list[str], text: str
) -> None:
    parsed = only(
        f"idle_shutdown = {seconds!r}\nhosts = {toml(hosts)}\n"
        f"plugin_arguments = {toml(arguments)}\ntexts = {toml({'sleeping': text})}"
    )
    assert (parsed.idle_shutdown, list(parsed.hosts)) == (seconds, hosts)
    assert (parsed.plugin_keywords, parsed.texts) == (arguments, {"sleeping": text})
