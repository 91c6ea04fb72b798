"""Whether a server runs, by its status command and by its port."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.errors import PluginError
from zeroscale.plugins.support import command_status
from zeroscale.plugins.support.command_status import CommandStatus
from zeroscale.plugins.support.status_trust import StatusTrust
from zeroscale.plugins.support.tcp_check import TcpResult
from zeroscale.process.command_runner import CommandResult


class ServerToAsk:
    """A server, as its status command and its port show it.

    :ivar code: the command's exit code.
    :ivar answer: of its port; None: its name cannot be looked up.
    """

    def __init__(self, directory: Path) -> None:
        self.code = 0
        self.answer: TcpResult | None = TcpResult.refused
        self.directory = directory

    def status(self, *, command: bool = True) -> CommandStatus:
        trust = StatusTrust(self.directory, ["check"])
        return CommandStatus(self._ask if command else None, "check", "10.0.0.5", 25565, trust)

    async def _ask(self) -> CommandResult:
        return CommandResult(self.code, ("no idea",))

    async def check(self, host: str, port: int, limit: float) -> TcpResult:
        assert (host, port) == ("10.0.0.5", 25565)
        if self.answer is None:
            raise PluginError(f"{host} has no address")
        return self.answer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerToAsk:
    server = ServerToAsk(tmp_path)
    monkeypatch.setattr(command_status, "tcp_check", server.check)
    monkeypatch.setattr(command_status, "CHECK_EVERY", 0.001)
    return server


@pytest.mark.parametrize(("answer", "runs"), [(TcpResult.accepted, True), (TcpResult.refused, False)])
async def test_without_a_command_the_port_tells(server: ServerToAsk, answer: TcpResult, runs: bool) -> None:
    server.answer = answer
    status = server.status(command=False)
    assert await status.runs() is runs
    assert not (status.goes_by_command or status.is_proven or status.is_doubted)
    assert not await status.may_be_wrong()
    assert not status.doubt()


@pytest.mark.parametrize(("code", "runs"), [(0, True), (1, False), (3, False)])
async def test_the_command_tells(server: ServerToAsk, code: int, runs: bool) -> None:
    server.code = code
    status = server.status()
    assert status.goes_by_command
    assert await status.runs() is runs
    assert status.is_proven is not runs


@pytest.mark.parametrize("code", [4, 126, 127, 255])
async def test_it_may_have_no_result(server: ServerToAsk, code: int) -> None:
    server.code = code
    status = server.status()
    with pytest.raises(PluginError, match=r"the status command \(check\) cannot tell: "):
        await status.runs()
    assert not status.is_proven


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (TcpResult.refused, True),
        (TcpResult.unreachable, True),
        (TcpResult.accepted, False),
        (None, False),
    ],
)
async def test_a_command_that_has_never_said_no_may_be_wrong_where_nothing_answers(
    server: ServerToAsk, answer: TcpResult | None, wrong: bool
) -> None:
    server.answer = answer
    status = server.status()
    assert await status.runs()
    assert await status.may_be_wrong() is wrong
    server.code = 1
    assert not await status.runs()
    server.code = 0
    assert not await status.may_be_wrong(), "it has proved itself"


async def test_a_doubted_command_is_believed_only_while_the_port_answers(server: ServerToAsk) -> None:
    status = server.status()
    assert status.doubt()
    assert (status.is_doubted, status.goes_by_command) == (True, False)
    assert (await status.runs(), status.has_answered) == (False, False)
    server.answer = TcpResult.accepted
    assert (await status.runs(), status.has_answered) == (True, True)
    server.code = 1
    assert not await status.runs()
    assert status.is_proven


async def test_a_server_in_use_that_cannot_be_reached_has_not_ended(server: ServerToAsk) -> None:
    status = server.status()
    status.doubt()
    server.answer = TcpResult.unreachable
    assert not await status.runs(in_use=True), "it has not answered yet"
    server.answer = TcpResult.accepted
    assert await status.runs(in_use=True)
    server.answer = TcpResult.unreachable
    with pytest.raises(PluginError, match=r"10\.0\.0\.5:25565 cannot be reached"):
        await status.runs(in_use=True)
    assert not await status.runs()


async def test_a_change_is_waited_for(server: ServerToAsk, caplog: pytest.LogCaptureFixture) -> None:
    status = server.status()
    assert not await status.becomes(False, 0.01)
    codes = [0, 255, 255, 0, 3]

    async def change() -> bool:
        server.code = codes.pop(0)
        return await status.command_says_running()

    assert await status.becomes(False, None, change)
    assert codes == []
    assert caplog.text.count("cannot tell") == 1
