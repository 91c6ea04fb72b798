"""The plugin contract as types: what a class `Server` must have, and one Protocol for each optional ability.

A plugin does not have to inherit from these; having the attributes is enough. An ability is used when the attribute is
there and is not None. `Plugin` is the only required one. Write the inheritance or a check such as
`plugin: Plugin = Server()` to let a type checker compare a plugin with the contract.

A plugin is plain asyncio. Its methods are called on the loop's own thread and must not block it; a blocking call
belongs in `asyncio.to_thread()`. An exception never ends the proxy. Raise `zeroscale.PluginError` with one line that
says what the operator can do; any other exception is logged with its type.

Imports nothing but types, since `import zeroscale` imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from zeroscale.status import Status


@runtime_checkable
class Plugin(Protocol):
    """A kind of server. These two methods are required.

    Neither is cancelled, and they never run at the same time, except with `interruptible_start`. After a clean stop the
    same object is started again; after a failure a new object is constructed.
    """

    async def start(self) -> None:
        """Start the server; return when it has been started.

        It need not be ready: zeroscale itself waits until the server answers on its port.
        """

    async def stop(self) -> None:
        """Stop the server; return when it is gone. Do nothing when it does not run."""


@runtime_checkable
class Checkable(Protocol):
    """Checks before anything listens whether the server could be started."""

    def check(self) -> None:
        """Raise `PluginError` if the server could not be started. A plain method: it must not take long."""


@runtime_checkable
class HasFakeStatus(Protocol):
    """Has bytes for clients of a sleeping server, which is woken by each connection."""

    def fake_status(self) -> bytes | None:
        """Return what a client is sent before it is disconnected; empty or None: hold it until the server is ready.

        A plain method. Not called when `protocol` is "minecraft".
        """


@runtime_checkable
class Waitable(Protocol):
    """Notices that its server has ended. Without it, only a failing connection shows that."""

    async def wait(self) -> int | None:
        """Return when the server has ended, with its exit code, or None if that is not known.

        Exit codes 0, 129, 130, 143 and None are a clean end, any other code is a crash, and so is an exception; its
        text is the reason. A negative code is a signal, as in `asyncio.subprocess.Process.returncode`.
        """


@runtime_checkable
class Adoptable(Protocol):
    """Takes over a server that runs already, such as one of an earlier zeroscale. Needed for `--on-exit leave`."""

    async def adopt(self) -> bool | Status:
        """Return whether the server runs; from then on it belongs to this plugin, and no second one is started.

        Return `Status.stopping` for one that is stopping, such as one that an earlier zeroscale was asked to stop
        before it was killed. No player is connected to it: `stop()` is called, and it is started again if a player
        waits. Resume a server that an earlier zeroscale has paused. Called once at the beginning, before each start,
        and after `on_found`.
        """


@runtime_checkable
class Doubtable(Protocol):
    """Can be wrong about whether its server runs, such as one that only asks a command."""

    def doubt(self) -> bool:
        """Return whether the server may not run after all.

        A plain method, called when a server that `adopt()` has found has not answered for `--start-timeout`, or when a
        running one does not accept a connection. True: the server counts as stopped, and is started if a player has
        come; `adopt()` must not find it again as long as it does not answer. False: it does run.
        """


@runtime_checkable
class Pausable(Protocol):
    """Freezes its server instead of stopping it, for `--idle-action pause`."""

    async def pause(self) -> None:
        """Freeze the server."""

    async def resume(self) -> None:
        """Let the frozen server continue."""


@runtime_checkable
class Signalable(Protocol):
    """Sends signals to its server, for one that has not stopped within `--stop-timeout`."""

    def signal(self, number: int, /) -> None:
        """Send a signal to all processes of the server. A plain method."""


@runtime_checkable
class ProposesSigterm(Protocol):
    """Has arguments with which `stop()` sends SIGTERM, for a server that obeys nothing else."""

    @property
    def sigterm_arguments(self) -> str | None:
        """These arguments, such as `-a stop=SIGTERM`; None: `stop()` does so already.

        The operator reads them when the server ignored `stop()` for `--stop-timeout`, and then ended on SIGTERM.
        """


@runtime_checkable
class HasConsole(Protocol):
    """Takes commands for its server, from `zeroscalectl console` and `zeroscale --console`.

    A Minecraft server whose status does not say how many players are on is sent `list` before it is stopped.
    """

    async def send(self, line: str, /) -> str | None:
        """Send one line to the server's console; return its answer if there is one."""


