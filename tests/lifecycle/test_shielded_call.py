from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import PluginError
from zeroscale.lifecycle.shielded_call import ShieldedCall


def told(waiting: Deferred[int]) -> list[object]:
    """What it fires with."""
    results: list[object] = []
    waiting.addCallbacks(results.append, lambda failure: results.append(failure.getErrorMessage()))
    return results


@pytest.mark.parametrize("outcome", [7, "no"])
def test_all_who_wait_are_told_how_it_ends_and_who_asks_later_too(outcome: int | str) -> None:
    running: Deferred[int] = Deferred()
    call = ShieldedCall(running)
    first, second = told(call.wait()), told(call.wait())
    if isinstance(outcome, int):
        running.callback(outcome)
    else:
        running.errback(PluginError(outcome))
    assert call.done
    assert (first, second, told(call.wait()), told(call.wait())) == ([outcome],) * 4


def test_who_waits_no_more_leaves_it_alone() -> None:
    running: Deferred[int] = Deferred()
    call = ShieldedCall(running)
    waiting = call.wait()
    results = told(waiting)
    waiting.cancel()
    assert len(results) == 1
    running.callback(7)
    assert told(call.wait()) == [7]


def test_one_who_is_told_may_have_another_wait_no_more() -> None:
    running: Deferred[int] = Deferred()
    call = ShieldedCall(running)
    first, second = call.wait(), call.wait()
    results = told(second)
    first.addCallback(lambda _: second.cancel())
    running.callback(7)
    assert results != [7]


def test_a_failure_that_nobody_waits_for_is_no_fault() -> None:
    assert ShieldedCall(fail(PluginError("no"))).done
    assert told(ShieldedCall(succeed(7)).wait()) == [7]
