"""A Minecraft server's lists as it wrote them, or as something broke them."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sized
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from zeroscale.access_lists import Ban, ClaimedIdentity, PlayerList, offline_uuid
from zeroscale.minecraft import player_lists
from zeroscale.minecraft.player_lists import LOOK_EVERY, PlayerLists
from zeroscale.minecraft.server_files import ServerFiles

FIXTURES = Path(__file__).parent.parent / "fixtures" / "player_lists"
LISTS = ["whitelist.json", "ops.json", "usercache.json", "banned-players.json", "banned-ips.json"]
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A server's directory, its whitelist on."""
    for name in LISTS:
        shutil.copy(FIXTURES / name, tmp_path)
    (tmp_path / "server.properties").write_text("enforce-whitelist=false\nwhite-list=true\n")
    return tmp_path


@pytest.fixture
def lists(directory: Path) -> PlayerLists:
    """Its lists."""
    return player_lists_of(directory)


def player_lists_of(directory: Path) -> PlayerLists:
    return PlayerLists(ServerFiles(directory), Clock().seconds)


def names(roll: PlayerList) -> list[str]:
    return [player.name for player in roll]


def test_files_of_a_real_server(lists: PlayerLists) -> None:
    read = lists.read()
    assert read.enforces_whitelist
    assert names(read.whitelist) == ["Ada", "Bob"]
    assert names(read.operators) == ["Olga", "Otto"]
    assert names(read.known) == ["Kim", "Ada", "Otto", "Nell"]
    assert {player.name: player.ban for player in read.bans} == {
        "Mallory": Ban("Griefing"),
        "Tim": Ban("The Ban Hammer has spoken!", NEW_YEAR, "2026-01-01 at 00:00:00 UTC"),
        "Eve": Ban("Banned by an operator.", NEW_YEAR, "2026-01-01 at 00:00:00 UTC"),
    }
    assert read.address_bans == {
        "203.0.113.66": Ban("Banned by an operator."),
        "2001:db8::66": Ban("Bypassing Ban", NEW_YEAR, "2026-01-01 at 00:00:00 UTC"),
    }
    assert [player.matches_by_name for player in read.whitelist] == [False, True]


@pytest.mark.parametrize(("value", "on"), [("true", True), ("TRUE", True), ("false", False), ("", False)])
def test_server_properties_switch_the_whitelist_on(directory: Path, lists: PlayerLists, value: str, on: bool) -> None:
    (directory / "server.properties").write_text(f"white-list={value}\n")
    assert lists.read().enforces_whitelist is on
    assert names(lists.read().whitelist) == ["Ada", "Bob"]


