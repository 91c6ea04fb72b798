"""Finding a plugin by its name, checking it, and constructing it with the user's arguments."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Program, python

from zeroscale.errors import ConfigError, PluginError
from zeroscale.plugins import loader
from zeroscale.plugins.loader import built_in_plugins, construct, find_plugin, requirement_for

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
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the search path for modules; what is imported from it is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def module(directory: Path) -> MakeModule:
    """Writes a module into the package `users_own_plugins` and returns its dotted path."""
    package = directory / "users_own_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("")

    def make(name: str, content: str) -> str:
        (package / f"{name}.py").write_text(content)
        return f"users_own_plugins.{name}"

    return make


def refusal(name: str) -> str:
    """Return the message with which a plugin's name is refused."""
    with pytest.raises(ConfigError) as raised:
        find_plugin(name)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_the_built_in_plugins_are_the_modules_and_packages_beside_the_helpers() -> None:
    names = built_in_plugins()
    assert {"command", "demo", "docker", "generic", "kubernetes", "minecraft", "systemd_unit", "wake_on_lan"} <= {
        *names
    }
    for name in names:
        assert find_plugin(name).__module__.removesuffix(".server") == f"zeroscale.plugins.{name}"


def test_hyphens_may_be_written_for_underscores() -> None:
    assert find_plugin("wake-on-lan") is find_plugin("wake_on_lan")


def test_a_similar_name_is_suggested() -> None:
    assert refusal("minecarft") == "there is no plugin 'minecarft': did you mean 'minecraft'?"
    assert refusal("docker_engine") == "there is no plugin 'docker_engine': did you mean 'docker'?"
    assert refusal("paper-mc") == "there is no plugin 'paper-mc': did you mean 'minecraft'?"
    assert refusal("k8s") == "there is no plugin 'k8s': did you mean 'kubernetes'?"


def test_without_a_similar_name_the_plugins_are_listed() -> None:
    message = refusal("xyzzy")
    assert message.startswith("there is no plugin 'xyzzy': there are command, demo, docker, generic, ")
    assert "loader" not in message and "support" not in message


@pytest.mark.parametrize("name", ["", "..", "a b", "a/b", "minecraft.", "-", ":", "os.path:", "1st", "\u0660"])
def test_an_impossible_name(name: str) -> None:
    assert refusal(name).startswith(f"there is no plugin {name!r}: ")


@pytest.mark.parametrize("name", ["base", "loader", "testing", "support"])
def test_a_helper_module_is_not_a_plugin(name: str) -> None:
    assert refusal(name).startswith(f"there is no plugin '{name}': ")


def test_nothing_is_imported_before_it_is_named() -> None:
    code = (
        "import sys\n"
        "from zeroscale.plugins.loader import find_plugin\n"
        "before = set(sys.modules)\n"
        "try: find_plugin('xyzzy')\n"
        "except Exception as error: print(error)\n"
        "print([name for name in set(sys.modules) - before if name.startswith('zeroscale')])"
    )
    with Program(python("-c", code)) as program:
        assert program.wait() == 0, program.output
    assert program.lines[0].startswith("there is no plugin 'xyzzy': there are command, ")
    assert program.lines[1:] == ["[]"]


# Modules that are installed or on PYTHONPATH.


def test_a_module_of_one_name(directory: Path) -> None:
    (directory / "my_terraria.py").write_text(PLUGIN)
    assert find_plugin("my_terraria").__name__ == "Server"
    assert find_plugin("my-terraria") is find_plugin("my_terraria")
    assert find_plugin("my_terraria:Other").__name__ == "Other"


def test_a_package_of_one_name(directory: Path) -> None:
    (directory / "my_games").mkdir()
    (directory / "my_games" / "__init__.py").write_text(PLUGIN)
    assert find_plugin("my_games").__module__ == "my_games"


