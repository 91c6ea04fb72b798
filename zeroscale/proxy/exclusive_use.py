"""What only one server of a configuration can have, where a plugin must be asked: worlds, ports, what it controls.

What shows in the configuration alone is compared by `config.conflicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from zeroscale.config.messages import Mistake, join
from zeroscale.config.model import ServerConfig
from zeroscale.system.files import resolved


class PluginFacts(Protocol):
    """What is asked of a plugin; `lifecycle.plugin_adapter.PluginAdapter` describes it."""

    @property
    def speaks_minecraft(self) -> bool:
        """Whether the server's clients speak Minecraft's protocol."""

    @property
    def controls(self) -> Mapping[str, bool]:
        """The names of what it starts and stops, and for each whether it stops it."""


class ExclusiveUse:
    """What the servers have that were added so far."""

    def __init__(self) -> None:
        self._protocols: dict[str, tuple[str, bool]] = {}
        self._worlds: dict[Path, str] = {}
        self._controlled: dict[str, tuple[str, bool]] = {}

    def copy(self) -> ExclusiveUse:
        """Return another one with the same servers."""
        other = ExclusiveUse()
        other._protocols.update(self._protocols)
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
        if not bad("listen", "hosts"):
            yield from self._add_ports(server, path, plugin.speaks_minecraft)
        if plugin.speaks_minecraft and not bad("working_directory"):
            other = self._worlds.setdefault(resolved(directory), path)
            if other != path:
                yield Mistake(
                    f"{path}.working_directory",
                    f"{str(server.directory)!r} is {other}'s as well; each Minecraft server needs a directory of its "
                    "own, for its world and its lists",
                )
        yield from self._add_controlled(path, plugin.controls)

    def _add_ports(self, server: ServerConfig, path: str, minecraft: bool) -> Iterator[Mistake]:
        """Find `hosts` and shared ports where the protocol does not name the host: only Minecraft's does."""
        if server.hosts and not minecraft:
            yield Mistake(f"{path}.hosts", "only Minecraft clients send the host they connect to; remove hosts")
        for listen in server.listen:
            other, other_minecraft = self._protocols.setdefault(listen, (path, minecraft))
            if other != path and not (minecraft and other_minecraft):
                yield Mistake(
                    f"{path}.listen",
                    f"{other} listens on {listen} as well, and only Minecraft clients send the host they connect to; "
                    "give one of them another port",
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
