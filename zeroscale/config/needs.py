"""The key `needs`: its mistakes, and how long a start may take with what is needed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from zeroscale.config.messages import Mistake, join, show
from zeroscale.config.model import ServerConfig
from zeroscale.errors import suggest

MOST_IN_A_ROW = 20
"""Servers that need one another in a row; people have three or four. Each waits in the stack of the next one."""


def mistakes(
    servers: Sequence[ServerConfig], all_servers: Sequence[ServerConfig], *, discovers: bool
) -> Iterator[Mistake]:
    """Yield the mistakes.

    :param servers: those whose `needs` could be read.
    :param discovers: labels or annotations may describe more servers, so that a name that is not known is no mistake;
        as they cannot leave a server running, what is left alone at the end is known only then.
    """
    servers = [server for server in servers if server.needs]
    if not servers:
        return
    if not discovers:
        yield from _unknown(servers, [server.name for server in all_servers])
        yield from _left_alone(servers, all_servers)
    cycles = list(_cycles(servers))
    yield from cycles or _long_chains(servers)


def not_found(servers: Sequence[ServerConfig]) -> Iterator[tuple[str, str]]:
    """Yield the name of each server that needs one that is not there, and the name of that."""
    names = {server.name for server in servers}
    for server in servers:
        yield from ((server.name, name) for name in dict.fromkeys(server.needs) if name not in names)


def longest_start(server: ServerConfig, servers: Sequence[ServerConfig]) -> float:
    """Return the sum of the start time-outs of a server and of what it needs, in seconds, along the longest way.

    :param servers: all servers, without cycles.
    """
    if not server.needs:
        return server.start_timeout
    servers = [server, *(each for each in servers if each.name != server.name)]
    return _longest_ways(servers, lambda each: each.start_timeout)[server.name]


def _longest_ways(servers: Sequence[ServerConfig], length: Callable[[ServerConfig], float]) -> Mapping[str, float]:
    from graphlib import TopologicalSorter

    by_name = {server.name: server for server in servers}
    ways: dict[str, float] = {}
    for name in TopologicalSorter({server.name: server.needs for server in servers}).static_order():
        if (server := by_name.get(name)) is not None:
            ways[name] = length(server) + max((ways[need] for need in server.needs if need in ways), default=0.0)
    return ways


def _unknown(servers: Sequence[ServerConfig], known: Collection[str]) -> Iterator[Mistake]:
    for server in servers:
        others = [name for name in known if name != server.name]
        for name in dict.fromkeys(server.needs):
            if name not in known:
                text = f"there is no server {show(name)}"
                meant = suggest(name, others, show=show)
                yield Mistake(_path(server), f"{text}; {meant}" if meant else text)


def _left_alone(servers: Sequence[ServerConfig], all_servers: Sequence[ServerConfig]) -> Iterator[Mistake]:
    stopped = {server.name for server in all_servers if server.on_exit == "stop"}
    for server in servers:
        if server.on_exit == "leave":
            for name in (name for name in dict.fromkeys(server.needs) if name in stopped):
                yield Mistake(
                    _path(server, "on_exit"),
                    f'"leave" would leave it running without {show(name)}, which it needs; '
                    f'write on_exit = "leave" in [{join("servers", name)}] too',
                )


def _long_chains(servers: Sequence[ServerConfig]) -> Iterator[Mistake]:
    lengths = _longest_ways(servers, lambda _: 1)
    for server in servers:
        if lengths[server.name] == MOST_IN_A_ROW:  # those that need it are too long as well
            yield Mistake(_path(server), f"begins a chain of more than {MOST_IN_A_ROW} servers that need each other")


def _cycles(servers: Sequence[ServerConfig]) -> Iterator[Mistake]:
    from graphlib import CycleError, TopologicalSorter

    by_name = {server.name: server for server in servers}
    needs = {server.name: dict.fromkeys(server.needs) for server in servers}
    while True:
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1][::-1]  # each needs the next one
        else:
            return
        first = min(range(len(cycle) - 1), key=lambda place: list(by_name).index(cycle[place]))
        cycle = [*cycle[first:-1], *cycle[: first + 1]]
        del needs[cycle[0]][cycle[1]]  # to find the next cycle
        if len(cycle) == 2:
            text = "a server cannot need itself"
        else:
            steps = ", ".join(f"{one} needs {other}" for one, other in pairwise(cycle))
            text = f"is a cycle: {steps}; none of them could be started first"
        yield Mistake(_path(by_name[cycle[0]]), text)


def _path(server: ServerConfig, key: str = "needs") -> str:
    return f"{join('servers', server.name)}.{key}"
