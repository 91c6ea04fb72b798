"""What only one server of a configuration can have, where a plugin must be asked: worlds, ports, what it controls.

What shows in the configuration alone is compared by `config.conflicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from zeroscale.config.messages import Mistake, join
from zeroscale.config.model import ServerConfig
from zeroscale.proxy.factory import ClientProtocol, port_protocol
from zeroscale.proxy.tcp_factory import HostKind, host_kind
from zeroscale.system.files import resolved


class PluginFacts(ClientProtocol, Protocol):
    """What is asked of a plugin; `lifecycle.plugin_adapter.PluginAdapter` describes it."""

    @property
    def controls(self) -> Mapping[str, bool]:
        """The names of what it starts and stops, and for each whether it stops it."""


SPOKEN: Mapping[HostKind, str] = {"minecraft": "Minecraft", "http": "HTTP", "tls": "TLS"}


class ExclusiveUse:
    """What the servers have that were added so far."""

    def __init__(self) -> None:
        self._listens: dict[str, tuple[str, HostKind | None]] = {}
        self._worlds: dict[Path, str] = {}
        self._controlled: dict[str, tuple[str, bool]] = {}

    def copy(self) -> ExclusiveUse:
        """Return another one with the same servers."""
        other = ExclusiveUse()
        other._listens.update(self._listens)
        other._worlds.update(self._worlds)
        other._controlled.update(self._controlled)
        return other

    def add(
        self,
        server: ServerConfig,
        plugin: PluginFacts,
        directory: Path,
        bad: Callable[..., bool] = lambda *keys: False,
    ) -> Iterator[Mistake]:
        """Add a server; find what it has and an earlier one has, too.

        :param directory: the directory of the operator's files; see `factory.operator_directory`.
        :param bad: returns whether any of the given keys of the server has a mistake already.
        """
        path = join("servers", server.name)
        yield from self._add_ports(server, path, plugin, bad)
        if plugin.speaks_minecraft and not bad("working_directory"):
            other = self._worlds.setdefault(resolved(directory), path)
            if other != path:
                yield Mistake(
                    f"{path}.working_directory",
                    f"{str(server.directory)!r} is {other}'s as well; each Minecraft server needs a directory of its "
                    "own, for its world and its lists",
                )
        yield from self._add_controlled(path, plugin.controls)

    def _add_ports(
        self, server: ServerConfig, path: str, plugin: PluginFacts, bad: Callable[..., bool]
    ) -> Iterator[Mistake]:
        """Find `hosts` and shared ports where clients do not name the host, or not in the same way."""
        for index, port in enumerate(server.all_ports, -1):
            table = "" if port.is_main else f"ports[{index}]."
            if bad(f"{table}listen", f"{table}hosts", f"{table}wake_on", f"{table}protocol"):
                continue
            kind = None if port.is_udp else host_kind(port.wake_on, port_protocol(port, plugin))
            if port.hosts and kind is None:
                yield Mistake(
                    f"{path}.{table}hosts",
                    "its clients do not name the host they connect to, as those of Minecraft, of HTTP (protocol or "
                    "wake_on http) and of TLS (wake_on tls) do; remove hosts",
                    where=None if port.is_main else f"port {', '.join(port.listen)}",  # there may be no file
                )
            for listen in port.listen:
                where, others = self._listens.setdefault(listen, (f"{path}.{table}".removesuffix("."), kind))
                if f"{where}." == f"{path}.{table}" or (kind is not None and kind == others):
                    continue
                problem = (
                    "clients are told apart by the host they name only with Minecraft, HTTP (protocol or wake_on http) "
                    "and TLS (wake_on tls)"
                    if kind is None or others is None
                    else f"its clients speak {SPOKEN[others]}, but these speak {SPOKEN[kind]}"
                )
                yield Mistake(
                    f"{path}.{table}listen",
                    f"{where} listens on {listen} as well, and {problem}; give one of them another port",
                )

    def _add_controlled(self, path: str, controls: Mapping[str, bool]) -> Iterator[Mistake]:
        reported = set()
        for name, stops in controls.items():
            other, other_stops = self._controlled.setdefault(name, (path, stops))
            if other != path and (stops or other_stops) and other not in reported:
                reported.add(other)
                yield Mistake(
                    f"{path}.plugin_arguments",
                    f"{name} is {other}'s as well, and would be stopped under the clients of one when the other is "
                    "idle; name another one here, or make one server of them, whose listen can be a list",
                )


def shared(controls: Mapping[str, bool], others: Mapping[str, bool]) -> str | None:
    """Return the name of what two servers control and one of them stops; None: nothing."""
    return next((name for name, stops in controls.items() if name in others and (stops or others[name])), None)
