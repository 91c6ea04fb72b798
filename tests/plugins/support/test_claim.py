from __future__ import annotations

import gc
from pathlib import Path

import pytest

from zeroscale.errors import PluginError
from zeroscale.plugins.support.claim import Claim


def test_the_first_server_that_finds_it_has_it(tmp_path: Path) -> None:
    one, two = Claim(tmp_path / "one"), Claim(tmp_path / "two")
    assert one.take("id")
    one.check("container mc")
    assert one.take("id")
    assert not two.take("id")
    with pytest.raises(
        PluginError, match=r"^container 4e2c is what the server 'one' starts and stops, by another name; "
    ):
        two.check("container 4e2c")


def test_after_its_plugin_is_closed_another_server_may_have_it(tmp_path: Path) -> None:
    one, two = Claim(tmp_path / "one"), Claim(tmp_path / "two")
    one.take("id")
    assert not two.take("id")
    one.release()
    assert one.take("id"), "an answer that arrives late claims nothing"
    assert two.take("id")
    two.check("container mc")


def test_a_plugin_that_is_gone_has_nothing(tmp_path: Path) -> None:
    one, two = Claim(tmp_path / "one"), Claim(tmp_path / "two")
    one.take("id")
    del one
    gc.collect()
    assert two.take("id")


def test_the_plugin_that_replaces_another_one_of_the_same_server_has_it(tmp_path: Path) -> None:
    former, next_one, other = Claim(tmp_path / "one"), Claim(tmp_path / "one"), Claim(tmp_path / "two")
    assert former.take("id")
    assert next_one.take("id")
    former.release()
    assert not other.take("id")
    next_one.release()
    assert other.take("id")


def test_what_was_created_anew_is_claimed_in_place_of_the_former(tmp_path: Path) -> None:
    one, two = Claim(tmp_path / "one"), Claim(tmp_path / "two")
    assert one.take("first")
    assert one.take("second")
    assert two.take("first")
    assert not two.take("second")
    assert one.take("second")
