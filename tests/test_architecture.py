"""Rules that one module alone cannot keep: which package may import which, and a test file for every module.

`RULES` is the table "Packages" of docs/architecture.md, as data.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
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
PURE = (*NETWORK, *CLOCKS, *FILES)
REACTOR = ("twisted.internet.reactor",)

VALUES = ("errors", "events", "event_text", "status", "access_lists", "characters")

STRUCTS = ("msgspec.Struct", "msgspec.field", "msgspec.structs")
"""What every module may import besides: values are declared with it. Its decoders are for those with a rule."""


@dataclass(frozen=True)
class Rule:
    """What the modules of a package, or some of them, may import.

    :ivar modules: dotted names below `zeroscale`; a package stands for all modules in it. Of several rules that match
        a module, the one with the longest name counts.
    :ivar may: modules and packages of ours they may import besides their own package; `zeroscale` is what the top
        package itself exports.
    :ivar outside: third-party packages they may import; None: any.
    :ivar never: what they must not import though it is in the standard library or part of an allowed package.
    """

    modules: tuple[str, ...]
    may: tuple[str, ...]
    outside: tuple[str, ...] | None = ()
    never: tuple[str, ...] = ()


RULES = [
    Rule(("__init__",), ("errors", "status", "version", "plugins.api")),
    Rule(("__main__",), ("daemon",)),
    Rule(("version", "errors", "characters"), ()),
    Rule(("build_info",), ("version",), never=(*NETWORK, *CLOCKS)),
    Rule(("backoff",), (), never=(*PURE, "logging")),
    Rule(("hidden_addresses",), (), never=PURE),
    Rule(
        ("message_template",),
        ("errors", "protocols.conversation", "protocols.minecraft.text_component"),
        never=(*PURE, "logging"),
    ),
    Rule(("status", "access_lists", "reports"), VALUES),
    Rule(("events",), ("status",)),
    Rule(("event_text",), ("characters", "events", "status"), never=(*PURE, "logging")),
    Rule(("server_log",), ()),
    Rule(("reactor",), (), outside=("twisted", "zope"), never=REACTOR),
    Rule(("protocols",), VALUES, never=(*PURE, "logging")),
    Rule(("protocols.sniffing", "protocols.udp"), VALUES, outside=("regex",), never=(*PURE, "logging")),
    Rule(("sockets",), ("errors", "reactor"), outside=("twisted", "zope"), never=REACTOR),
    Rule(("relay",), ("backoff", "errors", "reactor", "sockets"), outside=("twisted", "zope"), never=REACTOR),
    Rule(("system",), ("errors", "status")),
    Rule(
        (
            "system.host_endpoint",
            "system.path_watch",
            "system.sd_notify",
            "system.unix_listener",
        ),
        ("errors", "reactor", "status"),
        outside=("twisted", "zope"),
        never=REACTOR,
    ),
    Rule(
        ("system.endpoints",),
        ("errors", "reactor", "status"),
        outside=("twisted", "zope", "OpenSSL"),
        never=REACTOR,
    ),
    Rule(("schedule",), ("errors",), never=(*NETWORK, "time", "sched", *FILES, "logging")),
    Rule(
        ("schedule.restart_times",),
        (),
        outside=("cronsim",),
        never=(*NETWORK, "time", "sched", *FILES, "logging"),
    ),
    Rule(("schedule.countdown",), (), never=(*PURE, "logging")),
    Rule(
        ("config",),
        ("errors", "access_lists", "schedule", "system.files"),
        outside=("msgspec",),
        never=("twisted",),
    ),
    Rule(("config.durations",), (), never=(*PURE, "logging")),
    Rule(("config.triggers",), ("errors",), outside=("regex",), never=("twisted",)),
    Rule(("minecraft",), ("access_lists", "system.files"), outside=("msgspec",), never=("twisted",)),
    Rule(
        ("state",),
        (
            "errors",
            "events",
            "event_text",
            "server_log",
            "status",
            "system.files",
            "system.lock_file",
            "system.background_file",
        ),
        outside=("msgspec",),
        never=("twisted",),
    ),
    Rule(
        ("history",),
        ("errors", "events", "event_text", "hidden_addresses", "status", "system.files"),
        outside=("msgspec",),
        never=("twisted",),
    ),
    Rule(
        ("history.journal", "history.values"),
        ("events", "event_text", "hidden_addresses", "status"),
        never=(*PURE, "logging"),
    ),
    Rule(
        ("probes",),
        (
            "characters",
            "errors",
            "process.environment",
            "process.oneshot",
            "protocols",
            "reactor",
            "sockets.datagram_socket",
            "status",
            "system.host_endpoint",
        ),
        outside=("twisted", "zope"),
        never=(*REACTOR, "hashlib", "secrets"),  # they load OpenSSL: 2.2 MiB, which no sleeping proxy needs
    ),
    Rule(
        ("process",),
        ("errors", "server_log", "status", "system.accounts", "system.environment", "system.files", "system.lock_file"),
        never=("twisted",),
    ),
    Rule(
        ("plugins",),
        (
            "zeroscale",
            "backoff",
            "errors",
            "status",
            "version",
            "process",
            "minecraft",
            "system.files",
            "system.lock_file",
            "protocols.minecraft.player_list",
            "protocols.minecraft.rcon",
            "config.durations",
        ),
        outside=None,
        never=("twisted",),
    ),
    Rule(
        ("plugins.support.labels",),  # which keys a label may set is in the keys' metadata
        ("errors", "config.keys", "config.model"),
        never=("twisted",),
    ),
    Rule(("plugins.demo.program",), ("zeroscale", "version"), outside=("twisted", "quarry", "zope")),
    Rule(
        ("lifecycle",),
        ("backoff", "errors", "events", "event_text", "reports", "server_log", "status"),
        outside=("automat", "twisted"),
        never=(*REACTOR, "twisted.internet.endpoints", "twisted.internet.protocol"),
    ),
    Rule(
        ("lifecycle.awake_reasons", "lifecycle.idle_policy", "lifecycle.probation", "lifecycle.stats"),
        ("errors", "events", "event_text", "status", "reports"),
        never=(*PURE, "logging"),
    ),
    Rule(
        ("frontend",),
        (*VALUES, "message_template", "protocols", "reactor", "relay", "reports", "sockets", "system.host_endpoint"),
        outside=("twisted", "zope"),
        never=(*REACTOR, "hashlib", "secrets"),  # they load OpenSSL's libcrypto: 3.3 MiB
    ),
    Rule(
        (
            "frontend.admission",
            "frontend.client_address",
            "frontend.connection_limits",
            "frontend.decision",
            "frontend.favicon",
            "frontend.http_page",
            "frontend.messages",
            "frontend.rate_limit",
            "frontend.routing",
        ),
        (
            *VALUES,
            "message_template",
            "protocols.conversation",
            "protocols.proxy_protocol",
            "protocols.minecraft.text_component",
        ),
        never=PURE,
    ),
    Rule(
        ("control",),
        (
            "errors",
            "events",
            "reactor",
            "status",
            "reports",
            "system.accounts",
            "system.endpoints",
            "system.unix_listener",
        ),
        outside=("twisted", "zope", "msgspec", "prometheus_client"),
        never=(*REACTOR, "twisted.web.server"),
    ),
    Rule(("control.protocol",), ("errors",), outside=("msgspec",), never=PURE),
    Rule(("control.socket_path",), ("errors",), never=(*NETWORK, *CLOCKS)),
    Rule(
        ("ctl",),
        (
            *VALUES,
            "build_info",
            "hidden_addresses",
            "reports",
            "version",
            "config",
            "control.protocol",
            "control.socket_path",
            "history",
            "minecraft",
            "protocols",
            "system.accounts",
            "system.files",
        ),
        outside=("msgspec", "shtab"),
        never=REACTOR,
    ),
    Rule(("ctl.commands.check",), ("errors", "version", "config", "proxy.service")),
    Rule(
        ("ctl.commands.systemd",),
        ("errors", "build_info", "config", "minecraft", "process.listeners", "system.accounts"),
        never=REACTOR,
    ),
    Rule(
        ("proxy",),
        (
            *VALUES,
            "backoff",
            "reports",
            "server_log",
            "version",
            "config",
            "control",
            "frontend",
            "history",
            "lifecycle",
            "minecraft",
            "notify",
            "plugins",
            "probes",
            "process.environment",
            "process.former_directory",
            "process.listeners",
            "process.spawn",
            "process.spawn",
            "protocols",
            "reactor",
            "relay",
            "schedule",
            "sockets",
            "state",
            "system",
        ),
        outside=("twisted", "msgspec"),
    ),
    Rule(
        ("daemon",),
        ("backoff", "build_info", "errors", "reactor", "version", "config", "proxy.service", "system"),
        outside=("twisted", "msgspec"),
    ),
    Rule(
        ("daemon.share_files",),
        ("version", "ctl.parser", "ctl.commands.completion"),
        outside=("argparse_manpage",),
        never=REACTOR,
    ),
    Rule(
        ("notify",),
        (
            "backoff",
            "characters",
            "errors",
            "event_text",
            "events",
            "hidden_addresses",
            "message_template",
            "process.blocking_run",
            "process.environment",
            "protocols.minecraft.text_component",
            "status",
            "system.files",
            "system.lock_file",
            "version",
        ),
        outside=("msgspec",),
        never=("twisted", "asyncio"),
    ),
    Rule(
        ("notify.http_url", "notify.signature", "notify.queue", "notify.payload"),
        (
            "backoff",
            "characters",
            "errors",
            "event_text",
            "events",
            "hidden_addresses",
            "message_template",
            "protocols.minecraft.text_component",
            "status",
        ),
        never=(*NETWORK, "time", "os", "logging"),
    ),
    Rule(("notify.apprise_program",), (), outside=("apprise",)),
    Rule(("daemon.reference",), ("config", "control.metrics"), outside=("msgspec",)),
    Rule(("daemon.log_format",), ("characters", "hidden_addresses"), never=(*NETWORK, *FILES)),
    Rule(("daemon.parser",), ("build_info", "errors", "config"), outside=("msgspec",), never=(*NETWORK, *FILES)),
]

REACTOR_IMPORTERS = {"daemon.runtime", "proxy.service", "plugins.demo.program"}
"""Modules that may import the global reactor: those that install or run it, and a program of its own."""

QUARRY_IMPORTERS = {"plugins.demo.program"}

WITHOUT_A_TEST_FILE = {
    "status": "values only",
    "events": "values only",
    "reports": "values only",
    "history.values": "values only",
    "version": "one constant",
    "characters": "constants only",
    "reactor": "a type only",
    "ctl.exit_codes": "numbers only",
    "daemon.exit_codes": "numbers only",
    "control.interfaces": "contracts only",
    "ctl.parser": "tested with main",
    "frontend.context": "values, and contracts",
    "lifecycle.interfaces": "contracts, and values",
    "notify.target": "values",
    "plugins.demo.program": "a program of its own, run by demo/test_server.py",
}
WITHOUT_A_MODULE = {
    "frontend/test_sockets.py": "is about the whole frontend, with the kernel's sockets",
    "plugins/test_package.py": "is about a plugin of another package, and docs/plugins.md",
    "protocols/test_protocol_page.py": "is about docs/protocol.md, and what cites it",
    "test_architecture.py": "is about all of them",
    "config/test_configuration_page.py": "is about what docs/configuration.md says",
    "config/test_recipes.py": "is about the configuration files on the pages for users",
    "test_chart.py": "is about charts/, and docs/kubernetes/",
    "test_container.py": "is about the Dockerfile, and docs/container/",
    "test_distribution.py": "is about pyproject.toml, constraints.txt, sdist and wheel",
    "test_page_commands.py": "is about the commands of pages, and the machine that runs them",
    "test_pages.py": "is about all pages",
    "test_reference_pages.py": "is about the reference pages",
    "test_server_pages.py": "is about the pages on servers",
    "test_shown_messages.py": "is about the messages that pages show",
    "test_readme.py": "is about what README.md says",
    "test_site.py": "is about mkdocs.yml, and the site made from it",
}
TESTS_OF_THE_WHOLE = {"peers", "survival", "fixtures", "systemd", "hostile"}


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
                theirs = deeper in ("twisted.internet.reactor", *STRUCTS)
                yield deeper if ours or theirs else node.module


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def rule_of(module: str) -> Rule:
    matches = [(len(each), rule) for rule in RULES for each in rule.modules if within(module, each)]
    assert matches, f"{module} has no rule: add one here and in docs/architecture.md"
    return max(matches, key=lambda match: match[0])[1]


def package_of(module: str) -> str:
    return module.partition(".")[0] if "." in module or (PACKAGE / module).is_dir() else ""


def broken_rules(module: str, path: Path) -> Iterator[str]:
    rule = rule_of(module)
    for imported in imports(path):
        if any(within(imported, each) for each in rule.never):
            yield f"{module} must never import {imported}"
        elif within(imported, "zeroscale"):
            ours = imported.removeprefix("zeroscale.")
            own = package_of(module) and package_of(module) == package_of(ours)
            if not own and not any(within(ours, each) for each in rule.may):
                yield f"{module} may not import {ours}"
        else:
            package = imported.partition(".")[0]
            known = package in sys.stdlib_module_names or rule.outside is None or package in rule.outside
            if not known and not any(within(imported, each) for each in STRUCTS):
                yield f"{module} may not import {package}"


def cycles(graph: Mapping[str, set[str]]) -> set[str]:
    """Return the nodes from which a path leads back to themselves."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        left = list(graph.get(start, ()))
        while left:
            node = left.pop()
            if node not in seen:
                seen.add(node)
                left += graph.get(node, ())
        return seen

    return {node for node in graph if node in reachable(node)}


