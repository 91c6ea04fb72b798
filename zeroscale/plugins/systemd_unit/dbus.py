"""Control a systemd unit by D-Bus. Its signals report at once when other programs start or stop the unit.

The interface is org.freedesktop.systemd1(5). A connection that is lost is made again, with growing delays; while there
is none, the unit's state is unknown, and it is not taken for stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence

from dbus_fast import BusType, DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from zeroscale.backoff import Backoff
from zeroscale.errors import PluginError
from zeroscale.plugins.systemd_unit.unit_state import UnitState, parse_properties, refusal

logger = logging.getLogger("zeroscale.plugin.systemd_unit")

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
BUS = "org.freedesktop.DBus"

CALL_LIMIT = 25.0
"""Seconds for an answer: libdbus' own limit. systemd answers in milliseconds, before a job that it starts is done."""

CONNECT_LIMIT = 10.0
FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0
"""Seconds between two attempts to connect to the bus again; one attempt costs a connect to a local socket."""

_DENIED = (f"{BUS}.Error.AccessDenied", f"{BUS}.Error.InteractiveAuthorizationRequired")
_LOST = (
    f"{BUS}.Error.NoReply",
    f"{BUS}.Error.Disconnected",
    f"{BUS}.Error.ServiceUnknown",
    f"{BUS}.Error.NameHasNoOwner",
)


class BusLost(PluginError):
    """systemd cannot be reached by D-Bus now."""


