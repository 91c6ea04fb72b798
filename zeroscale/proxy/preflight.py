"""Whether a configuration can be run, as far as that is seen without running it: all that is in the way, in one go.

What the values alone tell has been judged where they were read. Here it is asked what only Twisted, the plugins, the
texts' own language and the disk know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zeroscale.config.loader import in_file, mistakes_error
from zeroscale.config.messages import Mistake, Mistakes, join
from zeroscale.config.model import Config, ServerConfig
from zeroscale.config.secret_refs import Secret
from zeroscale.control import socket_path as paths
from zeroscale.errors import MissingDependency, ZeroscaleError, one_line
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.loader import find_plugin
from zeroscale.proxy import tcp_factory as any_server
from zeroscale.proxy.factory import admission, home_of
from zeroscale.system import endpoints as listening

MakePlugin = Callable[[ServerConfig], PluginAdapter]

SHORTEST_HIDDEN = 3
"""Characters of a secret; one that is shorter stands in every other word."""


def check(
    config: Config,
    reactor: Any,
    make_plugin: MakePlugin,
    file: Path | None = None,
    known: Mistakes | None = None,
) -> None:
    """Check a whole configuration without starting anything.

    :param reactor: the one that is to run it.
    :param make_plugin: constructs a server's plugin; raises `ZeroscaleError` where it cannot.
    :param file: where the configuration was read; None: the command line, whose mistakes are shown without a path.
    :param known: mistakes that have been found while reading. What they are about is not checked again.
    :raises ConfigMistakes: it cannot be run; the lines name what to change, the known ones first.
    """
    known = known or Mistakes()
    found = [
        in_file(mistake, file) if file is not None else replace(mistake, where="")
        for mistake in mistakes(config, reactor, make_plugin, known.is_bad)
    ]
    if known or found:
        raise mistakes_error([*known, *found])


def mistakes(
    config: Config, reactor: Any, make_plugin: MakePlugin, is_bad: Callable[[str], bool] = lambda path: False
) -> Iterator[Mistake]:
    """Yield the mistakes; see `check`.

    :param is_bad: whether a path of the file has a mistake already, and its value is not the one that was meant.
    """
    if config.metrics.listen is not None:
        from zeroscale.control import metrics_http as metrics_resource  # imports Twisted's HTTP, which takes a while

        yield from _raised("metrics.listen", partial(metrics_resource.check, reactor, config.metrics.listen))
    if config.control.listen:
        yield from _raised("control.listen", partial(paths.parse_listen, config.control.listen))
    speaks: dict[str, tuple[str, bool]] = {}
    worlds: dict[Path, str] = {}
    for server in config.servers:
        path = join("servers", server.name)

        def bad(*keys: str, path: str = path) -> bool:
            return any(is_bad(f"{path}.{key}") for key in keys)

        plugins: list[PluginAdapter] = []
        for mistake in _of_server(server, path, reactor, make_plugin, plugins, bad):
            yield replace(mistake, text=_without(_secrets(server), mistake.text))
        for plugin in plugins:
            for name in any_server.unused(server) if plugin.speaks_minecraft else ():
                yield Mistake(
                    f"{path}.{name}", f"{name} is for servers that do not speak Minecraft, as {server.plugin} does"
                )
            home = home_of(server, config, plugin)
            files = ServerFiles(home) if plugin.speaks_minecraft else None
            if not bad("admission"):
                yield from _raised(f"{path}.admission", partial(admission, server, config, files))
            if not bad("listen", "hosts"):
                yield from _of_sharing(server, path, plugin.speaks_minecraft, speaks)
            other = worlds.setdefault(home.resolve(), path) if plugin.speaks_minecraft else path
            if other != path:
                yield Mistake(
                    f"{path}.working_directory",
                    f"{str(server.directory)!r} is {other}'s as well; each Minecraft server needs one of its own, with "
                    "its world and its lists",
                )


def _of_server(
    server: ServerConfig,
    path: str,
    reactor: Any,
    make_plugin: MakePlugin,
    plugins: list[PluginAdapter],
    bad: Callable[..., bool],
) -> Iterator[Mistake]:
    for where in () if bad("listen") else server.listen:
        yield from _raised(f"{path}.listen", partial(listening.check, reactor, where))
    for name, text in server.texts.items():
        yield from _raised(join(f"{path}.texts", name), partial(Messages, {name: text}))
    unknown = [] if bad("plugin") else list(_raised(f"{path}.plugin", partial(find_plugin, server.plugin)))
    yield from unknown
    if not unknown and not bad("plugin", "plugin_arguments", "server", "working_directory"):
        yield from _raised(f"{path}.plugin_arguments", lambda: plugins.append(make_plugin(server)))
    if bad("working_directory"):
        return
    needed = server.working_directory is not None or not any(plugin.is_remote for plugin in plugins)
    if needed and not server.directory.is_dir():
        text = f"working directory {str(server.directory)!r} {_lacking(server.directory)}"
        yield Mistake(f"{path}.working_directory", text, environment=True)
    elif plugins:
        for mistake in _raised(path, plugins[0].check):
            yield replace(mistake, environment=True)


def _lacking(directory: Path) -> str:
    return "is no directory" if directory.exists() else "does not exist"


def _of_sharing(
    server: ServerConfig, path: str, minecraft: bool, speaks: dict[str, tuple[str, bool]]
) -> Iterator[Mistake]:
    """Only Minecraft's clients say whom they mean."""
    if server.hosts and not minecraft:
        yield Mistake(f"{path}.hosts", "only Minecraft's clients say which host they mean; leave it out")
    for where in server.listen:
        other, other_minecraft = speaks.setdefault(where, (path, minecraft))
        if other != path and not (minecraft and other_minecraft):
            yield Mistake(
                f"{path}.listen",
                f"{other} listens on {where} as well, and only Minecraft's clients say whom they mean; "
                "give one of them another port",
            )


def _raised(path: str, judge: Callable[[], object]) -> Iterator[Mistake]:
    try:
        judge()
    except ZeroscaleError as error:
        yield Mistake(path, one_line(str(error)), environment=isinstance(error, MissingDependency))


def _secrets(server: ServerConfig) -> Iterable[Secret]:
    found: list[Secret] = []
    todo: list[object] = [server.plugin_positional, server.plugin_keywords, server.texts]
    while todo:
        match todo.pop():
            case Secret() as secret:
                found.append(secret)
            case Mapping() as table:
                todo.extend(table.values())
            case list() | tuple() as values:
                todo.extend(values)
    return found


def _without(secrets: Iterable[Secret], text: str) -> str:
    """A message of a plugin's, that may have quoted what it was given."""
    for secret in secrets:
        if len(secret) >= SHORTEST_HIDDEN:
            text = text.replace(str(secret), repr(secret))
    return text
