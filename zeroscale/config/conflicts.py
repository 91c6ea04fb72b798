"""What several servers of one configuration must not do to each other. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from zeroscale.config.messages import join, show
from zeroscale.config.model import ServerConfig, is_loopback_name

_PORT = re.compile(r"(?:tcp[46]?:)?(?:port=)?([0-9]{1,5})(:.*)?", re.ASCII)


def mistakes_between(servers: Sequence[ServerConfig], metrics: str | None = None) -> Iterator[str]:
    """The mistakes, one line each.

    :param metrics: where the metrics are.
    """
    yield from _shared_backends(servers)
    yield from _listening_on_backends(servers)
    yield from _shared_listens(servers)
    yield from _other_spellings(servers, metrics)


def port_of(listen: str) -> int | None:
    """The TCP port that a `listen` value means; None where it has none."""
    found = _PORT.fullmatch(listen)
    return int(found[1]) if found else None


def _shared_backends(servers: Sequence[ServerConfig]) -> Iterator[str]:
    first: dict[tuple[str, int], ServerConfig] = {}
    for server in servers:
        host = "127.0.0.1" if is_loopback_name(server.server_host) else server.server_host.lower()
        other = first.setdefault((host, server.server_port), server)
        if other is not server:
            yield (
                f"{_path(server)}.server: {show(f'{server.server_host}:{server.server_port}')} is {_path(other)}'s "
                "as well; each server needs a port of its own"
            )


def _listening_on_backends(servers: Sequence[ServerConfig]) -> Iterator[str]:
    backends = {server.server_port: server for server in servers if is_loopback_name(server.server_host)}
    for server in servers:
        for where in server.listen:
            other = backends.get(port_of(where) or 0)
            if other is not None and _everywhere(where):
                whose = "its own server" if other is server else f"{_path(other)}'s server"
                yield f"{_path(server)}.listen: {show(where)} is the port of {whose}, which needs one of its own"


def _shared_listens(servers: Sequence[ServerConfig]) -> Iterator[str]:
    sharing: defaultdict[str, list[ServerConfig]] = defaultdict(list)
    for server in servers:
        for where in dict.fromkeys(server.listen):
            sharing[where].append(server)
    reported = set()
    for where, group in sharing.items():
        by_host: dict[str | None, ServerConfig] = {}
        for server in group:
            for host in server.hosts or (None,):
                other = by_host.setdefault(host, server)
                if other is server or (other.name, server.name, host) in reported:
                    continue
                reported.add((other.name, server.name, host))
                if host is None:
                    yield (
                        f"{_path(server)}.hosts: is missing, and {_path(other)} has none either; of the servers "
                        f"that listen on {show(where)} only one can have no hosts"
                    )
                else:
                    yield f"{_path(server)}.hosts: {show(host)} is a host of {_path(other)} on {show(where)} as well"
            believed = group[0].proxy_protocol.accept_from
            differs = set(server.proxy_protocol.accept_from) != set(believed)
            if differs and (group[0].name, server.name, "proxy") not in reported:
                reported.add((group[0].name, server.name, "proxy"))
                yield (
                    f"{_path(server)}.proxy_protocol.accept_from: differs from {_path(group[0])}'s, which listens on "
                    f"{show(where)} too; servers that share a port must say the same"
                )


def _other_spellings(servers: Sequence[ServerConfig], metrics: str | None) -> Iterator[str]:
    """One port, written in two ways, cannot be listened on twice."""
    first: dict[int, tuple[str, str]] = {}
    places = [(f"{_path(server)}.listen", where) for server in servers for where in server.listen]
    if metrics is not None:
        places.append(("metrics.listen", metrics))
    for path, where in places:
        port = port_of(where)
        if port is None or not _everywhere(where):
            continue
        other_path, other = first.setdefault(port, (path, where))
        if path == "metrics.listen" and other_path != path:
            yield f"{path}: {show(where)} is {other_path}'s port; metrics need one of their own"
        elif other != where:
            yield f"{path}: {show(where)} is the same port as {other_path}'s {show(other)}; write it in the same way"


def _everywhere(where: str) -> bool:
    return "interface=" not in where


def _path(server: ServerConfig) -> str:
    return join("servers", server.name)
