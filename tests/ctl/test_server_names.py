"""A server's name before free text."""

from __future__ import annotations

from typing import cast

import pytest
from control.fake_proxy import FakeProxy

from zeroscale.ctl.client import ControlClient
from zeroscale.ctl.server_names import server_names, split_words


class Known:
    """A client to a proxy with these servers."""

    def __init__(self, *names: str) -> None:
        self._proxy = FakeProxy(*names)

    def ask(self, kind: object, command: str) -> object:
        return self._proxy.report()


def test_names() -> None:
    assert server_names(cast(ControlClient, Known("b", "a"))) == ("a", "b")


@pytest.mark.parametrize(
    ("names", "words", "split"),
    [
        (["a"], ["a", "list"], ("a", ["list"])),
        (["a"], ["list"], (None, ["list"])),
        (["a"], [], (None, [])),
        (["a", "b"], ["b", "list"], ("b", ["list"])),
        (["a", "b"], ["c", "list"], ("c", ["list"])),
        (["a", "b"], [], (None, [])),
    ],
)
def test_the_first_word_is_a_server_where_it_is_one_or_has_to_be(
    names: list[str], words: list[str], split: tuple[str | None, list[str]]
) -> None:
    assert split_words(cast(ControlClient, Known(*names)), words) == split
