"""The house's rules that one module alone cannot keep: who may know whom, and a test file for every module.

`ROOMS` is the table "Who may know whom" of the architecture, as data.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Program, python

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "zeroscale"
TESTS = ROOT / "tests"

CLOCKS = ("time", "datetime", "sched")
FILES = ("os", "pathlib", "io", "shutil", "tempfile", "glob")
NETWORK = ("asyncio", "socket", "select", "selectors", "ssl", "subprocess", "threading", "twisted")


@dataclass(frozen=True)
class Room:
    """Modules with one set of rules.

    :ivar modules: theirs, below `zeroscale`; a package stands for all in it. The longest match of all rooms counts.
    :ivar may: which of ours they may import, besides each other; `zeroscale` is what the package itself offers.
    :ivar outside: which third-party packages they may import; None: any.
    :ivar never: what they must not import though it is stdlib, or part of a package that they may import.
    """

    modules: tuple[str, ...]
    may: tuple[str, ...]
    outside: tuple[str, ...] | None = ()
    never: tuple[str, ...] = ()


EVERYTHING = tuple(sorted(path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()))

ROOMS = [
    Room(("__init__",), ("errors", "status", "version")),
    Room(("version",), ()),
    Room(("errors", "status", "access_lists"), ()),
    Room(("protocols",), ("errors", "status", "access_lists"), never=(*NETWORK, *CLOCKS, *FILES, "logging")),
    Room(
        ("protocols.minecraft.packets",),
        ("errors", "status", "access_lists", "protocols"),
        outside=("quarry",),
        never=(*NETWORK, *CLOCKS, *FILES, "logging"),
    ),
    Room(("protocols.sniffing",), ("errors",), outside=("regex",), never=(*NETWORK, *CLOCKS, *FILES, "logging")),
    Room(
        ("frontend", "lifecycle.idle_policy"),
        ("errors", "status", "access_lists", "protocols.conversation"),
        never=(*NETWORK, *CLOCKS, *FILES),
    ),
    Room(
        ("frontend.messages", "frontend.message_template"),
        ("frontend", "errors", "status", "protocols.conversation", "protocols.minecraft.text_component"),
        never=(*NETWORK, *CLOCKS, *FILES),
    ),
    Room(("lifecycle",), ()),
    Room(("relay",), ("errors",), outside=("twisted", "zope")),
    Room(
        ("plugins.loader",),
        ("zeroscale", "status", "errors", "system.lock_file", "minecraft.server_files", "protocols.minecraft.rcon"),
        outside=None,
        never=("twisted",),
    ),
    Room(
        ("plugins.demo.program",),
        ("zeroscale", "version", "plugins.demo.journal"),
        outside=("twisted", "quarry", "zope"),
    ),
    Room(("minecraft.player_lists",), ("minecraft.server_files", "system.files", "access_lists"), outside=("msgspec",)),
    Room(
        (
            "state.start_history",
            "state.status_cache",
            "minecraft.server_files",
            "protocols.minecraft.rcon",
            "system.files",
        ),
        ("errors", "status", "system.lock_file"),
        outside=("msgspec",),
    ),
    Room(("state.operator_overrides",), ("state.flag_files", "system.files"), outside=("msgspec",)),
    Room(("lifecycle.stats",), ("status",), never=(*NETWORK, *CLOCKS, *FILES, "logging")),
    Room(
        ("probes.base", "probes.minecraft", "probes.tcp", "probes.readiness"),
        ("protocols", "errors", "status"),
        outside=("twisted", "zope"),
    ),
    Room(
        (
            "lifecycle.lifecycle",
            "lifecycle.state_machine",
            "lifecycle.escalation",
            "lifecycle.interfaces",
            "lifecycle.exit_codes",
            "lifecycle.idle_monitor",
            "lifecycle.waiters",
            "lifecycle.shielded_call",
            "lifecycle.effects",
            "lifecycle.plugin_slot",
            "lifecycle.player_query",
            "lifecycle.start",
            "lifecycle.stop",
            "lifecycle.observers",
        ),
        ("status", "errors", "lifecycle.idle_policy", "lifecycle.stats"),
        outside=("automat", "twisted"),
        never=("twisted.internet.reactor", "twisted.internet.endpoints", "twisted.internet.protocol"),
    ),
    Room(
        ("frontend.client_address",),
        ("frontend.connection_limits", "errors", "protocols.proxy_protocol"),
        never=(*NETWORK, *CLOCKS, *FILES),
    ),
    Room(
        (
            "frontend.connection",
            "frontend.context",
            "frontend.factory",
            "frontend.join",
            "frontend.login_hold",
            "frontend.interfaces",
            "frontend.backend_connection",
        ),
        ("frontend", "protocols", "relay", "errors", "status"),
        outside=("twisted", "zope"),
    ),
    Room(("config.triggers",), ("errors",), outside=("regex",)),
    Room(("probes.command",), ("errors", "config.triggers")),
    Room(("config.model",), ("errors", "access_lists", "config.triggers"), outside=("msgspec",)),
    Room(("daemon.parser",), ("config.model", "config.durations", "errors", "version"), never=(*NETWORK, *FILES)),
    Room(("config.durations",), (), never=(*NETWORK, *CLOCKS, *FILES, "logging")),
    Room(
        (
            "config.loader",
            "config.reader",
            "config.fields",
            "config.messages",
            "config.secret_refs",
            "config.conflicts",
        ),
        ("config.model", "config.durations", "errors", "access_lists", "system.files"),
        outside=("msgspec",),
        never=("twisted",),
    ),
    Room(("daemon.invocation",), ("config.model", "config.loader"), outside=("msgspec",), never=("twisted",)),
    Room(
        ("control",), ("config.model", "status", "errors"), outside=("twisted", "zope", "msgspec", "prometheus_client")
    ),
    Room(
        ("control.metrics", "control.metrics_http"),
        ("system.endpoints", "status", "errors"),
        outside=("twisted", "msgspec", "prometheus_client"),
        never=("twisted.internet.reactor", "twisted.web.server"),
    ),
    Room(("control.socket_path",), ("errors",), never=(*NETWORK, *CLOCKS)),
    Room(("control.protocol",), ("errors",), outside=("msgspec",), never=(*NETWORK, *CLOCKS, *FILES)),
    Room(
        ("ctl",),
        (
            "protocols",
            "config.model",
            "config.loader",
            "control.socket_path",
            "control.protocol",
            "config.durations",
            "minecraft.server_files",
            "proxy.service",
            "status",
            "errors",
            "version",
        ),
        outside=("msgspec", "shtab"),
    ),
    Room(("daemon.log_format",), (), never=(*NETWORK, *FILES)),
    Room(
        ("lifecycle.plugin_adapter",), ("errors", "status"), outside=("twisted",), never=("twisted.internet.reactor",)
    ),
    Room(("system.socket_activation", "system.privileges", "system.lock_file"), ()),
    Room(
        ("system.sd_notify",),
        ("system.socket_activation", "status"),
        outside=("twisted",),
        never=("twisted.internet.reactor",),
    ),
    Room(
        ("system.endpoints",),
        ("errors", "system.socket_activation"),
        outside=("twisted", "zope"),
        never=("twisted.internet.reactor",),
    ),
    Room(
        (
            "daemon.main",
            "daemon.tap",
            "daemon.options",
            "proxy.service",
            "proxy.server_manager",
            "proxy.managed_server",
            "proxy.factory",
            "proxy.ports",
            "proxy.preflight",
            "proxy.discovery",
            "proxy.tcp_factory",
            "daemon.runtime",
            "daemon.log",
            "__main__",
        ),
        EVERYTHING,
        outside=("twisted", "msgspec"),
    ),
]

REACTOR_IMPORTERS = {"daemon.runtime", "proxy.service", "plugins.demo.program"}
"""Who may import the global reactor: those who install or run it, and a program of its own."""

QUARRY_IMPORTERS = {"protocols.minecraft.packets", "plugins.demo.program"}

WITHOUT_A_TEST_FILE = {
    "status": "values only",
    "version": "one constant",
    "ctl.exit_codes": "numbers only",
    "control.interfaces": "contracts only",
    "ctl.parser": "tested with main",
    "frontend.context": "values, and contracts",
    "frontend.interfaces": "contracts, and one of values",
    "lifecycle.interfaces": "contracts, and values",
    "plugins.demo.program": "a program of its own, run by test_demo.py",
}
WITHOUT_A_MODULE = {
    "frontend/test_sockets.py": "is about all of the front, with the kernel's sockets",
    "plugins/test_package.py": "is about a plugin of another package, and docs/plugins.md",
    "test_architecture.py": "is about all of them",
    "config/test_configuration_page.py": "is about what docs/configuration.md says",
    "test_container.py": "is about the Dockerfile, and docs/container/",
    "test_readme.py": "is about what README.md says",
}
WINGS_WITHOUT_MODULES = {"peers", "survival", "fixtures", "systemd"}


def modules() -> dict[str, Path]:
    """Every module below `zeroscale` by its dotted name; a package by the name of its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == "__init__" else ".".join(parts)
        found[name] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """What a file imports, wherever in it, each as deep as it names a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative imports hide who is known"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                ours = deeper.removeprefix("zeroscale.") in MODULES if deeper.startswith("zeroscale.") else False
                theirs = deeper == "twisted.internet.reactor"
                yield deeper if ours or theirs else node.module


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def room_of(module: str) -> Room:
    matches = [(len(each), room) for room in ROOMS for each in room.modules if within(module, each)]
    assert matches, f"{module} stands in no room: give it one here and in the architecture"
    return max(matches, key=lambda match: match[0])[1]


def broken_rules(module: str, path: Path) -> Iterator[str]:
    room = room_of(module)
    for imported in imports(path):
        if any(within(imported, each) for each in room.never):
            yield f"{module} must never import {imported}"
        elif within(imported, "zeroscale"):
            ours = imported.removeprefix("zeroscale.")
            if not any(within(ours, each) for each in (*room.modules, *room.may)):
                yield f"{module} may not know {ours}"
        else:
            package = imported.partition(".")[0]
            known = package in sys.stdlib_module_names or room.outside is None or package in room.outside
            if not known:
                yield f"{module} may not use {package}"


def test_there_is_something_to_hold() -> None:
    assert {"daemon.main", "protocols.conversation", "frontend"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_who_may_know_whom(module: str) -> None:
    assert list(broken_rules(module, MODULES[module])) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("protocols.tcp", "import time", "protocols.generic must never import time"),
        ("protocols.tcp", "from twisted.internet import defer", "must never import twisted.internet"),
        ("relay.splice_loop", "def f():\n    from zeroscale import config", "relay.loop may not know config"),
        ("relay.splice_loop", "from zeroscale.config import Config", "relay.loop may not know config"),
        ("frontend.decision", "import msgspec", "front.session may not use msgspec"),
        ("lifecycle.lifecycle", "from twisted.internet import reactor", "must never import twisted.internet.reactor"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    [found] = broken_rules(module, path)
    assert complaint in found


@pytest.mark.parametrize(
    ("imported", "importers"), [("twisted.internet.reactor", REACTOR_IMPORTERS), ("quarry", QUARRY_IMPORTERS)]
)
def test_who_imports_what_has_consequences(imported: str, importers: set[str]) -> None:
    found = {module for module, path in MODULES.items() if any(within(each, imported) for each in imports(path))}
    assert found <= importers


def test_the_relay_knows_no_game() -> None:
    knowing = [path.name for path in (PACKAGE / "relay").glob("*.py") if "minecraft" in path.read_text().lower()]
    assert knowing == []


@pytest.mark.parametrize("package", ["zeroscale.protocols", "zeroscale.ctl"])
def test_importing_it_installs_no_reactor(package: str) -> None:
    wing = package.removeprefix("zeroscale.")
    names = [f"zeroscale.{name}" for name in MODULES if within(name, wing)]
    assert len(names) > 1
    code = f"import {', '.join(names)}\nimport sys\nprint('twisted.internet.reactor' in sys.modules)"
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["False"]


def test_twistds_plugin_imports_nothing_of_ours() -> None:
    found = set(imports(ROOT / "twisted" / "plugins.loader" / "zeroscale_plugin.py"))
    assert found == {"twisted.application.service"}
    assert not (ROOT / "twisted" / "plugins.loader" / "__init__.py").exists(), (
        "Twisted would look nowhere else for plugins"
    )


def expected_test(module: str) -> str:
    *wing, name = module.split(".")
    return "/".join([*wing, f"test_{name.strip('_')}.py"])


def test_every_module_has_a_test_file_of_its_name() -> None:
    expected = {
        expected_test(module)
        for module, path in MODULES.items()
        if path.name != "__init__.py" and module not in WITHOUT_A_TEST_FILE
    }
    assert sorted(name for name in expected if not (TESTS / name).exists()) == []


def test_every_test_file_has_a_module() -> None:
    expected = {expected_test(module) for module in MODULES}
    found = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    strange = {str(path) for path in found if path.parts[0] not in WINGS_WITHOUT_MODULES and str(path) not in expected}
    assert sorted(strange - set(WITHOUT_A_MODULE)) == []


def test_the_exceptions_are_still_needed() -> None:
    assert [name for name in WITHOUT_A_TEST_FILE if (TESTS / expected_test(name)).exists()] == []
    assert [name for name in WITHOUT_A_MODULE if not (TESTS / name).exists()] == []
