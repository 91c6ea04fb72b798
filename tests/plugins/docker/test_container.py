"""The state of a container, read from inspections."""

from __future__ import annotations

from typing import Any

import pytest

from zeroscale.errors import PluginError
from zeroscale.plugins.docker.container import parse_container, parse_usage, unix_seconds

CREATED = {
    "Id": "06bfc506a8ea",
    "Name": "/abc",
    "State": {"Status": "created", "Running": False, "ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z"},
    "Config": {"OpenStdin": False, "StdinOnce": False, "Tty": False, "Labels": {}},
    "HostConfig": {"NetworkMode": "host"},
    "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}},
}
"""Of Docker 20.10, shortened."""


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    base: dict[str, Any] = dict(CREATED)
    return base | {name: {**base[name], **section} for name, section in sections.items()}


def test_one_that_was_never_started() -> None:
    container = parse_container(CREATED)
    assert container.name == "abc"
    assert not container.alive
    assert container.started_second is None
    assert container.exit_code == 0


def test_one_that_runs() -> None:
    container = parse_container(changed(State={"Running": True, "StartedAt": "2026-11-24T13:47:51.385270419Z"}))
    assert container.alive
    assert container.exit_code is None
    assert container.started_second == 1795528071
    assert container.run_id == ("06bfc506a8ea", "2026-11-24T13:47:51.385270419Z")


def test_one_that_the_engine_will_restart_does_not_run() -> None:
    container = parse_container(changed(State={"Running": True, "Restarting": True}))
    assert (container.alive, container.restarting) == (False, True)


def test_one_that_is_being_stopped_runs_whatever_podman_says() -> None:
    stopping = parse_container(changed(State={"Status": "stopping", "Running": False}))
    assert stopping.alive
    assert stopping.stopping


def test_one_that_is_paused_runs() -> None:
    container = parse_container(changed(State={"Running": True, "Paused": True}))
    assert (container.alive, container.paused) == (True, True)


@pytest.mark.parametrize(("given", "grace"), [(None, None), (10, None), (0, None), (90, 90), (-1, None)])
def test_the_engines_default_stop_timeouts_are_ignored(given: int | None, grace: int | None) -> None:
    assert parse_container(changed(Config={"StopTimeout": given})).stop_timeout == grace


@pytest.mark.parametrize(
    ("state", "health"),
    [
        ({}, None),
        ({"Health": {"Status": "none"}}, None),
        ({"Health": {"Status": "starting"}}, "starting"),
        ({"Healthcheck": {"Status": "healthy"}}, "healthy"),
        ({"Health": None}, None),
    ],
)
def test_health(state: dict[str, Any], health: str | None) -> None:
    assert parse_container(changed(State=state)).health == health


def test_a_stdin_that_closes_after_the_first_line_is_none() -> None:
    assert parse_container(changed(Config={"OpenStdin": True})).stdin
    assert not parse_container(changed(Config={"OpenStdin": True, "StdinOnce": True})).stdin


def test_addresses() -> None:
    networks = {
        "games": {"IPAddress": "172.20.0.2"},
        "six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"},
        "asleep": {"IPAddress": ""},
        "odd": None,
    }
    container = parse_container(changed(NetworkSettings={"Networks": networks}))
    assert container.address("games") == "172.20.0.2"
    assert container.address("six") == "fd00::2"
    for network in ("asleep", "odd"):
        with pytest.raises(PluginError, match="no address"):
            container.address(network)
    with pytest.raises(PluginError, match="asleep, games, host, odd, six"):
        container.address("game")


def test_in_the_hosts_network_it_is_at_the_loopback_address() -> None:
    assert parse_container(CREATED).address("host") == "127.0.0.1"


@pytest.mark.parametrize("wrong", [{}, {"Id": 5}, {"Id": ""}])
def test_an_invalid_inspection_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Id"):
        parse_container(wrong)


def test_an_inspection_of_nothing_but_an_id_is_a_container_that_does_not_run() -> None:
    assert not parse_container({"Id": "abcdef", "State": None, "Config": None}).alive


@pytest.mark.parametrize(
    ("moment", "second"),
    [
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T01:01:00.123456789+01:00", 60),
        ("1970-01-01T00:01:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(moment: str, second: int | None) -> None:
    assert unix_seconds(moment) == second


@pytest.mark.parametrize(
    ("cpu", "memory", "usage"),
    [
        (1_500_000_000, {"usage": 10_000, "stats": {"inactive_file": 4000}}, (1.5, 6000)),
        (1_500_000_000, {"usage": 10_000, "stats": {"total_inactive_file": 3000}}, (1.5, 7000)),
        (1_500_000_000, {"usage": 10_000}, (1.5, 10_000)),
        (1_500_000_000, {"usage": 10_000, "stats": {"inactive_file": 10**9}}, (1.5, 0)),
        (0, {}, None),
        (1_500_000_000, {}, None),
        ("much", "more", None),
    ],
)
def test_what_it_uses(cpu: object, memory: object, usage: object) -> None:
    assert parse_usage({"cpu_stats": {"cpu_usage": {"total_usage": cpu}}, "memory_stats": memory}) == usage
