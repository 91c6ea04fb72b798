"""The demo server: a program that behaves like a Minecraft server without the game.

It takes a while to start, listens before it is ready, answers status requests of all clients from 1.7 on, and answers
each login with a greeting and a disconnect. Options make it misbehave, for tests. Run it as
`python -m zeroscale.plugins.demo.program --port 25575`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from quarry.net.protocol import ProtocolError
from quarry.net.server import ServerFactory, ServerProtocol
from quarry.types.buffer import Buffer1_7, BufferUnderrun
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure
from twisted.python.log import PythonLoggingObserver
from zope.interface import implementer

from zeroscale.plugins.demo.journal import RECORDS_PER_SAVE, Journal

if TYPE_CHECKING:
    from twisted.internet.posixbase import PosixReactorBase

MAXIMUM_BEFORE_LOGIN = 128 * 1024
"""Bytes: a handshake has up to 32 KiB with IP forwarding (docs/protocol.md, "Limits"); Twisted reads 64 KiB."""

SILENT_SECONDS = 30.0
"""Seconds after which a client that sends nothing is disconnected, as by the real server."""

TICK_SECONDS = 0.1
LONGEST_COMMAND = 4096
MAXIMUM_PLAYERS = 20
VERSION_NAME = "zeroscale demo"

# The packets before the game are the same from 1.7 on (docs/protocol.md, "Login"); quarry's own tables end at 1.19.1.
RECEIVED = {
    ("init", 0): "handshake",
    ("status", 0): "status_request",
    ("status", 1): "status_ping",
    ("login", 0): "login_start",
}
SENT = {"status_response": 0, "status_pong": 1, "login_disconnect": 0}
STATES = {1: "status", 2: "login", 3: "login"}


class OneTimer:
    """One timer, in place of quarry's ticker, which runs twenty times a second for every connection."""

    interval = 1.0

    def __init__(self, _logger: logging.Logger) -> None:
        self._call: IDelayedCall | None = None
        self._delay = 0.0
        self._callback: Callable[[], None] | None = None

    def start(self) -> None:
        """Do nothing: the timer starts with `add_delay`."""

    def add_delay(self, delay: float, callback: Callable[[], None]) -> OneTimer:
        """Call `callback` after `delay` seconds."""
        self._delay, self._callback = delay, callback
        self.restart()
        return self

    def restart(self) -> None:
        """Begin the delay again."""
        self.stop()
        if self._callback is not None:
            self._call = _reactor().callLater(self._delay, self._callback)

    def stop(self) -> None:
        """Cancel the call."""
        if self._call is not None and self._call.active():
            self._call.cancel()


@implementer(IHalfCloseableProtocol)
class DemoProtocol(ServerProtocol):  # type: ignore[misc] # quarry has no types
    """The connection of one client."""

    _server: DemoServer
    _echoing = False
    _name = ""

    def setup(self) -> None:
        """Prepare the connection."""
        self._server = self.factory.server
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Handle packets, or echo the bytes after a login."""
        if self._echoing:
            self.transport.write(data)
            return
        self._received += data
        if len(self._received) > MAXIMUM_BEFORE_LOGIN:
            self.transport.abortConnection()
            return
        try:
            super().data_received(data)
        except (BufferUnderrun, ValueError):  # quarry does not check everything itself
            self.close()

    def protocol_error(self, err: Exception) -> None:
        """Close the connection."""
        self.close()

    def get_packet_name(self, ident: int) -> str:
        """Return the name of a packet from the client."""
        try:
            return RECEIVED[self.protocol_mode, ident]
        except KeyError:
            raise ProtocolError(f"no packet {ident} in {self.protocol_mode}") from None

    def get_packet_ident(self, name: str) -> int:
        """Return the number of a packet to the client."""
        return SENT[name]

    def packet_handshake(self, buff: Buffer1_7) -> None:
        """Change to the status or login state."""
        self.protocol_version = buff.unpack_varint()
        buff.unpack_string()
        buff.unpack("H")
        intent = buff.unpack_varint()
        if intent not in STATES:
            raise ProtocolError(f"intent {intent}")
        self.protocol_mode = STATES[intent]
        if self.protocol_mode == "status" and not self._server.answers_status:
            self._server.log("Status asked while starting" if not self._server.ready else "Status asked, but it is off")
            self.close()

    def packet_status_request(self, buff: Buffer1_7) -> None:
        """Send the status."""
        self.send_packet("status_response", self.buff_type.pack_json(self._server.status(self.protocol_version)))

    def packet_login_start(self, buff: Buffer1_7) -> None:
        """Greet and disconnect the player, or begin to echo."""
        name = "".join(filter(str.isprintable, buff.unpack_string()))[:16]
        buff.discard()  # what follows the name depends on the version
        if not self._server.ready:
            self._kick("Server is still starting! Please wait before reconnecting.")
        elif self._server.echoes:
            self._name = name
            self._echoing = True
            self.recv_buff.discard()  # what follows the login is echoed and not parsed
            self.connection_timer.stop()
            self._server.log(f"{name} joined the game")
            self._server.players += 1
            self.transport.registerProducer(self.transport, True)  # stop reading while the client does not read
            self.transport.write(self._received)
        else:
            self._server.log(f"{name} was greeted")
            # `zeroscalectl join` knows by the insertion, which nobody sees, that this is no refusal
            self._kick(
                f"\u00a7aHello {name}!\u00a7r\n\nYou have woken the zeroscale demo server: it was asleep, "
                f"and took {self._server.started_in:.1f} seconds to start for you.\nSoon it will sleep again.\n\n"
                "\u00a77To put your own server to sleep: \u00a7fzeroscale minecraft 25565 25575",
                insertion="zeroscale:greeting",
            )

    def readConnectionLost(self) -> None:
        """Close the connection once all has been sent."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: only the client's side counts."""

    def connection_lost(self, reason: Failure | None = None) -> None:
        """Count the player as gone."""
        if self._echoing:
            self._server.players -= 1
            self._server.log(f"{self._name} left the game")
        super().connection_lost(reason)

    def _kick(self, text: str, **fields: str) -> None:
        self.send_packet("login_disconnect", self.buff_type.pack_json({"text": text, **fields}))
        self.close()