def test_a_built_in_plugin_comes_before_a_module_of_its_name(directory: Path) -> None:
    (directory / "generic.py").write_text(PLUGIN)
    assert find_plugin("generic").__module__ == "zeroscale.plugins.generic"


def test_a_module_of_one_name_without_server(directory: Path) -> None:
    (directory / "my_library.py").write_text("")
    assert refusal("my_library") == "plugin 'my_library': the module my_library has no class Server"
    (directory / "systemd_units.py").write_text("")
    assert refusal("systemd_units").endswith("has no class Server; did you mean 'systemd_unit'?")


@pytest.mark.parametrize("name", ["json", "os.path", "antigravity", "json:JSONEncoder"])
def test_a_module_of_the_standard_library_is_neither_imported_nor_taken_for_a_plugin(name: str) -> None:
    assert refusal(name).startswith(f"there is no plugin '{name}', only a module of Python's standard library")


CHECK = """
import sys
from zeroscale.plugins.loader import find_plugin
before = list(sys.path)
try: print(find_plugin(sys.argv[1]).__module__)
except Exception as error: print(error)
assert sys.path == before
"""


@pytest.mark.parametrize("pythonpath", ["", ":"])
def test_the_current_directory_is_not_searched(tmp_path: Path, pythonpath: str) -> None:
    (tmp_path / "main.py").write_text(CHECK)
    (tmp_path / "my_terraria.py").write_text(PLUGIN)
    (tmp_path / "my_games").mkdir()
    (tmp_path / "my_games" / "terraria.py").write_text(PLUGIN)
    ours = str(Path(loader.__file__).parents[2])

    def answer(pythonpath: str, *command: str) -> str:
        environment = {"PYTHONPATH": pythonpath, "PYTHONSAFEPATH": ""}
        with Program(python(*command), tmp_path, environment=environment) as program:
            assert program.wait() == 0, program.output
        return "".join(program.lines)

    for command in (["-m", "main"], ["-c", CHECK]):
        assert answer(f"{pythonpath}{ours}", *command, "my_terraria") == (
            "there is no plugin 'my_terraria': ./my_terraria.py is not used, since the current directory is not "
            "searched; to use it, add its directory to PYTHONPATH"
        )
    assert answer(f"{pythonpath}{ours}", "-m", "main", "my_games.terraria") == "my_games.terraria"
    for explicit in (".", str(tmp_path)):
        assert answer(f"{pythonpath}{explicit}:{ours}", "-m", "main", "my_terraria") == "my_terraria"


def test_dotted_paths(module: MakeModule) -> None:
    path = module("mine", PLUGIN)
    assert find_plugin(path).__name__ == "Server"
    assert find_plugin(f"{path}.Other").__name__ == "Other"
    assert find_plugin(f"{path}:Other").__name__ == "Other"
    assert "has no class Missing" in refusal(f"{path}.Missing")
    assert "has no class Missing" in refusal(f"{path}:Missing")


def test_a_module_without_server(module: MakeModule) -> None:
    path = module("empty", "Server = None")
    assert refusal(path) == f"plugin '{path}': the module {path} has no class Server"


def test_a_module_that_does_not_exist(module: MakeModule) -> None:
    module("mine", PLUGIN)
    assert "no module 'nowhere' is installed or on PYTHONPATH" in refusal("nowhere.mine")
    assert "has no class missing, and there is no module of this name" in refusal("users_own_plugins.missing")
    assert "no module 'users_own_plugins.missing'" in refusal("users_own_plugins.missing.Server")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("def", "SyntaxError"),
        ("1/0", "ZeroDivisionError"),
        ("raise SystemExit('no Java')", "SystemExit: no Java"),
    ],
)
def test_a_module_that_cannot_be_imported(module: MakeModule, content: str, reason: str) -> None:
    assert f"cannot be imported: {reason}" in refusal(module("broken", content))


