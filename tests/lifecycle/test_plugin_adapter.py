from __future__ import annotations

import asyncio
import errno
import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred

from zeroscale.errors import PluginError, StartRefused
from zeroscale.lifecycle.plugin_adapter import PluginAdapter, from_coroutine
from zeroscale.status import Status

HERE = re.escape(__name__)
"""The name by which errors call the plugins of this file."""


class Minimal:
    """A plugin with the required methods only."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def start(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("started")

    async def stop(self) -> None:
        self.calls.append("stopped")

    def fake_status(self) -> bytes | None:
        return b"asleep"


class Whole(Minimal):
    """All that a plugin may have."""

    protocol = "minecraft"
    server_address = "172.20.0.2", 25565
    ready_line = "Done"
    interruptible_start = True
    sigterm_arguments = "-a stop=SIGTERM"

    def __init__(self) -> None:
        super().__init__()
        self.on_output: Callable[[str], None] | None = None
        self.on_found: Callable[[], None] | None = None
        self.on_paused: Callable[[], None] | None = None
        self.signals: list[int] = []
        self.used: object = (1.5, 4096)

    async def wait(self) -> int | None:
        await asyncio.Event().wait()
        return 0

    async def players(self) -> int | None:
        return 3

    async def usage(self) -> object:
        return self.used

    async def adopt(self) -> bool:
        return True

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def send(self, line: str) -> None:
        self.calls.append(line)

    async def close(self) -> None:
        self.calls.append("closed")

    def doubt(self) -> bool:
        return True

    def signal(self, number: int) -> None:
        self.signals.append(number)


@pytest_twisted.ensureDeferred
async def test_the_required_methods_are_enough() -> None:
    plugin = Minimal()
    adapter = PluginAdapter(plugin)
    await adapter.start()
    await adapter.stop()
    assert plugin.calls == ["started", "stopped"]
    assert adapter.fake_status() == b"asleep"
    assert not (adapter.can_signal or adapter.can_wait or adapter.can_pause or adapter.interruptible_start)
    assert not adapter.speaks_minecraft
    assert adapter.sigterm_arguments is None
    assert adapter.ready_line is None
    assert adapter.server_address is None
    assert not adapter.doubt()
    assert await adapter.players() is None
    assert await adapter.usage() is None
    assert await adapter.adopt() is None
    adapter.on_output(print)
    adapter.on_found(print)
    adapter.on_paused(print)
    assert not any(name.startswith("on_") for name in vars(plugin))
    await adapter.close()


@pytest_twisted.ensureDeferred
async def test_what_the_server_uses_is_checked() -> None:
    plugin = Whole()
    adapter = PluginAdapter(plugin)
    assert await adapter.usage() == (1.5, 4096)
    plugin.used = None
    assert await adapter.usage() is None
    for wrong in ("much", (1.5,), (-1.0, 1), (float("nan"), 1), (1.0, 2.5), (1.0, 1 << 80)):
        plugin.used = wrong
        with pytest.raises(PluginError, match="usage"):
            await adapter.usage()


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (True, Status.running),
        (Status.running, Status.running),
        (Status.stopping, Status.stopping),
        (False, None),
        (None, None),
    ],
)
async def test_a_plugin_may_find_its_server_running_or_stopping(answer: object, status: Status | None) -> None:
    class Adopting(Minimal):
        async def adopt(self) -> object:
            return answer

    assert await PluginAdapter(Adopting()).adopt() is status


@pytest_twisted.ensureDeferred
async def test_all_optional_attributes_are_used() -> None:
    plugin = Whole()
    adapter = PluginAdapter(plugin)
    assert adapter.can_signal
    assert adapter.interruptible_start
    assert adapter.sigterm_arguments == "-a stop=SIGTERM"
    assert adapter.can_wait
    assert adapter.can_pause
    assert adapter.doubt()
    assert adapter.speaks_minecraft
    assert adapter.ready_line == re.compile("Done")
    assert await adapter.players() == 3
    assert await adapter.adopt() is Status.running
    await adapter.send("save-all")
    assert plugin.calls == ["save-all"]
    adapter.signal(signal.SIGTERM)
    assert plugin.signals == [signal.SIGTERM]
    assert adapter.server_address == ("172.20.0.2", 25565)
    adapter.on_output(plugin.calls.append)
    assert plugin.on_output is not None
    adapter.on_found(lambda: plugin.calls.append("found"))
    adapter.on_paused(lambda: plugin.calls.append("paused"))
    assert plugin.on_found is not None
    assert plugin.on_paused is not None
    plugin.on_found()
    plugin.on_paused()
    await adapter.close()
    assert plugin.calls == ["save-all", "found", "paused", "closed"]
    waiting = adapter.wait()
    waiting.cancel()
    with pytest.raises((CancelledError, asyncio.CancelledError)):
        await waiting


@pytest.mark.parametrize(
    ("code", "meant"), [(None, None), (0, 0), (3, 3), (-signal.SIGTERM, 143), (-signal.SIGKILL, 137)]
)
@pytest_twisted.ensureDeferred
async def test_a_negative_exit_code_becomes_that_of_a_shell(code: int | None, meant: int | None) -> None:
    class Ends(Minimal):
        async def wait(self) -> int | None:
            return code

    assert await PluginAdapter(Ends()).wait() == meant


@pytest_twisted.ensureDeferred
async def test_any_error_of_a_plugin_becomes_one_line() -> None:
    class Broken(Minimal):
        async def start(self) -> None:
            raise RuntimeError("two\nlines")

        async def stop(self) -> None:
            raise PluginError("the mend")

        def fake_status(self) -> bytes | None:
            raise KeyError("no such thing")

    adapter = PluginAdapter(Broken())
    with pytest.raises(PluginError, match=rf"^{HERE}: start\(\) raised RuntimeError: two lines$"):
        await adapter.start()
    with pytest.raises(PluginError, match=r"^the mend$"):
        await adapter.stop()
    with pytest.raises(PluginError, match="fake_status"):
        adapter.fake_status()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StartRefused("the disk is full"), "the disk is full"),
        (BlockingIOError(errno.EAGAIN, "no more threads are allowed"), "no more threads are allowed"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_start_without_a_process_or_a_thread_is_refused(error: Exception, message: str) -> None:
    class Refused(Minimal):
        async def start(self) -> None:
            raise error

    class RefusedAtOnce:
        def start(self) -> None:
            raise error

        async def stop(self) -> None:
            """Do nothing."""

    for plugin in (Refused(), RefusedAtOnce()):
        with pytest.raises(StartRefused, match=message):
            await PluginAdapter(plugin).start()


@pytest_twisted.ensureDeferred
async def test_an_exit_inside_of_a_plugin_is_an_error_of_the_plugin() -> None:
    class Exits:
        async def start(self) -> None:
            await asyncio.sleep(0)
            sys.exit("no licence")

        def stop(self) -> None:
            sys.exit(3)

    adapter = PluginAdapter(Exits())
    with pytest.raises(PluginError, match=rf"^{HERE}: start\(\) raised SystemExit: no licence$"):
        await adapter.start()
    with pytest.raises(PluginError, match=rf"^{HERE}: stop\(\) raised SystemExit: 3$"):
        await adapter.stop()


@pytest_twisted.ensureDeferred
async def test_a_cancelled_start_and_a_wrong_exit_code_are_errors_of_the_plugin() -> None:
    class Broken(Minimal):
        async def start(self) -> None:
            raise asyncio.CancelledError

        async def wait(self) -> str:
            return "0"

    adapter = PluginAdapter(Broken())
    with pytest.raises(PluginError, match=rf"^{HERE}: start\(\) was cancelled by the plugin itself$"):
        await adapter.start()
    with pytest.raises(PluginError, match=rf"^{HERE}: wait\(\) returned '0', which is no exit code$"):
        await adapter.wait()


@pytest_twisted.ensureDeferred
async def test_plain_methods_instead_of_coroutines_work() -> None:
    class Plain:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def start(self) -> None:
            self.calls.append("started")

        def stop(self) -> None:
            raise ValueError("no")

    plugin = Plain()
    adapter = PluginAdapter(plugin)
    await adapter.start()
    assert plugin.calls == ["started"]
    assert adapter.fake_status() is None
    with pytest.raises(PluginError, match="ValueError"):
        await adapter.stop()


@pytest_twisted.ensureDeferred
async def test_a_method_may_return_a_task_or_future() -> None:
    class Plugin(Minimal):
        def start(self) -> asyncio.Task[None]:  # type: ignore[override]
            return asyncio.get_running_loop().create_task(super().start())

        def stop(self) -> asyncio.Future[None]:  # type: ignore[override]
            stopped = asyncio.get_running_loop().create_future()
            stopped.set_exception(RuntimeError("it hangs"))
            return stopped

    plugin = Plugin()
    await PluginAdapter(plugin).start()
    assert plugin.calls == ["started"]
    with pytest.raises(PluginError, match=r"stop\(\) raised RuntimeError: it hangs"):
        await PluginAdapter(plugin).stop()


@pytest.mark.parametrize(
    "name",
    [
        "protocol",
        "remote",
        "load_balanced",
        "controls",
        "ready_line",
        "interruptible_start",
        "sigterm_arguments",
        "signal",
        "adopt",
    ],
)
def test_an_attribute_that_cannot_be_read_is_an_error_of_the_plugin(name: str) -> None:
    def fail(plugin: object) -> None:
        raise ValueError("not yet")

    with pytest.raises(PluginError, match=f"^{HERE}: {name} raised ValueError: not yet$"):
        PluginAdapter(type("Plugin", (Minimal,), {name: property(fail)})())


@pytest.mark.parametrize(("line", "message"), [(5, "is 5, not a text"), ("(", "is not a regular expression: missing ")])
def test_a_ready_line_must_be_a_regular_expression(line: object, message: str) -> None:
    with pytest.raises(PluginError, match=f"^{HERE}: ready_line {message}"):
        PluginAdapter(type("Plugin", (Minimal,), {"ready_line": line})())


@pytest.mark.parametrize("controls", ["container mc", {5: True}])
def test_what_it_controls_must_be_a_mapping_from_names(controls: object) -> None:
    with pytest.raises(PluginError, match=rf"^{HERE}: controls is .*, not a mapping from names"):
        PluginAdapter(type("Plugin", (Minimal,), {"controls": controls})())


def test_what_it_controls() -> None:
    assert PluginAdapter(Minimal()).controls == {}
    machine = {"controls": {"machine x": False, "container y": True}}
    assert PluginAdapter(type("Plugin", (Minimal,), machine)()).controls == machine["controls"]


def test_an_address_of_another_type_is_an_error_of_the_plugin() -> None:
    class Nowhere(Minimal):
        server_address = "here"

    class Lost(Minimal):
        @property
        def server_address(self) -> tuple[str, int]:
            raise PluginError("not in a network 'games'")

    with pytest.raises(PluginError, match="server_address"):
        assert PluginAdapter(Nowhere()).server_address
    with pytest.raises(PluginError, match=r"^not in a network 'games'$"):
        assert PluginAdapter(Lost()).server_address


def test_check_reports_before_the_start_what_is_missing() -> None:
    class Careful(Minimal):
        def check(self) -> None:
            raise PluginError("no server.jar")

    PluginAdapter(Minimal()).check()
    with pytest.raises(PluginError, match=r"^no server\.jar$"):
        PluginAdapter(Careful()).check()


@pytest_twisted.ensureDeferred
async def test_an_error_in_any_call_names_the_plugin() -> None:
    def fail(*_: object) -> object:
        raise TypeError("'list' object is not callable")

    names = ("check", "doubt", "fake_status", "signal", "usage", "players", "adopt", "close", "send", "wait", "pause")
    adapter = PluginAdapter(type("Broken", (Whole,), dict.fromkeys(names, fail))())
    calls = {name: getattr(adapter, name) for name in names}
    for name, call in calls.items():
        with pytest.raises(PluginError, match=rf"^{HERE}: {name}\(\) raised TypeError: 'list' object is not callable$"):
            await maybeDeferred(call, *{"signal": (15,), "send": ("list",)}.get(name, ()))


@pytest_twisted.ensureDeferred
async def test_an_attribute_that_fails_only_later_is_an_error_of_the_plugin() -> None:
    def fail(*_: object) -> None:
        raise ValueError("not yet")

    def found(plugin: object) -> None:
        """Nobody waits for it."""

    late = {"on_found": property(found, fail), **dict.fromkeys(("close", "usage", "check"), property(fail))}
    adapter = PluginAdapter(type("Late", (Minimal,), late)())
    calls = {"close": adapter.close, "usage": adapter.usage, "check": adapter.check}
    for name, call in {**calls, "on_found": lambda: adapter.on_found(print)}.items():
        with pytest.raises(PluginError, match=f"^{HERE}: {name} raised ValueError: not yet$"):
            await maybeDeferred(call)


@pytest.mark.parametrize("status", ["text", 5])
def test_a_fake_status_other_than_bytes_is_an_error(status: object) -> None:
    plugin = Minimal()
    plugin.fake_status = lambda: status  # type: ignore[method-assign,assignment,return-value]  # that is the mistake
    with pytest.raises(PluginError, match=rf"^{HERE}: fake_status\(\) returned .*, not bytes"):
        PluginAdapter(plugin).fake_status()


def test_an_empty_fake_status_is_none() -> None:
    plugin = Minimal()
    plugin.fake_status = lambda: b""  # type: ignore[method-assign]
    assert PluginAdapter(plugin).fake_status() is None


def test_an_async_signal_method_is_an_error() -> None:
    class Wrong(Minimal):
        async def signal(self, number: int) -> None: ...

    with pytest.raises(PluginError, match="plain method"):
        PluginAdapter(Wrong()).signal(signal.SIGTERM)


def test_without_a_running_loop_a_coroutine_is_closed_and_refused() -> None:
    async def never() -> None: ...

    with ThreadPoolExecutor(1) as elsewhere, pytest.raises(RuntimeError, match="no running event loop"):
        elsewhere.submit(from_coroutine, never()).result()


@pytest_twisted.ensureDeferred
async def test_a_coroutines_result_is_the_deferreds_result() -> None:
    async def seven() -> int:
        return 7

    crossing: Deferred[int] = from_coroutine(seven())
    assert await crossing == 7
