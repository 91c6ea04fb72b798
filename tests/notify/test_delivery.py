"""One attempt to deliver a notification: what is sent, and what its end means."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webhooks import Answer, Receiver

from zeroscale.events import EVENTS, Joined
from zeroscale.notify.delivery import LONGEST_RETRY_AFTER, Delivery, outcome_of
from zeroscale.notify.http_url import parse_http_url
from zeroscale.notify.target import DeliveryOutcome, Target
from zeroscale.status import ClientInfo

EVENT = Joined(server="survival", at=1_700_000_000.25, client=ClientInfo("Ada"), players=1)
NOW = 1_700_000_100.5


def target(**values: Any) -> Target:
    return Target(**{"name": "hook", "kind": "url", "events": frozenset(EVENTS), "timeout": 20.0, **values})


def attempt(directory: Path, **values: Any) -> DeliveryOutcome:
    return Delivery(target(directory=directory, **values)).attempt("id1", EVENT, NOW)


def test_json_with_a_signature(tmp_path: Path) -> None:
    with Receiver() as receiver:
        outcome = attempt(tmp_path, url=parse_http_url(receiver.url), key=b"secret")
        request = receiver.get()
    assert outcome == DeliveryOutcome()
    assert request.json["id"] == request.headers["webhook-id"] == "id1"
    assert (request.json["event"], request.json["text"]) == ("joined", "Ada joined survival, 1 on it")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("zeroscale/")
    signed = b"id1.1700000100." + request.body
    expected = b64encode(hmac.new(b"secret", signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert request.headers["webhook-timestamp"] == "1700000100"


def test_without_a_secret_there_is_no_signature(tmp_path: Path) -> None:
    with Receiver() as receiver:
        attempt(tmp_path, url=parse_http_url(receiver.url))
        assert receiver.get().headers.keys() & {"webhook-id", "webhook-signature"} == {"webhook-id"}


def test_discord(tmp_path: Path) -> None:
    with Receiver() as receiver:
        assert attempt(tmp_path, kind="discord", url=parse_http_url(receiver.url)) == DeliveryOutcome()
        assert receiver.get().json["embeds"][0]["description"] == "Ada joined survival, 1 on it"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, DeliveryOutcome()),
        (204, DeliveryOutcome()),
        (302, DeliveryOutcome("HTTP 302: redirects are not followed", final=True)),
        (400, DeliveryOutcome("HTTP 400", final=True)),
        (404, DeliveryOutcome("HTTP 404", final=True)),
        (410, DeliveryOutcome("HTTP 410", final=True)),
        (408, DeliveryOutcome("HTTP 408", retry_after=7.0)),
        (425, DeliveryOutcome("HTTP 425", retry_after=7.0)),
        (429, DeliveryOutcome("HTTP 429", retry_after=7.0)),
        (500, DeliveryOutcome("HTTP 500", retry_after=7.0)),
        (503, DeliveryOutcome("HTTP 503", retry_after=7.0)),
    ],
)
def test_which_answers_are_final(status: int, outcome: DeliveryOutcome) -> None:
    assert outcome_of(status, "7", 0.0) == outcome


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        ("2.5", 2.5),
        ("99999999", LONGEST_RETRY_AFTER),
        ("9" * 400, LONGEST_RETRY_AFTER),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 9.0),
        ("Fri, 31 Dec 1999 23:59:40 GMT", 0.0),
        ("Fri, 31 Dec 2099 23:59:40 GMT", LONGEST_RETRY_AFTER),
        ("-1", None),
        ("soon", None),
        ("nan", None),
    ],
)
def test_when_the_server_wants_the_next_attempt(text: str, seconds: float | None) -> None:
    assert outcome_of(429, text, 946684790.0).retry_after == seconds


@given(st.text())
def test_any_text_for_a_time(text: str) -> None:
    seconds = outcome_of(429, text, 0.0).retry_after
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER


def test_a_problem_does_not_show_the_url(tmp_path: Path) -> None:
    with Receiver(Answer(raw=b"SECRET"), Answer(500, [("X", "SECRET")])) as receiver:
        url = parse_http_url(receiver.url)
        outcomes = [attempt(tmp_path, url=url) for _ in range(2)]
    outcomes.append(attempt(tmp_path, url=url))
    outcomes.append(attempt(tmp_path, url=parse_http_url("http://name.invalid/SECRET")))
    assert all(each.problem and not each.final for each in outcomes)
    assert not any("SECRET" in each.problem for each in outcomes)


def test_a_command_gets_json_and_variables(tmp_path: Path) -> None:
    script = 'printf %s "$ZEROSCALE_EVENT $ZEROSCALE_PLAYER" > words; cat > got'
    assert attempt(tmp_path, kind="command", command=("sh", "-c", script)) == DeliveryOutcome()
    assert (tmp_path / "words").read_text() == "joined Ada"
    assert json.loads((tmp_path / "got").read_text())["player"] == "Ada"


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("echo why; exit 1", DeliveryOutcome("exit code 1: why", final=True)),
        ("exit 75", DeliveryOutcome("exit code 75")),
        ("kill -9 $$", DeliveryOutcome("signal 9 has ended it", final=True)),
        ("sleep 60", DeliveryOutcome("it took more than 0.5 s, and was killed")),
    ],
)
def test_how_a_command_ends(tmp_path: Path, script: str, outcome: DeliveryOutcome) -> None:
    assert attempt(tmp_path, kind="command", command=("sh", "-c", script), timeout=0.5) == outcome


def test_a_command_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    outcome = attempt(tmp_path, kind="command", command=("./missing",))
    assert "missing" in outcome.problem and not outcome.final


def test_no_word_of_a_player_is_a_word_of_a_shell(tmp_path: Path) -> None:
    evil = Joined(server="a", at=0.0, client=ClientInfo("$(touch evil)`touch evil`; touch evil"), players=1)
    command = ("sh", "-c", 'eval "true"; echo "$ZEROSCALE_PLAYER" > name')
    assert (
        Delivery(target(kind="command", command=command, directory=tmp_path)).attempt("id", evil, NOW)
        == DeliveryOutcome()
    )
    assert {each.name for each in tmp_path.iterdir()} == {"name"}
