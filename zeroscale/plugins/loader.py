"""The kinds of server, one module each, and how one is found and constructed by its name.

Nothing is imported before it is asked for, so that a plugin whose SDK is not installed is an error only for those
who name it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from zeroscale.errors import ConfigError, ZeroscaleError

ENTRY_POINT_GROUP = "zeroscale.plugins"
CLASS_NAME = "Server"
PACKAGE = "zeroscale.plugins"
BUILT_IN = ("command", "demo", "docker", "generic", "kubernetes", "minecraft", "systemd_unit", "wake_on_lan")


def find_plugin(name: str) -> type[Any]:
    """The plugin class of this name.

    :param name: a module's name in this package, an entry point's of group `zeroscale.plugins`, or the dotted path
        of a module (that has a class `Server`) or of a class.
    :raises ConfigError: there is none, or it cannot be imported: what is meant perhaps, or what mends it.
    """
    short = name.replace("-", "_")
    if short in BUILT_IN:
        return _class_in(_imported(f"{PACKAGE}.{short}", name), name)
    for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _named(entry_point.value, name)
    if "." in name or ":" in name:
        return _named(name, name)
    raise ConfigError(f"there is no plugin {name!r}{_perhaps(name, _known_names())}")


def construct(
    plugin_class: type[Any], positional: Sequence[str], keywords: Mapping[str, Any], offered: Mapping[str, object]
) -> Any:
    """A plugin's `Server`, constructed.

    :param plugin_class: what `find_plugin` found.
    :param positional: the user's positional values.
    :param keywords: the user's keyword values.
    :param offered: what a constructor gets that names it, unless the user has given it another value.
    :raises ConfigError: the values do not fit the constructor, or it raised.
    """
    where = plugin_class.__module__.removesuffix(".server")
    try:
        signature = inspect.signature(plugin_class)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {plugin_class.__name__} cannot be constructed: {error}") from error
    named = {
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    for keyword in keywords:
        if keyword not in named and not takes_any:
            valid = sorted(named - offered.keys())
            close = difflib.get_close_matches(keyword, valid, n=1)
            raise ConfigError(
                f"{where} has no argument {keyword!r}: "
                + (f"did you mean {close[0]!r}? It takes " if close else "it takes ")
                + _taken(named, offered)
            )
    try:
        given = signature.bind_partial(*positional, **keywords).arguments.keys()
        values = {key: value for key, value in offered.items() if key in named and key not in given}
        signature.bind(*positional, **keywords, **values)
    except TypeError as error:
        raise ConfigError(f"{where}: its arguments do not fit: {error}; it takes {_taken(named, offered)}") from error
    try:
        return plugin_class(*positional, **keywords, **values)
    except Exception as error:
        raise ConfigError(f"{where}: {_in_words(error)}") from error


def _taken(named: Collection[str], offered: Mapping[str, object]) -> str:
    return ", ".join(sorted(set(named) - offered.keys())) or "none"


def _named(path: str, name: str) -> type[Any]:
    """The class that a dotted path means: `module:Class`, `module.Class`, or a module with a `Server`."""
    if not re.fullmatch(r"\w+(\.\w+)*(:\w+)?", path):
        raise ConfigError(f"plugin {name!r}: {path!r} is no dotted path of a module or class")
    module_name, _, class_name = path.partition(":")
    if class_name:
        return _class_in(_imported(module_name, name), name, class_name)
    try:
        found = importlib.util.find_spec(module_name) is not None
    except ModuleNotFoundError:  # what stands before a dot is no package
        found = False
    except Exception as error:
        raise ConfigError(f"plugin {name!r} cannot be imported: {_in_words(error)}") from error
    if found:
        return _class_in(_imported(module_name, name), name)
    parent, _, class_name = module_name.rpartition(".")
    return _class_in(_imported(parent, name), name, class_name)


def _imported(module_name: str, name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise ConfigError(
                f"there is no plugin {name!r}, for there is no module {missing!r}{_perhaps(name, _known_names())}; "
                "is it installed, or its directory in PYTHONPATH?"
            ) from None
        mend = f"'zeroscale[{name}]'" if name in _extras() else missing
        raise ConfigError(f"plugin {name!r} needs {missing}, which is not installed: pip install {mend}") from error
    except Exception as error:
        raise ConfigError(f"plugin {name!r} cannot be imported: {_in_words(error)}") from error


def _class_in(module: Any, name: str, class_name: str = CLASS_NAME) -> type[Any]:
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        nor = ", and no module of this name" if hasattr(module, "__path__") else ""
        raise ConfigError(f"plugin {name!r}: {module.__name__} has no class {class_name}{nor}")
    for method in ("start", "stop"):
        if not callable(getattr(found, method, None)):
            raise ConfigError(f"plugin {name!r}: {module.__name__}.{class_name} is none, it has no {method}()")
    return found


def _known_names() -> list[str]:
    """Return the names of the built-in plugins and of the entry points, without importing any."""
    return sorted({*BUILT_IN, *(entry_point.name for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP))})


def _extras() -> list[str]:
    try:
        return metadata.metadata("zeroscale").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return []


def _perhaps(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": there are {', '.join(known)}" if known else ""


def _in_words(error: Exception) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, ZeroscaleError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