@runtime_checkable
class ReportsPlayers(Protocol):
    """Reports how many players are online."""

    async def players(self) -> int | None:
        """Return the number of players online, or None if it is not known. Called before an idle server is stopped."""


@runtime_checkable
class ReportsUsage(Protocol):
    """Measures what its server uses of the machine, for `zeroscalectl stats`."""

    async def usage(self) -> tuple[float, int] | None:
        """Return the CPU seconds that the server has used since its start, and the bytes of memory it has now.

        None: that is not known now. Called once a minute while the server runs, and when it becomes idle or busy.
        """


@runtime_checkable
class Closable(Protocol):
    """Holds connections or tasks that have to be ended."""

    async def close(self) -> None:
        """End the plugin's connections and tasks, and leave the server as it is. The plugin is not used afterwards."""


@runtime_checkable
class ReportsOutput(Protocol):
    """Passes on what its server prints. zeroscale sets the attribute before it calls `adopt()`.

    :ivar on_output: to be called with each line of output. The last lines are quoted when the server crashes, and while
        it starts each line extends the time that it may take.
    """

    on_output: Callable[[str], None] | None


@runtime_checkable
class ReportsStarts(Protocol):
    """Notices that its server was started or resumed by others. zeroscale sets the attribute before it calls `adopt()`.

    :ivar on_found: to be called when the server runs, or runs again, and this plugin has not started or resumed it.
    """

    on_found: Callable[[], None] | None


@runtime_checkable
class ReportsPauses(Protocol):
    """Notices that its server was frozen by others. zeroscale sets the attribute before it calls `adopt()`.

    :ivar on_paused: to be called when the server has been frozen, and not by this plugin.
    """

    on_paused: Callable[[], None] | None


@runtime_checkable
class HasProtocol(Protocol):
    """Names the protocol of its server's clients."""

    @property
    def protocol(self) -> str | None:
        """`"minecraft"`: clients see a status while the server sleeps, and only a login wakes it.

        `"http"`: only an HTTP request wakes it, unless `wake_on` is configured. None: any TCP.
        """


@runtime_checkable
class HasReadyLine(Protocol):
    """Names the line of output that shows that its server is ready."""

    @property
    def ready_line(self) -> str | None:
        """A regular expression for that line, after which the server is probed at once; None: there is no such line."""


@runtime_checkable
class HasServerAddress(Protocol):
    """Learns only at run time where its server can be reached."""

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Host and port of the running server, read after each start; None: as configured."""


@runtime_checkable
class ControlsOthers(Protocol):
    """Starts and stops something that another server of the configuration could name as well, such as a container."""

    @property
    def controls(self) -> Mapping[str, bool]:
        """Its names, as they are shown, and for each whether `stop()` stops it; read once it is constructed.

        Each thing has one spelling, such as `"container mc at unix:///run/docker.sock"`. A configuration in which two
        servers have a name in common is a mistake, unless neither stops what it names.
        """


@runtime_checkable
class Remote(Protocol):
    """May have its server on another machine or in a container."""

    @property
    def remote(self) -> bool:
        """Whether the server's files are not in the directory where zeroscale runs.

        Then player lists and keep-awake files are looked for below `state_directory`, unless a working directory is
        configured.
        """


@runtime_checkable
class LoadBalanced(Protocol):
    """May have something between zeroscale and its server that accepts connections while the server does not run."""

    @property
    def load_balanced(self) -> bool:
        """Whether an open port does not mean that the server runs; if so it is started though its port answers."""


@runtime_checkable
class InterruptibleStart(Protocol):
    """Has a `start()` without a time limit, such as one that waits for a pod to be scheduled."""

    @property
    def interruptible_start(self) -> bool:
        """Whether `stop()` and `close()` may be called while `start()` is awaited; `start()` then raises an error."""


ABILITIES: tuple[type, ...] = (
    Checkable,
    HasFakeStatus,
    Waitable,
    Adoptable,
    Doubtable,
    Pausable,
    Signalable,
    ProposesSigterm,
    HasConsole,
    ReportsPlayers,
    ReportsUsage,
    Closable,
    ReportsOutput,
    ReportsStarts,
    ReportsPauses,
    HasProtocol,
    HasReadyLine,
    HasServerAddress,
    ControlsOthers,
    Remote,
    LoadBalanced,
    InterruptibleStart,
)
"""The optional Protocols."""
