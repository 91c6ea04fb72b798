"""Checks a configuration before anything is started, and reports all mistakes at once.

The reader has already checked the values by themselves. Checked here is what needs Twisted, the plugins, the message
templates or the file system.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from zeroscale.config.loader import in_file, mistakes_error
from zeroscale.config.messages import Mistake, Mistakes, join
from zeroscale.config.model import HIGHEST_PORT, Config, ServerConfig, is_udp
from zeroscale.config.secret_refs import Secret
from zeroscale.config.tls import TlsUse, endpoint_uses, notify_uses, server_uses
from zeroscale.control import socket_path
from zeroscale.errors import ConfigError, MissingDependency, UnknownPlugin, ZeroscaleError, one_line
from zeroscale.frontend.messages import Messages
from zeroscale.lifecycle.plugin_adapter import PluginAdapter
from zeroscale.minecraft.player_lists import PlayerLists
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.plugins.loader import find_plugin
from zeroscale.process.spawn import check_program
from zeroscale.proxy import tcp_factory
from zeroscale.proxy.exclusive_use import ExclusiveUse
from zeroscale.proxy.factory import admission, child_environment, operator_directory, port_protocol
from zeroscale.reactor import Reactor
from zeroscale.system import endpoints
from zeroscale.system.files import directory_problem
from zeroscale.system.left_out import is_left_out

MakePlugin = Callable[[ServerConfig], PluginAdapter]

MIN_REDACTED = 3
"""Minimum length of a secret to redact in messages; a shorter one would match in ordinary words."""


def check(
    config: Config,
    reactor: Reactor,
    make_plugin: MakePlugin,
    file: Path | None = None,
    known: Mistakes | None = None,
    use: ExclusiveUse | None = None,
    unchanged: Collection[str] = (),
) -> None:
    """Check a whole configuration without starting anything.

    :param reactor: parses endpoint strings.
    :param make_plugin: constructs a server's plugin; raises `ZeroscaleError`.
    :param file: the configuration file; None: the configuration is from the command line, so messages have no path.
    :param known: mistakes that were found while reading. Values with a mistake are not checked again.
    :param use: what other servers have; those of the configuration are added to it.
    :param unchanged: names of servers whose plugins have checked them before; they would only repeat their warnings.
    :raises ConfigMistakes: one line for each mistake, the known ones first.
    """
    known = known or Mistakes()
    found = [
        in_file(mistake, file) if file is not None else replace(mistake, where=mistake.where or "")
        for mistake in mistakes(config, reactor, make_plugin, known.is_bad, use, unchanged)
    ]
    if known or found:
        raise mistakes_error([*known, *found])


def mistakes(
    config: Config,
    reactor: Reactor,
    make_plugin: MakePlugin,
    is_bad: Callable[[str], bool] = lambda path: False,
    use: ExclusiveUse | None = None,
    unchanged: Collection[str] = (),
) -> Iterator[Mistake]:
    """Find the mistakes of a configuration; see `check`.

    :param is_bad: returns whether the value at a path of the file has a mistake already.
    """
    use = use or ExclusiveUse()
    metrics = config.metrics.listen
    if metrics is not None:
        without_tls = _left_out(endpoint_uses("metrics.listen", metrics))
        yield from without_tls or _errors("metrics.listen", partial(endpoints.check, reactor, metrics))
    if config.control.listen:
        yield from _errors("control.listen", partial(socket_path.parse_listen, config.control.listen))
    if config.notify:
        from zeroscale.proxy import notifications

        yield from _left_out(notify_uses(config))
        yield from notifications.mistakes(config, is_bad)
    for server in config.servers:
        path = join("servers", server.name)
        bad = partial(_any_bad, is_bad, path)
        without_tls = [] if bad("listen", "plugin") else _server_left_out(server, f"{path}.plugin")
        yield from without_tls
        if without_tls:  # what needs it cannot be checked
            continue
        plugins: list[PluginAdapter] = []
        for mistake in _server_mistakes(server, path, reactor, make_plugin, plugins, bad, server.name not in unchanged):
            yield replace(mistake, text=_redact(_secrets(server), mistake.text))
        for plugin in plugins:
            if plugin.speaks_minecraft and not bad("listen") and is_udp(server.listen[0]):
                text = (
                    f"{server.listen[0]!r} is for UDP, and this server speaks Minecraft Java, over TCP; describe UDP "
                    "ports in tables of ports"
                )
                yield Mistake(f"{path}.listen", text)
            for name in tcp_factory.unused_fields(server) if plugin.speaks_minecraft else ():
                text = "is for servers that do not speak Minecraft, and this one does; remove it"
                yield Mistake(f"{path}.{name}", text, where=f"--{name.replace('_', '-')}")
            if server.wake_on is None and port_protocol(server.all_ports[0], plugin) not in ("minecraft", "http"):
                for name in tcp_factory.fields_for_http(server):
                    text = "is for HTTP: it needs protocol http or wake_on http"
                    yield Mistake(f"{path}.{name}", text, where=f"--{name.replace('_', '-')}")
            directory = operator_directory(server, config, plugin)
            lists = PlayerLists(ServerFiles(directory), reactor.seconds) if plugin.speaks_minecraft else None
            if not bad("admission"):
                yield from _errors(f"{path}.admission", partial(admission, server, config, lists))
            for mistake in use.add(server, plugin, directory, bad):
                yield replace(mistake, text=_redact(_secrets(server), mistake.text))


def _left_out(uses: Iterable[TlsUse]) -> list[Mistake]:
    """Return a mistake for each value that needs TLS in a process that has left it out."""
    found = (
        Mistake(
            use.path,
            f"{use.value!r} needs TLS, which zeroscale left out when it started, as nothing needed it: "
            "run 'zeroscalectl check' on the file, then restart zeroscale",
            environment=True,
        )
        for use in uses
        if is_left_out(use.module)
    )
    return list(dict.fromkeys(found))


def _server_left_out(server: ServerConfig, plugin_path: str) -> list[Mistake]:
    """Return the same for a server; a plugin that does not exist needs nothing, and is a mistake of its own."""
    found = _left_out(server_uses(server))
    if not any(mistake.path == plugin_path for mistake in found):
        return found
    try:
        find_plugin(server.plugin)
    except UnknownPlugin as error:
        others = [mistake for mistake in found if mistake.path != plugin_path]
        return [*others, Mistake(plugin_path, one_line(str(error)))] if others else []
    except ConfigError:  # perhaps for want of TLS
        pass
    return found


def _any_bad(is_bad: Callable[[str], bool], path: str, *keys: str) -> bool:
    return any(is_bad(f"{path}.{key}") for key in keys)


def _server_mistakes(
    server: ServerConfig,
    path: str,
    reactor: Reactor,
    make_plugin: MakePlugin,
    plugins: list[PluginAdapter],
    bad: Callable[..., bool],
    asked: bool,
) -> Iterator[Mistake]:
    """Find the mistakes of one server; append its plugin to `plugins` if that can be constructed.

    :param bad: returns whether any of the given keys of the server has a mistake already.
    :param asked: the plugin is asked whether its server could be started.
    """
    for index, port in enumerate(server.all_ports, -1):
        at = "listen" if port.is_main else f"ports[{index}].listen"
        if not bad(at) and port.is_udp and sys.platform != "linux":
            yield Mistake(f"{path}.{at}", "UDP ports need Linux", environment=True)
        for listen in () if bad(at) or is_udp(port.listen[0]) else port.listen:
            yield from _errors(f"{path}.{at}", partial(endpoints.check, reactor, listen))
    for name, text in server.texts.items():
        yield from _errors(join(f"{path}.texts", name), partial(Messages, {name: text}))
    unknown = [] if bad("plugin") else list(_errors(f"{path}.plugin", partial(find_plugin, server.plugin)))
    yield from unknown
    if not unknown and not bad("plugin", "plugin_arguments"):
        if bad("server"):  # any port will do to check the other arguments
            server = msgspec.structs.replace(server, server_port=HIGHEST_PORT)
        yield from _errors(f"{path}.plugin_arguments", lambda: plugins.append(make_plugin(server)))
    if bad("working_directory"):
        return
    needs_directory = server.working_directory is not None or not any(plugin.is_remote for plugin in plugins)
    problem = directory_problem(server.directory)
    if needs_directory and problem is not None:
        text = f"working directory {str(server.directory)!r} {problem}"
        yield Mistake(f"{path}.working_directory", text, environment=True)
    elif plugins and asked and not bad("server"):
        for mistake in _errors(path, plugins[0].check):
            yield replace(mistake, environment=True)
    if server.busy_command is not None and problem is None and not bad("busy_command"):
        for mistake in _errors(f"{path}.busy_command", partial(_check_command, server, server.busy_command)):
            yield replace(mistake, environment=True, where="--busy-command")


def _check_command(server: ServerConfig, words: Sequence[str]) -> None:
    check_program(words, server.directory, child_environment(server).build())


def _errors(path: str, action: Callable[[], object]) -> Iterator[Mistake]:
    try:
        action()
    except ZeroscaleError as error:
        yield Mistake(path, one_line(str(error)), environment=isinstance(error, MissingDependency))


def _secrets(server: ServerConfig) -> Iterable[Secret]:
    found: list[Secret] = []
    queue: list[object] = [server.plugin_positional, server.plugin_keywords, server.texts]
    while queue:
        match queue.pop():
            case Secret() as secret:
                found.append(secret)
            case Mapping() as table:
                queue.extend(table.values())
            case list() | tuple() as values:
                queue.extend(values)
    return found


def _redact(secrets: Iterable[Secret], text: str) -> str:
    """Replace secrets in the message of a plugin, which may quote its arguments."""
    for secret in secrets:
        if len(secret) >= MIN_REDACTED:
            text = text.replace(str(secret), repr(secret))
    return text
