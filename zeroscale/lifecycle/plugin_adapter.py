"""The one crossing between Deferreds and asyncio: a plugin, plain asyncio, seen from the Twisted side.

Knows how to call a plugin's methods and nothing of when: that is the lifecycle's.

Some attributes of a plugin are set by us, where it has them, to what it is to call, from the loop's own thread:
`on_output` with each line of its server's output; `on_found` when it sees that its server runs though it did not start
it (somebody else did, or resumed it); `on_paused` when it sees that somebody else has frozen it. They are set before
`adopt()` is awaited, so that is where a plugin may begin to watch. `close()` is awaited when the plugin is done
with: at our end, with its server gone or left running, and when a new one takes its place.

`server_address`, a host and a port, is read each time the server runs: where it is reached this time, or None, which
is where the configuration says.

One whose `start()` may wait for ever (for a pod that cannot be scheduled) says `interruptible_start = True`: its
`stop()` and `close()` may come while `start()` is awaited, which then ends with an error.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from zeroscale.errors import PluginError

T = TypeVar("T")


def from_coroutine(coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Runs an asyncio coroutine as a task of the running loop; cancelling the Deferred cancels the task.

    Only to be called once the reactor runs: before, there is no running loop, and RuntimeError is raised.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        coroutine.close()
        raise
    return Deferred.fromFuture(loop.create_task(coroutine))


class PluginAdapter:
    """One constructed plugin `Server`, its coroutines as Deferreds.

    What goes wrong in a plugin comes out as `PluginError` with one line: a plugin's author may raise anything.
    Methods that the plugin does not have say so by their `can_...` attribute.
    """

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin
        self.can_signal = callable(getattr(plugin, "signal", None))
        self.can_wait = callable(getattr(plugin, "wait", None))
        self.can_pause = callable(getattr(plugin, "pause", None)) and callable(getattr(plugin, "resume", None))
        self.can_adopt = callable(getattr(plugin, "adopt", None))
        self.can_send = callable(getattr(plugin, "send", None))
        self.interruptible_start = bool(getattr(plugin, "interruptible_start", False))
        self.can_ask_players = callable(getattr(plugin, "players", None))

    @property
    def module(self) -> str:
        """The name of the plugin's logger: its module; of a built-in plugin that is a package, the package."""
        return type(self._plugin).__module__.removesuffix(".server")

    @property
    def speaks_minecraft(self) -> bool:
        """Its clients speak Minecraft's protocol; else a TCP connection is all that is known of them."""
        return getattr(self._plugin, "protocol", None) == "minecraft"

    @property
    def is_remote(self) -> bool:
        """Its server runs on another machine, or in a container: our directories are not the server's."""
        return bool(getattr(self._plugin, "remote", False))

    @property
    def is_load_balanced(self) -> bool:
        """Something in front of its server may take connections whether it runs or not: a cluster's load balancer."""
        return bool(getattr(self._plugin, "load_balanced", False))

    @property
    def ready_line(self) -> str | None:
        """A regular expression; the line of output that it matches says that the server answers now."""
        return getattr(self._plugin, "ready_line", None)

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Where the server that runs now is reached; None: where the configuration says.

        :raises PluginError: it cannot be told.
        """
        try:
            address = getattr(self._plugin, "server_address", None)
            return None if address is None else (str(address[0]), int(address[1]))
        except Exception as error:
            raise PluginError(_in_one_line("server_address", error)) from error

    def check(self) -> None:
        """Asks a plugin that can tell whether its server could be started, before anybody waits for it.

        :raises PluginError: it could not; the message says what mends it.
        """
        check = getattr(self._plugin, "check", None)
        if callable(check):
            try:
                check()
            except Exception as error:
                raise PluginError(_in_one_line("check", error)) from error

    def start(self) -> Deferred[None]:
        """The plugin's `start()`; never to be cancelled, that would orphan a server."""
        return self._call("start")

    def stop(self) -> Deferred[None]:
        """The plugin's `stop()`; never to be cancelled."""
        return self._call("stop")

    def pause(self) -> Deferred[None]:
        """The plugin's `pause()`."""
        return self._call("pause")

    def resume(self) -> Deferred[None]:
        """The plugin's `resume()`."""
        return self._call("resume")

    def send(self, line: str) -> Deferred[str | None]:
        """One line to the server's console.

        :returns: what it answered, where the plugin's `send()` returns a text; fails with `PluginError` where the
            server has no console.
        """
        if not self.can_send:
            return fail(PluginError("this server has no console that can be written to"))
        return self._call("send", line).addCallback(lambda said: said if isinstance(said, str) else None)

    def wait(self) -> Deferred[int | None]:
        """Fires when the server is gone, with its exit code where that can be known; 128 plus a signal's number."""

        def as_a_shell_has_it(code: int | None) -> int | None:
            return 128 - code if code is not None and code < 0 else code  # asyncio says -15 of SIGTERM

        return self._call("wait").addCallback(as_a_shell_has_it)

    def players(self) -> Deferred[int | None]:
        """How many are on, as the plugin knows it; None where it does not."""
        if not self.can_ask_players:
            return succeed(None)
        return self._call("players")

    def adopt(self) -> Deferred[bool]:
        """Whether a server that an earlier zeroscale started still lives, and is now this plugin's."""
        return self._call("adopt") if self.can_adopt else succeed(False)

    def signal(self, signal_number: int) -> None:
        """Sends a signal to the server's processes.

        :raises PluginError: it could not be sent.
        """
        try:
            result = self._plugin.signal(signal_number)
        except Exception as error:
            raise PluginError(_in_one_line("signal", error)) from error
        if inspect.iscoroutine(result):
            result.close()
            raise PluginError(f"{self.module}: signal() must be a plain method, not async")

    def fake_status(self) -> bytes | None:
        """What a client is sent that comes while the server does not run; None: nothing, it is held.

        :raises PluginError: the plugin raised, or did not return bytes.
        """
        function = getattr(self._plugin, "fake_status", None)
        if function is None:
            return None
        try:
            said = function()
        except Exception as error:
            raise PluginError(_in_one_line("fake_status", error)) from error
        if said is not None and not isinstance(said, bytes | bytearray):
            raise PluginError(f"fake_status() returned {type(said).__name__}, not bytes")
        return bytes(said) if said else None

    def on_output(self, take_line: Callable[[str], None]) -> None:
        """Has each line of the server's output given to `take_line`, where the plugin can."""
        self._set("on_output", take_line)

    def on_found(self, found: Callable[[], None]) -> None:
        """Has `found` called when the server runs though this plugin did not start it, where the plugin can see it."""
        self._set("on_found", found)

    def on_paused(self, paused: Callable[[], None]) -> None:
        """Has `paused` called when somebody else has frozen the server, where the plugin can see it."""
        self._set("on_paused", paused)

    def close(self) -> Deferred[None]:
        """Has the plugin let go of what it holds beside its server (connections, tasks), where it has a `close()`."""
        return self._call("close") if callable(getattr(self._plugin, "close", None)) else succeed(None)

    def _set(self, name: str, called: Callable[..., None]) -> None:
        if hasattr(self._plugin, name):
            setattr(self._plugin, name, called)

    def _call(self, name: str, *arguments: Any) -> Deferred[Any]:
        try:
            called = getattr(self._plugin, name)(*arguments)
            deferred: Deferred[Any] = from_coroutine(called) if inspect.iscoroutine(called) else succeed(called)
        except Exception as error:
            return fail(PluginError(_in_one_line(name, error)))

        def explain(failure: Any) -> None:
            error = failure.value
            if isinstance(error, PluginError) or not isinstance(error, Exception):
                failure.raiseException()
            if isinstance(error, asyncio.CancelledError):
                failure.raiseException()
            raise PluginError(_in_one_line(name, error)) from error

        return deferred.addErrback(explain)


def _in_one_line(method: str, error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, PluginError) else f"{method}() raised {type(error).__name__}: {said}".rstrip(": ")