class UnitBus:
    """One unit. Implements `UnitControl`.

    :param unit: its full name.
    :param user: whether it is a unit of the user's own manager.
    """

    notifies = True

    def __init__(self, unit: str, *, user: bool) -> None:
        self._unit = unit
        self._id = ""
        self._user = user
        self._bus: MessageBus | None = None
        self._disconnection: asyncio.Task[None] | None = None
        self._path = ""
        self._changed: Callable[[UnitState], None] | None = None
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._early_results: dict[str, str] = {}
        self._stale = False
        self._refresh_task: asyncio.Task[None] | None = None
        self._watch_task: asyncio.Task[None] | None = None
        self._connect_lock = asyncio.Lock()

    def watch(self, changed: Callable[[UnitState], None]) -> None:
        """Call `changed` with each new state from now on, and after each disconnection."""
        self._changed = changed
        if self._watch_task is None:
            self._watch_task = asyncio.get_running_loop().create_task(self._watch())

    async def state(self) -> UnitState:
        """Read the unit's present state.

        :raises PluginError: systemd cannot be reached.
        """
        await self._connect()
        state = parse_properties(await self._properties())
        self._id = state.id
        return state

    async def start(self) -> None:
        """Start it; return when the start is complete, as its Type= defines.

        :raises PluginError: it did not start.
        """
        await self._job("start", "StartUnit")

    async def stop(self, run: str | None = None) -> None:
        """Stop it, and wait until it has stopped; connect again if the connection is lost.

        :param run: the run that is stopped: one that began while there was no connection is left as it is.
        :raises PluginError: it cannot be stopped.
        """
        for delay in Backoff(FIRST_DELAY, LONGEST_DELAY):
            try:
                await self._job("stop", "StopUnit")
                return
            except BusLost as error:
                logger.warning("%s: %s; trying again to stop it", self._unit, error)
            await asyncio.sleep(delay)
            with contextlib.suppress(BusLost):
                if (await self.state()).run != run and run is not None:
                    return

    async def pause(self) -> None:
        """Freeze its processes.

        :raises PluginError: they cannot be frozen.
        """
        await self._request("freeze", "FreezeUnit", "s", [self._unit])

    async def resume(self) -> None:
        """Thaw its processes.

        :raises PluginError: they cannot be thawed.
        """
        await self._request("thaw", "ThawUnit", "s", [self._unit])

    async def close(self) -> None:
        """Disconnect from the bus."""
        tasks = [task for task in (self._refresh_task, self._watch_task) if task is not None]
        self._refresh_task = self._watch_task = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._disconnect()
        if self._disconnection is not None:
            await asyncio.wait([self._disconnection])

    # The connection

    async def _connect(self) -> MessageBus:
        async with self._connect_lock:
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
            except Exception as error:  # the library raises many types for invalid addresses and refusals
                problem = " ".join(str(error).split()) or type(error).__name__
                raise BusLost(f"there is no D-Bus connection to systemd: {problem}") from error
            self._bus = bus
            self._disconnection = asyncio.get_running_loop().create_task(self._await_disconnection(bus))
            bus.add_message_handler(self._on_message)
            try:
                await self._subscribe()
            except PluginError:
                self._disconnect()
                raise
            except DBusError as error:
                self._disconnect()
                raise PluginError(f"systemd does not let {self._unit} be watched: {error.text}") from error
            return bus

    async def _subscribe(self) -> None:
        """Subscribe to the signals, and get the unit's object path, which exists even for units that do not."""
        for rule in (
            f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'",
            f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'",
        ):
            await self._call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [rule])
        await self._call(SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe")
        [path] = await self._call(SYSTEMD, MANAGER_PATH, MANAGER, "LoadUnit", "s", [self._unit])
        self._path = str(path)
        rule = (
            f"type='signal',sender='{SYSTEMD}',interface='{PROPERTIES}',member='PropertiesChanged',path='{self._path}'"
        )
        await self._call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [rule])

    def _disconnect(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.remove_message_handler(self._on_message)
            bus.disconnect()
        jobs, self._jobs = self._jobs, {}
        self._early_results.clear()
        for job in jobs.values():
            if not job.done():
                job.set_exception(BusLost("the connection to systemd was lost"))

    async def _await_disconnection(self, bus: MessageBus) -> None:
        with contextlib.suppress(Exception):  # the reason does not matter
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # the library has no annotation here
        if self._bus is bus:
            self._disconnect()

    async def _watch(self) -> None:
        """Keep a connection, and report the unit's state whenever there is a new one."""
        delays = Backoff(FIRST_DELAY, LONGEST_DELAY)
        warned = False
        while True:
            try:
                await self._connect()
                self._report(await self.state())
            except PluginError as error:
                if not warned:
                    logger.warning("%s cannot be watched, trying again: %s", self._unit, error)
                warned = True
            else:
                if warned:
                    logger.info("%s is watched again", self._unit)
                warned = False
                delays.reset()
                assert self._disconnection is not None
                await asyncio.wait([self._disconnection])
            await asyncio.sleep(next(delays))

    # Calls and signals

    async def _job(self, verb: str, method: str) -> None:
        [job] = map(str, await self._request(verb, method, "ss", [self._unit, "replace"]))
        result = self._early_results.pop(job, None)
        if result is None:
            done = self._jobs[job] = asyncio.get_running_loop().create_future()
            result = await done
        if result in ("done", "skipped"):
            return
        state = await self.state()
        manager = " --user" if self._user else ""
        raise PluginError(
            state.failure(self._unit, manager)
            or f"systemd could not {verb} {self._unit}: the job ended with {result}; see systemctl{manager} status "
            f"{self._unit}"
        )

    async def _request(self, verb: str, method: str, signature: str, body: Sequence[object]) -> Sequence[object]:
        await self._connect()
        try:
            return await self._call(SYSTEMD, MANAGER_PATH, MANAGER, method, signature, body)
        except DBusError as error:
            message = " ".join(str(error.text).split())
            if error.type in _DENIED:
                raise PluginError(refusal(verb, self._unit, message)) from error
            raise PluginError(f"systemd does not {verb} {self._unit}: {message or error.type}") from error

    async def _properties(self) -> dict[str, object]:
        """Read the properties of all of the unit's interfaces, as `systemctl show` does: in one call.

        Those of two calls could be of two moments, between which the unit was started again.
        """
        try:
            [found] = await self._call(SYSTEMD, self._path, PROPERTIES, "GetAll", "s", [""])
        except DBusError as error:
            raise PluginError(f"systemd does not show the state of {self._unit}: {error.text}") from error
        assert isinstance(found, dict)
        return {name: value.value if isinstance(value, Variant) else value for name, value in found.items()}

    async def _call(
        self, to: str, path: str, interface: str, member: str, signature: str = "", body: Sequence[object] = ()
    ) -> Sequence[object]:
        """Call a method and return the values of the answer.

        :raises BusLost: there was no answer.
        :raises DBusError: the answer was an error.
        """
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
        except Exception as error:  # the library has no type for a connection that ends during a call
            raise BusLost(f"the connection to systemd was lost: {error or type(error).__name__}") from error
        if reply is None:
            raise BusLost("the connection to systemd was lost")
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else str(reply.error_name)
            if reply.error_name in _LOST:
                raise BusLost(f"systemd cannot be reached by D-Bus: {text}")
            raise DBusError(str(reply.error_name), text, reply)
        values: Sequence[object] = reply.body
        return values

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "JobRemoved" and len(message.body) == 4:
            _, path, unit, result = message.body
            if unit not in (self._unit, self._id):  # by an alias, signals have the unit's own name
                return
            job = self._jobs.pop(path, None)
            if job is None:
                self._early_results.clear()  # we start one job at a time: others' results are of no interest
                self._early_results[path] = result
            elif not job.done():
                job.set_result(result)
        elif message.member == "NameOwnerChanged" and len(message.body) == 3 and message.body[0] == SYSTEMD:
            if self._bus is not None:
                self._bus.disconnect()  # a restarted systemd has lost our subscription
        elif message.member == "PropertiesChanged" and message.path == self._path and self._changed is not None:
            self._schedule_refresh()

    def _schedule_refresh(self) -> None:
        """Read all of the unit's properties, not only those in the signal: its Result comes in a separate one."""
        self._stale = True
        if self._refresh_task is None or self._refresh_task.done():
            self._refresh_task = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        while self._stale:
            self._stale = False  # a change from now on causes one more read
            with contextlib.suppress(PluginError):  # disconnected: `_watch` reads the state once connected again
                self._report(await self.state())

    def _report(self, state: UnitState) -> None:
        if self._changed is not None:
            self._changed(state)


def _user_bus() -> str:
    """Return the address of the bus of the user's own manager: a login sets it, else systemd's (user@.service)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime}/bus"
