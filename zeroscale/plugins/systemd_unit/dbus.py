"""A systemd unit through D-Bus, whose signals tell at once when somebody else starts or stops it.

The interface is org.freedesktop.systemd1(5). Knows one unit, and nothing of what is wanted of it. A connection that is
lost is made anew, with growing pauses; meanwhile nothing is known of the unit, least of all that it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from dbus_fast import BusType, DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit.unit_state import UnitState, from_properties, refusal

logger = logging.getLogger(__name__)

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
UNIT = f"{SYSTEMD}.Unit"
SERVICE = f"{SYSTEMD}.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"
BUS = "org.freedesktop.DBus"

CALL_LIMIT = 25.0
"""Seconds for an answer: libdbus' own limit. systemd answers in milliseconds; a job that it starts is no answer."""

CONNECT_LIMIT = 10.0
FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
"""Seconds between two attempts to reach the bus again; one attempt costs a connect to a local socket."""

_DENIED = (f"{BUS}.Error.AccessDenied", f"{BUS}.Error.InteractiveAuthorizationRequired")
_LOST = (
    f"{BUS}.Error.NoReply",
    f"{BUS}.Error.Disconnected",
    f"{BUS}.Error.ServiceUnknown",
    f"{BUS}.Error.NameHasNoOwner",
)


class BusLost(PluginError):
    """systemd cannot be reached by the bus, for now."""