def test_there_is_something_to_check() -> None:
    assert {"daemon.main", "protocols.conversation", "frontend"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_rules(module: str) -> None:
    assert list(broken_rules(module, MODULES[module])) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("protocols.tcp", "import time", "protocols.tcp must never import time"),
        ("protocols.tcp", "from twisted.internet import defer", "must never import twisted.internet"),
        (
            "relay.splice",
            "def f():\n    from zeroscale.config import model",
            "relay.splice may not import config.model",
        ),
        ("relay.splice", "from zeroscale.config.model import Config", "relay.splice may not import config.model"),
        ("frontend.decision", "import msgspec", "frontend.decision may not import msgspec"),
        ("frontend.decision", "from zeroscale.plugins import base", "frontend.decision may not import plugins.base"),
        ("lifecycle.start", "from twisted.internet import reactor", "must never import twisted.internet.reactor"),
    ],
)
def test_a_broken_rule_is_reported(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    [found] = broken_rules(module, path)
    assert complaint in found


def test_values_are_structs() -> None:
    found = [name for name, path in MODULES.items() if "dataclasses" in imports(path)]
    assert found == [], "a msgspec.Struct is declared in a ninth of the time: see docs/architecture.md"


def test_no_import_cycle_between_modules() -> None:
    graph = {
        module: {each.removeprefix("zeroscale.") for each in imports(path) if each.startswith("zeroscale.")}
        & set(MODULES)
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    assert sorted(cycles(graph)) == []


def test_no_import_cycle_between_packages() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for module, path in MODULES.items():
        for imported in imports(path):
            ours = imported.removeprefix("zeroscale.")
            if imported.startswith("zeroscale.") and package_of(ours) and package_of(ours) != package_of(module):
                graph[package_of(module)].add(package_of(ours))
    assert sorted(cycles(graph)) == []


PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)


def test_the_page_lists_the_packages_from_top_to_bottom() -> None:
    assert sorted(PACKAGES) == sorted({package_of(module) for module in MODULES} - {""})
    upward = {
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        for imported in imports(path)
        if imported.startswith("zeroscale.")
        and package_of(module)
        and package_of(imported.removeprefix("zeroscale."))
        and PACKAGES.index(package_of(module)) > PACKAGES.index(package_of(imported.removeprefix("zeroscale.")))
    }
    assert sorted(upward) == []


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`([\w/.]+\.py)`", PAGE))
    assert len(named) > 40
    below = [ROOT, PACKAGE, *(PACKAGE / package for package in PACKAGES)]
    missing = {name for name in named if "..." not in name and not any((each / name).exists() for each in below)}
    assert sorted(missing) == []


def test_a_cycle_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"b", "c"}


