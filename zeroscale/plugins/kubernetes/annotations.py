"""Servers that a cluster's own annotations describe, as tables of the configuration file. Pure.

A StatefulSet or Deployment with an annotation `zeroscale/host` or `zeroscale/listen` becomes `[servers.NAME]`. Whoever
may annotate it gains no more by that than what becomes of its own server (`described`): an address outside its
namespace cannot be said either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zeroscale.plugins.kubernetes.workload import NAMESPACE
from zeroscale.plugins.support.labels import NUMBER, Table, hosts, ports, put

PREFIX = "zeroscale/"
"""Of an annotation's key; a prefix is a DNS name by the API's rules, and this one belongs to nobody."""

OWN = ("host", "listen", "name", "port", "protocol", "service")
"""Keys that have no like in the file, or mean something else here."""

MINECRAFT_PORT = 25565


def tables_of(
    objects: Iterable[tuple[str, Mapping[str, Any]]], listen: object, extra: Mapping[str, str], *, qualified: bool
) -> tuple[dict[str, Table], list[str]]:
    """All servers that are described.

    :param objects: each with its kind, `statefulset` or `deployment`.
    :param listen: where those listen whose annotations do not say.
    :param extra: more plugin arguments for each.
    :param qualified: whether a name is `NAMESPACE.NAME`, where namespaces may have like names.
    :returns: the tables by their servers' names, and what is wrong with annotations, a line each.
    """
    tables: dict[str, Table] = {}
    wrong: list[str] = []
    for kind, found in sorted(objects, key=_order):
        described = _table(kind, found, listen, extra, wrong)
        if described is None:
            continue
        metadata = found["metadata"]
        own_name = f"{metadata['namespace']}.{metadata['name']}" if qualified else metadata["name"]
        name = _annotations(found).get(f"{PREFIX}name", "").strip() or own_name
        if name in tables:
            wrong.append(f"{_where(kind, found)}: there is a server {name!r} already: give it another {PREFIX}name")
        else:
            tables[name] = described
    return tables, wrong


def _table(
    kind: str, found: Mapping[str, Any], listen: object, extra: Mapping[str, str], wrong: list[str]
) -> Table | None:
    said = {key.removeprefix(PREFIX): value.strip() for key, value in _annotations(found).items() if _is_ours(key)}
    if not said.keys() & {"host", "listen"}:
        return None
    metadata = found["metadata"]
    arguments = {"resource": f"{kind}/{metadata['name']}", "namespace": metadata["namespace"], **extra}
    if said.get("protocol"):
        arguments["protocol"] = said["protocol"]
    service = said.get("service") or (found.get("spec") or {}).get("serviceName") or metadata["name"]
    port = said.get("port") or _first_port(found) or str(MINECRAFT_PORT)
    table: Table = {
        "plugin": "kubernetes",
        "plugin_arguments": arguments,
        "listen": ports(said["listen"]) if said.get("listen") else listen,
        "server": f"{service}.{metadata['namespace']}.svc:{port}",
    }
    if said.get("host"):
        table["hosts"] = hosts(said["host"])
    where = _where(kind, found)
    if not NAMESPACE.fullmatch(service):
        wrong.append(f"{where}: {PREFIX}service={service!r} is not the name of a Service in its namespace, such as mc")
        return None
    if not NUMBER.fullmatch(port):
        wrong.append(f"{where}: {PREFIX}port={port!r} is not a port, such as {MINECRAFT_PORT}")
        return None
    if table["listen"] is None:
        wrong.append(f"{where}: {PREFIX}listen={said['listen']!r} is not a port, such as {MINECRAFT_PORT}")
        return None
    for key, value in said.items():
        if key not in OWN:
            put(table, key, value, f"{where}: {PREFIX}{key}", OWN, wrong)
    return table


def _first_port(found: Mapping[str, Any]) -> str | None:
    pod = ((found.get("spec") or {}).get("template") or {}).get("spec") or {}
    ports: Sequence[Mapping[str, Any]] = [
        port for container in pod.get("containers") or [] for port in container.get("ports") or []
    ]
    tcp = [port for port in ports if port.get("protocol", "TCP") == "TCP" and port.get("containerPort")]
    named = [port for port in tcp if port.get("name") == "minecraft"]
    return str((named or tcp)[0]["containerPort"]) if tcp else None


def _annotations(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("metadata") or {}).get("annotations") or {}


def _is_ours(key: str) -> bool:
    return key.startswith(PREFIX)


def _where(kind: str, found: Mapping[str, Any]) -> str:
    return f"{kind}/{found['metadata']['name']} in namespace {found['metadata']['namespace']!r}"


def _order(each: tuple[str, Mapping[str, Any]]) -> tuple[str, str, str]:
    kind, found = each
    return found["metadata"]["namespace"], found["metadata"]["name"], kind
