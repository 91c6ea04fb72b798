"""The program that uses the library apprise, with the real library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from webhooks import Answer, Receiver

from zeroscale.events import EVENTS, Joined
from zeroscale.notify.delivery import APPRISE, Delivery
from zeroscale.notify.target import DeliveryOutcome, Target
from zeroscale.status import ClientInfo

EVENT = Joined(server="survival", at=1_700_000_000.25, client=ClientInfo("Ada :smile: \\n <b>"), players=1)


def attempt(url: str, directory: Path) -> DeliveryOutcome:
    target = Target(
        name="phone",
        kind="apprise",
        command=APPRISE,
        directory=directory,
        apprise=url,
        events=frozenset(EVENTS),
        timeout=60.0,
    )
    return Delivery(target).attempt("id", EVENT, 0.0)


def test_a_notification_arrives(tmp_path: Path) -> None:
    pytest.importorskip("apprise", reason="needs the extra notify")
    with Receiver(Answer(200)) as receiver:
        assert attempt(f"json://127.0.0.1:{receiver.port}/hook", tmp_path) == DeliveryOutcome()
        request = receiver.get()
    assert request.json["title"] == "zeroscale: survival"
    assert request.json["message"] == "Ada :smile: \\n <b> joined survival, 1 on it"


def test_what_fails_is_tried_again(tmp_path: Path) -> None:
    pytest.importorskip("apprise", reason="needs the extra notify")
    with Receiver(Answer(500)) as receiver:
        outcome = attempt(f"json://user:SECRET@127.0.0.1:{receiver.port}/hook", tmp_path)
    assert outcome == DeliveryOutcome("exit code 75: apprise could not deliver it")


def test_a_url_that_it_does_not_understand(tmp_path: Path) -> None:
    pytest.importorskip("apprise", reason="needs the extra notify")
    outcome = attempt("moon://SECRET", tmp_path)
    assert outcome == DeliveryOutcome("exit code 64: apprise does not understand the URL", final=True)


def test_where_the_library_is_missing() -> None:
    code = (
        "import sys; sys.modules['apprise'] = None\nfrom zeroscale.notify.apprise_program import main\nsys.exit(main())"
    )
    ended = subprocess.run([sys.executable, "-c", code], input=b'{"url": "x"}', capture_output=True, check=False)
    assert ended.returncode == 69
    assert b"extra notify" in ended.stderr
