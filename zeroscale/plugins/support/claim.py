"""One server only controls a container, unit or workload, also where two configurations name it differently.

What is spelled alike is a mistake of the configuration (`plugins.api.ControlsOthers`). That a container's name and its
id, a unit and its alias, or two addresses of one cluster mean the same thing shows only in what the engine, systemd or
the cluster answers. The first server that finds the thing has it until its plugin is closed; others neither start nor
stop it.
"""

from __future__ import annotations

from pathlib import Path
from weakref import WeakValueDictionary

from zeroscale.errors import PluginError


class Claim:
    """The claim of one server's plugin.

    :param state_directory: the server's own; plugins of the same server do not exclude each other.
    """

    _holders: WeakValueDictionary[str, Claim] = WeakValueDictionary()

    def __init__(self, state_directory: Path) -> None:
        self._directory = state_directory.absolute()
        self._identity: str | None = None
        self._other: Claim | None = None
        self._released = False

    def take(self, identity: str) -> bool:
        """Claim a thing in place of the one that was claimed before; return whether no other server has it.

        After `release` nothing is claimed.

        :param identity: the id that its engine, systemd or cluster has given it.
        """
        holder = self._holders.get(identity)
        self._other = holder if holder is not None and holder._directory != self._directory else None
        if self._other is None and not self._released:
            if identity != self._identity:
                self._give_up()
            self._identity = identity
            self._holders[identity] = self
        return self._other is None

    @property
    def is_refused(self) -> bool:
        """Whether another server has what was to be claimed last."""
        return self._other is not None

    def check(self, name: str) -> None:
        """Check that the last `take` succeeded.

        :param name: the thing, for the message.
        :raises PluginError: another server has it.
        """
        if self._other is not None:
            raise PluginError(
                f"{name} is what the server {self._other._directory.name!r} starts and stops, by another name; make "
                "one server of them, whose listen can be a list"
            )

    def release(self) -> None:
        """Give up what was claimed, for good: the plugin is closed."""
        self._released = True
        self._give_up()

    def _give_up(self) -> None:
        if self._identity is not None and self._holders.get(self._identity) is self:
            del self._holders[self._identity]
