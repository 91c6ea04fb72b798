"""What a server's operator said by command: it counts until it is taken back or over, and outlives the proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.state.flag_files import DEFAULT_TEXT
from zeroscale.state.operator_overrides import LARGEST_FILE, OperatorOverrides


class World:
    def __init__(self, directory: Path) -> None:
        self.now = 1_800_000_000.0
        self.directory = directory
        self.wishes = self.again()

    def again(self) -> OperatorOverrides:
        wishes = OperatorOverrides(self.directory, lambda: self.now)
        wishes.open()
        return wishes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_nothing_was_said(world: World) -> None:
    assert (world.wishes.keep_awake_reason(), world.wishes.lockout) == (None, None)
    world.wishes.release()
    world.wishes.close()
    assert list(world.directory.iterdir()) == []


def test_kept_awake_for_a_time_which_a_restart_does_not_begin_anew(world: World) -> None:
    world.wishes.keep_awake(7200.0)
    assert world.wishes.keep_awake_reason() == "its operator keeps it awake for 2.0 h more"
    world.wishes.close()
    world.now += 7000.0
    again = world.again()
    assert again.keep_awake_reason() == "its operator keeps it awake for 3 min more"
    world.now += 170.0
    assert again.keep_awake_reason() == "its operator keeps it awake for 30 s more"
    world.now += 30.0
    assert again.keep_awake_reason() is None


def test_kept_awake_until_it_is_taken_back(world: World) -> None:
    world.wishes.keep_awake(None)
    world.now += 1e8
    assert world.wishes.keep_awake_reason() == "its operator keeps it awake"
    world.wishes.release()
    assert world.wishes.keep_awake_reason() is None
    world.wishes.close()
    assert world.again().keep_awake_reason() is None


def test_locked_with_words_or_with_ours(world: World) -> None:
    world.wishes.lock_out("Back at eight.")
    world.wishes.keep_awake(60.0)
    assert world.wishes.lockout == "Back at eight."
    world.wishes.close()
    again = world.again()
    assert again.lockout == "Back at eight."
    again.lock_out("")
    assert again.lockout == DEFAULT_TEXT
    again.close()


def test_taken_back(world: World) -> None:
    world.wishes.lock_out("Back at eight.")
    world.wishes.release()
    assert world.wishes.lockout is None
    world.wishes.close()
    assert world.again().lockout is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"lockout": 3}', b"[]", b"x" * (LARGEST_FILE + 1)])
def test_a_damaged_file_costs_its_content_and_a_warning(
    world: World, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (world.directory / "operator.json").write_bytes(content)
    assert world.again().lockout is None
    assert "What was said of this server by command is forgotten" in caplog.text
