"""Admission: each rule, on files that a real server writes; their order; the rate limits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.internet.task import Clock

from zeroscale.access_lists import (
    AccessList,
    Ban,
    ClaimedIdentity,
    ListedPlayer,
    PlayerList,
    ServerLists,
    WakeRule,
    offline_uuid,
)
from zeroscale.frontend.admission import Admission, Limits, Rules, check, claim_of
from zeroscale.frontend.decision import Refusal
from zeroscale.frontend.messages import Messages
from zeroscale.minecraft.player_lists import LOOK_EVERY, PlayerLists
from zeroscale.minecraft.server_files import ServerFiles
from zeroscale.protocols.conversation import ClientRecognised, Component, LoginRequested
from zeroscale.protocols.minecraft.text_component import plain, with_fallbacks
from zeroscale.status import ServerSnapshot, Status

if TYPE_CHECKING:
    from frontend.harness import FrontendHarness

FIXTURES = Path(__file__).parent.parent / "fixtures" / "player_lists"
BEFORE = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
AFTER = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
ADA = "6f1b0b1e5c1d4c6a9b0f0d7f7c9a1a01"
OLGA = "0a9c2f647be04b1c8f7e3d1f5e6a7b02"
KIM = "b3d5e7f91a2b4c3da4e5f60718293a03"
MALLORY = "c0ffee00dead4bad8eef123456789004"
TIM = "d1e2f3a4b5c64d7e8f90a1b2c3d4e505"
STRANGER = "eeeeeeeeeeee4eee8eeeeeeeeeeeeeee"
ELSEWHERE = "198.51.100.7"


@pytest.fixture(scope="module")
def lists() -> ServerLists:
    """What a server has written; its whitelist is off."""
    return PlayerLists(ServerFiles(FIXTURES), lambda: 0.0).read()


def player_claim(name: str, uuid: str | None = STRANGER, address: str = ELSEWHERE) -> ClaimedIdentity:
    """Return the claim of a player."""
    return ClaimedIdentity(name, uuid, address)


def refusal_reason(lists: ServerLists, rules: Rules, claim: ClaimedIdentity, now: float = BEFORE) -> str:
    """Return the refusal's reason; "" where there is none."""
    refusal = check(lists, rules, claim, now)
    return "" if refusal is None else refusal.reason


@pytest.mark.parametrize(
    ("wake", "claim", "expected"),
    [
        ("anyone", player_claim("Zoe"), ""),
        ("known", player_claim("Kim", KIM), ""),
        ("known", player_claim("Renamed", KIM), ""),
        ("known", player_claim("Kim"), "not_known"),
        ("known", player_claim("kIM", None), ""),
        ("known", player_claim("nell"), ""),
        ("known", player_claim("Zoe", None), "not_known"),
        ("whitelist", player_claim("Ada", ADA), ""),
        ("whitelist", player_claim("Ada"), "not_whitelisted"),
        ("whitelist", player_claim("Bob"), ""),
        ("whitelist", player_claim("BOB", None), ""),
        ("whitelist", player_claim("Kim", KIM), "not_whitelisted"),
        ("ops", player_claim("Olga", OLGA), ""),
        ("ops", player_claim("Otto"), ""),
        ("ops", player_claim("Ada", ADA), "not_op"),
        ("nobody", player_claim("Ada", ADA), "nobody"),
        ("nobody", player_claim("Olga", OLGA), ""),
    ],
)
def test_who_may_wake(lists: ServerLists, wake: WakeRule, claim: ClaimedIdentity, expected: str) -> None:
    assert refusal_reason(lists, Rules(wake), claim) == expected


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (player_claim("Ada", ADA), ""),
        (player_claim("Bob"), ""),
        (player_claim("Bob", offline_uuid("Bob")), ""),
        (player_claim("Kim", KIM), "not_whitelisted"),
        (player_claim("Olga", OLGA), ""),
        (player_claim("Olga"), "not_whitelisted"),
    ],
)
def test_the_servers_whitelist_counts_where_it_is_on(lists: ServerLists, claim: ClaimedIdentity, expected: str) -> None:
    enforced = replace(lists, enforces_whitelist=True)
    assert refusal_reason(enforced, Rules(), claim) == expected
    assert refusal_reason(lists, Rules(), claim) == ""
    assert refusal_reason(enforced, Rules(use_server_lists=False), claim) == ""