def test_a_directory_without_lists(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read = player_lists_of(tmp_path).read()
    assert not read.enforces_whitelist
    assert [len(roll) for roll in (read.whitelist, read.operators, read.known, read.bans)] == [0, 0, 0, 0]
    assert not read.address_bans
    assert caplog.messages == []


def test_a_missing_whitelist_is_not_enforced(directory: Path, lists: PlayerLists) -> None:
    (directory / "whitelist.json").unlink()
    assert not lists.read().enforces_whitelist
    (directory / "whitelist.json").write_text("[]")  # as in the game, an empty one lets no player in
    assert lists.read().enforces_whitelist


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("content", [b'[{"uuid": ', b'{"Ada": 1}', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_an_invalid_file_is_ignored_and_logged_once(
    directory: Path, lists: PlayerLists, caplog: pytest.LogCaptureFixture, name: str, content: bytes
) -> None:
    (directory / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        broken = [lists.read() for _ in range(3)][-1]
    (line,) = caplog.messages
    assert line.startswith(f"Cannot read {directory / name}; it is ignored: ")
    read: dict[str, Sized] = {
        "whitelist.json": broken.whitelist,
        "ops.json": broken.operators,
        "usercache.json": broken.known,
        "banned-players.json": broken.bans,
        "banned-ips.json": broken.address_bans,
    }
    assert {which for which, found in read.items() if not len(found)} == {name}
    shutil.copy(FIXTURES / name, directory)
    assert len(lists.read().whitelist) == 2
    assert caplog.messages == [line]


@pytest.mark.parametrize("name", LISTS)
def test_a_fifo_or_a_too_long_file_is_ignored(
    directory: Path, lists: PlayerLists, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (directory / name).unlink()
    os.mkfifo(directory / name)
    lists.read()
    assert "not a regular file" in caplog.text
    (directory / name).unlink()
    monkeypatch.setattr(player_lists, "LARGEST_LIST", 100)
    (directory / name).write_text(json.dumps([{"name": "Ada", "uuid": None}] * 10))
    lists.read()
    assert "longer than 100 bytes" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("banned-players.json", "[" + '{"name":"a"},' * 300_000 + "{}]"),
        ("banned-players.json", "[" + "{name:a}," * 50_000 + "{},{}," * 10_000 + "{}]"),
        ("banned-players.txt", "a\n" * 2_000_000),
        ("banned-ips.txt", "::1\n" * 1_000_000),
    ],
    ids=["json", "lenient", "players", "addresses"],
)
def test_a_list_of_more_entries_than_the_game_writes_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    assert len(content) <= player_lists.LARGEST_LIST
    read = player_lists_of(tmp_path).read()
    assert (len(read.bans), len(read.address_bans)) == (0, 0)
    assert f"{name}; it is ignored: it has more than 60000 entries" in caplog.text


def test_invalid_entries_are_left_out(directory: Path, lists: PlayerLists) -> None:
    entries: list[object] = [
        1,
        None,
        "Ada",
        [],
        {},
        {"name": ""},
        {"name": True},
        {"name": 7.5},
        {"uuid": "?"},
        {"name": "Ada", "uuid": "?"},
    ]
    (directory / "ops.json").write_text(json.dumps(entries))
    (player,) = lists.read().operators
    assert (player.name, player.uuid) == ("Ada", None)
    (directory / "banned-ips.json").write_text(json.dumps([{"ip": 1}, {}, {"ip": "::ffff:192.0.2.1"}]))
    assert lists.read().address_bans == {"192.0.2.1": Ban("Banned by an operator.")}


@pytest.mark.parametrize("expires", ["forever", "", None, 5, "tomorrow", "2026-01-01", "0001-01-01 00:00:00 +1400"])
def test_an_invalid_date_is_no_end(directory: Path, lists: PlayerLists, expires: object) -> None:
    entry = {"uuid": offline_uuid("Eve"), "name": "Eve", "expires": expires, "reason": "x" * 5000}
    (directory / "banned-players.json").write_text(json.dumps([entry]))
    (player,) = lists.read().bans
    assert player.ban == Ban("x" * 300)


LENIENT = [
    b'\xef\xbb\xbf[{"name": "Ada"}, {"name": "Bob"}]',
    b'// our friends\n[\n  {"name": "Ada"}, // since 2019\n  {"name": "Bob"},\n]\n',
    b'[{"name": "Ada",}, /* gone: {"name": "Eve"} */ {"name": "Bob"}]',
    b"# friends\n[{name: 'Ada'}; {name = Bob}]",
    b'[{"name": "Ada"}, , null, {"name": "Bob", "uuid": null}]',
]


@pytest.mark.parametrize("content", LENIENT)
def test_what_the_games_reader_takes_is_read(
    directory: Path, lists: PlayerLists, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    for name in LISTS:
        (directory / name).write_bytes(content)
    (directory / "banned-ips.json").write_bytes(
        content.replace(b"name", b"ip").replace(b"Ada", b"192.0.2.1").replace(b"Bob", b"192.0.2.2")
    )
    read = lists.read()
    assert [names(roll) for roll in (read.whitelist, read.operators, read.known, read.bans)] == [["Ada", "Bob"]] * 4
    assert list(read.address_bans) == ["192.0.2.1", "192.0.2.2"]
    assert caplog.messages == []


def test_a_name_of_digits_needs_no_quotes(directory: Path, lists: PlayerLists) -> None:
    for content in ('[{"name": 1234}]', "[{name: 1234}]"):
        (directory / "ops.json").write_text(content)
        assert names(lists.read().operators) == ["1234"]


OLD = {
    "white-list.txt": "ada\r\nMüller\r\n\r\n  has space  \r\n",
    "ops.txt": "# operators\nolga\n",
    "banned-players.txt": """\
# Updated 4/21/12 4:10 PM by Minecraft 1.7.2
# victim name | ban date | banned by | banned until | reason

mallory|2012-04-21 16:10:00 +0200|Server|Forever|Griefing | and more
tim | 2012-04-21 16:10:00 +0200 | Server | 2026-01-01 01:00:00 +0100 | The Ban Hammer has spoken!
eve
zoe|2012-04-21 16:10:00 +0200|Server|never|
""",
    "banned-ips.txt": "203.0.113.66|2012-04-21 16:10:00 +0200|Server|Forever|Flooding\n::ffff:192.0.2.1\nnobody\n",
}


@pytest.fixture
def old_directory(tmp_path: Path) -> Path:
    """A directory of a server of 1.7.5 or older, its whitelist on."""
    for name, text in OLD.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "server.properties").write_text("white-list=true\n")
    return tmp_path


def test_files_of_an_old_server(old_directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    read = player_lists_of(old_directory).read()
    assert read.enforces_whitelist
    assert names(read.whitelist) == ["ada", "Müller", "has space"]
    assert names(read.operators) == ["olga"]
    assert {player.name: player.ban for player in read.bans} == {
        "mallory": Ban("Griefing | and more"),
        "tim": Ban("The Ban Hammer has spoken!", NEW_YEAR, "2026-01-01 at 00:00:00 UTC"),
        "eve": Ban("Banned by an operator."),
        "zoe": Ban("Banned by an operator."),
    }
    assert read.address_bans == {"203.0.113.66": Ban("Flooding"), "192.0.2.1": Ban("Banned by an operator.")}
    assert read.whitelist.find(ClaimedIdentity("ADA", None, "192.0.2.1"))
    assert caplog.messages == []


def test_files_of_an_old_server_need_not_be_utf_8(old_directory: Path) -> None:
    (old_directory / "white-list.txt").write_bytes("Müller\n".encode("latin-1"))
    (old_directory / "ops.txt").write_bytes(b"\xef\xbb\xbfolga\n")
    read = player_lists_of(old_directory).read()
    assert (names(read.whitelist), names(read.operators)) == (["Müller"], ["olga"])


@pytest.mark.parametrize("content", ["[]", "[{"])
def test_a_json_file_counts_where_there_is_one(old_directory: Path, content: str) -> None:
    lists = player_lists_of(old_directory)
    assert len(lists.read().operators) == 1
    (old_directory / "ops.json").write_text(content)
    assert len(lists.read().operators) == 0
    (old_directory / "ops.json").unlink()
    assert len(lists.read().operators) == 1
    (old_directory / "ops.txt").unlink()
    assert len(lists.read().operators) == 0


def test_a_text_file_that_cannot_be_read_is_ignored_and_logged_once(
    old_directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player_lists, "LARGEST_LIST", 40)
    lists = player_lists_of(old_directory)
    (old_directory / "white-list.txt").write_text("x" * 41)
    for _ in range(3):
        assert not lists.read().enforces_whitelist
    assert sum("white-list.txt; it is ignored: " in message for message in caplog.messages) == 1


def test_only_a_changed_file_is_read_again(directory: Path, lists: PlayerLists) -> None:
    before = lists.read()
    assert lists.read().operators is before.operators
    assert not before.whitelist.find(ClaimedIdentity("Zoe", None, "local"))
    entries = [*json.loads((directory / "whitelist.json").read_text()), {"uuid": offline_uuid("Zoe"), "name": "Zoe"}]
    (directory / "whitelist.json").write_text(json.dumps(entries, indent=2))
    after = lists.read()
    assert after.whitelist.find(ClaimedIdentity("zoe", None, "local"))
    assert after.operators is before.operators


def test_a_change_of_a_file_is_seen_within_a_second_and_the_files_are_not_looked_at_before(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    lists = PlayerLists(ServerFiles(directory), clock.seconds)
    before = lists.get()
    (directory / "ops.json").write_text("[]")
    clock.advance(LOOK_EVERY - 0.1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", None)
        assert lists.get() is before
    clock.advance(0.1)
    assert len(lists.get().operators) == 0
