"""Servers that the labels of containers describe, as tables of the configuration file. Pure.

A container with a label `zeroscale.host` or `zeroscale.listen` becomes `[servers.NAME]`. A label may come from an image
of unknown origin, so it can set only what concerns its own server (`plugins.support.labels`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from zeroscale.errors import PluginError
from zeroscale.plugins.docker.container import HOST_NETWORK, LOOPBACK
from zeroscale.plugins.support.arguments import protocol
from zeroscale.plugins.support.json_object import JsonObject, list_at, member, object_at, text_at
from zeroscale.plugins.support.labels import FURTHER_PORTS, NUMBER, UDP, Table, further_ports, hosts, listen_values, put

PREFIX = "zeroscale."

SPECIAL_KEYS = ("host", "listen", "name", "network", "port", "protocol", "health", "console")
"""Labels that are not keys of a server's table, or mean something else here."""

ARGUMENTS = ("network", "protocol", "health", "console")
"""Labels that are arguments of the plugin. A console command runs inside the container that has the label."""

MINECRAFT_PORT, BEDROCK_PORT = 25565, 19132

NO_NETWORK = "none"


def is_described(labels: Mapping[str, str] | None) -> bool:
    """Return whether a container with these labels is to be a server of ours."""
    return bool(labels) and any(f"{PREFIX}{key}" in (labels or {}) for key in ("host", "listen"))


def tables_of(
    inspections: Iterable[JsonObject],
    listen: Sequence[str],
    extra: Mapping[str, str],
    engine_host: str = LOOPBACK,
) -> tuple[dict[str, Table], list[str]]:
    """Return the tables of all servers that are described, by name, and the mistakes in labels, one line each.

    :param inspections: containers, as the engine's API gives them.
    :param listen: where servers listen without a label for it.
    :param extra: more plugin arguments for each server.
    :param engine_host: where ports that containers publish are reached.
    """
    tables: dict[str, Table] = {}
    wrong: list[str] = []
    for inspection in sorted(inspections, key=_name):
        where = f"container {_name(inspection)}"
        name = _labels(inspection).get(f"{PREFIX}name", "").strip() or _name(inspection)
        try:
            table = _table(inspection, listen, extra, engine_host, wrong)
        except PluginError as error:
            wrong.append(f"{where}: {error}")
            continue
        if table is None:
            continue
        if name in tables:
            wrong.append(f"{where}: there is a server {name!r} already: give it another {PREFIX}name")
        else:
            tables[name] = table
    return tables, wrong


def _table(
    inspection: JsonObject, listen: Sequence[str], extra: Mapping[str, str], engine_host: str, wrong: list[str]
) -> Table | None:
    labels = _labels(inspection)
    if not is_described(labels):
        return None
    our_labels = {
        key.removeprefix(PREFIX): text.strip() for key, text in sorted(labels.items()) if key.startswith(PREFIX)
    }
    arguments = {
        "container": _name(inspection),
        **extra,
        **{key: our_labels[key] for key in ARGUMENTS if our_labels.get(key)},
    }
    listens = listen_values(our_labels["listen"]) if our_labels.get("listen") else list(listen)
    if listens is None:
        raise PluginError(
            f"{PREFIX}listen={our_labels['listen']!r} is not a port, such as {MINECRAFT_PORT} or udp:19132"
        )
    is_udp = listens[0].startswith(UDP)
    transport = "udp" if is_udp else "tcp"
    udp_protocol = arguments.pop("protocol", None) if is_udp else None  # the plugin knows those over TCP only
    try:
        protocol(arguments.get("protocol"))
    except PluginError as error:
        raise PluginError(f"{PREFIX}{error}") from None
    port = _port(our_labels.get("port"), inspection, transport)
    address = _address(inspection, port, our_labels.get("network"), engine_host, transport)
    if address is None:
        arguments["network"] = our_labels.get("network") or _only_network(inspection)
        address = f"{_name(inspection)}:{port}"  # by its name if that can be resolved; else known once it runs
    table: Table = {"plugin": "docker", "plugin_arguments": arguments, "listen": listens, "server": address}
    if udp_protocol is not None:
        table["protocol"] = udp_protocol
    if our_labels.get("host"):
        table["hosts"] = hosts(our_labels["host"])
    where = f"container {_name(inspection)}: {PREFIX}"
    for key, text in our_labels.items():
        if key not in SPECIAL_KEYS and not key.startswith(FURTHER_PORTS):
            put(table, key, text, f"{where}{key}", SPECIAL_KEYS, wrong)
    further: list[Table] = []
    for each in further_ports(our_labels, where, wrong):
        own = _address(inspection, each.port, our_labels.get("network"), engine_host, "udp" if each.is_udp else "tcp")
        if "network" in arguments:  # where the main port is reached, this one is, too
            own = str(each.port)
        if own is None:
            wrong.append(f"{each.where}port={each.port} is not published, as the main port is: it cannot be reached")
        else:
            further.append({**each.table, "server": own})
    if further:
        table["ports"] = further
    return table


def _port(label: str | None, inspection: JsonObject, transport: str) -> int:
    """Return the port inside the container: of its label, else the only one that it exposes, else Minecraft's.

    :raises PluginError: the label is wrong.
    """
    if label:
        if not NUMBER.fullmatch(label) or not 1 <= int(label) <= 65535:
            raise PluginError(f"{PREFIX}port={label!r} is not a port, such as {MINECRAFT_PORT}")
        return int(label)
    exposed = object_at(inspection, "Config", "ExposedPorts")
    found = [port.removesuffix(f"/{transport}") for port in exposed if port.endswith(f"/{transport}")]
    if len(found) == 1 and found[0].isdigit():
        return int(found[0])
    return MINECRAFT_PORT if transport == "tcp" else BEDROCK_PORT


def _address(
    inspection: JsonObject, port: int, network: str | None, engine_host: str, transport: str = "tcp"
) -> str | None:
    """Return where its server is reached, or None where that is not known while it does not run."""
    if HOST_NETWORK in (network, member(inspection, "HostConfig", "NetworkMode")):
        return f"{engine_host}:{port}"
    if network:
        return None
    for binding in list_at(inspection, "HostConfig", "PortBindings", f"{port}/{transport}"):
        host_port = text_at(binding, "HostPort") or "0"
        if host_port != "0":
            return f"{_published_at(text_at(binding, 'HostIp'), engine_host)}:{host_port}"
    return None


def _published_at(address: str, engine_host: str) -> str:
    """Return where a port is reached that is published at this address of the engine's machine; "" is all of them."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return engine_host
    if known.is_unspecified:
        return engine_host
    return f"[{known}]" if known.version == 6 else str(known)


def _only_network(inspection: JsonObject) -> str:
    """Return the network to reach it in: the only one, or the one that compose has made for its project."""
    networks = [name for name in object_at(inspection, "NetworkSettings", "Networks") if name != NO_NETWORK]
    if len(networks) == 1:
        return networks[0]
    default = f"{_labels(inspection).get('com.docker.compose.project')}_default"
    if default in networks:
        return default
    if not networks:
        raise PluginError("it is in no network, and publishes no port: its server cannot be reached")
    raise PluginError(f"it is in several networks: name one with {PREFIX}network: {', '.join(sorted(networks))}")


def _labels(inspection: JsonObject) -> Mapping[str, str]:
    return {key: str(text) for key, text in object_at(inspection, "Config", "Labels").items()}


def _name(inspection: JsonObject) -> str:
    return (text_at(inspection, "Name") or text_at(inspection, "Id")).lstrip("/")
