"""The state of one container, read from an engine's inspection. Pure: no connection, no clock.

The fields are those of `GET /containers/{id}/json` of the Docker Engine API 1.41; podman's compatible socket has the
same ones. A missing field has its zero value, as in Go's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from zeroscale.errors import PluginError
from zeroscale.plugins.support.json_object import JsonObject, integer_at, member, object_at, text_at

HOST_NETWORK = "host"
LOOPBACK = "127.0.0.1"
ZERO_TIME = "0001-01-01"
"""How Go's zero time begins, which stands for "never"."""
DEFAULT_STOP_TIMEOUTS = (0, 10)
"""Stop time-outs, in seconds, that no operator chose: 10 is every engine's default, which podman writes into each
container; 0 is what podman 4.3 writes where one was created through its Docker-compatible API, as by compose."""


class Container(Struct, frozen=True):
    """A container at one moment.

    :ivar id: its full id.
    :ivar name: its name, without the slash.
    :ivar alive: its processes exist, paused or not.
    :ivar paused: its processes are paused.
    :ivar stopping: the engine says that it is being stopped, as podman does and Docker does not.
    :ivar restarting: it has ended, and the engine's restart policy will start it again.
    :ivar started_at: when it was last started, as the engine writes it; identifies one run.
    :ivar exit_code: of the last run, if that has ended.
    :ivar out_of_memory: the kernel killed it because of its memory limit.
    :ivar health: of its HEALTHCHECK: starting, healthy or unhealthy; None: it has none.
    :ivar stop_timeout: the stop time-out in seconds that its operator has set; None: none.
    :ivar stdin: whether lines can be written to its stdin.
    :ivar terminal: whether it has a terminal, so that its output is one stream.
    :ivar networks: its address in each of its networks; None while it does not run.
    """

    id: str
    name: str
    alive: bool
    paused: bool
    stopping: bool
    restarting: bool
    started_at: str
    exit_code: int | None
    out_of_memory: bool
    health: str | None
    stop_timeout: int | None
    stdin: bool
    terminal: bool
    networks: Mapping[str, str | None]

    @property
    def run_id(self) -> tuple[str, str]:
        """What identifies the current or last run."""
        return self.id, self.started_at

    @property
    def started_second(self) -> int | None:
        """When this run began, in seconds since 1970 by the engine's clock; None: unknown."""
        return unix_seconds(self.started_at)

    def address(self, network: str) -> str:
        """Return its address in one of its networks.

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


def parse_container(inspection: JsonObject) -> Container:
    """Read one inspection.

    :raises ValueError: it is not an inspection of a container.
    """
    identity = text_at(inspection, "Id")
    if not identity:
        raise ValueError("an inspection without an Id")
    state = object_at(inspection, "State")
    config = object_at(inspection, "Config")
    restarting = bool(state.get("Restarting"))
    # While podman stops a container its Running is false, though the server may still be saving.
    alive = (bool(state.get("Running")) or state.get("Status") in ("paused", "stopping")) and not restarting
    health = text_at(state, "Health", "Status") or text_at(state, "Healthcheck", "Status")
    networks = {
        name: text_at(settings, "IPAddress") or text_at(settings, "GlobalIPv6Address") or None
        for name, settings in object_at(inspection, "NetworkSettings", "Networks").items()
    }
    if member(inspection, "HostConfig", "NetworkMode") == HOST_NETWORK:
        networks.setdefault(HOST_NETWORK, None)
    exit_code, stop_timeout = state.get("ExitCode"), integer_at(config, "StopTimeout")
    return Container(
        id=identity,
        name=(text_at(inspection, "Name") or identity[:12]).lstrip("/"),
        alive=alive,
        paused=alive and bool(state.get("Paused")),
        stopping=alive and state.get("Status") == "stopping",
        restarting=restarting,
        started_at=text_at(state, "StartedAt"),
        exit_code=exit_code if isinstance(exit_code, int) and not alive else None,
        out_of_memory=bool(state.get("OOMKilled")),
        health=health if health in ("starting", "healthy", "unhealthy") else None,
        stop_timeout=stop_timeout if stop_timeout > 0 and stop_timeout not in DEFAULT_STOP_TIMEOUTS else None,
        stdin=bool(config.get("OpenStdin")) and not config.get("StdinOnce"),
        terminal=bool(config.get("Tty")),
        networks=networks,
    )


def parse_usage(stats: JsonObject) -> tuple[float, int] | None:
    """Read what a container uses from `GET /containers/{id}/stats`: CPU seconds of this run, and bytes of memory.

    Cached files that the kernel can drop do not count, as in `docker stats`. None: it does not run.
    """
    cpu = integer_at(stats, "cpu_stats", "cpu_usage", "total_usage")
    memory = integer_at(stats, "memory_stats", "usage")
    if not cpu or not memory:
        return None
    details = object_at(stats, "memory_stats", "stats")
    cached = integer_at(details, "inactive_file") or integer_at(details, "total_inactive_file")  # cgroup v2, v1
    return cpu / 1e9, max(0, memory - cached)


def unix_seconds(time: str) -> int | None:
    """Parse a time as engines write it, RFC 3339 with up to nine digits of a second; None: not a time, or zero."""
    if time.startswith(ZERO_TIME):
        return None
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return None
    return int(parsed.timestamp()) if parsed.tzinfo is not None else None
