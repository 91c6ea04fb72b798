"""What is logged and counted of one connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from zeroscale.frontend.access_log import LINES
from zeroscale.frontend.client_address import ClientAddress
from zeroscale.frontend.connection_record import LONGEST_HOST, ConnectionRecord
from zeroscale.protocols.conversation import HostNamed, LoginRequested
from zeroscale.protocols.proxy_protocol import Endpoint

if TYPE_CHECKING:
    from frontend.harness import FrontendHarness

MakeRecord = Callable[[], ConnectionRecord]


@pytest.fixture
def make_record(harness: FrontendHarness, caplog: pytest.LogCaptureFixture) -> MakeRecord:
    caplog.set_level(logging.DEBUG)
    return lambda: ConnectionRecord(harness.context, ClientAddress(Endpoint("203.0.113.7", 40000)))


def test_the_label_names_the_player_once_known(make_record: MakeRecord) -> None:
    record = make_record()
    assert record.label == "203.0.113.7:40000"
    record.player = "Steve"
    assert record.label == "Steve (203.0.113.7:40000)"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Миряев", "Миряев"),
        ("名前", "名前"),
        ("!~(1.2.3.4:5)", "!~(1.2.3.4:5)"),
        ("a (1.2.3.4:5)", "'a (1.2.3.4:5)'"),
        ("a'b", '"a\'b"'),
        ("\x1b[2J\n\x00", "'\\x1b[2J\\n\\x00'"),
        ("\u202eevetS\u200f", "'\\u202eevetS\\u200f'"),
        ("a\\n", "'a\\\\n'"),
        ("Ada\u00a0", "'Ada\\xa0'"),
    ],
)
def test_a_name_that_could_be_taken_for_anything_else_is_quoted(make_record: MakeRecord, name: str, shown: str) -> None:
    record = make_record()
    record.player = name
    assert record.label == f"{shown} (203.0.113.7:40000)"


def test_the_end_is_counted_for_the_server(
    make_record: MakeRecord, harness: FrontendHarness, caplog: pytest.LogCaptureFixture
) -> None:
    record = make_record()
    record.backend, record.player, record.has_joined = harness.backend, "Steve", True
    record.first_event = LoginRequested(769, "x" * 300, 25565, "Steve", None, transfer=False, max_hold=None)
    harness.reactor.advance(1.25)
    record.end("closed", "7 bytes", to_server=7)
    assert record.outcome == "closed"
    assert harness.counts.snapshot(0.0).outcomes == {"closed": 1}
    line = caplog.records[-1]
    assert line.getMessage() == "survival: Steve (203.0.113.7:40000): closed after 1.2 s (7 bytes)"
    assert {name: getattr(line, name) for name in ("peer", "player", "server", "host", "protocol", "to_server")} == {
        "peer": "203.0.113.7:40000",
        "player": "Steve",
        "server": "survival",
        "host": "x" * LONGEST_HOST,
        "protocol": 769,
        "to_server": 7,
    }


def test_an_end_without_a_server_is_counted_as_unrouted(make_record: MakeRecord, harness: FrontendHarness) -> None:
    make_record().end("unknown-host")
    assert harness.context.unrouted == {"unknown-host": 1}
    make_record().count_refusal("banned", "by the server")  # no server, so nothing is counted


def test_a_warning_is_logged_as_one(make_record: MakeRecord, caplog: pytest.LogCaptureFixture) -> None:
    make_record().end("full", warn=True)
    assert caplog.records[-1].levelname == "WARNING"


def test_a_refusal_is_counted_by_its_reason(make_record: MakeRecord, harness: FrontendHarness) -> None:
    record = make_record()
    record.backend = harness.backend
    record.count_refusal("banned", "by the server")
    assert harness.counts.snapshot(0.0).refusals == {"banned": 1}


def test_no_steps_are_logged_of_a_connection_that_gets_no_line_of_its_own(
    make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(LINES):
        make_record().end("left")
    before = len(caplog.records)
    make_record().log_debug("one more step")
    assert len(caplog.records) == before


def test_the_host_that_a_web_client_names_is_in_the_log(
    make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    record = make_record()
    record.first_event = HostNamed("wiki.example.org")
    record.end("unknown-host")
    [line] = caplog.records
    assert (line.__dict__["host"], "protocol" in line.__dict__) == ("wiki.example.org", False)


def test_the_line_of_a_further_port_says_which_one(
    make_record: MakeRecord, harness: FrontendHarness, caplog: pytest.LogCaptureFixture
) -> None:
    record = make_record()
    record.backend = harness.backend
    record.backend.listen = "8123, 8124"
    record.end("closed", "5 bytes")
    line = caplog.records[-1]
    assert line.getMessage() == "survival: 203.0.113.7:40000: closed after 0.0 s on 8123, 8124 (5 bytes)"
    assert vars(line)["listen"] == "8123, 8124"