def test_the_whitelist_and_wake_must_both_let_pass(lists: ServerLists) -> None:
    enforced = replace(lists, enforces_whitelist=True)
    assert refusal_reason(enforced, Rules("known"), player_claim("Ada", ADA)) == ""
    assert refusal_reason(enforced, Rules("known"), player_claim("Kim", KIM)) == "not_whitelisted"
    assert refusal_reason(enforced, Rules("known"), player_claim("Bob")) == "not_known"


@pytest.mark.parametrize(
    ("claim", "before", "after"),
    [
        (player_claim("Mallory", MALLORY), "banned", "banned"),
        (player_claim("Innocent", MALLORY), "banned", "banned"),
        (player_claim("mallory", None), "banned", "banned"),
        (player_claim("Mallory"), "", ""),
        (player_claim("Tim", TIM), "banned", ""),
        (player_claim("Eve"), "banned", ""),
        (player_claim("Zoe", address="203.0.113.66"), "banned_ip", "banned_ip"),
        (player_claim("Zoe", address="2001:db8::66"), "banned_ip", ""),
        (player_claim("Zoe", address="203.0.113.67"), "", ""),
    ],
)
def test_bans_hold_until_they_end(lists: ServerLists, claim: ClaimedIdentity, before: str, after: str) -> None:
    assert refusal_reason(lists, Rules(), claim, BEFORE) == before
    assert refusal_reason(lists, Rules(), claim, AFTER) == after
    assert refusal_reason(lists, Rules(use_server_lists=False), claim, BEFORE) == ""


@pytest.mark.parametrize("entry", ["zoe", STRANGER, ELSEWHERE, "198.51.100.0/24"])
def test_allow_and_deny_lists(lists: ServerLists, entry: str) -> None:
    enforced = replace(lists, enforces_whitelist=True)
    assert refusal_reason(lists, Rules(deny=AccessList([entry])), player_claim("Zoe")) == "denied"
    assert refusal_reason(enforced, Rules("nobody", allow=AccessList([entry])), player_claim("Zoe")) == ""
    assert refusal_reason(enforced, Rules(allow=AccessList([entry])), player_claim("Zoe")) == ""


EVERY_RULE = [
    ("denied", "deny has him"),
    ("banned", "he is banned"),
    ("banned_ip", "his address is banned"),
    ("", "he is an operator"),
    ("", "allow has him"),
    ("not_whitelisted", "the whitelist is on, and has him not"),
    ("not_known", "wake is known, and he is not"),
]


@given(st.tuples(*[st.booleans()] * len(EVERY_RULE)))
def test_the_first_rule_that_matches_decides(holds: tuple[bool, ...]) -> None:
    denied, banned, address_banned, operator, allowed, not_whitelisted, not_known = holds
    zoe = ListedPlayer("Zoe", STRANGER, Ban("why"))
    only, empty = PlayerList([zoe]), PlayerList()
    lists = ServerLists(
        enforces_whitelist=not_whitelisted,
        operators=only if operator else empty,
        bans=only if banned else empty,
        address_bans={ELSEWHERE: Ban("why")} if address_banned else {},
    )
    rules = Rules(
        wake="known" if not_known else "anyone",
        allow=AccessList(["Zoe"] if allowed else []),
        deny=AccessList(["Zoe"] if denied else []),
    )
    expected = next((reason for (reason, _), held in zip(EVERY_RULE, holds, strict=True) if held), "")
    assert refusal_reason(lists, rules, player_claim("Zoe")) == expected


def message(refusal: Refusal) -> Component:
    """What the refused player reads."""
    return Messages().refusal(refusal.message or refusal.reason, view(), 0.0, "Zoe", refusal.values)


@pytest.mark.parametrize("wake", get_args(WakeRule))
def test_a_refused_player_reads_why(lists: ServerLists, wake: WakeRule) -> None:
    refusal = check(lists, Rules(wake), player_claim("Zoe"), BEFORE)
    if wake == "anyone":
        assert refusal is None
        return
    assert refusal is not None
    words = message(refusal)
    assert plain(words).endswith(("!", "."))
    assert "multiplayer" not in plain(words)


def test_bans_and_the_whitelist_use_the_games_own_texts(lists: ServerLists) -> None:
    def words(claim: ClaimedIdentity) -> Component:
        refusal = check(replace(lists, enforces_whitelist=True), Rules(), claim, BEFORE)
        assert refusal is not None
        return message(refusal)

    assert words(player_claim("Zoe")) == {
        "translate": "multiplayer.disconnect.not_whitelisted",
        "fallback": "You are not white-listed on this server!",
    }
    mallory, tim, address = (
        player_claim("M", MALLORY),
        player_claim("T", TIM),
        player_claim("Zoe", address="203.0.113.66"),
    )
    assert words(mallory) == {
        "translate": "multiplayer.disconnect.banned.reason",
        "fallback": "You are banned from this server.\nReason: %s",
        "with": ["Griefing"],
    }
    assert plain(words(tim)) == (
        "You are banned from this server.\nReason: The Ban Hammer has spoken!\n"
        "Your ban will be removed on 2026-01-01 at 00:00:00 UTC"
    )
    assert plain(words(address)) == ("Your IP address is banned from this server.\nReason: Banned by an operator.")
    assert "translate" not in str(with_fallbacks(words(tim)))


