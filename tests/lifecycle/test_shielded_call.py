from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import PluginError
from zeroscale.lifecycle.shielded_call import ShieldedCall


def result_of(waiting: Deferred[int]) -> list[object]:
    """Return a list that gets what the Deferred fires with."""
    results: list[object] = []
    waiting.addCallbacks(results.append, lambda failure: results.append(failure.getErrorMessage()))
    return results


@pytest.mark.parametrize("outcome", [7, "no"])
def test_all_waiters_get_the_result_also_later_ones(outcome: int | str) -> None:
    running: Deferred[int] = Deferred()
    call = ShieldedCall(running)
    first, second = result_of(call.wait()), result_of(call.wait())
    if isinstance(outcome, int):
        running.callback(outcome)
    else:
        running.errback(PluginError(outcome))
    assert call.done
    assert (first, second, result_of(call.wait()), result_of(call.wait())) == ([outcome],) * 4


def test_cancelling_a_waiter_does_not_cancel_the_call() -> None:
    running: Deferred[int] = Deferred()
    call = ShieldedCall(running)
    waiting = call.wait()
    results = result_of(waiting)
    waiting.cancel()
    assert len(results) == 1
    running.callback(7)
    assert result_of(call.wait()) == [7]


def test_a_waiter_may_cancel_another_one_when_it_is_called() -> None:
    running: Deferred[int] = Deferred()
    call = ShieldedCall(running)
    first, second = call.wait(), call.wait()
    results = result_of(second)
    first.addCallback(lambda _: second.cancel())
    running.callback(7)
    assert results != [7]


def test_a_failure_without_waiters_is_not_logged() -> None:
    assert ShieldedCall(fail(PluginError("no"))).done
    assert result_of(ShieldedCall(succeed(7)).wait()) == [7]
