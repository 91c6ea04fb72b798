"""What browsers read, and when they may try again."""

from __future__ import annotations

import pytest

from zeroscale.frontend.http_page import LATER, SOON, TEXTS, try_again_in
from zeroscale.frontend.messages import DEFAULTS, Messages
from zeroscale.protocols.minecraft.text_component import plain
from zeroscale.status import ServerSnapshot, Status


def view(status: Status, **values: object) -> ServerSnapshot:
    return ServerSnapshot(name="wiki", status=status, since=100.0, **values)  # type: ignore[arg-type]  # as the test says


def test_every_kick_but_those_of_players_has_a_page() -> None:
    of_players = {"not_known_kick", "not_op_kick", "not_whitelisted_kick"}
    of_players |= {"name_kick", "silent_kick", "unexpected_kick", "ready_kick"}
    of_players |= {name for name in DEFAULTS if name.startswith("banned")}
    assert {name for name in DEFAULTS if name.endswith("_kick")} - of_players == set(TEXTS)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view(Status.stopped, estimate=20.0), "Waking up, about 20 s"),
        (view(Status.stopped), "Waking up"),
        (view(Status.starting, estimate=40.0), "Waking up, about 30 s"),
        (view(Status.failed, reason="it ended", retry_at=140.0), "Something went wrong\nReason: it ended. Another try"),
        (view(Status.failed, reason="it ended"), "Out of order\nReason: it ended. The server's operator"),
    ],
)
def test_what_is_read(seen: ServerSnapshot, words: str) -> None:
    assert plain(Messages(TEXTS).kick(seen, 110.0, "")).startswith(words)


def test_only_the_note_of_the_page_says_that_the_page_does_something() -> None:
    """The same messages are sent to programs as plain text."""
    assert not [name for name, text in TEXTS.items() if "page" in text]
    assert Messages(TEXTS).page_note == "This page reloads itself until the server is there."
    assert Messages({**TEXTS, "page_note": "Lädt neu"}).page_note == "Lädt neu"


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        (view(Status.stopped, estimate=20.0), 20.0),
        (view(Status.stopped), SOON),
        (view(Status.starting, estimate=40.0), 30.0),
        (view(Status.starting, estimate=4.0), 1.0),
        (view(Status.starting), SOON),
        (view(Status.stopping), SOON),
        (view(Status.stopping, stop_timed_out=True), LATER),
        (view(Status.paused), SOON),
        (view(Status.failed, retry_at=125.0), 15.0),
        (view(Status.failed), LATER),
        (view(Status.stopped, lockout="a backup", estimate=20.0), LATER),
    ],
)
def test_when_to_try_again(seen: ServerSnapshot, seconds: float) -> None:
    assert try_again_in(seen, 110.0) == seconds
