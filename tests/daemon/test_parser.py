"""The help says every option, within a terminal; what an option does not take is one line."""

from __future__ import annotations

import pytest

from zeroscale.daemon.parser import build_parser
from zeroscale.errors import ConfigError


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        build_parser("zeroscale").parse_args(["--help"])
    assert raised.value.code == 0
    told = capsys.readouterr().out
    for option in ("idle_shutdown", "working_directory", "plugin_argument", "info", "debug", "server_host", "join"):
        assert f"--{option}" in told
    for option in ("start_timeout", "stop_timeout", "state_directory", "version", "hold_limit", "wake_after"):
        assert f"--{option}" in told


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        build_parser("zeroscale").parse_args(["--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        build_parser("zeroscale").parse_args(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("zeroscale ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--log_addresses", "maybe"], "argument --log_addresses: 'maybe' is neither yes nor no; 'zeroscale --help'"),
        (["--max_crashes", "-1"], "argument --max_crashes: '-1' is not a whole number"),
        (["--motd", "below"], "argument --motd: invalid choice: 'below'"),
        (["--health_chek", "::1"], "unrecognized arguments: --health_chek ::1; did you mean --health_check?"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build_parser("zeroscale", with_file=True).parse_args(words)
    assert str(raised.value).startswith(complaint)
    assert "\n" not in str(raised.value)