def login(name: str = "Zoe", uuid: str | None = STRANGER) -> LoginRequested:
    """A player."""
    return LoginRequested(769, "play.example.org", 25565, name, uuid, transfer=False, max_hold=None)


def view(status: Status = Status.stopped, **more: object) -> ServerSnapshot:
    """A server."""
    return ServerSnapshot("survival", status, 0.0, **more)  # type: ignore[arg-type]  # as ServerSnapshot's own


def test_the_names_that_the_server_knows(lists: ServerLists) -> None:
    admission = Admission(lists=lambda: lists)
    for players in (lists.whitelist, lists.operators, lists.known):
        for player in players:
            assert admission.knows_name(player.name.upper())
    assert not admission.knows_name("Stranger")
    assert not Admission().knows_name("Ada")


def test_the_claim_of_a_client() -> None:
    assert claim_of(login(), ELSEWHERE) == player_claim("Zoe")
    assert claim_of(ClientRecognised(), ELSEWHERE) == ClaimedIdentity("", None, ELSEWHERE)


@pytest.mark.parametrize("status", Status)
def test_the_lists_are_asked_only_where_the_server_does_not_judge(lists: ServerLists, status: Status) -> None:
    asked = itertools.count()

    def read() -> ServerLists:
        next(asked)
        return lists

    admission = Admission(Rules("nobody"), lists=read)
    for judge_it in (admission.check_login, admission.check_wake):
        refusal = judge_it(login(), ELSEWHERE, view(status), 0.0)
        assert (refusal is None) is (status is Status.running)
        assert judge_it(login(), ELSEWHERE, view(status, lockout="a backup"), 0.0) is None
    assert next(asked) == (0 if status is Status.running else 2)


def test_bans_end_by_the_wall_clock(lists: ServerLists) -> None:
    now = [BEFORE]
    admission = Admission(lists=lambda: lists, wall_clock=lambda: now[0])
    assert admission.check_login(login("Tim", TIM), ELSEWHERE, view(), 5.0) is not None
    now[0] = AFTER
    assert admission.check_login(login("Tim", TIM), ELSEWHERE, view(), 5.0) is None


def rate(
    admission: Admission, count: int, event: LoginRequested | ClientRecognised, seen: ServerSnapshot, at: float = 0.0
) -> int:
    """How many of so many logins are let in."""
    refusals = [admission.check_login(event, ELSEWHERE, seen, at) for _ in range(count)]
    assert {refusal.reason for refusal in refusals if refusal is not None} <= {"rate"}
    return refusals.count(None)


def test_logins_have_a_limit_whatever_the_server_does() -> None:
    admission = Admission(limits=Limits(logins=10, wakes=1000))
    assert rate(admission, 5, login(), view(Status.running)) == 5
    assert rate(admission, 3, login(), view(lockout="a backup")) == 3
    assert rate(admission, 5, login(), view()) == 2
    assert rate(admission, 5, login(), view(), at=6.0) == 1


def test_connections_that_are_no_logins_have_none_where_they_wake_nothing() -> None:
    admission = Admission(limits=Limits(logins=1, wakes=2))
    assert rate(admission, 100, ClientRecognised(), view(Status.running)) == 100
    assert rate(admission, 5, ClientRecognised(), view()) == 2


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        (view(Status.stopped), True),
        (view(Status.paused), True),
        (view(Status.stopping), True),
        (view(Status.failed, retry_at=0.0), True),
        (view(Status.failed, retry_at=1.0), False),
        (view(Status.failed), False),
        (view(Status.starting), False),
        (view(Status.running), False),
        (view(Status.stopped, lockout="a backup"), False),
    ],
)
def test_only_what_wakes_is_a_wake(seen: ServerSnapshot, counts: bool) -> None:
    admission = Admission(limits=Limits(logins=1000, wakes=2))
    assert rate(admission, 5, login(), seen) == (2 if counts else 5)


