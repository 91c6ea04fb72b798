"""Compare the servers that run with a new configuration: which stay, change, go, come, or have to wait for others.

Plans only: `server_manager` carries the plan out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from zeroscale.config.conflicts import real_addresses
from zeroscale.config.model import Config, ServerConfig
from zeroscale.proxy.exclusive_use import shared
from zeroscale.proxy.factory import plugin_factory
from zeroscale.proxy.managed_server import ManagedServer
from zeroscale.proxy.reconfigure import ServerChange, prepare_change
from zeroscale.system.files import resolved

OWN_PLACE = "its name, port or world"


class ReloadPlan(Struct, frozen=True):
    """How to get from the current servers to those of a configuration.

    :ivar kept: servers that stay, including returning ones.
    :ivar returning: draining servers that are in the configuration again.
    :ivar removed: servers that are not in the configuration any more, or have to stop before they can change.
    :ivar changes: changes of kept servers.
    :ivar new: names of servers to add now.
    :ivar blocked: names of servers to add once another server has stopped, and what that one uses of theirs.
    """

    kept: Mapping[str, ManagedServer]
    returning: Mapping[str, ManagedServer]
    removed: Mapping[str, ManagedServer]
    changes: Mapping[str, ServerChange]
    new: Sequence[str]
    blocked: Mapping[str, str]


def plan_reload(
    servers: Mapping[str, ManagedServer], draining: Collection[ManagedServer], config: Config
) -> ReloadPlan:
    """Compare the servers with a configuration, check the changes, and change nothing.

    A server whose change would have it control what another one uses until that has stopped is replaced by a new one.

    :param servers: the servers of the former configuration, by name.
    :param draining: servers that have been removed from the configuration, but have not stopped yet.
    :raises ZeroscaleError: a change cannot be made.
    """
    wanted = {server.name: server for server in config.servers}
    returning = {each.name: each for each in draining if each.name in wanted and each.is_running}
    kept = {name: server for name, server in {**servers, **returning}.items() if name in wanted}
    prepared = {name: prepare_change(server, wanted[name], config) for name, server in kept.items()}
    changes = {name: change for name, change in prepared.items() if change is not None}
    gone = [server for name, server in servers.items() if name not in wanted]
    gone += [each for each in draining if each not in returning.values()]
    occupying = [*gone, *(server for name, server in kept.items() if _waits_for_stop(server, name in changes))]
    for name, change in list(changes.items()):
        others = [server for server in occupying if server is not kept[name]]
        if any(shared(change.setup.plugin.controls, other.controls) for other in others):
            del changes[name]
            returning.pop(name, None)
            occupying.append(kept.pop(name))
    removed = {name: server for name, server in servers.items() if name not in kept}
    new = [name for name in wanted if name not in kept]
    used = {name: what_is_used(wanted[name], config, occupying) for name in new}
    blocked = {name: what for name, what in used.items() if what is not None}
    return ReloadPlan(kept, returning, removed, changes, [name for name in new if name not in blocked], blocked)


def what_is_used(wanted: ServerConfig, config: Config, others: Collection[ManagedServer]) -> str | None:
    """Return what another server uses of a configuration: what it controls, its name, world or address; None: nothing.

    :param config: the configuration of the proxy.
    :raises ZeroscaleError: the plugin cannot be constructed.
    """
    controls = plugin_factory(wanted, config)().controls if others else {}
    names = [shared(controls, other.controls) for other in others]
    if any(names):
        return next(name for name in names if name is not None)
    addresses = real_addresses(wanted)
    is_used = any(
        wanted.name == other.name
        or (other.speaks_minecraft and resolved(wanted.directory) == resolved(other.directory))
        or addresses & _addresses_in_use(other)
        for other in others
    )
    return OWN_PLACE if is_used else None


def _addresses_in_use(server: ManagedServer) -> frozenset[tuple[str, str, int]]:
    host, port = server.address
    return real_addresses(replace(server.config, server_host=host, server_port=port))


def _waits_for_stop(server: ManagedServer, changes: bool) -> bool:
    """Return whether the server may keep its former name, port and world until it has stopped."""
    return server.restart_pending or (changes and not server.is_down)
