"""Notifications on disk: their order, damage, and another zeroscale."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from zeroscale.errors import StateError
from zeroscale.events import Cause, CauseKind, Failed, Joined, Ready, ServerEvent, Woken
from zeroscale.notify.queue import Waiting
from zeroscale.notify.spool import DIRECTORY, Spool
from zeroscale.status import ClientInfo

EVENTS: list[ServerEvent] = [
    Woken(server="a", at=1.5, cause=Cause(CauseKind.login, client=ClientInfo("Ada", "203.0.113.7:1"), detail="x\ny")),
    Ready(server="a", at=2.0, seconds=3.0, waiting=1),
    Joined(server="a", at=3.0, client=ClientInfo("Ad\u00e4"), players=1),
    Failed(server="a", at=4.0, during="run", reason="x", detail="y", retry_in=None),
]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path)
    spool.open()
    return spool


def again(directory: Path, before: Spool) -> Spool:
    before.close()
    spool = Spool(directory)
    spool.open()
    return spool


def test_what_was_saved_is_loaded_in_its_order(tmp_path: Path, spool: Spool) -> None:
    paths = [spool.save("hook", Waiting(f"id{number}", event)) for number, event in enumerate(EVENTS)]
    spool.remove([paths[0]])
    spool = again(tmp_path, spool)
    assert spool.targets() == ["hook"]
    loaded = spool.load("hook")
    assert [(each.id, each.event, each.path) for each in loaded] == [
        (f"id{number}", EVENTS[number], paths[number]) for number in (1, 2, 3)
    ]
    spool.save("hook", Waiting("later", EVENTS[0]))
    assert [each.id for each in again(tmp_path, spool).load("hook")] == ["id1", "id2", "id3", "later"]


def test_nobody_else_can_read_it(tmp_path: Path, spool: Spool) -> None:
    path = spool.save("hook", Waiting("id", EVENTS[0]))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id":"1","event":"moon","values":{}}', b"x" * 100_000])
def test_a_damaged_one_is_set_aside(
    tmp_path: Path, spool: Spool, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (spool.save("hook", Waiting(name, EVENTS[1])) for name in ("first", "second"))
    first.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert [each.id for each in again(tmp_path, spool).load("hook")] == ["second"]
    [record] = caplog.records
    assert "one notification is lost" in record.getMessage()
    assert sorted(each.name for each in second.parent.iterdir()) == [f"{first.name}.damaged", second.name]


def test_what_is_no_notification_is_left_alone(tmp_path: Path, spool: Spool) -> None:
    spool.save("hook", Waiting("id", EVENTS[1]))
    (tmp_path / DIRECTORY / "hook" / "000000000002.json.new").touch()
    assert [each.id for each in spool.load("hook")] == ["id"]
    assert spool.load("other") == []


def test_everything_of_a_target_is_deleted(tmp_path: Path, spool: Spool) -> None:
    for _ in range(2):
        spool.save("hook", Waiting("id", EVENTS[1]))
    assert (spool.forget("hook"), spool.forget("hook")) == (2, 0)
    assert spool.targets() == []


@pytest.mark.parametrize("name", ["lock", "new", "a"])
def test_no_name_is_in_the_way(tmp_path: Path, spool: Spool, name: str) -> None:
    spool.save(name, Waiting("id", EVENTS[1]))
    spool = again(tmp_path, spool)
    assert spool.targets() == [name]
    assert [each.id for each in spool.load(name)] == ["id"]


@pytest.mark.parametrize("where", ["", "hook"])
@pytest.mark.parametrize("link", [True, False])
def test_what_is_no_directory_is_set_aside(
    tmp_path: Path, where: str, link: bool, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / DIRECTORY / where
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.symlink_to(tmp_path) if link else in_the_way.touch()
    spool = Spool(tmp_path)
    spool.open()
    assert spool.targets() == []
    assert spool.save("hook", Waiting("id", EVENTS[1])).parent == tmp_path / DIRECTORY / "hook"
    assert [each.id for each in spool.load("hook")] == ["id"]
    assert "is no directory; it is now" in caplog.text


def test_another_zeroscale_has_it(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(StateError):
        Spool(tmp_path).open()
    spool.close()
    Spool(tmp_path).open()