def test_a_client_that_only_has_an_address_is_checked_by_that() -> None:
    lists = ServerLists(enforces_whitelist=True, address_bans={ELSEWHERE: Ban("cheating")})

    def refused(rules: Rules, lists: ServerLists, name: str = "", status: Status = Status.stopped) -> str:
        refusal = Admission(rules, lists=lambda: lists).check_address(ELSEWHERE, name, view(status), 0.0)
        return "" if refusal is None else refusal.reason

    assert refused(Rules(), ServerLists(enforces_whitelist=True)) == ""  # which has no names of Bedrock's players
    assert refused(Rules(), lists) == "banned_ip"
    assert refused(Rules(), lists, status=Status.running) == ""
    assert refused(Rules(deny=AccessList(["198.51.100.0/24"])), ServerLists()) == "denied"
    assert refused(Rules("nobody"), ServerLists()) == "nobody"
    assert refused(Rules("nobody", allow=AccessList([ELSEWHERE])), ServerLists()) == ""
    assert refused(Rules("known"), ServerLists()) == "not_known"
    assert refused(Rules(deny=AccessList(["Steve"])), ServerLists(), "Steve") == "denied"


def test_wakes_of_an_address_are_limited() -> None:
    admission = Admission(limits=Limits(wakes=2))
    refusals = [admission.check_address(ELSEWHERE, "", view(), 0.0) for _ in range(3)]
    assert [None if refusal is None else refusal.reason for refusal in refusals] == [None, None, "rate"]
    assert admission.check_address("192.0.2.99", "", view(), 0.0) is None
    assert admission.check_address(ELSEWHERE, "", view(), 30.0) is None


def test_a_refused_client_uses_up_no_wakes() -> None:
    admission = Admission(Rules(deny=AccessList(["Zoe"])), Limits(wakes=1))
    assert all(admission.check_login(login("Zoe"), ELSEWHERE, view(), 0.0) for _ in range(5))
    assert rate(admission, 2, login("Ada"), view()) == 1


def test_status_questions_have_a_limit() -> None:
    admission = Admission(limits=Limits(statuses=3))
    assert [admission.allows_status(ELSEWHERE, 0.0) for _ in range(4)] == [True, True, True, False]
    assert admission.allows_status(ELSEWHERE, 20.0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "local", "192.0.2.8"])
def test_where_tunnels_put_everybody_there_is_no_limit(address: str) -> None:
    import ipaddress

    admission = Admission(limits=Limits(1, 1, 1), trusted=[ipaddress.ip_network("192.0.2.0/24")])
    assert all(admission.allows_status(address, 0.0) for _ in range(50))
    assert all(admission.check_login(login(), address, view(), 0.0) is None for _ in range(50))


def test_the_addresses_of_one_ipv6_network_have_one_limit() -> None:
    admission = Admission(limits=Limits(statuses=1))
    assert admission.allows_status("2001:db8::1", 0.0)
    assert not admission.allows_status("2001:db8::2", 0.0)
    assert admission.allows_status("2001:db8:0:1::1", 0.0)


# In front of a server: the message and the log line


def test_a_whitelist_edited_while_it_sleeps_counts_within_a_second(
    tmp_path: Path, make_harness: Callable[..., FrontendHarness]
) -> None:
    (tmp_path / "server.properties").write_text("white-list=true\n")
    (tmp_path / "whitelist.json").write_text("[]")
    clock = Clock()
    lists = PlayerLists(ServerFiles(tmp_path), clock.seconds)
    harness = make_harness(admission=Admission(lists=lists.get), messages=Messages())
    refused = harness.player("Steve")
    assert b"multiplayer.disconnect.not_whitelisted" in refused.received
    assert harness.lines[0].startswith("survival: Steve (203.0.113.7:40000): kicked after 0.0 s (not_whitelisted: ")
    assert harness.server.wakes == []
    (tmp_path / "whitelist.json").write_text(f'[{{"uuid": "{offline_uuid("Steve")}", "name": "Steve"}}]')
    clock.advance(LOOK_EVERY)
    harness.player("Steve")
    assert harness.server.status is Status.starting
    (tmp_path / "whitelist.json").write_text("[ ]")
    clock.advance(LOOK_EVERY)
    assert b"not_whitelisted" in harness.player("Steve").received  # starting is not running
    assert harness.counts.snapshot(0.0).refusals == {"not_whitelisted": 2}


def test_while_it_runs_the_real_server_judges(make_harness: Callable[..., FrontendHarness]) -> None:
    harness = make_harness(admission=Admission(Rules("nobody")))
    harness.set_status(Status.running)
    harness.player()
    harness.accept()
    assert len(harness.relays.live) == 1


