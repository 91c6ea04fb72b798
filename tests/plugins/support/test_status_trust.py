"""How far a status command is believed, and that this outlives a plugin object."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from zeroscale.plugins.support import status_trust
from zeroscale.plugins.support.status_trust import StatusTrust, Trust

COMMAND = ["pgrep", "java"]


def levels(directory: Path) -> tuple[Trust, Trust]:
    """Return what is known of the command and of another one."""
    return StatusTrust(directory, COMMAND).level, StatusTrust(directory, ["true"]).level


def test_at_first_nothing_is_known(tmp_path: Path) -> None:
    assert levels(tmp_path) == (Trust.unproven, Trust.unproven)
    assert list(tmp_path.iterdir()) == []


def test_a_proven_command_stays_proven(tmp_path: Path) -> None:
    trust = StatusTrust(tmp_path, COMMAND)
    trust.prove()
    assert not trust.doubt()
    assert trust.level is Trust.proven
    assert levels(tmp_path) == (Trust.proven, Trust.unproven)


def test_a_command_is_doubted_once_until_it_is_proven(tmp_path: Path) -> None:
    trust = StatusTrust(tmp_path, COMMAND)
    assert trust.doubt()
    assert not trust.doubt()
    assert not StatusTrust(tmp_path, COMMAND).doubt()
    assert levels(tmp_path) == (Trust.doubted, Trust.unproven)
    trust.prove()
    assert levels(tmp_path) == (Trust.proven, Trust.unproven)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"no JSON",
        b'{"version": 2}',
        b'{"version": 1, "subject": "x", "trust": "blind"}',
        b'{"version": 1, "subject": 5, "trust": "proven"}',
        b"x" * 5000,
    ],
)
def test_a_damaged_file_costs_a_warning(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "status-command.json"
    path.write_bytes(content)
    assert levels(tmp_path)[0] is Trust.unproven
    assert "the status command has to prove itself again" in caplog.text
    StatusTrust(tmp_path, COMMAND).prove()
    assert levels(tmp_path)[0] is Trust.proven


def test_what_cannot_be_written_is_known_to_this_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(status_trust, "write_atomically", refuse)
    trust = StatusTrust(tmp_path, COMMAND)
    trust.prove()
    assert trust.level is Trust.proven
    assert "No space left on device" in caplog.text
