"""Asking a server's console who is on."""

from __future__ import annotations

import pytest
from lifecycle.harness import FakePlayerList, FakePlugin, LifecycleHarness
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from zeroscale.errors import BackendError, PluginError
from zeroscale.lifecycle.console_list import ANSWER_TIMEOUT, ConsoleList


class Asked:
    """A console that is asked, and what came of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.plugin: FakePlugin = LifecycleHarness(opened=False).plugin
        self.console_list = ConsoleList(self.clock)
        self.outcome: list[object] = []

    def ask(self) -> Deferred[int | None]:
        self.outcome.clear()
        question = Deferred.fromCoroutine(self.console_list.count(self.plugin, FakePlayerList()))
        question.addBoth(self.outcome.append)
        return question

    def error(self) -> str:
        (outcome,) = self.outcome
        assert isinstance(outcome, Failure)
        assert outcome.check(BackendError)
        return outcome.getErrorMessage()


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_the_answer_of_the_plugin(asked: Asked) -> None:
    asked.plugin.console = lambda line: succeed("2 on")
    asked.ask()
    assert asked.outcome == [2]
    assert asked.plugin.calls == ["send who"]
    assert asked.clock.getDelayedCalls() == []


def test_the_answer_in_the_output(asked: Asked) -> None:
    asked.console_list.output_received("[log] 7 on")  # before the question
    asked.ask()
    asked.console_list.output_received("[log] Saved the game")
    asked.clock.advance(ANSWER_TIMEOUT - 1)
    assert asked.outcome == []
    asked.console_list.output_received("[log] 0 on")
    assert asked.outcome == [0]
    asked.console_list.output_received("[log] 8 on")
    assert asked.clock.getDelayedCalls() == []


def test_the_answer_in_the_output_before_the_plugin_has_returned(asked: Asked) -> None:
    sending: Deferred[str | None] = Deferred()
    asked.plugin.console = lambda line: sending
    asked.ask()
    asked.console_list.output_received("[log] 3 on")
    asked.console_list.output_received("[log] 4 on")
    sending.callback("")
    assert asked.outcome == [3]


def test_a_console_that_has_never_answered_says_nothing(asked: Asked) -> None:
    asked.ask()
    asked.console_list.output_received("[log] /who")  # the command itself, as some consoles repeat it
    asked.clock.advance(ANSWER_TIMEOUT)
    assert asked.outcome == [None]
    asked.plugin.console = lambda line: fail(PluginError("it has no console"))
    asked.ask()
    assert asked.outcome == [None]


def test_a_console_that_no_longer_answers_does_not_mean_no_players(asked: Asked) -> None:
    asked.plugin.console = lambda line: succeed("0 on")
    asked.ask()
    asked.plugin.console = lambda line: succeed(None)
    for _ in range(2):
        asked.ask()
        asked.clock.advance(ANSWER_TIMEOUT)
        assert asked.error() == "its console no longer answers `who`"
    asked.plugin.console = lambda line: fail(PluginError("it takes no input"))
    asked.ask()
    assert asked.error() == "its console no longer answers `who`"
    asked.plugin.console = lambda line: succeed("0 on")
    asked.ask()
    assert asked.outcome == [0]


def test_an_answer_of_the_plugin_that_is_not_understood_is_quoted(asked: Asked) -> None:
    asked.plugin.console = lambda line: succeed(" Es ist keiner da\n")
    asked.ask()
    assert asked.error() == "its answer to `who` is not understood: 'Es ist keiner da'"
    assert asked.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("lines", "quoted"),
    [
        (["[log] Saved the game", "[log] Es sind 0 da", "[log] 3 ticks behind"], "Es sind 0 da"),
        (["[log] Es ist keiner da", "[log] Saved the game"], "Es ist keiner da"),
        (["[log] who", "[log] ", "[log] Unknown command"], "Unknown command"),
    ],
)
def test_output_that_is_not_understood_is_quoted(asked: Asked, lines: list[str], quoted: str) -> None:
    asked.ask()
    for line in lines:
        asked.console_list.output_received(line)
    asked.clock.advance(ANSWER_TIMEOUT)
    assert asked.error() == f"its answer to `who` is not understood: {quoted!r}"


def test_a_late_answer_of_the_plugin_does_not_mean_no_players(asked: Asked) -> None:
    asked.plugin.console = lambda line: Deferred()
    asked.ask()
    asked.clock.advance(ANSWER_TIMEOUT)
    assert asked.error() == "its console has not answered `who` within 15 s"


def test_a_cancelled_question_leaves_nothing_behind(asked: Asked) -> None:
    question = asked.ask()
    question.cancel()
    (outcome,) = asked.outcome
    assert isinstance(outcome, Failure)
    assert outcome.check(CancelledError)
    assert asked.clock.getDelayedCalls() == []
    asked.console_list.output_received("[log] 0 on")