def test_a_lockout_refuses_players_in_every_state(harness: FrontendHarness) -> None:
    harness.server.lockout = "a backup"
    for status in Status:
        harness.server.status = status
        assert b"kick " in harness.player().received
    assert harness.server.wakes == []
    assert all("kicked" in line and "(lockout)" in line for line in harness.lines)
    assert harness.counts.snapshot(0.0).refusals == {"lockout": len(Status)}


def test_a_player_that_lost_the_server_wakes_it_only_if_admitted(
    make_harness: Callable[..., FrontendHarness],
) -> None:
    harness = make_harness(admission=Admission(Rules("nobody")))
    harness.set_status(Status.running)
    client = harness.player()
    harness.server.status = Status.stopped  # before its connection to it is refused
    harness.refuse()
    harness.advance(1.0)
    assert b"refusal nobody Steve" in client.received
    assert harness.server.wakes == []


def test_too_many_status_questions_are_not_answered(make_harness: Callable[..., FrontendHarness]) -> None:
    from frontend.harness import ping, status

    harness = make_harness(admission=Admission(limits=Limits(statuses=2)))
    answered = harness.connect()
    answered.send(status() + ping())
    assert harness.connect().open
    harness.settle()
    assert answered.received
    for _ in range(2):
        client = harness.connect()
        client.send(status())
        harness.settle()
    assert client.closed
    assert client.received == b""
    assert harness.outcomes["limited"] == 1


def test_too_many_wakes_are_refused_with_a_message(make_harness: Callable[..., FrontendHarness]) -> None:
    harness = make_harness(admission=Admission(limits=Limits(wakes=1)))
    harness.player()
    harness.server.status = Status.stopped
    assert b"refusal rate Alex" in harness.player("Alex").received
    assert harness.server.wakes == ["login: Steve (203.0.113.7:40000)"]
    assert [(client.name, client.address, reason) for client, reason in harness.server.refusals] == [
        ("Alex", "203.0.113.7:40001", "rate")
    ]


def test_each_refused_login_is_counted_but_only_some_are_reported(make_harness: Callable[..., FrontendHarness]) -> None:
    harness = make_harness(admission=Admission(Rules("nobody")))
    for _ in range(30):
        harness.player()
    assert harness.counts.snapshot(0.0).refusals == {"nobody": 30}
    assert len(harness.server.refusals) == 6


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (5, b'"text":"You are not white-listed on this server!"'),
        (340, b'"text":"You are not white-listed on this server!"'),
        (393, b'"translate":"multiplayer.disconnect.not_whitelisted"'),
        (777, b'"translate":"multiplayer.disconnect.not_whitelisted"'),
    ],
)
def test_every_version_gets_a_readable_refusal(
    make_harness: Callable[..., FrontendHarness], protocol: int, expected: bytes
) -> None:
    harness = make_harness(admission=Admission(Rules("whitelist")), messages=Messages())
    assert expected in harness.player(protocol=protocol).received


def test_a_client_before_1_7_gets_a_readable_refusal(make_harness: Callable[..., FrontendHarness]) -> None:
    harness = make_harness(admission=Admission(Rules("whitelist")), messages=Messages())
    client = harness.connect()
    name, host = "Steve".encode("utf-16-be"), "localhost".encode("utf-16-be")
    client.send(b"\x02\x4e\x00\x05" + name + b"\x00\x09" + host + (25565).to_bytes(4, "big"))
    harness.settle()
    text = "You are not white-listed on this server!".encode("utf-16-be")
    assert client.received == b"\xff" + (len(text) // 2).to_bytes(2, "big") + text


def test_a_generic_client_that_may_not_wake_is_closed_without_what_others_are_sent(
    make_harness: Callable[..., FrontendHarness],
) -> None:
    harness = make_harness(generic=True, admission=Admission(Rules(deny=AccessList(["203.0.113.0/24"]))))
    harness.server.fake = b"come again"
    denied, welcome = harness.connect(), harness.connect(ELSEWHERE)
    harness.settle()
    assert (denied.received, welcome.received) == (b"", b"come again")
    assert not denied.open
    assert len(harness.server.wakes) == 1


def test_clients_that_cannot_wake_the_server_are_not_checked_as_those_that_can(lists: ServerLists) -> None:
    """They are refused for another reason, and must not use up the wakes of their address."""
    admission = Admission(Rules("nobody"), Limits(wakes=1.0), lists=lambda: lists, wakes=False)
    asleep = ServerSnapshot(name="survival", status=Status.stopped, since=0.0)
    assert [admission.check_login(ClientRecognised(), ELSEWHERE, asleep, 0.0) for _ in range(5)] == [None] * 5
