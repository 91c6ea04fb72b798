"""Conflicts between the servers of one configuration: ports, hosts and addresses that only one can have. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from zeroscale.config import needs
from zeroscale.config.messages import Mistake, join, show
from zeroscale.config.model import PortConfig, ServerConfig, is_loopback_name, is_udp

_PORT = re.compile(r"(?:(udp):|tcp[46]?:)?(?:port=)?([0-9]{1,5})(:.*)?", re.ASCII)


class _Port(Struct, frozen=True, eq=False):
    """One port of one server, and the path of its table in the file."""

    server: ServerConfig
    config: PortConfig
    path: str


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
    ports = [port for server in servers for port in _ports_of(server)]

    def having(*keys: str) -> list[_Port]:
        return [port for port in ports if not any(is_bad(f"{port.path}.{key}") for key in keys)]

    yield from _shared_backends(having("server"))
    yield from _listening_on_backends(having("listen"), having("server"))
    yield from _shared_hosts(having("listen", "hosts"))
    bad_proxies = [server for server in servers if is_bad(f"{_path(server)}.proxy_protocol")]
    yield from _different_proxies([port for port in having("listen") if port.server not in bad_proxies])
    yield from _other_spellings(having("listen"), metrics)
    bad_needs = [server for server in servers for key in ("needs", "on_exit") if is_bad(f"{_path(server)}.{key}")]
    needing = [server for server in servers if server not in bad_needs]
    yield from needs.mistakes(needing, servers, discovers=discovers)


def port_of(listen: str) -> tuple[str, int] | None:
    """Return the transport, `tcp` or `udp`, and the port of a `listen` value; None if it is on neither."""
    found = _PORT.fullmatch(listen)
    return (found[1] or "tcp", int(found[2])) if found else None


def unix_path_of(listen: str) -> str | None:
    """Return the path of a `listen` value on a Unix socket; None: it is on none."""
    if not listen.startswith("unix:"):
        return None
    return listen.removeprefix("unix:").removeprefix("address=").partition(":")[0]


def real_addresses(server: ServerConfig) -> frozenset[tuple[str, str, int]]:
    """Return the transports, addresses and ports of all ports of a real server, each in one spelling."""
    return frozenset(map(_backend_of, _ports_of(server)))


def backend_address(host: str, port: int) -> tuple[str, int]:
    """Return the address of a real server in one spelling."""
    return "127.0.0.1" if is_loopback_name(host) else host.lower(), port


def _ports_of(server: ServerConfig) -> Iterator[_Port]:
    for index, port in enumerate(server.all_ports, -1):
        yield _Port(server, port, _path(server) if port.is_main else f"{_path(server)}.ports[{index}]")


def _backend_of(port: _Port) -> tuple[str, str, int]:
    """Return the transport, the address and the port of the real server behind a port, in one spelling."""
    if port.config.server_path is not None:
        return "unix", port.config.server_path, 0
    host = port.config.server_host or port.server.server_host
    is_udp = port.config.listen and port.config.is_udp  # without a listen value that is right there is none
    return "udp" if is_udp else "tcp", *backend_address(host, port.config.server_port or 0)


def _shared_backends(ports: Sequence[_Port]) -> Iterator[Mistake]:
    first: dict[tuple[str, str, int], _Port] = {}
    for port in ports:
        other = first.setdefault(_backend_of(port), port)
        if other.server is not port.server:
            host = port.config.server_host or port.server.server_host
            address = port.config.server_path or f"{host}:{port.config.server_port}"
            yield Mistake(
                f"{port.path}.server",
                f"{show(address)} is {other.path}'s as well; each server needs a port of its own",
            )


def _listening_on_backends(ports: Sequence[_Port], others: Sequence[_Port]) -> Iterator[Mistake]:
    backends: dict[tuple[str, int | str] | None, _Port] = {}
    for other in others:
        transport, host, number = _backend_of(other)
        if transport == "unix":
            backends.setdefault((transport, host), other)
        elif is_loopback_name(host):
            backends.setdefault((transport, number), other)
    for port in ports:
        for where in port.config.listen:
            path = unix_path_of(where)
            found = backends.get(port_of(where) if path is None else ("unix", path))
            if found is not None and _on_all_interfaces(where):
                backend = "its own server" if found.server is port.server else f"{found.path}'s server"
                yield Mistake(
                    f"{port.path}.listen", f"{show(where)} is the port of {backend}, which needs one of its own"
                )


def _by_listen(ports: Sequence[_Port]) -> Mapping[str, list[_Port]]:
    sharing: defaultdict[str, list[_Port]] = defaultdict(list)
    for port in ports:
        for where in dict.fromkeys(port.config.listen):
            sharing[where].append(port)
    return sharing


def _shared_hosts(ports: Sequence[_Port]) -> Iterator[Mistake]:
    reported = set()
    for where, group in _by_listen(ports).items():
        if is_udp(where):
            text = f"{show(where)} is {group[0].path}'s as well; a UDP port belongs to one server"
            yield from (Mistake(f"{port.path}.listen", text) for port in group[1:])
            continue
        by_host: dict[str | None, _Port] = {}
        for port in group:
            for host in port.config.hosts or (None,):
                other = by_host.setdefault(host, port)
                if other is port or (other.path, port.path, host) in reported:
                    continue
                reported.add((other.path, port.path, host))
                text = (
                    f"is missing, and {other.path} has none either; of the servers that listen on {show(where)} only "
                    'one can have no hosts; give each of the others its own, such as hosts = "survival.example.org"'
                    if host is None
                    else f"{show(host)} is a host of {other.path} on {show(where)} as well; give each server a "
                    "host of its own, or another port"
                )
                yield Mistake(f"{port.path}.hosts", text)


def _different_proxies(ports: Sequence[_Port]) -> Iterator[Mistake]:
    reported = set()
    for where, (first, *others) in _by_listen(ports).items():
        for port in others:
            accepted = {frozenset(each.server.proxy_protocol.accept_from) for each in (first, port)}
            names = (first.server.name, port.server.name)
            if len(accepted) > 1 and names not in reported:
                reported.add(names)
                yield Mistake(
                    f"{_path(port.server)}.proxy_protocol.accept_from",
                    f"differs from {_path(first.server)}'s, which listens on {show(where)} too; servers that share a "
                    "port must have the same",
                )


def _other_spellings(ports: Sequence[_Port], metrics: str | None) -> Iterator[Mistake]:
    """Yield the ports that are written in two ways: they could not be opened twice."""
    first: dict[tuple[str, int], tuple[str, str]] = {}
    listens = [(f"{port.path}.listen", where) for port in ports for where in port.config.listen]
    if metrics is not None:
        listens.append(("metrics.listen", metrics))
    for path, where in listens:
        number = port_of(where)
        if number is None or not _on_all_interfaces(where):
            continue
        other_path, other = first.setdefault(number, (path, where))
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