class DemoFactory(ServerFactory):  # type: ignore[misc] # quarry has no types
    """Creates a `DemoProtocol` for each client."""

    protocol = DemoProtocol
    ticker_type = OneTimer
    connection_timeout = SILENT_SECONDS
    log_level = logging.WARNING
    noisy = False

    def __init__(self, server: DemoServer) -> None:
        self.players: set[DemoProtocol] = set()  # the base class would make RSA keys, for the online mode
        self.server = server

    def get_buff_type(self, protocol_version: int) -> type[Buffer1_7]:
        """Return the buffer type, which is the same for all versions."""
        buffer_type: type[Buffer1_7] = Buffer1_7
        return buffer_type


class DemoServer:
    """The server.

    :ivar started_in: seconds that the start took.
    :ivar ready: whether it has started.
    :ivar players: number of clients with echoed bytes.
    :ivar exit_code: the exit code for the process.
    """

    def __init__(self, options: argparse.Namespace, reactor: PosixReactorBase) -> None:
        self._options = options
        self._reactor = reactor
        self._began = time.monotonic()
        self._journal: Journal | None = None
        self._loops: list[LoopingCall] = []
        self._stopping = False
        self.started_in = 0.0
        self.ready = False
        self.players = 0
        self.exit_code = 0

    @property
    def answers_status(self) -> bool:
        """Whether it answers status requests now."""
        return self.ready and not self._options.status_off

    @property
    def echoes(self) -> bool:
        """Whether a login's bytes are sent back, instead of a greeting."""
        return bool(self._options.echo)

    def log(self, text: str, level: str = "INFO") -> None:
        """Write one line to the console in the real server's format; it is lost if the disk is full, as with Java."""
        with suppress(OSError):
            os.write(1, f"[{time.strftime('%H:%M:%S')}] [Server thread/{level}]: {text}\n".encode())

    def status(self, protocol: int) -> dict[str, object]:
        """Return the status for a client with this protocol number."""
        return {
            "description": {"text": "The zeroscale demo server\n\u00a7aAwake\u00a7r: join, and be greeted"},
            "players": {"online": self._options.players + self.players, "max": MAXIMUM_PLAYERS},
            "version": {"name": VERSION_NAME, "protocol": protocol},
        }

    async def start(self) -> None:
        """Start, in `--start-seconds`."""
        self.log("Starting minecraft server version demo")
        if self._options.journal:
            self._journal = Journal(self._options.journal)
        await self._until(0.3)
        self.log(f"Starting Minecraft server on {self._options.host}:{self._options.port}")
        try:
            self._reactor.listenTCP(self._options.port, DemoFactory(self), interface=self._options.host)
        except CannotListenError as error:
            self.log("**** FAILED TO BIND TO PORT!", "WARN")
            self.log(f"The exception was: {error.socketError}", "WARN")
            self._end(1)
            return
        self.log('Preparing level "world"')
        if self._options.crash_at_start:
            self.log("Encountered an unexpected exception", "ERROR")
            self.log("java.lang.IllegalStateException: told to crash at start", "ERROR")
            self._end(1)
            return
        for percent in (20, 40, 60, 80, 100):
            await self._until(0.3 + 0.7 * percent / 100)
            if self._stopping:
                return
            self.log(f"Preparing spawn area: {percent}%")
        self.started_in = time.monotonic() - self._began
        self.ready = True
        self._loop(TICK_SECONDS, self._tick)
        if self._options.fill_output:
            self._loop(TICK_SECONDS, self._fill_output)
        if self._options.crash_after is not None:
            self._reactor.callLater(self._options.crash_after, self._crash)
        self.log(f'Done ({self.started_in:.3f}s)! For help, type "help"')

    async def stop(self, exit_code: int) -> None:
        """Save the world and end."""
        if self._stopping:
            return
        self._stopping = True
        self.log("Stopping server")
        self.log("Saving worlds")
        for loop in self._loops:
            loop.stop()
        if self._journal:
            self._journal.begin_save()
        for _part in range(RECORDS_PER_SAVE):
            await deferLater(self._reactor, self._options.slow_stop / RECORDS_PER_SAVE)
            if self._journal:
                self._journal.save_part()
        if self._journal:
            self._journal.end_save()
        self.log("All dimensions are saved")
        self._end(exit_code)

    def command(self, line: str) -> None:
        """Run a command from the console."""
        match line.strip().removeprefix("/"):
            case "":
                pass
            case "stop" if self._options.ignore_stop:
                self.log("Ignoring stop (--ignore-stop)")
            case "stop":
                self.run(self.stop(0))
            case "list":
                count = self._options.players + self.players
                self.log(f"There are {count} of a max of {MAXIMUM_PLAYERS} players online: ")
            case "help":
                self.log("/help, /list, /stop")
            case _:
                self.log("Unknown or incomplete command, see below for error")

    def run(self, coroutine: Coroutine[Deferred[object], object, None]) -> None:
        """Run a coroutine; if it fails, end the server with an error."""

        def failed(failure: Failure) -> None:
            self.log(f"Encountered an unexpected exception: {failure.getTraceback()}", "ERROR")
            self._end(1)

        Deferred.fromCoroutine(coroutine).addErrback(failed)

    def _loop(self, interval: float, function: Callable[[], None]) -> None:
        loop = LoopingCall(function)
        self._loops.append(loop)
        loop.start(interval, now=False).addErrback(lambda failure: self.run(_fail(failure)))

    def _tick(self) -> None:
        if self._journal:
            self._journal.tick()

    def _fill_output(self) -> None:
        left = int(self._options.fill_output * TICK_SECONDS)
        while left > 0:
            line = "x" * min(100, left)
            self.log(line)
            left -= len(line) + 40

    def _crash(self) -> None:
        self.log("Encountered an unexpected exception", "ERROR")
        self.log("java.lang.IllegalStateException: told to crash in play", "ERROR")
        os._exit(1)

    async def _until(self, part: float) -> None:
        at = self._began + part * self._options.start_seconds
        await deferLater(self._reactor, max(0.0, at - time.monotonic()))

    def _end(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self._stopping = True
        self._reactor.stop()


def _reactor() -> PosixReactorBase:
    from twisted.internet import reactor

    return cast("PosixReactorBase", reactor)


async def _fail(failure: Failure) -> None:
    failure.raiseException()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m zeroscale.plugins.demo.program", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--start-seconds", type=float, default=4.0, help="how long it takes to start")
    parser.add_argument("--players", type=int, default=0, help="how many players to pretend")
    parser.add_argument("--echo", action="store_true", help="send a login back all its bytes, do not greet it")
    parser.add_argument("--status-off", action="store_true", help="close when asked for the status")
    parser.add_argument("--journal", type=Path, help="file that stands for the world")
    parser.add_argument("--slow-stop", type=float, default=0.0, metavar="SECONDS", help="how long a save takes")
    parser.add_argument("--ignore-stop", action="store_true", help="ignore `stop` on the console")
    parser.add_argument("--ignore-term", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--crash-at-start", action="store_true", help="end with an error before it is ready")
    parser.add_argument("--crash-after", type=float, metavar="SECONDS", help="end with an error once ready for so long")
    parser.add_argument("--fork-child", action="store_true", help="serve in a child, as a start script does")
    parser.add_argument("--fill-output", type=int, default=0, metavar="BYTES", help="write so much every second")
    return parser.parse_args(arguments)


def _read_commands(server: DemoServer, reactor: PosixReactorBase) -> None:
    """Read commands from the console, in a thread, since the console may be a file and epoll refuses files."""
    rest = b""
    while data := _read_input():
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[:LONGEST_COMMAND]
        for line in lines:
            reactor.callFromThread(server.command, line.decode("utf-8", errors="replace"))


def _read_input() -> bytes:
    try:
        return os.read(0, LONGEST_COMMAND)
    except OSError:  # there is no console
        return b""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; return the exit code."""
    options = parse(arguments)
    if options.fork_child:
        given = [word for word in (arguments or sys.argv[1:]) if word != "--fork-child"]
        return subprocess.call([sys.executable, "-P", "-m", "zeroscale.plugins.demo.program", *given])
    PythonLoggingObserver().start()
    logging.basicConfig(level=logging.WARNING)
    reactor = _reactor()
    server = DemoServer(options, reactor)

    def on_signal(number: int, _frame: object) -> None:
        # Like Java: save, and exit with 128 plus the number of the signal.
        reactor.callFromThread(lambda: server.run(server.stop(128 + number)))

    signal.signal(signal.SIGTERM, signal.SIG_IGN if options.ignore_term else on_signal)
    signal.signal(signal.SIGINT, on_signal)
    threading.Thread(target=_read_commands, args=(server, reactor), daemon=True).start()
    reactor.callWhenRunning(server.run, server.start())
    reactor.run(installSignalHandlers=False)
    return server.exit_code


if __name__ == "__main__":
    sys.exit(main())