def test_entry_points(module: MakeModule, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = module("installed", PLUGIN)
    (directory / "my_terraria.py").write_text("")
    points = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, value, "zeroscale.plugins")
        for name, value in [("my_terraria", path), ("other", f"{path}:Other"), ("generic", path), ("stale", "gone")]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", points.select)
    assert find_plugin("my_terraria").__module__ == path, "an entry point comes before a module of its name"
    assert find_plugin("other").__name__ == "Other"
    assert find_plugin("generic").__module__ == "zeroscale.plugins.generic", "a built-in plugin comes before it"
    assert refusal("stale").startswith("there is no plugin 'stale': no module 'gone' is installed or on PYTHONPATH")
    assert refusal("my_terrarria") == "there is no plugin 'my_terrarria': did you mean 'my_terraria'?"


# What a plugin needs.

REQUIREMENTS = [
    "twisted>=24.10",
    'aiodocker >= 0.27 ; extra == "docker"',
    "Kubernetes-Asyncio[all] (>=36.1) ; extra == 'kubernetes'",
    "plain",
]


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("aiodocker", "aiodocker>=0.27"),
        ("kubernetes_asyncio.client", "Kubernetes-Asyncio>=36.1"),
        ("plain", "plain"),
        ("unknown.part", "unknown"),
    ],
)
def test_a_requirement_has_its_version_from_the_metadata(
    monkeypatch: pytest.MonkeyPatch, name: str, requirement: str
) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", {"zeroscale-proxy": REQUIREMENTS}.__getitem__)
    assert requirement_for(name) == requirement


def test_a_module_that_comes_with_a_requirement_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", {"zeroscale-proxy": REQUIREMENTS}.__getitem__)
    assert requirement_for("aiohttp", "docker") == "aiodocker>=0.27"
    assert requirement_for("aiohttp", "none") == "aiohttp"


