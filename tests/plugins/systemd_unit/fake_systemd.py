"""A D-Bus daemon for the tests, with a fake systemd on it that has one unit.

Its answers have the form of systemd 252's (org.freedesktop.systemd1(5)).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
JOB = f"{MANAGER_PATH}/job/"

PROPERTIES = {
    "Unit": ("Id", "LoadState", "ActiveState", "SubState", "InvocationID", "FreezerState"),
    "Service": ("Result", "ExecMainCode", "ExecMainStatus", "CPUUsageNSec", "MemoryCurrent"),
}
"""Those of each interface."""

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""


class Daemon:
    """A dbus-daemon.

    :ivar address: for DBUS_SYSTEM_BUS_ADDRESS.
    """

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "bus"
        self._configuration = directory / "bus.conf"
        self._configuration.write_text(CONFIGURATION.format(socket=self._socket))
        self._process: asyncio.subprocess.Process | None = None
        self.address = f"unix:path={self._socket}"

    async def start(self) -> None:
        """Start it; return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            "dbus-daemon",
            "--nofork",
            "--nopidfile",
            "--nosyslog",
            "--print-address",
            f"--config-file={self._configuration}",
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline(), "it ended without an address"

    async def stop(self) -> None:
        """Kill it, which closes every connection to it."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
            self._socket.unlink(missing_ok=True)


class Systemd:
    """systemd, with one unit.

    :ivar unit: its name.
    :ivar properties: of the unit and its service.
    :ivar denied: jobs are refused for lack of permission.
    :ivar asked: set when something was asked that is not answered yet.
    :ivar calls: the methods that were called.
    :ivar fail_start: what the unit is after a start that fails; None: it starts.
    :ivar job_result: with what a start's job ends.
    :ivar misses_freezes: requests to freeze the unit that succeed, and after which it still runs.
    :ivar holds_start: a start takes until it is stopped.
    :ivar after_answer: called once, when it has answered with properties.
    :ivar starting: the job of a start that is held.
    """

    def __init__(self, address: str, unit: str) -> None:
        self.unit = unit
        self.denied = False
        self.asked = asyncio.Event()
        self.stopping = asyncio.Event()
        self.calls: list[str] = []
        self.fail_start: dict[str, object] | None = None
        self.job_result = "done"
        self._address = address
        self._answers = asyncio.Event()
        self._answers.set()
        self.starting: str | None = None
        self.holds_start = False
        self.misses_freezes = 0
        self.after_answer: Callable[[], None] | None = None
        self._may_stop = asyncio.Event()
        self._may_stop.set()
        self._bus: MessageBus | None = None
        self._jobs = 0
        self._invocations = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.properties: dict[str, object] = {
            "Id": unit,
            "LoadState": "loaded",
            "ActiveState": "inactive",
            "SubState": "dead",
            "InvocationID": b"",
            "FreezerState": "running",
            "Result": "success",
            "ExecMainCode": 0,
            "ExecMainStatus": 0,
            "CPUUsageNSec": 2**64 - 1,
            "MemoryCurrent": 2**64 - 1,
        }

    async def connect(self) -> None:
        """Connect to the bus, and request systemd's name."""
        self._bus = MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM)
        await self._bus.connect()
        self._bus.add_message_handler(self._message)
        await self._bus.request_name(SYSTEMD)

    @property
    def is_connected(self) -> bool:
        """Whether it is connected to the bus."""
        return self._bus is not None

    async def disconnect(self) -> None:
        """Disconnect from the bus."""
        self.answer(True)
        self._may_stop.set()
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
        for task in set(self._tasks):
            task.cancel()

    def answer(self, does: bool) -> None:
        """Set whether it answers calls."""
        if does:
            self._answers.set()
        else:
            self.asked.clear()
            self._answers.clear()

    def hold_stop(self, held: bool) -> None:
        """Set whether a stop waits."""
        if held:
            self._may_stop.clear()
        else:
            self._may_stop.set()

    def change(self, **properties: object) -> None:
        """Set properties of the unit and send a signal, but not for its freezer: systemd 252 sends none either."""
        self.properties.update(properties)
        if self._bus is None:
            return
        for interface, names in (("Unit", ("ActiveState", "SubState")), ("Service", ("Result",))):
            changed_values = {name: _variant(properties[name]) for name in names if name in properties}
            if changed_values:
                self._signal(
                    _path(self.unit),
                    "org.freedesktop.DBus.Properties",
                    "PropertiesChanged",
                    "sa{sv}as",
                    [f"{SYSTEMD}.{interface}", changed_values, []],
                )

    def run(self) -> None:
        """Let the unit start."""
        self._invocations += 1
        self.properties["InvocationID"] = self._invocations.to_bytes(16)
        self.change(
            ActiveState="active", SubState="running", Result="success", ExecMainCode=0, ExecMainStatus=0,
            FreezerState="running",
        )  # fmt: skip

    def end(self, result: str = "success", code: int = 1, status: int = 0) -> None:
        """Let the unit end."""
        failed = result != "success"
        self.properties.update(ExecMainCode=code, ExecMainStatus=status, FreezerState="running", Result=result)
        self.change(
            ActiveState="failed" if failed else "inactive", SubState="failed" if failed else "dead", Result=result
        )

    def _message(self, message: Message) -> bool:
        if message.message_type is not MessageType.METHOD_CALL or message.destination == "org.freedesktop.DBus":
            return False
        task = asyncio.get_running_loop().create_task(self._serve(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _serve(self, message: Message) -> None:
        assert message.member is not None
        self.calls.append(message.member)
        if not self._answers.is_set():
            self.asked.set()
            await self._answers.wait()
        jobs = ("StartUnit", "StopUnit", "FreezeUnit", "ThawUnit")
        if message.member in jobs and self.denied:
            error = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
            self._send(Message.new_error(message, error, "Interactive authentication required."))
            return
        match message.member:
            case "Subscribe":
                self._reply(message)
            case "LoadUnit":
                self._reply(message, "o", _path(message.body[0]))
            case "GetAll":
                interface = message.body[0].rpartition(".")[2]
                names = PROPERTIES[interface] if interface else self.properties  # sd-bus takes "" for all interfaces
                self._reply(message, "a{sv}", {name: _variant(self.properties[name]) for name in names})
                after, self.after_answer = self.after_answer, None
                if after is not None:
                    after()
            case "StartUnit":
                await self._start(self._job(message))
            case "StopUnit":
                await self._stop(self._job(message))
            case "FreezeUnit":
                if self.misses_freezes:
                    self.misses_freezes -= 1
                else:
                    self.change(FreezerState="frozen")
                self._reply(message)
            case "ThawUnit":
                self.change(FreezerState="running")
                self._reply(message)
            case other:
                raise AssertionError(f"systemd is asked for {other}")

    async def _start(self, job: str) -> None:
        if self.fail_start is not None:
            self.properties.update(self.fail_start)
            self._removed(job, "failed")
        elif self.properties["LoadState"] != "loaded":
            self._removed(job, "failed")
        elif self.holds_start:
            self.change(ActiveState="activating", SubState="start")
            self.starting = job
        elif self.job_result != "done":
            self._removed(job, self.job_result)
        else:
            self.run()
            self._removed(job, "done")

    async def _stop(self, job: str) -> None:
        if self.starting is not None:
            self._removed(self.starting, "canceled")
            self.starting = None
        self.change(ActiveState="deactivating", SubState="stop-sigterm")
        self.stopping.set()
        await self._may_stop.wait()
        self.end()
        self._removed(job, "done")

    def _job(self, message: Message) -> str:
        self._jobs += 1
        path = f"{JOB}{self._jobs}"
        self._reply(message, "o", path)
        return path

    def _removed(self, job: str, result: str) -> None:
        number = int(job.removeprefix(JOB))
        self._signal(MANAGER_PATH, f"{SYSTEMD}.Manager", "JobRemoved", "uoss", [number, job, self.unit, result])

    def _reply(self, message: Message, signature: str = "", *body: Any) -> None:
        self._send(Message.new_method_return(message, signature, list(body)))

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._send(Message.new_signal(path, interface, member, signature, body))

    def _send(self, message: Message) -> None:
        if self._bus is not None and self._bus.connected:
            self._bus.send(message)


def _path(unit: str) -> str:
    escaped = "".join(letter if letter.isalnum() else f"_{ord(letter):02x}" for letter in unit)
    return f"{MANAGER_PATH}/unit/{escaped}"


def _variant(value: object) -> Variant:
    is_large = isinstance(value, int) and value > 2**31 - 1
    return Variant("t" if is_large else {str: "s", bytes: "ay", int: "i"}[type(value)], value)
