"""A plugin by its name, and constructed from what the user says."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Program, python

from zeroscale.errors import ConfigError, PluginError
from zeroscale.plugins.loader import construct, find_plugin

PLUGIN = """
class Server:
    async def start(self): ...
    async def stop(self): ...
    def fake_status(self): return b"asleep"
class Other(Server): ...
class NoPlugin: ...
"""

MakeModule = Callable[[str, str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    """Makes a module of the user's own and returns its dotted path."""
    package = tmp_path / "users_own_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, content: str) -> str:
        (package / f"{name}.py").write_text(content)
        return f"users_own_plugins.{name}"

    yield make
    for loaded in [name for name in sys.modules if name.startswith("users_own_plugins")]:
        del sys.modules[loaded]


def not_found(name: str) -> str:
    with pytest.raises(ConfigError) as raised:
        find_plugin(name)
    said = str(raised.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", ["minecraft", "generic", "demo"])
def test_short_names(name: str) -> None:
    assert find_plugin(name).__module__.removesuffix(".server") == f"zeroscale.plugins.{name}"


def test_a_near_miss_is_named() -> None:
    assert not_found("minecarft") == "there is no plugin 'minecarft': did you mean 'minecraft'?"


def test_no_near_miss_lists_what_there_is_and_no_helper_module() -> None:
    said = not_found("xyzzy")
    assert "demo" in said and "generic" in said and "minecraft" in said
    assert "process" not in said and "demo_server" not in said and "console" not in said


@pytest.mark.parametrize("name", ["", "..", "a b", "a/b", "minecraft.", "-", ":", "os.path:"])
def test_what_can_be_no_name(name: str) -> None:
    not_found(name)


def test_a_helper_module_is_no_plugin() -> None:
    assert not_found("process").startswith("there is no plugin 'process'")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, zeroscale.plugins\n"
        "try: zeroscale.plugins.find_plugin('xyzzy')\n"
        "except Exception: pass\n"
        "print([name for name in sys.modules if name.startswith('zeroscale.plugins.')])"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines == ["[]"]


def test_dotted_paths(module: MakeModule) -> None:
    path = module("mine", PLUGIN)
    assert find_plugin(path).__name__ == "Server"
    assert find_plugin(f"{path}.Other").__name__ == "Other"
    assert find_plugin(f"{path}:Other").__name__ == "Other"
    assert "has no class Missing" in not_found(f"{path}.Missing")
    assert "has no class Missing" in not_found(f"{path}:Missing")
    assert "it has no start()" in not_found(f"{path}:NoPlugin")


def test_a_module_without_server(module: MakeModule) -> None:
    path = module("empty", "Server = None")
    assert not_found(path) == f"plugin '{path}': {path} has no class Server"


def test_a_module_that_is_not_there(module: MakeModule) -> None:
    module("mine", PLUGIN)
    assert "no module 'nowhere'" in not_found("nowhere.mine")
    assert "has no class missing, and no module of this name" in not_found("users_own_plugins.missing")
    assert "no module 'users_own_plugins.missing'" in not_found("users_own_plugins.missing.Server")


def test_a_missing_sdk(module: MakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    path = module("cloud", "import no_such_sdk.client\n" + PLUGIN)
    assert not_found(path) == f"plugin '{path}' needs no_such_sdk, which is not installed: pip install no_such_sdk"
    import zeroscale.plugins.loader as package

    monkeypatch.setattr(package, "_extras", lambda: ["demo"])
    for name in ("zeroscale.plugins.demo", "zeroscale.plugins.demo.server"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "zeroscale.plugins.base", None)  # as if it were not installed
    assert not_found("demo").endswith("pip install 'zeroscale[demo]'")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("def", "SyntaxError"),
        ("1/0", "ZeroDivisionError"),
    ],
)
def test_a_module_that_breaks(module: MakeModule, content: str, said: str) -> None:
    assert f"cannot be imported: {said}" in not_found(module("broken", content))


def test_entry_points(module: MakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    path = module("installed", PLUGIN)
    points = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, value, "zeroscale.plugins")
        for name, value in [("terraria", path), ("other", f"{path}:Other")]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", points.select)
    assert find_plugin("terraria").__name__ == "Server"
    assert find_plugin("other").__name__ == "Other"
    assert not_found("terrarria") == "there is no plugin 'terrarria': did you mean 'terraria'?"


# Construction.

OFFERED = {"working_directory": "/srv", "server_port": 25575}


class Plain:
    def __init__(self, first: str = "1", second: str = "2", working_directory: str | None = None) -> None:
        self.values: tuple[object, ...] = (first, second, working_directory)


class Anything:
    def __init__(self, *words: str, server_port: int, **others: Any) -> None:
        self.values: tuple[object, ...] = (words, server_port, others)


class NeedsOne:
    def __init__(self, *, token: str) -> None:
        self.values: tuple[object, ...] = (token,)


class Nothing:
    values: tuple[object, ...] = ()


@pytest.mark.parametrize(
    ("plugin_class", "positional", "keywords", "values"),
    [
        (Plain, [], {}, ("1", "2", "/srv")),
        (Plain, ["a"], {"second": "b"}, ("a", "b", "/srv")),
        (Plain, [], {"working_directory": "/other"}, ("1", "2", "/other")),
        (Plain, ["a", "b", "/other"], {}, ("a", "b", "/other")),
        (Anything, ["a", "b"], {"x": 1}, (("a", "b"), 25575, {"x": 1})),
        (NeedsOne, [], {"token": "t"}, ("t",)),
        (Nothing, [], {}, ()),
    ],
)
def test_the_values_arrive(
    plugin_class: type[Any], positional: list[str], keywords: dict[str, Any], values: tuple[object, ...]
) -> None:
    assert construct(plugin_class, positional, keywords, OFFERED).values == values


@pytest.mark.parametrize(
    ("plugin_class", "positional", "keywords", "said"),
    [
        (Plain, [], {"secnod": "b"}, "has no argument 'secnod': did you mean 'second'? It takes first, second"),
        (Nothing, [], {"x": 1}, "has no argument 'x': it takes none"),
        (Plain, ["a", "b", "c", "d"], {}, "too many positional arguments"),
        (Plain, ["a"], {"first": "b"}, "multiple values for argument 'first'"),
        (NeedsOne, [], {}, "argument: 'token'; it takes token"),
    ],
)
def test_values_that_do_not_fit(
    plugin_class: type[Any], positional: list[str], keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        construct(plugin_class, positional, keywords, OFFERED)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no\n  such thing"), "test_plugins: ValueError: no such thing"),
        (KeyError(), "test_plugins: KeyError"),
        (PluginError("no token: give one"), "test_plugins: no token: give one"),
    ],
)
def test_a_constructor_that_raises(error: Exception, said: str) -> None:
    class Raises:
        def __init__(self) -> None:
            raise error

    Raises.__module__ = "test_plugins"
    with pytest.raises(ConfigError) as raised:
        construct(Raises, [], {}, OFFERED)
    assert str(raised.value) == said
