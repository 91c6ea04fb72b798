"""Plugin wake_on_lan: a machine that is woken by a magic packet.

    zeroscale wake_on_lan 25565 25565 -H 192.168.1.20 -a mac=00:11:22:aa:bb:cc

The server must start with the machine. A command, such as one by ssh, suspends the machine; without one it has to
suspend itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.external_server import ExternalServer
from zeroscale.plugins.support.host_addresses import host_addresses
from zeroscale.plugins.support.stop_note import StopNote
from zeroscale.plugins.support.tcp_check import TcpResult, tcp_check
from zeroscale.plugins.wake_on_lan.magic_packet import hardware_address, magic_packet, password_bytes
from zeroscale.process.command_runner import CommandRunner
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.record import StopProgress
from zeroscale.process.spawn import find_program
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugin.wake_on_lan")

PACKETS = 3
"""Packets sent at a time: UDP may lose some, and one is enough."""

CONNECT_LIMIT = 2.0
"""Seconds to wait for an answer; within one network it takes milliseconds."""

MISSES = 2
"""Failed checks in a row until the machine is considered asleep; one may fail because the machine is busy."""

CHECK_EVERY = 1.0
"""Seconds between two checks of a machine that is being suspended."""

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
"""Without BatchMode, ssh would wait for ever for the answer to a question."""


class Server:
    """A server on a machine that sleeps.

    :cvar remote: the server runs on another machine.
    :ivar status: the state as seen by this plugin.
    :ivar on_output: called with each line of the stop command's output.
    """

    remote = True

    def __init__(
        self,
        mac: str,
        *,
        server_host: str,
        server_port: int,
        state_directory: str | Path,
        working_directory: str | Path | None = None,
        environment: ChildEnvironment | None = None,
        broadcast: str = "255.255.255.255",
        port: str | int = 9,
        password: str | None = None,
        ssh: str | None = None,
        ssh_command: str = "sudo systemctl suspend",
        stop: str | Sequence[str] | None = None,
        every: str | float = 5.0,
        wake_timeout: str | float = 180.0,
        stop_timeout: str | float = 120.0,
        watch_every: str | float = 30.0,
        protocol: str | None = None,
    ) -> None:
        """Read the arguments.

        :param mac: the address of the machine's network card.
        :param server_host: the machine's own address.
        :param server_port: the port of the server; the machine is awake when it answers.
        :param state_directory: this server's own directory.
        :param working_directory: the directory in which the stop command runs.
        :param environment: the configured environment of what is started here; None: that of zeroscale.
        :param broadcast: the destination of the packets, usually a broadcast address.
        :param port: the UDP port of the destination; 9 and 7 are usual.
        :param password: the SecureOn password, if the card requires one.
        :param ssh: `user@host`, to suspend the machine by ssh, which must not ask for a password.
        :param ssh_command: the command to run there.
        :param stop: another command that suspends the machine, run here and split as a shell would split it.
        :param every: seconds between two packets until the machine answers.
        :param wake_timeout: seconds after which the attempt fails.
        :param stop_timeout: seconds for the stop command, and again until the machine does not answer.
        :param watch_every: seconds between two checks whether the machine is still awake.
        :param protocol: `minecraft` or `http`, if the clients speak that.
        :raises PluginError: a value is invalid.
        """
        self.status = Status.stopped
        self.on_output: Callable[[str], None] | None = None
        self._mac = mac
        self._host, self._port = server_host, server_port
        with arguments.collect_mistakes() as mistakes:
            read = mistakes.read
            self.protocol = read(arguments.protocol, protocol)
            address = read(hardware_address, mac)
            secure_on = b"" if password is None else read(password_bytes, password)
            self._to = (broadcast, read(_port, port))
            self._stop = read(_stop_command, ssh, ssh_command, stop)
            self._every = read(arguments.seconds, "every", every)
            self._wake_limit = read(arguments.seconds, "wake_timeout", wake_timeout)
            self._stop_limit = read(arguments.seconds, "stop_timeout", stop_timeout)
            self._watch_every = read(arguments.seconds, "watch_every", watch_every)
        self._packet = magic_packet(address, secure_on)
        self._card = address.hex(":")
        self._directory = Path(working_directory or ".").absolute()
        self._commands = CommandRunner(self._directory, Path(state_directory), self._handle_line, environment)
        self._stop_note = StopNote(Path(state_directory), [mac, server_host, server_port])
        self._earlier_stop: StopProgress | None = None
        self._external = ExternalServer()
        self._watch: asyncio.Task[None] | None = None

    @property
    def controls(self) -> Mapping[str, bool]:
        """The machine, by its network card and by its address, unless a router with that address may forward ports."""
        stops = self._stop is not None
        return {f"machine {name}": stops for name in (self._card, local_host(self._host)) if name is not None}

    def fake_status(self) -> bytes:
        """Return nothing, so that clients are held."""
        return b""

    def check(self) -> None:
        """Check whether the program of the stop command exists.

        :raises PluginError: it does not.
        """
        if self._host in ("localhost", "127.0.0.1", "::1"):
            logger.warning(
                "%s is this machine, which is awake: give the address of the other one by --server-host", self._host
            )
        self._commands.environment.check()
        environment = self._commands.environment.build()
        if self._stop is not None and find_program(self._stop[0], self._directory, environment) is None:
            raise PluginError(f"there is no {self._stop[0]!r} in PATH, which should suspend the machine: install it")

    async def adopt(self) -> bool | Status:
        """Return whether the machine is awake and its server answers.

        :returns: whether it does; `Status.stopping`: it does, and an earlier zeroscale was about to suspend it.
        :raises PluginError: the machine's name has no address.
        """
        if await self._answers() is not TcpResult.accepted:
            self._stop_note.remove()
            return False
        self._mark_running()
        self._earlier_stop = None if self._stop is None else self._stop_note.find(None)
        if self._earlier_stop is not None:
            self.status = Status.stopping
        return self.status is Status.running or self.status

    async def start(self) -> None:
        """Send packets until the server answers.

        :raises PluginError: they cannot be sent, or the server does not answer in time.
        """
        self.status = Status.starting
        try:
            await self._wake()
        except PluginError:
            self.status = Status.stopped
            raise
        self._mark_running()

    async def stop(self) -> None:
        """Suspend the machine and wait until it does not answer; without a command, do nothing.

        :raises PluginError: the command failed, or the machine still answers.
        """
        if self.status not in (Status.running, Status.stopping):
            return
        earlier, self._earlier_stop = self._earlier_stop, None
        if self._stop is None:
            logger.info("%s has to suspend itself: there is neither ssh= nor stop=", self._host)
        else:
            self.status = Status.stopping
            try:
                with self._stop_note.kept(None, earlier or StopProgress.requested):
                    await self._suspend(self._stop, earlier)
            except PluginError:
                self.status = Status.running
                raise
        await self._mark_stopped()

    async def wait(self) -> int | None:
        """Wait until the server does not answer any more; return None, since the reason is not known."""
        return await self._external.wait()

    async def close(self) -> None:
        """End the checks and a running command."""
        self._stop_note.leave()
        self._external.close()
        self._commands.close()
        await self._end_watch()

    async def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wake_limit
        sent = 0
        while True:
            next_time = loop.time() + self._every
            await self._send()
            sent += PACKETS
            answer = await self._answers()
            if answer is TcpResult.accepted:
                logger.debug("%s answers, after %d packets", self._host, sent)
                return
            if loop.time() >= deadline:
                raise PluginError(self._no_answer(answer, sent))
            await asyncio.sleep(max(0.0, min(next_time, deadline) - loop.time()))

    def _no_answer(self, answer: TcpResult, sent: int) -> str:
        if answer is TcpResult.refused:
            return (
                f"{self._host} is awake, but nothing listens on its port {self._port}: does the server start with the "
                "machine?"
            )
        return (
            f"{self._host} did not answer within {self._wake_limit:g} s after {sent} magic packets for {self._mac} to "
            f"{self._to[0]}: is Wake-on-LAN enabled in its firmware (and by `ethtool -s eth0 wol g`), and does "
            "broadcast= belong to its network?"
        )

    async def _send(self) -> None:
        """Send some packets.

        :raises PluginError: they cannot be sent; the message says what to do.
        """
        host, port = self._to
        try:
            found = await host_addresses(host, port, socket.SOCK_DGRAM, CONNECT_LIMIT)
        except (OSError, UnicodeError, TimeoutError):
            raise PluginError(f"broadcast={host} has no address: give one, such as 192.168.1.255") from None
        family, kind, protocol, _, address = found[0]
        try:
            with socket.socket(family, kind, protocol) as sender:
                sender.setblocking(False)
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                for _number in range(PACKETS):
                    sender.sendto(self._packet, address)
        except OSError as error:
            raise PluginError(
                f"the magic packet cannot be sent to {host}: {error.strerror or error}; give broadcast= the broadcast "
                "address of the machine's network (see `ip address`), and let the firewall pass UDP"
            ) from error

    async def _suspend(self, argv: Sequence[str], earlier: StopProgress | None) -> None:
        """Run the stop command, unless an earlier zeroscale has done so, and wait until the machine does not answer.

        `earlier` is how far the stop of an earlier zeroscale got; None: there was none. After it, a machine that still
        answers at the end of the time limit is no error, as it may have been woken since.
        """
        if earlier is not StopProgress.sent:
            done = await self._commands.run("stop", argv, self._stop_limit)
            # When the machine is suspended, ssh loses its connection and fails.
            if done.code != 0 and earlier is None and await self._answers() is TcpResult.accepted:
                hint = "; ssh needs a key for this user, and must know the key of the host" if argv[0] == "ssh" else ""
                raise PluginError(f"the stop command ({argv[0]}) failed with {done.summary()}{hint}")
            self._stop_note.mark_sent()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_limit
        while await self._answers() is TcpResult.accepted:
            if loop.time() >= deadline and earlier is None:
                raise PluginError(
                    f"{self._host} still answers {self._stop_limit:g} s after the stop command ({argv[0]}) succeeded"
                )
            if loop.time() >= deadline:
                logger.warning(
                    "%s still answers %g s after an earlier zeroscale was killed while it suspended it: it is used "
                    "again, as it may have been woken since",
                    self._host,
                    self._stop_limit,
                )
                return
            await asyncio.sleep(CHECK_EVERY)

    async def _answers(self) -> TcpResult:
        return await tcp_check(self._host, self._port, CONNECT_LIMIT)

    def _mark_running(self) -> None:
        self.status = Status.running
        self._external.mark_running()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._watch_machine())

    async def _watch_machine(self) -> None:
        """Check the machine until it sleeps; a sleeping machine is not checked."""
        missed = 0
        while missed < MISSES:
            await asyncio.sleep(self._watch_every)
            try:
                answer = await self._answers()
            except PluginError as error:
                logger.warning("Cannot see whether %s is awake: %s", self._host, error)
                continue
            missed = 0 if answer is TcpResult.accepted else missed + 1
        if self.status is Status.running:
            self._watch = None
            await self._mark_stopped()

    async def _mark_stopped(self) -> None:
        self.status = Status.stopped
        await self._end_watch()
        self._external.observe_stopped()

    async def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])

    def _handle_line(self, line: str) -> None:
        if self.on_output is not None:
            self.on_output(line)


def local_host(host: str) -> str | None:
    """Return a host in one spelling; None: it is an address in the internet, which a router may have for several."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".")
    return None if address.is_global else str(address)


def _stop_command(ssh: str | None, ssh_command: str, stop: str | Sequence[str] | None) -> Sequence[str] | None:
    if ssh is not None and stop is not None:
        raise PluginError("ssh= and stop= both suspend the machine: give only one of them")
    if ssh is not None:
        if not re.fullmatch(r"[^-\s]\S*", ssh):
            raise PluginError(f"ssh={ssh!r} is not a destination for ssh, such as root@192.168.1.20")
        return [*SSH, ssh, ssh_command]
    if stop is None:
        return None
    argv = arguments.words("stop", stop)
    return [*SSH, *argv[1:]] if argv[0] == "ssh" else argv


def _port(value: str | int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise PluginError(f"port={value!r} is not a UDP port: 9 and 7 are usual")
    return number
