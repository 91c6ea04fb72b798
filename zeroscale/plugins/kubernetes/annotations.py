"""Servers that the annotations of workloads describe, as tables of the configuration file. Pure.

A StatefulSet or Deployment with an annotation `zeroscale/host` or `zeroscale/listen` becomes `[servers.NAME]`.
Permission to annotate it gives control of its own server only (`plugins.support.labels`): the server cannot have an
address outside its namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from zeroscale.plugins.kubernetes.workload import NAMESPACE
from zeroscale.plugins.support.json_object import JsonObject, integer_at, list_at, object_at, text_at
from zeroscale.plugins.support.labels import FURTHER_PORTS, NUMBER, Table, further_ports, hosts, ports, put

PREFIX = "zeroscale/"
"""The prefix of our annotations' keys. By the API's rules it is a DNS name; no domain has this one."""

SPECIAL_KEYS = ("host", "listen", "name", "port", "protocol", "service")
"""Annotations that are not keys of a server's table, or mean something else here."""

MINECRAFT_PORT = 25565


def tables_of(
    items: Iterable[tuple[str, JsonObject]], listen: Sequence[str], extra: Mapping[str, str], *, qualified: bool
) -> tuple[dict[str, Table], list[str]]:
    """Return the tables of all servers that are described, by name, and the mistakes in annotations, one line each.

    :param items: each with its kind, `statefulset` or `deployment`.
    :param listen: where servers listen without an annotation for it.
    :param extra: more plugin arguments for each server.
    :param qualified: whether a name is `NAMESPACE.NAME`, since several namespaces may have the same names.
    """
    tables: dict[str, Table] = {}
    wrong: list[str] = []
    for kind, item in sorted(items, key=_order):
        table = _table(kind, item, listen, extra, wrong)
        if table is None:
            continue
        own_name = f"{_namespace(item)}.{_name(item)}" if qualified else _name(item)
        name = _annotations(item).get(f"{PREFIX}name", "").strip() or own_name
        if name in tables:
            wrong.append(f"{_where(kind, item)}: there is a server {name!r} already: give it another {PREFIX}name")
        else:
            tables[name] = table
    return tables, wrong


def _table(
    kind: str, item: JsonObject, listen: Sequence[str], extra: Mapping[str, str], wrong: list[str]
) -> Table | None:
    annotations = _annotations(item).items()
    our_annotations = {key.removeprefix(PREFIX): text.strip() for key, text in annotations if key.startswith(PREFIX)}
    if not our_annotations.keys() & {"host", "listen"}:
        return None
    where = f"{_where(kind, item)}: {PREFIX}"
    arguments = {"resource": f"{kind}/{_name(item)}", "namespace": _namespace(item), **extra}
    if our_annotations.get("protocol"):
        arguments["protocol"] = our_annotations["protocol"]
    service = our_annotations.get("service") or text_at(item, "spec", "serviceName") or _name(item)
    port = our_annotations.get("port") or _first_port(item) or str(MINECRAFT_PORT)
    table: Table = {
        "plugin": "kubernetes",
        "plugin_arguments": arguments,
        "listen": ports(our_annotations["listen"]) if our_annotations.get("listen") else list(listen),
        "server": f"{service}.{_namespace(item)}.svc:{port}",
    }
    if our_annotations.get("host"):
        table["hosts"] = hosts(our_annotations["host"])
    if not NAMESPACE.fullmatch(service):
        wrong.append(f"{where}service={service!r} is not the name of a Service in its namespace, such as mc")
        return None
    if not NUMBER.fullmatch(port):
        wrong.append(f"{where}port={port!r} is not a port, such as {MINECRAFT_PORT}")
        return None
    if table["listen"] is None:
        wrong.append(f"{where}listen={our_annotations['listen']!r} is not a port, such as {MINECRAFT_PORT}")
        return None
    for key, text in our_annotations.items():
        if key not in SPECIAL_KEYS and not key.startswith(FURTHER_PORTS):
            put(table, key, text, f"{where}{key}", SPECIAL_KEYS, wrong)
    further = [{**each.table, "server": str(each.port)} for each in further_ports(our_annotations, where, wrong)]
    if further:
        table["ports"] = further
    return table


def _first_port(item: JsonObject) -> str | None:
    """Return the first TCP port of its containers, one that is called `minecraft` before all others."""
    containers = list_at(item, "spec", "template", "spec", "containers")
    all_ports = [port for container in containers for port in list_at(container, "ports")]
    tcp = [port for port in all_ports if text_at(port, "protocol") in ("", "TCP") and integer_at(port, "containerPort")]
    named = [port for port in tcp if text_at(port, "name") == "minecraft"]
    return str(integer_at((named or tcp)[0], "containerPort")) if tcp else None


def _annotations(item: JsonObject) -> Mapping[str, str]:
    return {key: str(text) for key, text in object_at(item, "metadata", "annotations").items()}


def _name(item: JsonObject) -> str:
    return text_at(item, "metadata", "name")


def _namespace(item: JsonObject) -> str:
    return text_at(item, "metadata", "namespace")


def _where(kind: str, item: JsonObject) -> str:
    return f"{kind}/{_name(item)} in namespace {_namespace(item)!r}"


def _order(item: tuple[str, JsonObject]) -> tuple[str, str, str]:
    kind, content = item
    return _namespace(content), _name(content), kind
