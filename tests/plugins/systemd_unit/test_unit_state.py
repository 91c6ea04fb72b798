"""The state of a unit, read from its properties."""

from __future__ import annotations

import pytest

from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit.unit_state import UnitState, parse_properties, refusal, unit_name


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("minecraft", "minecraft.service"),
        ("minecraft.service", "minecraft.service"),
        ("minecraft@survival-1", "minecraft@survival-1.service"),
        ("games.target", "games.target"),
        ("a.b", "a.b.service"),
        (r"mc@srv-my\x20world", r"mc@srv-my\x20world.service"),
    ],
)
def test_names(name: str, whole: str) -> None:
    assert unit_name(name) == whole


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-H", "--now", "a;b", "x" * 256])
def test_invalid_names(name: str) -> None:
    with pytest.raises(PluginError, match="is not a unit's name"):
        unit_name(name)


@pytest.mark.parametrize(
    ("active", "runs"),
    [
        ("active", True),
        ("reloading", True),
        ("refreshing", True),
        ("activating", True),
        ("deactivating", True),
        ("inactive", False),
        ("failed", False),
    ],
)
def test_a_unit_with_processes_is_running(active: str, runs: bool) -> None:
    assert UnitState("loaded", active).running is runs


@pytest.mark.parametrize(
    ("active", "stopping"), [("active", False), ("deactivating", True), ("inactive", False), ("failed", False)]
)
def test_stopping(active: str, stopping: bool) -> None:
    assert UnitState("loaded", active).stopping is stopping


@pytest.mark.parametrize(
    ("invocation", "run"),
    [(bytes(range(250, 256)), "fafbfcfdfeff"), ("fafbfcfdfeff", "fafbfcfdfeff"), (b"", None), ("", None), (None, None)],
)
def test_a_run_has_the_same_id_by_dbus_and_systemctl(invocation: bytes | str | None, run: str | None) -> None:
    assert parse_properties({"InvocationID": invocation}).run == run


@pytest.mark.parametrize(
    ("freezer", "frozen"),
    [("running", False), ("freezing", True), ("frozen", True), ("frozen-by-parent", True), ("thawing", False)],
)
def test_frozen(freezer: str, frozen: bool) -> None:
    assert parse_properties({"FreezerState": freezer}).frozen is frozen


@pytest.mark.parametrize(
    ("cpu", "memory", "usage"),
    [
        (1_500_000_000, 4096, (1.5, 4096)),
        ("1500000000", "4096", (1.5, 4096)),
        ("[not set]", "4096", None),
        (1_500_000_000, 2**64 - 1, None),
        (None, None, None),
    ],
)
def test_what_it_uses(cpu: object, memory: object, usage: object) -> None:
    assert parse_properties({"CPUUsageNSec": cpu, "MemoryCurrent": memory}).usage == usage


def test_properties_of_dbus_and_systemctl_are_the_same() -> None:
    by_bus = {
        "LoadState": "loaded",
        "ActiveState": "failed",
        "Result": "signal",
        "ExecMainCode": 2,
        "ExecMainStatus": 9,
    }
    by_command = {name: str(value) for name, value in by_bus.items()}
    assert parse_properties(by_bus) == parse_properties(by_command)
    assert parse_properties({}) == UnitState("loaded", "inactive")
    assert parse_properties({"ExecMainStatus": "[not set]"}).main_status == 0


@pytest.mark.parametrize(
    ("result", "code", "status", "exit_code", "failure"),
    [
        ("success", 1, 0, 0, None),
        ("success", 1, 143, 0, None),
        ("success", 2, 15, 0, None),
        ("exit-code", 1, 7, 7, "its process exited with an error (exit code 7)"),
        ("signal", 2, 9, 137, "its process was killed by a signal (SIGKILL)"),
        ("core-dump", 3, 11, 139, "its process crashed and dumped core (SIGSEGV)"),
        ("oom-kill", 2, 9, 137, "it was killed because memory ran out"),
        ("start-limit-hit", 0, 0, None, "systemctl reset-failed"),
        ("news-of-tomorrow", 0, 0, None, "its result is news-of-tomorrow"),
    ],
)
def test_ends(result: str, code: int, status: int, exit_code: int | None, failure: str | None) -> None:
    active = "failed" if failure else "inactive"
    state = UnitState("loaded", active, result=result, main_code=code, main_status=status)
    assert state.exit_code == exit_code
    message = state.failure("game.service")
    assert message is None if failure is None else failure in str(message)
    if failure:
        assert "see journalctl -u game.service" in str(message)
        assert "see journalctl --user -u game.service" in str(state.failure("game.service", " --user"))


@pytest.mark.parametrize("status", [129, 130, 143])
def test_java_s_exit_codes_after_a_signal_are_no_failure(status: int) -> None:
    state = UnitState("loaded", "failed", result="exit-code", main_code=1, main_status=status)
    assert state.failure("game.service") is None
    assert state.exit_code == status


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("loaded", None),
        ("not-found", "there is no unit game.service: is its file in /etc/systemd/system"),
        ("masked", "systemctl unmask game.service"),
        ("bad-setting", "systemd-analyze verify game.service"),
        ("error", "systemctl status game.service"),
    ],
)
def test_what_cannot_be_started_at_all(load: str, message: str | None) -> None:
    problem = UnitState(load, "inactive").load_problem("game.service")
    assert problem is None if message is None else message in str(problem)


def test_a_refusal_says_what_to_do() -> None:
    message = refusal("start", "game.service", "Interactive authentication required.")
    assert "polkit rule for org.freedesktop.systemd1.manage-units" in message
    assert "user=yes" in message


@pytest.mark.parametrize("verb", ["freeze", "thaw"])
def test_what_only_root_may_is_not_promised_to_others(verb: str) -> None:
    message = refusal(verb, "game.service", "Access denied")
    assert "polkit" not in message
    assert f"let this user {verb} game.service (Access denied): only root may" in message
