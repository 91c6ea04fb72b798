"""Values: where notifications go, and how an attempt to deliver one has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from zeroscale.notify.http_url import HttpUrl

Kind = Literal["url", "discord", "apprise", "command"]


class Target(Struct, frozen=True, kw_only=True):
    """One `[[notify]]` of the configuration.

    :ivar name: its name, unique, and usable as a directory's.
    :ivar kind: which of the following is its address: `url` for `url` and `discord`.
    :ivar command: program and arguments; of `apprise` the program that uses the library.
    :ivar directory: where the command runs.
    :ivar apprise: the URL for the library apprise, which may have secrets in it.
    :ivar key: what JSON is signed with; None: it is not signed.
    :ivar servers: the servers whose events are sent; None: all.
    :ivar events: the names of the events that are sent.
    :ivar addresses: whether players' addresses are sent.
    :ivar texts: the operator's own texts, by the events' names, as written.
    :ivar timeout: seconds that an attempt may take.
    """

    name: str
    kind: Kind
    url: HttpUrl | None = None
    command: tuple[str, ...] = ()
    directory: Path = Path("/")
    apprise: str = ""
    key: bytes | None = None
    servers: frozenset[str] | None = None
    events: frozenset[str]
    addresses: bool = False
    texts: Mapping[str, str] = {}
    timeout: float

    def wants(self, server: str, event: str) -> bool:
        """Return whether an event of a server is sent."""
        return event in self.events and (self.servers is None or server in self.servers)


class DeliveryOutcome(Struct, frozen=True):
    """How one attempt has ended.

    :ivar problem: why it has failed, in words that have no secret in them; "": it was delivered.
    :ivar final: a further attempt would fail as well.
    :ivar retry_after: seconds after which the receiver wants the next attempt; None: it does not say.
    """

    problem: str = ""
    final: bool = False
    retry_after: float | None = None
