"""Find a plugin's class by its name, check it against the contract in `zeroscale.plugins.api`, and construct it.

Nothing is imported before it is named, so that a missing SDK is an error only where its plugin is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TypeVar

from zeroscale import plugins
from zeroscale.errors import ConfigError, MissingDependency, UnknownPlugin, ZeroscaleError, suggest
from zeroscale.plugins.api import ABILITIES, Plugin
from zeroscale.version import DISTRIBUTION

T = TypeVar("T")

ENTRY_POINT_GROUP = "zeroscale.plugins"
CLASS_NAME = "Server"
HELPERS = frozenset({"api", "base", "loader", "support", "testing"})
"""What in this package is not a plugin; everything else is one, by the name of its module or package."""

ALIASES = {
    **dict.fromkeys(("java", "mc", "paper", "spigot", "purpur", "vanilla", "forge", "fabric", "neoforge"), "minecraft"),
    **dict.fromkeys(("container", "compose", "podman"), "docker"),
    **dict.fromkeys(("k8s", "kube", "statefulset", "deployment"), "kubernetes"),
    **dict.fromkeys(("systemd", "systemctl", "unit", "service"), "systemd_unit"),
    **dict.fromkeys(("process", "program", "tcp", "exec"), "generic"),
    **dict.fromkeys(("shell", "script"), "command"),
    "wol": "wake_on_lan",
}
"""Names that people type for built-in plugins; they are only suggested."""

PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*)?")


def find_plugin(name: str) -> type[Plugin]:
    """Return the class of a plugin.

    Built-in plugins come first, then entry points, then modules that are installed or on PYTHONPATH. A module name
    without a dot is not searched in the current directory, since a game's directory may have the same name.

    :param name: the name of a built-in plugin, of an entry point in the group `zeroscale.plugins`, of a module with a
        class `Server`, or `module:Class`. Hyphens stand for underscores in the names of built-in plugins and modules.
    :raises UnknownPlugin: there is none.
    :raises ConfigError: it cannot be imported, or it does not fit the contract.
    """
    module_name = name.replace("-", "_")
    if module_name in built_in_plugins():
        return _class_in(_import(f"{plugins.__name__}.{module_name}", name), name)
    from importlib import metadata  # here, since it costs 0.6 MiB that built-in plugins do not need

    for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _find_class(entry_point.value, name)
    if not PATH.fullmatch(module_name):
        raise UnknownPlugin(f"there is no plugin {name!r}{_suggestion(name)}")
    if re.split(r"[.:]", module_name)[0] in sys.stdlib_module_names:
        raise UnknownPlugin(
            f"there is no plugin {name!r}, only a module of Python's standard library of that name{_suggestion(name)}"
        )
    return _find_class(module_name, name)


@cache
def built_in_plugins() -> tuple[str, ...]:
    """Return the names of the plugins in this package, sorted, without importing any."""
    return tuple(sorted({module.name for module in pkgutil.iter_modules(plugins.__path__)} - HELPERS))


def construct(
    plugin_class: type[T], positional: Sequence[str], keywords: Mapping[str, object], offered: Mapping[str, object]
) -> T:
    """Construct a plugin.

    :param plugin_class: what `find_plugin` returned.
    :param positional: the user's positional arguments.
    :param keywords: the user's keyword arguments.
    :param offered: arguments that are passed if the constructor has them and the user has not given them.
    :raises ConfigError: the arguments do not fit the constructor, or it raised an exception.
    """
    where = plugin_class.__module__.removesuffix(".server")
    signature = _signature(plugin_class)
    named = argument_names(plugin_class)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    known = {keyword: value for keyword, value in keywords.items() if takes_any or keyword in named}
    unknown = []
    for keyword in keywords.keys() - known.keys():
        suggestion = suggest(keyword, sorted(named - offered.keys()))
        unknown.append(f"no argument {keyword!r}" + (f" ({suggestion})" if suggestion else ""))
    mistake = f"it has {' and '.join(sorted(unknown))}; " if unknown else ""
    takes = f"it takes {_listed(named, offered)}"
    try:
        given = signature.bind_partial(*positional, **known).arguments.keys()
        values = {key: value for key, value in offered.items() if key in named and key not in given}
        signature.bind(*positional, **known, **values)
    except TypeError as error:
        suggestion = "" if unknown else _meant_as_keyword(positional, named - offered.keys())
        raise ConfigError(f"{where}: {mistake}its arguments do not fit: {error}{suggestion}; {takes}") from error
    try:
        plugin = plugin_class(*positional, **known, **values)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{where}: {mistake}{f'{takes}; ' if unknown else ''}{_describe(error)}") from error
    if unknown:
        raise ConfigError(f"{where}: {mistake}{takes}")
    return plugin


def argument_names(plugin_class: type) -> Collection[str]:
    """Return the names of the arguments that a plugin's constructor takes.

    :raises ConfigError: it cannot be constructed.
    """
    return {
        parameter.name
        for parameter in _signature(plugin_class).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _signature(plugin_class: type) -> inspect.Signature:
    try:
        return inspect.signature(plugin_class)
    except (TypeError, ValueError) as error:
        where = plugin_class.__module__.removesuffix(".server")
        raise ConfigError(f"{where}: {plugin_class.__name__} cannot be constructed: {error}") from error


def _meant_as_keyword(positional: Sequence[str], named: Collection[str]) -> str:
    """Return what is meant by a word such as `start-seconds=5`, which is not the name of an argument, and a value."""
    for word in positional:
        name, equals, _ = str(word).partition("=")
        if equals and (suggestion := suggest(name, sorted(named), show=lambda meant: f"{meant}=")):
            return f"; {word!r} is no keyword: {suggestion}"
    return ""


def _listed(named: Collection[str], offered: Mapping[str, object]) -> str:
    return ", ".join(sorted(set(named) - offered.keys())) or "none"


def requirement_for(module: str, extra: str | None = None) -> str:
    """Return what to give to `pip install` for a missing module, such as `aiodocker>=0.27` for `aiodocker`.

    The version is the one that the metadata of this distribution demands. Where that does not name the module, which
    may be required by what is missing, the result is the requirement of the extra; else the name of its top package.

    :param extra: an extra of this distribution, called as the plugin that needs the module.
    """
    top = module.partition(".")[0]
    from importlib import metadata

    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except Exception:  # not installed as a distribution, or its metadata is damaged
        requirements = []
    of_extra = None
    for requirement in requirements:
        found = re.match(r"([\w.-]+)\s*(?:\[.*?\])?\s*\(?([^;)]*)", requirement)
        if found is None:
            continue
        wanted = found[1] + found[2].replace(" ", "")
        if re.sub(r"[-_.]+", "_", found[1]).lower() == top.lower():
            return wanted
        if extra is not None and re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", requirement):
            of_extra = of_extra or wanted
    return of_extra or top


def _find_class(path: str, name: str) -> type[Plugin]:
    """Return the class for `module:Class`, `module.Class`, or a module with a class `Server`."""
    if not PATH.fullmatch(path):
        raise ConfigError(f"plugin {name!r}: {path!r} is not the path of a module or class")
    module_name, _, class_name = path.partition(":")
    if "." not in module_name:
        with _current_directory_not_searched():
            return _class_in(_import(module_name, name), name, class_name or CLASS_NAME)
    if class_name or _exists(module_name, name):
        return _class_in(_import(module_name, name), name, class_name or CLASS_NAME)
    parent, _, class_name = module_name.rpartition(".")
    return _class_in(_import(parent, name), name, class_name)


def _exists(module_name: str, name: str) -> bool:
    try:
        return module_name in sys.modules or importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError:  # what is before a dot is not a package
        return False
    except Exception as error:
        raise ConfigError(f"plugin {name!r} cannot be imported: {_describe(error)}") from error


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if module_name != missing and not module_name.startswith(f"{missing}."):
            needed = requirement_for(missing, name)
            raise MissingDependency(
                f"plugin {name} needs {needed}, which is not installed: pip install {shlex.quote(needed)}"
            ) from error
        here = next((path for path in (f"{missing}.py", missing) if Path(path).exists()), None)
        if here is not None:
            raise UnknownPlugin(
                f"there is no plugin {name!r}: ./{here} is not used, since the current directory is not searched; "
                "to use it, add its directory to PYTHONPATH"
            ) from None
        if "." not in name and name not in _known_names():
            raise UnknownPlugin(f"there is no plugin {name!r}{_suggestion(name)}") from None
        raise UnknownPlugin(
            f"there is no plugin {name!r}: no module {missing!r} is installed or on PYTHONPATH{_suggestion(name, '; ')}"
        ) from None
    except (Exception, SystemExit) as error:  # a module may end its own program
        raise ConfigError(f"plugin {name!r} cannot be imported: {_describe(error)}") from error


@contextmanager
def _current_directory_not_searched() -> Iterator[None]:
    """Take the current directory off `sys.path`, unless PYTHONPATH names it or a package installed from it does.

    Python adds it by itself: as the first entry with `python -m`, and for an empty entry of PYTHONPATH.
    """
    removed = [(index, sys.path[index]) for index in _implicit_entries()]
    for index, _ in reversed(removed):
        del sys.path[index]
    try:
        yield
    finally:
        for index, entry in removed:
            sys.path.insert(index, entry)


def _implicit_entries() -> list[int]:
    """Return the indices in `sys.path` at which the current directory is that Python itself has added."""
    try:
        here = str(Path.cwd())
    except FileNotFoundError:  # it has been deleted
        here = ""
    value = os.environ.get("PYTHONPATH")
    on_pythonpath = value.split(os.pathsep) if value else []
    empty = [index for index, entry in enumerate(sys.path) if not entry]
    if any(entry and os.path.realpath(entry) == here for entry in on_pythonpath):
        return empty
    added = (sys.path[:1] == [here]) + ("" in on_pythonpath)
    return sorted(empty + [index for index, entry in enumerate(sys.path) if entry and entry == here][:added])


def _class_in(module: ModuleType, name: str, class_name: str = CLASS_NAME) -> type[Plugin]:
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        more = ", and there is no module of this name" if hasattr(module, "__path__") and "." in name else ""
        if "." not in name and (suggestion := suggest(name, _known_names(), ALIASES)):
            more = f"; {suggestion}"
        raise ConfigError(f"plugin {name!r}: the module {module.__name__} has no class {class_name}{more}")
    mistakes = _known_mistakes(found)
    if mistakes:
        raise ConfigError(f"plugin {name!r}: {module.__name__}.{class_name} is not a plugin: {'; '.join(mistakes)}")
    return found


@cache
def _known_mistakes(plugin_class: type) -> tuple[str, ...]:
    """Return the mistakes of a class, which is compared only once, however many servers use it."""
    return tuple(contract_mistakes(plugin_class))


def contract_mistakes(plugin_class: type) -> list[str]:
    """Compare a class's methods with the contract; return what is wrong, and how to write it."""
    mistakes = []
    for protocol in (Plugin, *ABILITIES):
        for method, wanted in vars(protocol).items():
            if method.startswith("_") or not inspect.isfunction(wanted):
                continue
            mistake = _method_mistake(plugin_class, method, wanted, required=protocol is Plugin)
            if mistake is not None:
                is_async = "async " if inspect.iscoroutinefunction(wanted) else ""
                signature = str(inspect.signature(wanted)).replace("'", "").replace(", /", "")
                mistakes.append(f"{mistake} (write: {is_async}def {method}{signature})")
    return mistakes