class UnitBus:
    """One unit.

    :param unit: its whole name.
    :param user: it is one of the user's own manager.
    """

    announces = True

    def __init__(self, unit: str, *, user: bool) -> None:
        self._unit = unit
        self._user = user
        self._bus: MessageBus | None = None
        self._ended: asyncio.Task[None] | None = None
        self._path = ""
        self._changed: Callable[[UnitState], None] | None = None
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._early: dict[str, str] = {}
        self._stale = False
        self._refresh_task: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    def watch(self, changed: Callable[[UnitState], None]) -> None:
        """Has `changed` called with every change of the unit from now on, also with those missed while disconnected."""
        self._changed = changed
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def state(self) -> UnitState:
        """The unit as it is now.

        :raises PluginError: systemd cannot be asked.
        """
        await self._connect()
        unit = await self._properties(UNIT)
        service = await self._properties(SERVICE) if self._unit.endswith(".service") else {}
        return from_properties({**service, **unit})

    async def start(self) -> None:
        """Starts it; returns when its start is done, as its Type= has it.

        :raises PluginError: it did not start.
        """
        await self._job("start", "StartUnit")

    async def stop(self) -> None:
        """Stops it, and waits until it has stopped; a connection that is lost meanwhile is waited for.

        :raises PluginError: it cannot be stopped.
        """
        for delay in Backoff(FIRST_DELAY, LONGEST_DELAY):
            try:
                await self._job("stop", "StopUnit")
                return
            except BusLost as error:
                logger.warning("%s: %s; trying again to stop it", self._unit, error)
            await asyncio.sleep(delay)

    async def freeze(self) -> None:
        """Freezes its processes.

        :raises PluginError: they cannot be frozen.
        """
        await self._ask("freeze", "FreezeUnit", "s", [self._unit])

    async def thaw(self) -> None:
        """Lets them go on.

        :raises PluginError: they cannot.
        """
        await self._ask("thaw", "ThawUnit", "s", [self._unit])

    async def close(self) -> None:
        """Lets go of the bus."""
        tasks = [task for task in (self._refresh_task, self._keeper) if task is not None]
        self._refresh_task = self._keeper = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._disconnect()
        if self._ended is not None:
            await asyncio.wait([self._ended])

    # The connection

    async def _connect(self) -> MessageBus:
        async with self._connecting:
            if self._bus is not None and self._bus.connected:
                return self._bus
            self._disconnect()
            try:
                async with asyncio.timeout(CONNECT_LIMIT):
                    address = _user_bus() if self._user else None
                    bus = MessageBus(address, BusType.SESSION if self._user else BusType.SYSTEM)
                    await bus.connect()
            except TimeoutError:
                raise BusLost(f"the D-Bus daemon did not answer within {CONNECT_LIMIT:g} s") from None
            except Exception as error:  # whatever the library raises for an address that is none, or a refusal
                said = " ".join(str(error).split()) or type(error).__name__
                raise BusLost(f"there is no D-Bus connection to systemd: {said}") from error
            self._bus = bus
            self._ended = asyncio.get_running_loop().create_task(self._await_end(bus))
            bus.add_message_handler(self._message)
            try:
                await self._follow()
            except PluginError:
                self._disconnect()
                raise
            except DBusError as error:
                self._disconnect()
                raise PluginError(f"systemd does not let {self._unit} be watched: {error.text}") from error
            return bus

    async def _follow(self) -> None:
        """Asks for the signals, and for the unit's own path, which exists for units that do not."""
        for rule in (
            f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'",
            f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'",
        ):
            await self._call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [rule])
        await self._call(SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe")
        [self._path] = await self._call(SYSTEMD, MANAGER_PATH, MANAGER, "LoadUnit", "s", [self._unit])
        rule = (
            f"type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged',path='{self._path}'"
        )
        await self._call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [rule])

    def _disconnect(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.remove_message_handler(self._message)
            bus.disconnect()
        jobs, self._jobs = self._jobs, {}
        self._early.clear()
        for job in jobs.values():
            if not job.done():
                job.set_exception(BusLost("the connection to systemd was lost"))

    async def _await_end(self, bus: MessageBus) -> None:
        with contextlib.suppress(Exception):  # why it was lost: that it is gone is all that matters here
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # the library left its annotation out
        if self._bus is bus:
            self._disconnect()

    async def _keep(self) -> None:
        """Holds a connection, and tells how the unit is whenever there is a new one."""
        delays = Backoff(FIRST_DELAY, LONGEST_DELAY)
        said = False
        while True:
            try:
                await self._connect()
                self._tell(await self.state())
            except PluginError as error:
                if not said:
                    logger.warning("%s cannot be watched, and will be looked for again: %s", self._unit, error)
                said = True
            else:
                if said:
                    logger.info("%s is watched again", self._unit)
                said = False
                delays.reset()
                assert self._ended is not None
                await asyncio.wait([self._ended])
            await asyncio.sleep(next(delays))

    # Calls and signals

    async def _job(self, verb: str, method: str) -> None:
        [path] = await self._ask(verb, method, "ss", [self._unit, "replace"])
        result = self._early.pop(path, None)
        if result is None:
            job = self._jobs[path] = asyncio.get_running_loop().create_future()
            result = await job
        if result in ("done", "skipped"):
            return
        state = await self.state()
        manager = " --user" if self._user else ""
        raise PluginError(
            state.failure(self._unit, manager)
            or f"systemd could not {verb} {self._unit}: the job ended with {result}; see systemctl{manager} status "
            f"{self._unit}"
        )

    async def _ask(self, verb: str, method: str, signature: str, body: list[Any]) -> Sequence[Any]:
        await self._connect()
        try:
            return await self._call(SYSTEMD, MANAGER_PATH, MANAGER, method, signature, body)
        except DBusError as error:
            said = " ".join(str(error.text).split())
            if error.type in _DENIED:
                raise PluginError(refusal(verb, self._unit, said)) from error
            raise PluginError(f"systemd does not {verb} {self._unit}: {said or error.type}") from error

    async def _properties(self, interface: str) -> dict[str, Any]:
        try:
            [found] = await self._call(SYSTEMD, self._path, PROPERTIES, "GetAll", "s", [interface])
        except DBusError as error:
            raise PluginError(f"systemd does not say how {self._unit} is: {error.text}") from error
        return {name: value.value if isinstance(value, Variant) else value for name, value in found.items()}

    async def _call(
        self, to: str, path: str, interface: str, member: str, signature: str = "", body: Sequence[Any] = ()
    ) -> Sequence[Any]:
        """:raises BusLost: there was no answer. :raises DBusError: the answer was an error."""
        bus = self._bus
        if bus is None:
            raise BusLost("the connection to systemd was lost")
        message = Message(
            destination=to, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        try:
            async with asyncio.timeout(CALL_LIMIT):
                reply = await bus.call(message)
        except TimeoutError:
            raise BusLost(f"systemd did not answer within {CALL_LIMIT:g} s") from None
        except Exception as error:  # the library has no type of its own for a connection that ends meanwhile
            raise BusLost(f"the connection to systemd was lost: {error or type(error).__name__}") from error
        if reply is None:
            raise BusLost("the connection to systemd was lost")
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else str(reply.error_name)
            if reply.error_name in _LOST:
                raise BusLost(f"systemd cannot be reached by D-Bus: {text}")
            raise DBusError(str(reply.error_name), text, reply)
        return reply.body

    def _message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "JobRemoved" and len(message.body) == 4:
            _, path, unit, result = message.body
            if unit != self._unit:
                return
            job = self._jobs.pop(path, None)
            if job is None:
                self._early.clear()  # one job at a time is ours: more are of no interest
                self._early[path] = result
            elif not job.done():
                job.set_result(result)
        elif message.member == "NameOwnerChanged" and len(message.body) == 3 and message.body[0] == SYSTEMD:
            self._lose()  # a new systemd knows nothing of our subscription
        elif message.member == "PropertiesChanged" and message.path == self._path and self._changed is not None:
            self._look()

    def _lose(self) -> None:
        bus = self._bus
        if bus is not None:
            bus.disconnect()

    def _look(self) -> None:
        """All of the unit's properties, not those that changed: its Result comes in a signal of its own."""
        self._stale = True
        if self._refresh_task is None or self._refresh_task.done():
            self._refresh_task = asyncio.get_running_loop().create_task(self._look_until_fresh())

    async def _look_until_fresh(self) -> None:
        while self._stale:
            self._stale = False  # what changes from now on makes one more look
            with contextlib.suppress(PluginError):  # lost again: whoever keeps the connection looks once it is back
                self._tell(await self.state())

    def _tell(self, state: UnitState) -> None:
        if self._changed is not None:
            self._changed(state)


def _user_bus() -> str:
    """Where the bus of the user's own manager is: said by a login, and else where systemd has it (user@.service)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime}/bus"
