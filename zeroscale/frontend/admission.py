"""Who may wake a server, and how often anybody may ask. Pure: lists, rules and times are handed in.

In this order: our deny list, the server's bans, its operators, our allow list; then the server's whitelist and our
`wake` must both let somebody pass. That is asked before a wake only, for a server that runs judges by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zeroscale.access_lists import Ban, Claim, Names, Roll, ServerLists, Wake
from zeroscale.frontend.connection_limits import Network, limited
from zeroscale.frontend.decision import Refusal, would_wake
from zeroscale.frontend.rate_limit import Buckets
from zeroscale.protocols.conversation import ClientRecognised, Component, LoginRequested
from zeroscale.status import ServerSnapshot, Status


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator wants.

    :ivar wake: who may wake it, of those whom no list names.
    :ivar use_server_lists: the server's own bans, operators and whitelist count.
    :ivar allow: who may wake it, whatever `wake` and the whitelist say.
    :ivar deny: who may not, whatever anything says.
    """

    wake: Wake = "anyone"
    use_server_lists: bool = True
    allow: Names = field(default_factory=Names)
    deny: Names = field(default_factory=Names)


def judge(lists: ServerLists, rules: Rules, claim: Claim, now: float) -> Refusal | None:
    """Whether somebody may wake the server.

    :param now: seconds since 1970, as bans end.
    :returns: why not; None: he may.
    """
    if rules.deny.mean(claim):
        return _DENIED
    if rules.use_server_lists:
        refusal = _banned(lists, claim, now)
        if refusal is not None or lists.operators.find(claim):
            return refusal
    if rules.allow.mean(claim):
        return None
    if rules.use_server_lists and lists.enforces_whitelist and not lists.whitelist.find(claim):
        return _NOT_WHITELISTED
    return _may_wake(lists, rules.wake, claim)


def _may_wake(lists: ServerLists, wake: Wake, claim: Claim) -> Refusal | None:
    listed: Roll
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


def _banned(lists: ServerLists, claim: Claim, now: float) -> Refusal | None:
    for player in lists.bans.find(claim):
        if player.ban is not None and player.ban.holds(now):
            return Refusal("banned", "in banned-players.json", _ban_message("banned", "You are banned", player.ban))
    ban = lists.address_bans.get(claim.address)
    if ban is not None and ban.holds(now):
        return Refusal("banned_ip", "in banned-ips.json", _ban_message("banned_ip", "Your IP address is banned", ban))
    return None


def _ban_message(key: str, words: str, ban: Ban) -> Component:
    """What the game itself says (docs/protocol.md, "Kick text"), in the player's language where the client has one."""
    said = _translated(f"{key}.reason", f"{words} from this server.\nReason: %s", ban.reason)
    if not ban.until:
        return said
    return {**said, "extra": [_translated(f"{key}.expiration", "\nYour ban will be removed on %s", ban.until)]}


def _translated(key: str, fallback: str, *arguments: str) -> dict[str, object]:
    said: dict[str, object] = {"translate": f"multiplayer.disconnect.{key}", "fallback": fallback}
    return {**said, "with": list(arguments)} if arguments else said


_DENIED = Refusal("denied", "in deny")
_NOT_WHITELISTED = Refusal(
    "not_whitelisted",
    "not in whitelist.json",
    _translated("not_whitelisted", "You are not white-listed on this server!"),
)
_NOT_KNOWN = Refusal("not_known", "not in usercache.json")
_NOT_OPERATOR = Refusal("not_op", "not in ops.json")
_NOBODY = Refusal("nobody", "wake is nobody")
_TOO_MANY_LOGINS = Refusal("rate", "too many logins of its address")
_TOO_MANY_WAKES = Refusal("rate", "too many wakes by its address")


@dataclass(frozen=True, slots=True)
class Limits:
    """How often one address may ask for one server, each a minute.

    :ivar statuses: status questions, and pings without one.
    :ivar logins: logins of players. Connections of other protocols are no logins: a browser makes dozens a minute.
    :ivar wakes: logins and other connections that wake the server.
    """

    statuses: float = 120.0
    logins: float = 30.0
    wakes: float = 6.0


class Admission:
    """Who may wake one server, asked as its clients come.

    :param rules: what its operator wants.
    :param limits: how often one address may ask.
    :param lists: reads the server's own lists; asked for each login that comes while the server does not run.
    :param wall_clock: the time in seconds since 1970.
    :param trusted: networks behind which tunnels and proxies put everybody: no limits for them, nor for loopback.
    """

    def __init__(
        self,
        rules: Rules = Rules(),
        limits: Limits = Limits(),
        *,
        lists: Callable[[], ServerLists] = ServerLists,
        wall_clock: Callable[[], float] = lambda: 0.0,
        trusted: Sequence[Network] = (),
    ) -> None:
        self._rules = rules
        self._lists = lists
        self._wall_clock = wall_clock
        self._trusted = tuple(trusted)
        self._statuses = Buckets(limits.statuses)
        self._logins = Buckets(limits.logins)
        self._wakes = Buckets(limits.wakes)

    def allows_status(self, address: str, now: float) -> bool:
        """Whether one more status question of this address is answered.

        :param now: seconds of the monotonic clock, here and below.
        """
        return self._statuses.take(self._key(address), now)

    def check_login(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """Whether somebody who comes now is let in, and may wake the server where it does not run.

        :returns: why not; None: he is, as far as this is asked.
        """
        if isinstance(event, LoginRequested) and not self._logins.take(self._key(address), now):
            return _TOO_MANY_LOGINS
        return self.check_wake(event, address, view, now)

    def check_wake(
        self, event: LoginRequested | ClientRecognised, address: str, view: ServerSnapshot, now: float
    ) -> Refusal | None:
        """The same for who has been let in already, and whose server has gone meanwhile."""
        if view.status is Status.running or view.lockout is not None:
            return None
        refusal = judge(self._lists(), self._rules, claim_of(event, address), self._wall_clock())
        if refusal is None and would_wake(view, now) and not self._wakes.take(self._key(address), now):
            return _TOO_MANY_WAKES
        return refusal

    def _key(self, address: str) -> str | None:
        return limited(address, self._trusted)


def claim_of(event: LoginRequested | ClientRecognised, address: str) -> Claim:
    """Who somebody says to be."""
    if isinstance(event, LoginRequested):
        return Claim(event.name, event.uuid, address)
    return Claim("", None, address)
