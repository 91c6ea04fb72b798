"""What an engine's inspection says of one container, as values. Pure: no connection, no clock.

The fields are those of `GET /containers/{id}/json` of the Docker Engine API 1.41; podman's compatible socket has the
same ones. What is missing is taken for its zero value, as Go's JSON has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zeroscale.errors import PluginError

HOST_NETWORK = "host"
LOOPBACK = "127.0.0.1"
NO_TIME = "0001-01-01"
"""How Go writes the time that is none."""
NOBODYS_GRACE = (0, 10)
"""Stop time-outs, in seconds, that are nobody's choice: 10 is every engine's own, which podman writes into each
container; 0 is what podman 4.3 writes where one was created through its Docker-compatible API, as by compose."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it was at one moment.

    :ivar id: its whole id.
    :ivar name: its name, without the slash.
    :ivar alive: its processes are there, frozen or not.
    :ivar paused: they are frozen.
    :ivar restarting: they are not there, and the engine's restart policy will start them again.
    :ivar started_at: when it was last started, in the engine's words: names one run of it.
    :ivar exit_code: of the last run, where that has ended.
    :ivar out_of_memory: the kernel ended it for its memory limit.
    :ivar health: of its HEALTHCHECK: starting, healthy or unhealthy; None: it has none.
    :ivar grace: the stop time-out that its operator has given it, in seconds; None: none was given.
    :ivar stdin: lines can be typed into it.
    :ivar terminal: it has a terminal, so that its output is one stream.
    :ivar networks: its address in each of its networks; None while it does not run.
    """

    id: str
    name: str
    alive: bool
    paused: bool
    restarting: bool
    started_at: str
    exit_code: int | None
    out_of_memory: bool
    health: str | None
    grace: int | None
    stdin: bool
    terminal: bool
    networks: Mapping[str, str | None]

    @property
    def run(self) -> tuple[str, str]:
        """Names this run among all."""
        return self.id, self.started_at

    @property
    def started_second(self) -> int | None:
        """When this run began, in seconds since 1970 by the engine's clock; None: unknown."""
        return seconds_since_1970(self.started_at)

    def address(self, network: str) -> str:
        """Where it is reached in one of its networks.

        :raises PluginError: it is not in that network, or has no address there.
        """
        if network not in self.networks:
            known = ", ".join(sorted(self.networks)) or "none"
            raise PluginError(f"container {self.name} is not in a network {network!r}; its networks: {known}")
        if network == HOST_NETWORK:
            return LOOPBACK
        address = self.networks[network]
        if not address:
            raise PluginError(f"container {self.name} has no address in the network {network!r}")
        return address


def container_of(inspection: Mapping[str, Any]) -> Container:
    """One inspection as values.

    :raises ValueError: it is none.
    """
    identity = inspection.get("Id")
    if not isinstance(identity, str) or not identity:
        raise ValueError("an inspection without an Id")
    state = _mapping(inspection, "State")
    config = _mapping(inspection, "Config")
    restarting = bool(state.get("Restarting"))
    # podman says of one that is being stopped that it does not run, while its server saves.
    alive = (bool(state.get("Running")) or state.get("Status") in ("paused", "stopping")) and not restarting
    health = _mapping(state, "Health").get("Status") or _mapping(state, "Healthcheck").get("Status")
    networks = {
        name: (settings or {}).get("IPAddress") or (settings or {}).get("GlobalIPv6Address") or None
        for name, settings in _mapping(_mapping(inspection, "NetworkSettings"), "Networks").items()
    }
    mode = _mapping(inspection, "HostConfig").get("NetworkMode")
    if mode == HOST_NETWORK:
        networks.setdefault(HOST_NETWORK, None)
    grace = config.get("StopTimeout")
    return Container(
        id=identity,
        name=str(inspection.get("Name") or identity[:12]).lstrip("/"),
        alive=alive,
        paused=alive and bool(state.get("Paused")),
        restarting=restarting,
        started_at=str(state.get("StartedAt") or ""),
        exit_code=None if alive or not isinstance(state.get("ExitCode"), int) else state["ExitCode"],
        out_of_memory=bool(state.get("OOMKilled")),
        health=health if health in ("starting", "healthy", "unhealthy") else None,
        grace=grace if isinstance(grace, int) and grace > 0 and grace not in NOBODYS_GRACE else None,
        stdin=bool(config.get("OpenStdin")) and not config.get("StdinOnce"),
        terminal=bool(config.get("Tty")),
        networks=networks,
    )


def seconds_since_1970(moment: str) -> int | None:
    """A moment as engines write them, RFC 3339 with up to nine digits of a second; None: it is none."""
    if moment.startswith(NO_TIME):
        return None
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return int(parsed.timestamp()) if parsed.tzinfo is not None else None


def _mapping(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, Mapping) else {}