@pytest.mark.parametrize("error", [importlib.metadata.PackageNotFoundError("zeroscale-proxy"), TypeError(), None])
def test_without_metadata_a_requirement_is_the_name_of_the_module(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    def requires(name: str) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert requirement_for("aiodocker.docker") == "aiodocker"


def test_a_missing_requirement_is_named(module: MakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", {"zeroscale-proxy": REQUIREMENTS}.__getitem__)
    path = module("cloud", "import no_such_sdk.client\n" + PLUGIN)
    assert refusal(path) == f"plugin {path} needs no_such_sdk, which is not installed: pip install no_such_sdk"
    for name in [name for name in sys.modules if name.startswith("zeroscale.plugins.docker")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiodocker", None)  # as if it were not installed
    assert refusal("docker") == (
        "plugin docker needs aiodocker>=0.27, which is not installed: pip install 'aiodocker>=0.27'"
    )


# The contract.

START = "    async def start(self) -> None: ...\n"
STOP = "    async def stop(self) -> None: ...\n"


@pytest.mark.parametrize(
    ("body", "mistakes"),
    [
        (START, "it has no stop() (write: async def stop(self) -> None)"),
        (STOP + "    start = None\n", "it has no start() (write: async def start(self) -> None)"),
        (
            "    pass\n",
            "it has no start() (write: async def start(self) -> None); "
            "it has no stop() (write: async def stop(self) -> None)",
        ),
        (STOP + "    def start(self): ...\n", "start() is not async (write: async def start(self) -> None)"),
        (
            START + "    async def stop(self, world): ...\n",
            "stop(self, world) has the wrong arguments: missing a required argument: 'world' "
            "(write: async def stop(self) -> None)",
        ),
        (
            START + "    async def stop(): ...\n",
            "stop() has the wrong arguments: too many positional arguments (write: async def stop(self) -> None)",
        ),
        (
            START + STOP + "    async def check(self): ...\n",
            "check() must not be async (write: def check(self) -> None)",
        ),
        (
            START + STOP + "    def wait(self) -> int: ...\n",
            "wait() is not async (write: async def wait(self) -> int | None)",
        ),
        (
            START + STOP + "    async def send(self): ...\n",
            "send(self) has the wrong arguments: too many positional arguments "
            "(write: async def send(self, line: str) -> str | None)",
        ),
        (
            "    class Call:\n        def __call__(self): ...\n    start = Call()\n" + STOP,
            "start() is not async (write: async def start(self) -> None)",
        ),
        (
            "    class Call:\n        async def __call__(self, world): ...\n    start = Call()\n" + STOP,
            "start(self, world) has the wrong arguments: missing a required argument: 'world' "
            "(write: async def start(self) -> None)",
        ),
    ],
)
def test_a_class_that_is_not_a_plugin(module: MakeModule, body: str, mistakes: str) -> None:
    path = module("bad", "class Server:\n" + body)
    assert refusal(path) == f"plugin '{path}': {path}.Server is not a plugin: {mistakes}"


def test_what_is_inherited_from_the_protocols_does_not_count(module: MakeModule) -> None:
    source = "import zeroscale\nclass Server(zeroscale.Plugin, zeroscale.HasConsole):\n"
    assert refusal(module("inherits", source + START)).endswith(
        "Server is not a plugin: it has no stop() (write: async def stop(self) -> None); "
        "it has no send() (write: async def send(self, line: str) -> str | None)"
    )


FITS = """
import functools
from collections.abc import Awaitable

def logged(method):
    @functools.wraps(method)
    def wrapper(self):
        return method(self)
    return wrapper

class Callable:
    async def __call__(self): ...

class Base:
    async def start(self, *, slowly=False): ...

class Server(Base):
    @logged
    async def stop(self): ...
    def wait(self) -> Awaitable[int | None]: ...
    def signal(self, signal_number): ...
    async def send(self, command, *others): ...
    @staticmethod
    def check(): ...
    @classmethod
    async def adopt(cls): ...
    pause = resume = None
    players = Callable()
"""


def test_other_ways_to_write_the_methods(module: MakeModule) -> None:
    assert find_plugin(module("fits", FITS)).__name__ == "Server"


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
        if not token:
            raise PluginError("token= is empty")
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
    ("plugin_class", "positional", "keywords", "message"),
    [
        (Plain, [], {"secnod": "b"}, "it has no argument 'secnod' (did you mean 'second'?); it takes first, second"),
        (Nothing, [], {"x": 1}, "it has no argument 'x'; it takes none"),
        (NeedsOne, [], {"x": 1, "tokn": 2}, "no argument 'tokn' (did you mean 'token'?) and no argument 'x'; its "),
        (NeedsOne, [], {"x": 1}, "argument: 'token'; it takes token"),
        (Plain, ["a", "b", "c", "d"], {}, "too many positional arguments; it takes"),
        (
            NeedsOne,
            ["to-ken=1"],
            {},
            "too many positional arguments; 'to-ken=1' is no keyword: did you mean token=?; it",
        ),
        (Plain, ["a"], {"first": "b"}, "multiple values for argument 'first'"),
        (NeedsOne, [], {}, "argument: 'token'; it takes token"),
        (NeedsOne, [], {"token": "", "x": 1}, ": it has no argument 'x'; it takes token; token= is empty"),
    ],
)
def test_values_that_do_not_fit(
    plugin_class: type[Any], positional: list[str], keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        construct(plugin_class, positional, keywords, OFFERED)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no\n  such thing"), "test_plugins: ValueError: no such thing"),
        (KeyError(), "test_plugins: KeyError"),
        (PluginError("no token: give one"), "test_plugins: no token: give one"),
        (SystemExit("no licence"), "test_plugins: SystemExit: no licence"),
    ],
)
def test_a_constructor_that_raises(error: BaseException, message: str) -> None:
    class Raises:
        def __init__(self) -> None:
            raise error

    Raises.__module__ = "test_plugins"
    with pytest.raises(ConfigError) as raised:
        construct(Raises, [], {}, OFFERED)
    assert str(raised.value) == message
