"""Conflicts between the servers of one configuration: ports, hosts and addresses that only one can have. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from zeroscale.config import needs
from zeroscale.config.messages import Mistake, join, show
from zeroscale.config.model import ServerConfig, is_loopback_name

_PORT = re.compile(r"(?:tcp[46]?:)?(?:port=)?([0-9]{1,5})(:.*)?", re.ASCII)


def mistakes_between(
    servers: Sequence[ServerConfig],
    metrics: str | None = None,
    is_bad: Callable[[str], bool] = lambda path: False,
    *,
    discovers: bool = False,
) -> Iterator[Mistake]:
    """Yield the mistakes.

    :param metrics: where metrics are served.
    :param is_bad: whether a path of the file has a mistake of its own; what is there is not compared then.
    :param discovers: labels or annotations may describe more servers.
    """

    def having(*keys: str) -> list[ServerConfig]:
        return [server for server in servers if not any(is_bad(f"{_path(server)}.{key}") for key in keys)]

    yield from _shared_backends(having("server"))
    yield from _listening_on_backends(having("listen"), having("server"))
    yield from _shared_hosts(having("listen", "hosts"))
    yield from _different_proxies(having("listen", "proxy_protocol"))
    yield from _other_spellings(having("listen"), metrics)
    yield from needs.mistakes(having("needs", "on_exit"), servers, discovers=discovers)


def port_of(listen: str) -> int | None:
    """Return the TCP port of a `listen` value; None if it is not on TCP."""
    found = _PORT.fullmatch(listen)
    return int(found[1]) if found else None


def backend_address(host: str, port: int) -> tuple[str, int]:
    """Return the address of a real server in one spelling."""
    return "127.0.0.1" if is_loopback_name(host) else host.lower(), port


def _shared_backends(servers: Sequence[ServerConfig]) -> Iterator[Mistake]:
    first: dict[tuple[str, int], ServerConfig] = {}
    for server in servers:
        other = first.setdefault(backend_address(server.server_host, server.server_port), server)
        if other is not server:
            address = show(f"{server.server_host}:{server.server_port}")
            yield Mistake(
                f"{_path(server)}.server",
                f"{address} is {_path(other)}'s as well; each server needs a port of its own",
            )


def _listening_on_backends(servers: Sequence[ServerConfig], others: Sequence[ServerConfig]) -> Iterator[Mistake]:
    backends = {server.server_port: server for server in others if is_loopback_name(server.server_host)}
    for server in servers:
        for where in server.listen:
            other = backends.get(port_of(where) or 0)
            if other is not None and _on_all_interfaces(where):
                backend = "its own server" if other is server else f"{_path(other)}'s server"
                yield Mistake(
                    f"{_path(server)}.listen", f"{show(where)} is the port of {backend}, which needs one of its own"
                )


def _by_listen(servers: Sequence[ServerConfig]) -> Mapping[str, list[ServerConfig]]:
    sharing: defaultdict[str, list[ServerConfig]] = defaultdict(list)
    for server in servers:
        for where in dict.fromkeys(server.listen):
            sharing[where].append(server)
    return sharing


def _shared_hosts(servers: Sequence[ServerConfig]) -> Iterator[Mistake]:
    reported = set()
    for where, group in _by_listen(servers).items():
        by_host: dict[str | None, ServerConfig] = {}
        for server in group:
            for host in server.hosts or (None,):
                other = by_host.setdefault(host, server)
                if other is server or (other.name, server.name, host) in reported:
                    continue
                reported.add((other.name, server.name, host))
                text = (
                    f"is missing, and {_path(other)} has none either; of the servers that listen on {show(where)} only "
                    "one can have no hosts"
                    if host is None
                    else f"{show(host)} is a host of {_path(other)} on {show(where)} as well"
                )
                yield Mistake(f"{_path(server)}.hosts", text)


def _different_proxies(servers: Sequence[ServerConfig]) -> Iterator[Mistake]:
    reported = set()
    for where, (first, *others) in _by_listen(servers).items():
        for server in others:
            differs = set(server.proxy_protocol.accept_from) != set(first.proxy_protocol.accept_from)
            if differs and (first.name, server.name) not in reported:
                reported.add((first.name, server.name))
                yield Mistake(
                    f"{_path(server)}.proxy_protocol.accept_from",
                    f"differs from {_path(first)}'s, which listens on {show(where)} too; servers that share a port "
                    "must have the same",
                )


def _other_spellings(servers: Sequence[ServerConfig], metrics: str | None) -> Iterator[Mistake]:
    """Yield the ports that are written in two ways: they could not be opened twice."""
    first: dict[int, tuple[str, str]] = {}
    listens = [(f"{_path(server)}.listen", where) for server in servers for where in server.listen]
    if metrics is not None:
        listens.append(("metrics.listen", metrics))
    for path, where in listens:
        port = port_of(where)
        if port is None or not _on_all_interfaces(where):
            continue
        other_path, other = first.setdefault(port, (path, where))
        if path == "metrics.listen" and other_path != path:
            yield Mistake(path, f"{show(where)} is {other_path}'s port; metrics need one of their own")
        elif other != where:
            yield Mistake(
                path, f"{show(where)} is the same port as {other_path}'s {show(other)}; write it in the same way"
            )


def _on_all_interfaces(where: str) -> bool:
    return "interface=" not in where


def _path(server: ServerConfig) -> str:
    return join("servers", server.name)