def _method_mistake(found: type, method: str, wanted: FunctionType, *, required: bool) -> str | None:
    actual = inspect.getattr_static(found, method, None)
    if actual is wanted or (required and not callable(getattr(found, method, None))):  # or inherited from the Protocol
        return f"it has no {method}()"
    arguments: list[None] = [None] * len(inspect.signature(wanted).parameters)
    if isinstance(actual, staticmethod):
        del arguments[0]
    function = actual.__func__ if isinstance(actual, staticmethod | classmethod) else actual
    if not inspect.isfunction(function):
        function = getattr(type(function), "__call__", None)  # noqa: B004  # not whether, but which
    if not inspect.isfunction(function):  # None, a property, or a callable object of which nothing is known
        return None
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        return f"{method}{inspect.signature(function)} has the wrong arguments: {error}"
    if inspect.iscoroutinefunction(wanted):
        return None if _may_be_awaited(function) else f"{method}() is not async"
    return f"{method}() must not be async" if inspect.iscoroutinefunction(function) else None


def _may_be_awaited(function: FunctionType) -> bool:
    returns = str(function.__annotations__.get("return", ""))
    return inspect.iscoroutinefunction(inspect.unwrap(function)) or bool(
        re.search("Awaitable|Coroutine|Future|Task", returns)
    )


def _known_names() -> list[str]:
    from importlib import metadata

    entry_points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    return sorted({*built_in_plugins(), *(entry_point.name for entry_point in entry_points)})


def _suggestion(name: str, before: str = ": ") -> str:
    """Return the plugin that was perhaps meant, or else all of them, as the end of a message."""
    known = [each for each in _known_names() if each != name]
    return before + (suggest(name, known, ALIASES) or f"there are {', '.join(known)}")


def _describe(error: BaseException) -> str:
    """Return an exception as one line, with its type unless it is ours."""
    text = " ".join(str(error).split())
    if isinstance(error, ZeroscaleError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
