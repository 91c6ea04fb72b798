"""What the open internet sends to a public port: a sleeping proxy stays asleep, quiet, small, and open to players."""

from __future__ import annotations

import json
import random
import resource
import socket
from contextlib import ExitStack

import pytest
from broken_messages import OTHER_PROTOCOLS, mutated
from peers.harness import ROOT, PeerHarness
from peers.strangers import deliver
from ports import free_port

pytestmark = [pytest.mark.slow]

MEBIBYTE = 1 << 20
MESSAGES = 40_000
WARM_UP = 20_000
"""Messages after which memory is looked at first: until then caches and the allocator's pools fill, 2 to 4 MiB."""

HALF_OPEN = 1000
SOURCES = 200


def test_no_first_message_disturbs_the_sleep(harness: PeerHarness) -> None:
    proxy = harness.proxy("minecraft", "messages", ["sleep 600"], free_port(), log="--info")
    messages = first_messages(random.Random(20_000))
    deliver(proxy.port, messages[:WARM_UP])
    before = proxy.resident_bytes()
    deliver(proxy.port, messages[WARM_UP:])
    grown = proxy.resident_bytes() - before
    proxy.assert_asleep()
    assert grown < 4 * MEBIBYTE, f"{grown / MEBIBYTE:.1f} MiB more after {MESSAGES} messages"
    proxy.end()
    assert [line for line in proxy.lines if line.startswith(("ERROR", "CRITICAL"))] == []
    logged = [line for line in proxy.lines if "127.0.0.1:" in line]
    assert len(logged) <= MESSAGES


@pytest.mark.peers("node")
@pytest.mark.usefixtures("npm_packages")
def test_a_player_gets_in_past_a_thousand_half_open_handshakes(harness: PeerHarness) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HALF_OPEN + 200
    assert hard == resource.RLIM_INFINITY or hard >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    proxy, _ = harness.minecraft("minecraft-protocol", "1.12.2", "half-open", idle_shutdown=60)
    first = harness.player("1.12.2", proxy.port, "First")
    first.wait_for_event("joined")
    before = proxy.resident_bytes()
    half_a_handshake = captured("login")[0][:5]
    with ExitStack() as stack:
        crowd = []
        for number in range(HALF_OPEN):
            source = f"127.0.1.{1 + number % SOURCES}"
            one = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 10, (source, 0)))
            one.sendall(half_a_handshake)
            crowd.append(one)
        second = harness.player("1.12.2", proxy.port, "Second")
        connected, joined = second.wait_for_event("connected"), second.wait_for_event("joined")
        grown = proxy.resident_bytes() - before
        left = sum(is_open(one) for one in crowd)
    assert joined["at"] - connected["at"] < 1
    assert left > HALF_OPEN * 0.9, "it was not put to the test"
    assert grown < 20 * MEBIBYTE, f"{grown / MEBIBYTE:.1f} MiB more"
    for player in (first, second):
        player.leave()
    proxy.end()


def captured(kind: str) -> list[bytes]:
    """The first bytes of real clients, of those that ask for the status or of those that log in."""
    entries = json.loads((ROOT / "tests" / "fixtures" / "first_bytes.json").read_text())
    return [bytes.fromhex(entry["bytes"]) for entry in entries if entry["expected"]["event"] == kind]


def first_messages(chance: random.Random) -> list[bytes]:
    """Random ones, and real ones mutated; none of them a whole login."""
    whole = [*captured("status"), *OTHER_PROTOCOLS]
    logins = [login for login in captured("login") if login[0] not in (0x02, 0xFE)]
    messages = []
    for number in range(MESSAGES):
        if number % 4 == 0:
            messages.append(chance.randbytes(chance.choice((1, 2, 3, 8, 40, 300, 3000))))
        elif number % 4 == 1:
            login = chance.choice(logins)
            name = login[0] + 4  # the login follows the handshake; cut before its name ends it cannot be whole
            messages.append(mutated(chance, login[: chance.randrange(1, name)]))
        else:
            messages.append(mutated(chance, chance.choice(whole)))
    return messages


def is_open(client: socket.socket) -> bool:
    """Whether the other side still is there."""
    client.setblocking(False)
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
