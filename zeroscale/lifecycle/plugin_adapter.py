"""Adapter between asyncio and Twisted: a plugin's coroutines as Deferreds.

The contract of plugins is in `zeroscale.plugins.api`. Each attribute of a plugin is read here alone, and by name, so
that a plugin need not inherit from anything.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from zeroscale.errors import PluginError, StartRefused
from zeroscale.status import Status

T = TypeVar("T")

NEVER_CANCELLED = frozenset({"start", "stop", "pause", "resume"})
"""The methods that zeroscale never cancels, since a server could be lost."""


def from_coroutine(coroutine: Coroutine[object, None, T]) -> Deferred[T]:
    """Run an asyncio coroutine as a task of the running loop; cancelling the Deferred cancels the task.

    :raises RuntimeError: the reactor does not run yet.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        coroutine.close()
        raise
    return Deferred.fromFuture(loop.create_task(coroutine))


class PluginAdapter:
    """Calls one plugin. Implements `interfaces.AdaptedPlugin`.

    Every exception of a plugin is converted to a `PluginError` with one line. `start`, `stop`, `pause` and `resume`
    must not be cancelled: a server could be lost.

    :param plugin: an instance of the plugin's class `Server`.
    :raises PluginError: one of its attributes cannot be read, or has the wrong type.
    :ivar can_signal: the plugin has `signal`; the other attributes `can_...` mean the same for their methods.
    :ivar interruptible_start: `stop()` and `close()` may be called before `start()` has returned, and end it.
    :ivar sigterm_arguments: the plugin's arguments with which `stop()` would send SIGTERM; None: there are none.
    """

    def __init__(self, plugin: object) -> None:
        self._plugin = plugin
        self.can_signal = callable(self._read("signal"))
        self.can_wait = callable(self._read("wait"))
        self.can_pause = callable(self._read("pause")) and callable(self._read("resume"))
        self.can_adopt = callable(self._read("adopt"))
        self.can_send = callable(self._read("send"))
        self.interruptible_start = bool(self._read("interruptible_start"))
        arguments = self._read("sigterm_arguments")
        self.sigterm_arguments = None if arguments is None else str(arguments)
        self.can_ask_players = callable(self._read("players"))
        for name in ("protocol", "remote", "load_balanced"):
            self._read(name)
        _ = self.controls
        _ = self.ready_line

    @property
    def module(self) -> str:
        """The name of the plugin's module; for a built-in plugin that is a package, the package."""
        return type(self._plugin).__module__.removesuffix(".server")

    @property
    def speaks_minecraft(self) -> bool:
        """Whether the server's clients speak Minecraft's protocol; else zeroscale sees only TCP connections."""
        return self._read("protocol") == "minecraft"

    @property
    def speaks_http(self) -> bool:
        """Whether the server's clients speak HTTP, as the plugin says; `wake_on` may say it as well."""
        return self._read("protocol") == "http"

    @property
    def is_remote(self) -> bool:
        """Whether the server runs on another machine, or in a container, so that its files are not here."""
        return bool(self._read("remote"))

    @property
    def is_load_balanced(self) -> bool:
        """Whether a load balancer may take connections for a server that does not run."""
        return bool(self._read("load_balanced"))

    @property
    def controls(self) -> Mapping[str, bool]:
        """The names of what it starts and stops, and for each whether it stops it."""
        names = self._read("controls")
        if names is None:
            return {}
        if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names):
            raise PluginError(f"{self.module}: controls is {names!r}, not a mapping from names")
        return {name: bool(stops) for name, stops in names.items()}

    @property
    def ready_line(self) -> re.Pattern[str] | None:
        """A regular expression for the line of output after which the server answers."""
        line = self._read("ready_line")
        if line is None:
            return None
        if not isinstance(line, str):
            raise PluginError(f"{self.module}: ready_line is {line!r}, not a text")
        try:
            return re.compile(line)
        except re.error as error:
            raise PluginError(f"{self.module}: ready_line is not a regular expression: {error}") from None

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Host and port of the server that runs now; None: those of the configuration.

        :raises PluginError: they are not known.
        """
        try:
            address = getattr(self._plugin, "server_address", None)
            return None if address is None else (str(address[0]), int(address[1]))
        except (Exception, SystemExit) as error:
            raise PluginError(self._line("server_address", error)) from error

    def check(self) -> None:
        """Ask the plugin whether its server could be started, where it has `check()`.

        :raises PluginError: it could not; the message says what to do.
        """
        check = self._read("check")
        if callable(check):
            try:
                check()
            except (Exception, SystemExit) as error:
                raise PluginError(self._line("check", error)) from error

    def start(self) -> Deferred[None]:
        """Call `start()`."""
        return self._call("start")

    def stop(self) -> Deferred[None]:
        """Call `stop()`."""
        return self._call("stop")

    def pause(self) -> Deferred[None]:
        """Call `pause()`."""
        return self._call("pause")

    def resume(self) -> Deferred[None]:
        """Call `resume()`."""
        return self._call("resume")

    def send(self, line: str) -> Deferred[str | None]:
        """Call `send(line)`, for the server's console.

        :returns: fires with the server's answer, where the plugin returns a text; fails with `PluginError` where the
            server has no console.
        """
        if not self.can_send:
            error = "this server has no console that can be written to; see zeroscalectl logs, or the server's own log"
            return fail(PluginError(error))
        return self._call("send", line).addCallback(lambda answer: answer if isinstance(answer, str) else None)

    def wait(self) -> Deferred[int | None]:
        """Call `wait()`.

        :returns: fires when the server has exited, with its exit code where that is known: 128 plus the number of a
            signal, as in a shell.
        """

        def as_in_a_shell(code: object) -> int | None:
            if code is not None and not isinstance(code, int):
                raise PluginError(f"{self.module}: wait() returned {code!r}, which is no exit code")
            return 128 - code if code is not None and code < 0 else code  # asyncio gives -15 for SIGTERM

        return self._call("wait").addCallback(as_in_a_shell)

    def players(self) -> Deferred[int | None]:
        """Call `players()`; fires with None where the plugin has none."""
        if not self.can_ask_players:
            return succeed(None)
        return self._call("players")

    def usage(self) -> Deferred[tuple[float, int] | None]:
        """Call `usage()`; fires with CPU seconds and bytes of memory, or None where the plugin does not know them."""

        def checked(answer: object) -> tuple[float, int] | None:
            match answer:
                case None:
                    return None
                case (int() | float() as cpu, int() as memory) if 0 <= cpu < math.inf and 0 <= memory < 1 << 63:
                    return float(cpu), memory
            raise PluginError(f"{self.module}: usage() returned {answer!r}, not CPU seconds and bytes")

        return self._call_if_any("usage").addCallback(checked)

    def adopt(self) -> Deferred[Status | None]:
        """Call `adopt()`.

        :returns: fires with the status of the server that the plugin has taken over, `running` or `stopping`; with
            None if there is none.
        """

        def found(answer: object) -> Status | None:
            if answer is Status.stopping:
                return Status.stopping
            return Status.running if answer else None

        return self._call("adopt").addCallback(found) if self.can_adopt else succeed(None)

    def signal(self, signal_number: int) -> None:
        """Send a signal to the server's processes.

        :raises PluginError: it could not be sent.
        """
        try:
            result = getattr(self._plugin, "signal")(signal_number)  # noqa: B009  # its type is object
        except (Exception, SystemExit) as error:
            raise PluginError(self._line("signal", error)) from error
        if inspect.iscoroutine(result):
            result.close()
            raise PluginError(f"{self.module}: signal() must be a plain method, not async")

    def doubt(self) -> bool:
        """Return whether the server, which does not answer, may not run, though the plugin has found it running.

        :raises PluginError: the plugin raised.
        """
        doubt = self._read("doubt")
        if not callable(doubt):
            return False
        try:
            return bool(doubt())
        except (Exception, SystemExit) as error:
            raise PluginError(self._line("doubt", error)) from error

    def fake_status(self) -> bytes | None:
        """Return what a client is sent while the server does not run; None: nothing, the client waits.

        :raises PluginError: the plugin raised, or did not return bytes.
        """
        function: Any = self._read("fake_status")
        if function is None:
            return None
        try:
            answer = function()
        except (Exception, SystemExit) as error:
            raise PluginError(self._line("fake_status", error)) from error
        if answer is not None and not isinstance(answer, bytes | bytearray):
            raise PluginError(f"{self.module}: fake_status() returned {type(answer).__name__}, not bytes")
        return bytes(answer) if answer else None

    def on_output(self, take_line: Callable[[str], None]) -> None:
        """Register `take_line`, to be called with each line of the server's output, if the plugin supports that."""
        self._set("on_output", take_line)

    def on_found(self, found: Callable[[], None]) -> None:
        """Register `found`, to be called when the plugin sees the server run without having started or resumed it."""
        self._set("on_found", found)

    def on_paused(self, paused: Callable[[], None]) -> None:
        """Register `paused`, to be called when the plugin sees the server paused without having paused it."""
        self._set("on_paused", paused)

    def close(self) -> Deferred[None]:
        """Call `close()`, where the plugin has it: it ends its connections and tasks, not the server."""
        return self._call_if_any("close")

    def _read(self, name: str) -> object:
        try:
            return getattr(self._plugin, name, None)
        except (Exception, SystemExit) as error:
            raise PluginError(self._line(name, error)) from error

    def _set(self, name: str, callback: Callable[..., None]) -> None:
        try:
            if hasattr(self._plugin, name):
                setattr(self._plugin, name, callback)
        except (Exception, SystemExit) as error:
            raise PluginError(self._line(name, error)) from error

    def _call_if_any(self, name: str) -> Deferred[Any]:
        try:
            has_it = callable(self._read(name))
        except PluginError as error:
            return fail(error)
        return self._call(name) if has_it else succeed(None)

    def _call(self, name: str, *arguments: object) -> Deferred[Any]:
        try:
            result = getattr(self._plugin, name)(*arguments)
            call: Deferred[object] = succeed(result)
            if inspect.isawaitable(result):
                call = from_coroutine(self._wait_for(name, result))
            if inspect.iscoroutine(result):
                call.addBoth(_closed, result)
        except (Exception, SystemExit) as error:
            return fail(self._error(name, error))

        def explain(failure: Failure) -> None:
            error = failure.value
            if isinstance(error, asyncio.CancelledError) and name in NEVER_CANCELLED:
                raise PluginError(f"{self.module}: {name}() was cancelled by the plugin itself") from error
            if isinstance(error, PluginError | asyncio.CancelledError) or not isinstance(error, Exception):
                failure.raiseException()
            else:
                raise self._error(name, error) from error

        return call.addErrback(explain)

    async def _wait_for(self, method: str, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        except SystemExit as error:  # asyncio would end the event loop, and with it the proxy
            raise PluginError(self._line(method, error)) from error

    def _error(self, method: str, error: Exception | SystemExit) -> PluginError:
        if isinstance(error, PluginError):
            return error
        # EAGAIN: a plugin that starts a process or a thread itself has met the limit.
        kind = StartRefused if isinstance(error, BlockingIOError) else PluginError
        return kind(self._line(method, error))

    def _line(self, name: str, error: Exception | SystemExit) -> str:
        """Return the line of an error; one that the plugin did not mean for the operator names plugin and method."""
        line = " ".join(str(error).split())
        if isinstance(error, PluginError):
            return line
        called = f"{name}()" if callable(getattr(type(self._plugin), name, None)) else name
        return f"{self.module}: {called} raised {type(error).__name__}: {line}".rstrip(": ")


def _closed(result: T, coroutine: Coroutine[object, None, object]) -> T:
    coroutine.close()  # a call that is cancelled before its first step has never awaited it
    return result
