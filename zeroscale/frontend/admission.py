"""Check which clients may wake a server, and how often. Pure: lists, rules and times are arguments.

The order: our deny list, the server's bans, its operators, our allow list; then the server's whitelist and our `wake`
rule must both let the client pass. This is checked before a wake only: a running server checks its players itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from zeroscale.access_lists import (
    LONGEST_NAME,
    AccessList,
    Ban,
    ClaimedIdentity,
    PlayerList,
    ServerLists,
    WakeRule,
    is_player_name,
)
from zeroscale.characters import HIGH_CONTROLS
from zeroscale.frontend.connection_limits import Network, limit_key
from zeroscale.frontend.decision import Refusal, would_wake
from zeroscale.frontend.rate_limit import Buckets
from zeroscale.protocols.conversation import ClientRecognised, LoginRequested
from zeroscale.status import ServerSnapshot, Status


class Rules(Struct, frozen=True):
    """Which clients may wake one server, as configured.

    :ivar wake: which clients may that no list names.
    :ivar use_server_lists: whether the server's own bans, operators and whitelist count.
    :ivar allow: clients that may, regardless of `wake` and the whitelist.
    :ivar deny: clients that may not, regardless of all other lists.
    """

    wake: WakeRule = "anyone"
    use_server_lists: bool = True
    allow: AccessList = field(default_factory=AccessList)
    deny: AccessList = field(default_factory=AccessList)


def check(lists: ServerLists, rules: Rules, claim: ClaimedIdentity, now: float) -> Refusal | None:
    """Return why a client may not wake the server; None: it may.

    :param now: seconds since 1970, as bans expire.
    """
    if rules.deny.matches(claim):
        return _DENIED
    if rules.use_server_lists:
        refusal = _banned(lists, claim, now)
        if refusal is not None or lists.operators.find(claim):
            return refusal
    if rules.allow.matches(claim):
        return None
    if rules.use_server_lists and lists.enforces_whitelist and not lists.whitelist.find(claim):
        return _NOT_WHITELISTED
    return _check_wake_rule(lists, rules.wake, claim)


def _check_wake_rule(lists: ServerLists, wake: WakeRule, claim: ClaimedIdentity) -> Refusal | None:
    listed: PlayerList
    match wake:
        case "anyone":
            return None
        case "nobody":
            return _NOBODY
        case "whitelist":
            listed, refusal = lists.whitelist, _NOT_WHITELISTED
        case "known":
            listed, refusal = lists.known, _NOT_KNOWN
        case "ops":
            listed, refusal = lists.operators, _NOT_OPERATOR
    return None if listed.find(claim) else refusal


def _banned(lists: ServerLists, claim: ClaimedIdentity, now: float) -> Refusal | None:
    for player in lists.bans.find(claim):
        if player.ban is not None and player.ban.is_active(now):
            return _ban_refusal("banned", "banned by the server", player.ban)
    ban = lists.address_bans.get(claim.address)
    if ban is not None and ban.is_active(now):
        return _ban_refusal("banned_ip", "its address is banned by the server", ban)
    return None


def _ban_refusal(reason: str, detail: str, ban: Ban) -> Refusal:
    message = f"{reason}_until" if ban.until else reason
    return Refusal(reason, detail, message, {"reason": ban.reason, "until": ban.until})


_DENIED = Refusal("denied", "listed in deny")
_NOT_WHITELISTED = Refusal("not_whitelisted", "not on the server's whitelist")
_NOT_KNOWN = Refusal("not_known", "has never joined the server")
_NOT_OPERATOR = Refusal("not_op", "not an operator of the server")
_NOBODY = Refusal("nobody", "wake is nobody")
_INVALID_NAME = Refusal("name", f"no player's name has 0 or more than {LONGEST_NAME} characters")
_CONTROL_NAME = Refusal("name", "no player's name has control characters")
_TOO_MANY_LOGINS = Refusal("rate", "too many logins from its address")
_TOO_MANY_WAKES = Refusal("rate", "too many wakes from its address")


_CONTROL = re.compile(f"[\x00-\x1f{HIGH_CONTROLS}]")
"""Characters that nothing but random bytes of scanners has in a name."""


class Limits(Struct, frozen=True):
    """The most requests of one address to one server, each a number per minute.

    :ivar statuses: status requests, and pings without one.
    :ivar logins: logins of players. Connections of other protocols do not count: a browser makes dozens a minute.
    :ivar wakes: logins and other connections that wake the server.
    """

    statuses: float = 120.0
    logins: float = 30.0
    wakes: float = 6.0


DEFAULT_RULES = Rules()
DEFAULT_LIMITS = Limits()


class Admission:
    """The admission of one server: rules and limits, checked for each client.

    :param limits: limits for each address.
    :param lists: reads the server's own lists; called for each login that comes while the server does not run.
    :param wall_clock: returns the time in seconds since 1970.
    :param trusted: networks of tunnels and proxies, which many clients share: no limits for them, nor for loopback.
    :param wakes: whether clients may wake the server at all; else there is nothing to check before a wake.
    """

    def __init__(
        self,
        rules: Rules = DEFAULT_RULES,
        limits: Limits = DEFAULT_LIMITS,
        *,
        lists: Callable[[], ServerLists] = ServerLists,
        wall_clock: Callable[[], float] = lambda: 0.0,
        trusted: Sequence[Network] = (),
        wakes: bool = True,
    ) -> None:
        self._may_wake = wakes
        self._rules = rules
        self._lists = lists
        self._wall_clock = wall_clock
        self._trusted = tuple(trusted)
        self._statuses = Buckets(limits.statuses)
        self._logins = Buckets(limits.logins)
        self._wakes = Buckets(limits.wakes)

    def allows_status(self, address: str, now: float) -> bool:
        """Count a status request of this address; return whether to answer it.

        :param now: seconds of the monotonic clock, here and below.
        """
        return self._statuses.take(self._key(address), now)

    def check_login(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """Return why a new client may not join or wake the server; None: it may."""
        if isinstance(event, LoginRequested):
            if not self._logins.take(self._key(address), now):
                return _TOO_MANY_LOGINS
            if not is_player_name(event.name):
                return _INVALID_NAME
        return self.check_wake(event, address, view, now)

    def check_wake(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """Return the same for an admitted client that has to wake the server again."""
        if not self._may_wake or view.status is Status.running or view.lockout is not None:
            return None
        if isinstance(event, LoginRequested) and _CONTROL.search(event.name):
            return _CONTROL_NAME
        refusal = check(self._lists(), self._rules, claim_of(event, address), self._wall_clock())
        if refusal is None and would_wake(view, now) and not self._wakes.take(self._key(address), now):
            return _TOO_MANY_WAKES
        return refusal

    def check_address(self, address: str, name: str, view: ServerSnapshot, now: float) -> Refusal | None:
        """Return why a client without a login may not wake the server; None: it may.

        The server's whitelist is not asked: the client's name, if it has given one, is not that of a Java player.
        """
        if view.status is Status.running or view.lockout is not None:
            return None
        lists = replace(self._lists(), enforces_whitelist=False)
        refusal = check(lists, self._rules, ClaimedIdentity(name, None, address), self._wall_clock())
        if refusal is None and would_wake(view, now) and not self._wakes.take(self._key(address), now):
            return _TOO_MANY_WAKES
        return refusal

    def knows_name(self, name: str) -> bool:
        """Return whether a name is on the server's whitelist, an operator's, or that of a player who has joined it."""
        lists = self._lists()
        return any(players.has_name(name) for players in (lists.whitelist, lists.operators, lists.known))

    def _key(self, address: str) -> str | None:
        return limit_key(address, self._trusted)


def claim_of(event: LoginRequested | ClientRecognised, address: str) -> ClaimedIdentity:
    """Return the identity that a client claims."""
    if isinstance(event, LoginRequested):
        return ClaimedIdentity(event.name, event.uuid, address)
    return ClaimedIdentity("", None, address)
