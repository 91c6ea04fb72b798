"""Mistakes of the key `needs`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.config.model import ServerConfig
from zeroscale.config.needs import longest_start, mistakes


def server(name: str, *needs: str, **values: Any) -> ServerConfig:
    return ServerConfig(name=name, plugin="generic", listen=("1",), server_port=2, needs=needs, **values)


def texts(*servers: ServerConfig, discovers: bool = False) -> list[str]:
    return [str(mistake) for mistake in mistakes(servers, servers, discovers=discovers)]


def test_a_diamond_and_a_name_given_twice_are_no_mistakes() -> None:
    assert texts(server("app", "api", "web", "api"), server("api", "db"), server("web", "db"), server("db")) == []


def test_an_unknown_name() -> None:
    assert texts(server("app", "dbb", "x y"), server("db")) == [
        'servers.app.needs: there is no server "dbb"; did you mean "db"?',
        'servers.app.needs: there is no server "x y"',
    ]


def test_an_unknown_name_may_be_discovered_later() -> None:
    assert texts(server("app", "db"), discovers=True) == []


def test_a_server_cannot_need_itself() -> None:
    assert texts(server("a"), server("app", "app")) == ["servers.app.needs: a server cannot need itself"]


@pytest.mark.parametrize("discovers", [False, True])
def test_each_cycle_is_reported_once_from_its_first_server_on(discovers: bool) -> None:
    servers = server("db", "app"), server("api", "db"), server("app", "api"), server("x", "y"), server("y", "x")
    assert texts(*servers, discovers=discovers) == [
        "servers.db.needs: is a cycle: db needs app, app needs api, api needs db; none of them could be started first",
        "servers.x.needs: is a cycle: x needs y, y needs x; none of them could be started first",
    ]


def test_what_is_left_running_needs_what_is_left_running() -> None:
    left = server("app", "db", "cache", on_exit="leave")
    assert texts(left, server("db"), server("cache", on_exit="leave")) == [
        'servers.app.on_exit: "leave" would leave it running without "db", which it needs; '
        'write on_exit = "leave" in [servers.db] too'
    ]
    assert texts(server("app", "db"), server("db", on_exit="leave")) == []
    assert texts(left, server("db"), discovers=True) == []  # db may be described by labels, which cannot say it


def test_the_longest_start_is_along_the_longest_way() -> None:
    app = server("app", "api", "cache", "gone", start_timeout=1.0)
    others = (
        server("api", "db", start_timeout=10.0),
        server("cache", start_timeout=50.0),
        server("db", start_timeout=100.0),
    )
    assert longest_start(app, (app, *others)) == 111.0
    assert longest_start(others[1], (app, *others)) == 50.0


@pytest.mark.parametrize("length", [20, 21, 500])
def test_a_chain_has_a_bound(length: int) -> None:
    servers = [server(f"s{place}", *([f"s{place + 1}"] if place < length - 1 else [])) for place in range(length)]
    found = texts(*servers)
    assert found == (
        [f"servers.s{length - 21}.needs: begins a chain of more than 20 servers that need each other"] * (length > 20)
    )


NAMES = st.sampled_from("abcdef")


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4), max_size=6))
def test_there_is_a_cycle_exactly_if_no_order_exists(needs: dict[str, list[str]]) -> None:
    found = texts(*(server(name, *others) for name, others in needs.items()), discovers=True)
    left = {name: set(others) & set(needs) for name, others in needs.items()}
    while startable := [name for name, others in left.items() if not others]:
        left = {name: others - set(startable) for name, others in left.items() if name not in startable}
    assert bool(found) == bool(left)
    assert len(found) == len(set(found))
