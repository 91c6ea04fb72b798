"""Change the configuration of one server while it may be running.

Most fields take effect at once. Those of `RESTART_FIELDS` take effect when the running server has stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from zeroscale.config.keys import all_keys
from zeroscale.config.model import Config, PortConfig, ServerConfig
from zeroscale.proxy.factory import QUERIED, ServerSettings, server_settings
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.plugin_setup import PluginSetup

RESTART_FIELDS = (
    "plugin",
    "plugin_positional",
    "plugin_keywords",
    "working_directory",
    "environment",
    "environment_file",
    "environment_only",
    "server_host",
    "server_port",
    "proxy_protocol",
    "ready",
    "protocol",
)
"""Fields of a server's configuration that cannot be changed while the server runs."""


class ServerChange(Struct, frozen=True):
    """A change of one server's configuration, checked and ready to be applied.

    :ivar proxy_config: the new configuration of the proxy.
    :ivar setup: the new plugin, with the new configuration of the server.
    :ivar settings: what takes effect at once.
    :ivar changed_keys: keys of the configuration file whose values differ.
    :ivar restart_keys: those of them that take effect only when the running server has stopped.
    """

    proxy_config: Config
    setup: PluginSetup
    settings: ServerSettings
    changed_keys: Sequence[str]
    restart_keys: Sequence[str]


def prepare_change(server: ManagedServer, config: ServerConfig, proxy_config: Config) -> ServerChange | None:
    """Check a new configuration of a server, and change nothing.

    :returns: the change, for `apply_change`; None: the configuration is the same.
    :raises ZeroscaleError: the configuration cannot be used.
    """
    old = server.config
    if config == old:
        return None
    changed = [name for name in config.__struct_fields__ if getattr(config, name) != getattr(old, name)]
    restart = [name for name in changed if name in RESTART_FIELDS]
    if "proxy_protocol" in restart and config.proxy_protocol.send == old.proxy_protocol.send:
        restart.remove("proxy_protocol")  # only the networks that send headers: a setting of the port
    if _queried(config) != _queried(old):
        restart.append("ports")  # they are opened at once, but the running server is asked as before
    setup = PluginSetup(config, proxy_config, server.reactor)
    settings = server_settings(config, proxy_config, setup.plugin, setup.player_lists)
    return ServerChange(proxy_config, setup, settings, _keys(changed), _keys(restart))


def apply_change(server: ManagedServer, change: ServerChange) -> str:
    """Apply a change: at once, or when the running server has stopped.

    :returns: the changed keys as text for the operator.
    """
    config = change.setup.config
    admission_changed = config.admission != server.config.admission
    server.use_config(config, change.proxy_config)
    if change.restart_keys:
        server.restart_pending = True
        server.lifecycle.replace_dependencies(
            server.dependencies(change.setup), partial(_complete, server, change.setup)
        )
    if server.restart_pending and change.setup.speaks_minecraft != server.speaks_minecraft:
        # The settings are for another protocol than the running server's.
        return f"from its next start on {', '.join(change.changed_keys)}"
    server.apply_settings(change.settings, admission=admission_changed)
    restart = change.restart_keys if server.restart_pending else ()
    at_once = [name for name in change.changed_keys if name not in restart]
    return ", ".join([*at_once, f"from its next start on {', '.join(restart)}"] if restart else at_once)


def _queried(config: ServerConfig) -> Sequence[PortConfig]:
    return [replace(port, listen=()) for port in config.ports if port.protocol in QUERIED]


def _keys(fields: Iterable[str]) -> list[str]:
    """Return the keys of the file that these fields belong to: `server_host` is a part of `server`."""
    names = {each.field.name: each.part_of or each.name for each in all_keys(ServerConfig)}
    return list(dict.fromkeys(names[name] for name in fields))


def _complete(server: ManagedServer, setup: PluginSetup) -> None:
    """Finish a change when the former server is down. Settings of later changes are kept."""
    server.restart_pending = False
    server.use_setup(setup)
    settings = server_settings(server.config, server.proxy_config, setup.plugin, setup.player_lists)
    server.apply_settings(settings, admission=True)
    server.on_replaced()
