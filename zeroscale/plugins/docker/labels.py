"""Servers that their containers' own labels describe, as tables of the configuration file. Pure.

A container with a label `zeroscale.host` or `zeroscale.listen` becomes `[servers.NAME]`. A label may come from an image
that somebody else has built, so it can say no more than what becomes of this server (`described`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from zeroscale.errors import PluginError
from zeroscale.plugins.docker.container import HOST_NETWORK, LOOPBACK
from zeroscale.plugins.support.arguments import protocol
from zeroscale.plugins.support.labels import NUMBER, Table, hosts, ports, put

PREFIX = "zeroscale."

OWN = ("host", "listen", "name", "network", "port", "protocol", "health", "console")
"""Keys that have no like in a server's table, or mean something else here."""

ARGUMENTS = ("network", "protocol", "health", "console")
"""Those that are the plugin's arguments. A console command runs inside the container, which its labels belong to."""

MINECRAFT_PORT = 25565

NO_NETWORK = "none"


def is_described(labels: Mapping[str, str] | None) -> bool:
    """Whether a container with these labels means to be a server of ours."""
    return bool(labels) and any(f"{PREFIX}{key}" in (labels or {}) for key in ("host", "listen"))


def tables_of(
    inspections: Iterable[Mapping[str, Any]], listen: object, extra: Mapping[str, str], engine_host: str = LOOPBACK
) -> tuple[dict[str, Table], list[str]]:
    """All servers that are described.

    :param inspections: of containers, as the engine gives them.
    :param listen: where those listen whose labels do not say.
    :param extra: more plugin arguments for each.
    :param engine_host: where ports are reached that containers publish.
    :returns: the tables by their servers' names, and what is wrong with labels, a line each.
    """
    tables: dict[str, Table] = {}
    wrong: list[str] = []
    for found in sorted(inspections, key=_name):
        name = _labels(found).get(f"{PREFIX}name", "").strip() or _name(found)
        try:
            table = _table(found, listen, extra, engine_host, wrong)
        except PluginError as error:
            wrong.append(f"container {_name(found)}: {error}")
            continue
        if table is None:
            continue
        if name in tables:
            wrong.append(f"container {_name(found)}: there is a server {name!r} already: give it another {PREFIX}name")
        else:
            tables[name] = table
    return tables, wrong


def _table(
    found: Mapping[str, Any], listen: object, extra: Mapping[str, str], engine_host: str, wrong: list[str]
) -> Table | None:
    labels = _labels(found)
    if not is_described(labels):
        return None
    said = {key.removeprefix(PREFIX): text.strip() for key, text in sorted(labels.items()) if key.startswith(PREFIX)}
    arguments = {"container": _name(found), **extra, **{key: said[key] for key in ARGUMENTS if said.get(key)}}
    try:
        protocol(said.get("protocol") or None)
    except PluginError as error:
        raise PluginError(f"{PREFIX}{error}") from None
    port = _port(said.get("port"), found)
    where = _where(found, port, said.get("network"), engine_host)
    if where is None:
        arguments["network"] = said.get("network") or _only_network(found)
        where = f"{_name(found)}:{port}"  # by its name, where that can be resolved; else known once it runs
    table: Table = {"plugin": "docker", "plugin_arguments": arguments, "listen": listen, "server": where}
    if said.get("listen"):
        table["listen"] = ports(said["listen"])
        if table["listen"] is None:
            raise PluginError(f"{PREFIX}listen={said['listen']!r} is not a port, such as {MINECRAFT_PORT}")
    if said.get("host"):
        table["hosts"] = hosts(said["host"])
    for key, text in said.items():
        if key not in OWN:
            put(table, key, text, f"container {_name(found)}: {PREFIX}{key}", OWN, wrong)
    return table


def _port(said: str | None, found: Mapping[str, Any]) -> int:
    """The port inside the container: as its label says, else the only one that it exposes, else Minecraft's."""
    if said:
        if not NUMBER.fullmatch(said) or not 1 <= int(said) <= 65535:
            raise PluginError(f"{PREFIX}port={said!r} is not a port, such as {MINECRAFT_PORT}")
        return int(said)
    exposed = [port.removesuffix("/tcp") for port in _section(found, "Config", "ExposedPorts") if port.endswith("/tcp")]
    return int(exposed[0]) if len(exposed) == 1 and exposed[0].isdigit() else MINECRAFT_PORT


def _where(found: Mapping[str, Any], port: int, network: str | None, engine_host: str) -> str | None:
    """Where its server is reached, as far as that is known while it does not run."""
    if HOST_NETWORK in (network, _section(found, "HostConfig").get("NetworkMode")):
        return f"{engine_host}:{port}"
    if network:
        return None
    for binding in _section(found, "HostConfig", "PortBindings").get(f"{port}/tcp") or []:
        if str(binding.get("HostPort") or "0") != "0":
            return f"{_published_at(binding.get('HostIp') or '', engine_host)}:{binding['HostPort']}"
    return None


def _published_at(address: str, engine_host: str) -> str:
    """Where a port is reached that is published at this address of the engine's machine; "" is all of them."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return engine_host
    if known.is_unspecified:
        return engine_host
    return f"[{known}]" if known.version == 6 else str(known)


def _only_network(found: Mapping[str, Any]) -> str:
    """The network to reach it in, where there is no choice, or compose has made one for its project."""
    networks = [name for name in _section(found, "NetworkSettings", "Networks") if name != NO_NETWORK]
    if len(networks) == 1:
        return str(networks[0])
    default = f"{_labels(found).get('com.docker.compose.project')}_default"
    if default in networks:
        return default
    if not networks:
        raise PluginError("it is in no network, and publishes no port: there is no way to its server")
    raise PluginError(f"it is in several networks: say by {PREFIX}network which: {', '.join(sorted(networks))}")


def _section(found: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for key in path:
        inside = found.get(key)
        if not isinstance(inside, Mapping):
            return {}
        found = inside
    return found


def _labels(found: Mapping[str, Any]) -> Mapping[str, str]:
    return _section(found, "Config", "Labels")


def _name(found: Mapping[str, Any]) -> str:
    return str(found.get("Name") or found.get("Id") or "").lstrip("/")
