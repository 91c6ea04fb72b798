"""Call what blocks in a thread of its own, while the reactor goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zeroscale.reactor import Reactor


def call_in_thread(reactor: Reactor, call: Callable[[], None]) -> Deferred[None]:
    """Call `call` in a thread of its own; where none can be started, in the calling one.

    :param reactor: in whose thread the Deferred fires.
    """
    done: Deferred[None] = Deferred()

    def run() -> None:
        result: Failure | None = None
        try:
            call()
        except Exception:  # whatever it is, it is raised where the end is awaited
            result = Failure()
        reactor.callFromThread(done.callback, result)

    try:
        threading.Thread(target=run, name="zeroscale-call", daemon=True).start()
    except RuntimeError:
        run()
    return done