SAME_NAME = {"Server", "Discovery"}
"""Every plugin has a class `Server`, and each kind of discovery a class `Discovery`."""


def test_class_names_are_unique() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                protocol = any(ast.unparse(base).partition("[")[0] == "Protocol" for base in node.bases)
                where[node.name].append("" if protocol else module)
    repeated = {
        name: sorted(filter(None, modules))
        for name, modules in where.items()
        if len([each for each in modules if each]) > 1 or modules.count("") > 1
    }
    assert {name: modules for name, modules in repeated.items() if name not in SAME_NAME} == {}


@pytest.mark.parametrize(
    ("imported", "importers"), [("twisted.internet.reactor", REACTOR_IMPORTERS), ("quarry", QUARRY_IMPORTERS)]
)
def test_few_modules_import_what_has_side_effects(imported: str, importers: set[str]) -> None:
    found = {module for module, path in MODULES.items() if any(within(each, imported) for each in imports(path))}
    assert found <= importers


def test_the_relay_uses_no_game_protocol() -> None:
    knowing = [path.name for path in (PACKAGE / "relay").glob("*.py") if "minecraft" in path.read_text().lower()]
    assert knowing == []


@pytest.mark.parametrize("package", ["zeroscale.protocols", "zeroscale.ctl"])
def test_importing_it_installs_no_reactor(package: str) -> None:
    package_path = package.removeprefix("zeroscale.")
    names = [f"zeroscale.{name}" for name in MODULES if within(name, package_path)]
    assert len(names) > 1
    code = f"import {', '.join(names)}\nimport sys\nprint('twisted.internet.reactor' in sys.modules)"
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["False"]


def test_twistds_plugin_imports_nothing_of_ours() -> None:
    found = set(imports(ROOT / "twisted" / "plugins" / "zeroscale_plugin.py"))
    assert found == {"twisted.application.service"}
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists(), "Twisted would look nowhere else for plugins"


def expected_test(module: str) -> str:
    *package_path, name = module.split(".")
    return "/".join([*package_path, f"test_{name.strip('_')}.py"])


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
    strange = {str(path) for path in found if path.parts[0] not in TESTS_OF_THE_WHOLE and str(path) not in expected}
    assert sorted(strange - set(WITHOUT_A_MODULE)) == []


def test_the_exceptions_are_still_needed() -> None:
    assert [name for name in WITHOUT_A_TEST_FILE if (TESTS / expected_test(name)).exists()] == []
    assert [name for name in WITHOUT_A_MODULE if not (TESTS / name).exists()] == []
