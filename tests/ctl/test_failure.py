"""Errors of commands: what is printed, and the exit codes."""

from __future__ import annotations

import pytest

from zeroscale.ctl import failure
from zeroscale.ctl.client import UsageError
from zeroscale.errors import BackendError, ConfigError, ConfigMistakes, ControlError, ProtocolError, ZeroscaleError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ControlError("no"), 1),
        (ConfigError("no"), 1),
        (ConfigMistakes(["no"]), 2),
        (ConfigMistakes(["no"], usage=False), 1),
        (UsageError("no"), 2),
        (BackendError("no"), 3),
        (ProtocolError("no"), 3),
    ],
)
def test_the_exit_code(error: ZeroscaleError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(error) == code
    assert capsys.readouterr() == ("", "zeroscalectl: error: no\n")


def test_lines_stay_and_control_characters_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    failure.report(ConfigError("first\x1b[2J\nsecond"))
    assert capsys.readouterr().err == "zeroscalectl: error: first\ufffd[2J\nsecond\n"
