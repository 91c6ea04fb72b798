"""The plugin contract: what zeroscale exports, and that it agrees with the adapter and with the built-in plugins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

import pytest
from processes import Program, python

import zeroscale
from zeroscale.plugins import api
from zeroscale.plugins.loader import built_in_plugins, find_plugin

if TYPE_CHECKING:  # mypy compares these plugins' signatures with the contract
    from zeroscale.plugins import base, command, docker, generic, kubernetes, minecraft, systemd_unit

    def check_types(
        child: base.ProcessServer,
        machine: command.Server,
        container: docker.Server,
        pod: kubernetes.Server,
        unit: systemd_unit.Server,
        program: generic.Server,
        game: minecraft.Server,
    ) -> None:
        _plugins: list[api.Plugin] = [child, machine, container, pod, unit]
        _checkable: list[api.Checkable] = [child, machine, container, unit]
        _has_fake_status: list[api.HasFakeStatus] = [child, machine, container, pod, unit]
        _waitable: list[api.Waitable] = [child, container, pod, unit]
        _adoptable: list[api.Adoptable] = [child, machine, container, pod, unit]
        _doubtable: list[api.Doubtable] = [machine]
        _pausable: list[api.Pausable] = [child, container, unit]
        _signalable: list[api.Signalable] = [child, container]
        _proposes_sigterm: list[api.ProposesSigterm] = [program, game]
        _has_console: list[api.HasConsole] = [child, container]
        _reports_players: list[api.ReportsPlayers] = [pod]
        _reports_usage: list[api.ReportsUsage] = [child, container, unit]
        _closable: list[api.Closable] = [machine, container, pod, unit]
        _reports_output: list[api.ReportsOutput] = [child, machine, container, pod]
        _reports_starts: list[api.ReportsStarts] = [container, pod, unit]
        _reports_pauses: list[api.ReportsPauses] = [container, unit]
        _has_protocol: list[api.HasProtocol] = [machine, container, pod, unit, program]
        _has_ready_line: list[api.HasReadyLine] = [child]
        _has_server_address: list[api.HasServerAddress] = [container]
        _controls_others: list[api.ControlsOthers] = [machine, container, pod, unit]
        _remote: list[api.Remote] = [container, pod, unit]
        _load_balanced: list[api.LoadBalanced] = [pod]
        _interruptible_start: list[api.InterruptibleStart] = [pod]


ADAPTER = (Path(zeroscale.__file__).parent / "lifecycle" / "plugin_adapter.py").read_text()


def names_of(protocol: type) -> set[str]:
    """Return the names of the attributes and methods that a Protocol demands."""
    return {name for name in {*vars(protocol), *get_type_hints(protocol)} if not name.startswith("_")}


CONTRACT = {name for protocol in (api.Plugin, *api.ABILITIES) for name in names_of(protocol)}


class Smallest:
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def test_a_class_with_start_and_stop_is_a_plugin_without_optional_abilities() -> None:
    plugin: zeroscale.Plugin = Smallest()
    assert isinstance(plugin, zeroscale.Plugin)
    assert not any(isinstance(plugin, ability) for ability in api.ABILITIES)


def test_an_attribute_that_is_none_is_no_ability() -> None:
    class Server(Smallest):
        wait = None

    assert not isinstance(Server(), zeroscale.Waitable)


def test_every_protocol_is_exported() -> None:
    for protocol in (api.Plugin, *api.ABILITIES):
        assert getattr(zeroscale, protocol.__name__) is protocol
        assert protocol.__name__ in zeroscale.__all__


def test_the_adapter_uses_what_is_in_the_contract_and_nothing_else() -> None:
    used = set(re.findall(r'getattr\((?:self\._)?plugin, "(\w+)"', ADAPTER))
    used |= set(re.findall(r'self\._(?:call|call_if_any|set|read)\("(\w+)"', ADAPTER))
    used |= set(re.findall(r"self\._plugin\.(\w+)", ADAPTER))
    assert used == CONTRACT


@pytest.mark.parametrize("name", built_in_plugins())
def test_a_built_in_plugin_is_one(name: str) -> None:
    assert issubclass(find_plugin(name), api.Plugin)


def test_importing_zeroscale_is_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules); import zeroscale\n"
        "for name in sorted(set(sys.modules) - before):\n"
        "    if name.split('.')[0] in ('zeroscale', 'asyncio', 'logging', 'pathlib', 'twisted', 'pytest'): print(name)"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == [
        "zeroscale",
        "zeroscale.errors",
        "zeroscale.plugins",
        "zeroscale.plugins.api",
        "zeroscale.status",
        "zeroscale.version",
    ]
