"""Plugin arguments."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from zeroscale.errors import ConfigError, PluginError
from zeroscale.plugins.loader import construct, find_plugin
from zeroscale.plugins.support import arguments as values


@pytest.mark.parametrize(
    ("value", "number"),
    [("5", 5.0), (2.5, 2.5), ("2m", 120.0), ("1h30m", 5400.0), ("500ms", 0.5), ("0.01", 0.01), ("86400", 86400.0)],
)
def test_seconds(value: str | float, number: float) -> None:
    assert values.seconds("every", value) == number


def test_words() -> None:
    assert values.words("start", "sh -c 'a | b'") == ["sh", "-c", "a | b"]
    assert values.words("start", ["sh", "-c", "a | b"]) == ["sh", "-c", "a | b"]


@pytest.mark.parametrize(
    ("value", "meant"), [("yes", True), ("TRUE", True), (" on ", True), ("1", True), ("no", False), (False, False)]
)
def test_yes_or_no(value: str | bool, meant: bool) -> None:
    assert values.yes_or_no("user", value) is meant


@pytest.mark.parametrize("value", ["SIGINT", "INT", "sigint", " int ", "2", 2])
def test_signals_by_name_and_number(value: str | int) -> None:
    assert values.stop_signal("stop_signal", value) is signal.SIGINT


def test_protocols() -> None:
    assert values.protocol(None) is None
    assert values.protocol("minecraft") == "minecraft"


@pytest.mark.parametrize(
    ("understand", "message"),
    [
        (lambda: values.seconds("every", "soon"), "every='soon' is not a duration: a number of seconds, or such as"),
        (lambda: values.seconds("every", "nan"), "every='nan' is not a duration"),
        (lambda: values.seconds("every", -1), "every=-1 is not from 0.01 to 86400 seconds"),
        (lambda: values.seconds("every", "2d"), "not from 0.01"),
        (lambda: values.words("start", "a 'b"), 'start="a \'b" cannot be split into words: No closing quotation'),
        (lambda: values.words("start", []), "start= is empty"),
        (lambda: values.words("start", " "), "start= is empty: give it a command line"),
        (lambda: values.yes_or_no("user", "perhaps"), "user='perhaps' is neither yes nor no"),
        (
            lambda: values.stop_signal("stop_signal", "SIGNONE"),
            "stop_signal='SIGNONE' is not a signal: SIGTERM",
        ),
        (lambda: values.stop_signal("stop_signal", "999"), "stop_signal='999' is not a signal"),
        (lambda: values.stop_signal("stop_signal", "STOP"), "stop_signal='STOP' pauses a program and does not stop it"),
        (lambda: values.protocol("terraria"), "protocol='terraria': zeroscale speaks minecraft"),
    ],
)
def test_values_that_cannot_be_converted(understand: Callable[[], object], message: str) -> None:
    with pytest.raises(PluginError) as raised:
        understand()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("plugin", "given"),
    [
        ("command", {"protocol": "x", "start": "'", "stop": "", "pause": "true", "timeout": "x", "status_every": "0"}),
        ("demo", {"start_seconds": "2x", "switches": "'"}),
        ("docker", {"container": "", "health": "x", "console": "'", "protocol": "x", "ready_line": "("}),
        ("generic", {"command": "'", "ready_line": "(", "stop_to": "x", "stop_signal": "x", "protocol": "x"}),
        ("kubernetes", {"resource": "x", "protocol": "x", "namespace": "/"}),
        ("systemd_unit", {"unit": "/", "user": "x", "protocol": "x"}),
        ("wake_on_lan", {"mac": "x", "password": "x", "port": "x", "ssh": "-x", "every": "x", "watch_every": "0"}),
    ],
)
def test_a_plugin_reports_all_wrong_arguments_at_once(plugin: str, given: dict[str, str]) -> None:
    offered = {"server_host": "127.0.0.1", "server_port": 1, "state_directory": "state", "working_directory": "."}
    with pytest.raises(ConfigError) as raised:
        construct(find_plugin(plugin), (), given, offered)
    message = str(raised.value)
    assert "\n" not in message
    assert message.count("; ") >= len(given) - 1
    assert all(name in message for name in given), message
