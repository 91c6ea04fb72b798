"""A machine that sleeps, woken by a magic packet: `zeroscale wake_on_lan 25565 25565 -H 192.168.1.20 -a mac=...`.

Its server starts with it. It is put to sleep again by a command, by ssh say, or left to fall asleep by itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from zeroscale.errors import PluginError
from zeroscale.plugins.support import arguments
from zeroscale.plugins.support.external_server import ExternalServer
from zeroscale.plugins.support.tcp_check import TcpResult, tcp_check
from zeroscale.plugins.wake_on_lan.magic_packet import hardware_address, magic_packet, password_bytes
from zeroscale.process.command_runner import CommandRunner
from zeroscale.status import Status

logger = logging.getLogger("zeroscale.plugins.wake_on_lan")

PACKETS = 3
"""Of one sending: UDP may lose some, and one is enough."""

CONNECT_LIMIT = 2.0
"""Seconds: within one network an answer takes milliseconds."""

MISSES = 2
"""Looks in a row without an answer after which the machine is taken for asleep: one may be lost to a busy moment."""

CHECK_EVERY = 1.0
"""Seconds between two looks at a machine that goes to sleep."""

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
"""BatchMode: where nobody can be asked, a question would hang."""


class Server:
    """A machine.

    :cvar remote: the server runs on another machine.
    :ivar status: where this plugin believes it to be.
    :ivar on_output: called with each line that the stop command says.
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
        """Sends nothing.

        :param mac: the address of the machine's network card.
        :param server_host: the machine's own address.
        :param server_port: where its server listens: it is awake when that answers.
        :param state_directory: this server's own directory.
        :param working_directory: where the stop command runs.
        :param broadcast: where the packets go: a broadcast address, or any other.
        :param port: to which UDP port; 9 and 7 are usual.
        :param password: SecureOn, where the card wants it.
        :param ssh: `user@host`: the machine is put to sleep through ssh, which must need no password.
        :param ssh_command: what is run there.
        :param stop: another command that puts it to sleep, run here, split as a shell would.
        :param every: seconds between two sendings, until it answers.
        :param wake_timeout: seconds for it to answer.
        :param stop_timeout: seconds for the stop command, and again until it does not answer any more.
        :param watch_every: seconds between two looks whether it is awake still.
        :param protocol: `minecraft` where its clients speak that.
        :raises PluginError: one of the values cannot be understood.
        """
        self.status = Status.stopped
        self.protocol = arguments.protocol(protocol)
        self.on_output: Callable[[str], None] | None = None
        self._mac = mac
        self._packet = magic_packet(hardware_address(mac), b"" if password is None else password_bytes(password))
        self._to = (broadcast, _port(port))
        self._host, self._port = server_host, server_port
        if ssh is not None and stop is not None:
            raise PluginError("ssh= and stop= both say how to put the machine to sleep: give one of them")
        self._stop: Sequence[str] | None = None
        if ssh is not None:
            if not re.fullmatch(r"[^-\s]\S*", ssh):
                raise PluginError(f"ssh={ssh!r} is no destination for ssh, such as root@192.168.1.20")
            self._stop = [*SSH, ssh, ssh_command]
        elif stop is not None:
            argv = arguments.words("stop", stop)
            self._stop = [*SSH, *argv[1:]] if argv[0] == "ssh" else argv
        self._every = arguments.seconds("every", every)
        self._wake_limit = arguments.seconds("wake_timeout", wake_timeout)
        self._stop_limit = arguments.seconds("stop_timeout", stop_timeout)
        self._watch_every = arguments.seconds("watch_every", watch_every)
        self._commands = CommandRunner(Path(working_directory or ".").absolute(), Path(state_directory), self._line)
        self._external = ExternalServer()
        self._watch: asyncio.Task[None] | None = None

    def fake_status(self) -> bytes:
        """Nothing: a client is held."""
        return b""

    def check(self) -> None:
        """Whether the program of the stop command is there.

        :raises PluginError: it is not.
        """
        if self._host in ("localhost", "127.0.0.1", "::1"):
            logger.warning(
                "%s is this machine, which is awake: give the other one's address by --server-host", self._host
            )
        if self._stop is not None and "/" not in self._stop[0] and shutil.which(self._stop[0]) is None:
            raise PluginError(
                f"there is no {self._stop[0]!r} in PATH, which is to put the machine to sleep: install it"
            )

    async def adopt(self) -> bool:
        """Whether the machine is awake, and its server answers.

        :raises PluginError: its name has no address.
        """
        if await self._answers() is not TcpResult.accepted:
            return False
        self._came()
        return True

    async def start(self) -> None:
        """Sends packets until the server answers.

        :raises PluginError: they cannot be sent, or it did not answer in time.
        """
        self.status = Status.starting
        try:
            await self._wake()
        except PluginError:
            self.status = Status.stopped
            raise
        self._came()

    async def stop(self) -> None:
        """Puts the machine to sleep, and waits until it does not answer; or leaves it to fall asleep by itself.

        :raises PluginError: the command failed, or it is awake still.
        """
        if self.status is not Status.running:
            return
        if self._stop is None:
            logger.info("%s is left to fall asleep by itself: neither ssh= nor stop= says how else", self._host)
        else:
            self.status = Status.stopping
            try:
                await self._put_to_sleep(self._stop)
            except PluginError:
                self.status = Status.running
                raise
        await self._gone()

    async def wait(self) -> int | None:
        """Waits until it does not answer any more; why, nobody knows."""
        return await self._external.wait()

    async def close(self) -> None:
        """Watches no more."""
        self._external.close()
        self._commands.close()
        await self._end_watch()

    async def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wake_limit
        sent = 0
        while True:
            next_one = loop.time() + self._every
            await self._send()
            sent += PACKETS
            answer = await self._answers()
            if answer is TcpResult.accepted:
                logger.debug("%s answers, after %d packets", self._host, sent)
                return
            if loop.time() >= deadline:
                raise PluginError(self._silence(answer, sent))
            await asyncio.sleep(max(0.0, min(next_one, deadline) - loop.time()))

    def _silence(self, answer: TcpResult, sent: int) -> str:
        if answer is TcpResult.refused:
            return (
                f"{self._host} is awake, but nothing listens on its port {self._port}: does its server start with it?"
            )
        return (
            f"{self._host} did not answer within {self._wake_limit:g} s, though {sent} magic packets for {self._mac} "
            f"went to {self._to[0]}: is Wake-on-LAN on in its firmware (and by `ethtool -s eth0 wol g`), and is "
            "broadcast= that of its network?"
        )

    async def _send(self) -> None:
        """:raises PluginError: they cannot be sent, and what mends it."""
        host, port = self._to
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
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
                "address of the machine's network (`ip address` says it), and let the firewall pass UDP"
            ) from error

    async def _put_to_sleep(self, argv: Sequence[str]) -> None:
        done = await self._commands.run("stop", argv, self._stop_limit)
        # A machine that falls asleep takes the connection with it: ssh may well end badly.
        if done.code != 0 and await self._answers() is TcpResult.accepted:
            hint = "; ssh must let this user in by a key, and know the host's" if argv[0] == "ssh" else ""
            raise PluginError(f"the stop command ({argv[0]}) failed with {done.summary()}{hint}")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_limit
        while await self._answers() is TcpResult.accepted:
            if loop.time() >= deadline:
                raise PluginError(
                    f"{self._host} still answers, {self._stop_limit:g} s after the stop command ({argv[0]}) ended well"
                )
            await asyncio.sleep(CHECK_EVERY)

    async def _answers(self) -> TcpResult:
        return await tcp_check(self._host, self._port, CONNECT_LIMIT)

    def _came(self) -> None:
        self.status = Status.running
        self._external.mark_running()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Only while it is awake: one that sleeps is not to be disturbed."""
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
            await self._gone()

    async def _gone(self) -> None:
        self.status = Status.stopped
        await self._end_watch()
        self._external.observe_stopped()

    async def _end_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])

    def _line(self, line: str) -> None:
        if self.on_output is not None:
            self.on_output(line)


def _port(value: str | int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 1 <= number <= 65535:
        raise PluginError(f"port={value!r} is no UDP port: 9 and 7 are usual")
    return number
