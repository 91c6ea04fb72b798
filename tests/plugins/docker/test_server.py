"""The docker plugin with a fake engine; tests/peers/test_docker.py has it with a real one."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiodocker import DockerError
from peers.dockerd import Dockerd, dockerd
from plugins.docker.containers import CONFIG, HEALTH, ContainerSubject
from plugins.docker.fake_engine import FakeContainer, FakeEngine
from plugins.process_fixture import POLL_INTERVAL, until

from zeroscale.errors import PluginError
from zeroscale.plugins.api import ReportsUsage
from zeroscale.plugins.docker import engine as docker_engine
from zeroscale.plugins.docker.server import Server
from zeroscale.plugins.testing import (
    AdoptableTests,
    ApiTests,
    PausableTests,
    PermissionTests,
    PluginDriver,
    PluginTests,
    RemovableTests,
    ReportsPausesTests,
    ReportsStartsTests,
    ServerUnderTest,
    WaitableTests,
    driving,
)
from zeroscale.status import Status


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time for which an engine that is away is waited for."""
    monkeypatch.setattr(docker_engine, "RETRY_TIME", 0.05)
    monkeypatch.setattr(docker_engine, "FIRST_DELAY", 0.01)


class FakeSubject(ContainerSubject):
    """A container of a fake engine."""

    def __init__(self, directory: Path) -> None:
        self.engine = FakeEngine(directory / "engine.sock")
        super().__init__(directory, self.engine.path)

    async def set_up(self) -> None:
        await self.engine.begin()
        await super().set_up()

    async def tear_down(self) -> None:
        await super().tear_down()
        await self.engine.clear()

    @property
    def container(self) -> FakeContainer:
        """The engine's side of it."""
        return self.engine.containers[self.name]


class RealSubject(ContainerSubject):
    """A container of a real engine."""

    async def pause(self) -> None:
        await self._settle()
        await super().pause()

    async def _settle(self) -> None:
        """Wait until the engine has seen what its runtime has reported so far.

        It learns of a pause and of its end a second time from there, in order, and an end that it sees late ends a
        later pause as well: the container is then frozen, "is not paused", and cannot be resumed.
        """
        while True:
            try:
                execution = await self._container.exec(["/bin/busybox", "true"])
                await execution.start(detach=True)
                break
            except DockerError as error:
                assert "paused" in error.message
                await asyncio.sleep(POLL_INTERVAL)
        while (await execution.inspect())["Running"]:  # noqa: ASYNC110 # the event would be the engine's own
            await asyncio.sleep(POLL_INTERVAL)


@pytest.fixture
def subject(tmp_path: Path) -> FakeSubject:
    return FakeSubject(tmp_path)


class ContinuedStopTests:
    """For Docker itself, whose state does not say that a stop has begun."""

    async def test_a_stop_that_docker_has_begun_is_not_requested_again(self, subject: ContainerSubject) -> None:
        note = subject.state_directory / "stop.json"
        async with driving(subject) as first:
            await first.start()
            await subject.block_stop()
            stopping = asyncio.ensure_future(first.plugin.stop())
            await until(lambda: note.exists() and b"sent" in note.read_bytes())
            stopping.cancel()
            await asyncio.wait([stopping])
        async with driving(subject) as second:
            assert await second.adopt() is Status.stopping
            stopping = asyncio.ensure_future(second.stop())
            await subject.unblock_stop()
            await stopping
            assert second.exit is not None
            assert (await second.exit).is_clean
        assert (await subject.output()).count("asked") == 1, "a second signal may mean: at once"


class TestBehaviour(
    ContinuedStopTests,
    PluginTests,
    WaitableTests,
    AdoptableTests,
    ReportsStartsTests,
    PausableTests,
    ReportsPausesTests,
    RemovableTests,
    PermissionTests,
    ApiTests,
):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> ServerUnderTest:
        return FakeSubject(tmp_path)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    with dockerd(tmp_path_factory.mktemp("engine")) as daemon:
        yield daemon


@pytest.mark.slow
@pytest.mark.peers("dockerd", "docker", "busybox")
class TestBehaviourAtARealEngine(
    ContinuedStopTests,
    PluginTests,
    WaitableTests,
    AdoptableTests,
    ReportsStartsTests,
    PausableTests,
    ReportsPausesTests,
    RemovableTests,
    PermissionTests,
    ApiTests,
):
    @pytest.fixture
    def subject(self, tmp_path: Path, engine: Dockerd) -> ServerUnderTest:
        return RealSubject(tmp_path, engine.socket)

    async def test_a_start_waits_for_its_health(self, subject: ContainerSubject) -> None:
        await subject.remove()
        await subject.docker.containers.create({**CONFIG, "Healthcheck": HEALTH}, name=subject.name)
        async with driving(subject) as one:
            await one.start()
            assert (await subject.state())["Health"]["Status"] == "healthy"
            await one.stop()


@asynccontextmanager
async def driven(subject: FakeSubject, **arguments: Any) -> AsyncIterator[PluginDriver]:
    """Make the plugin with these arguments, driven as the core does."""
    subject.make_plugin = lambda: subject.server(**arguments)  # type: ignore[method-assign]
    async with driving(subject) as one:
        yield one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"container": ""}, "no container"),
        ({"protocol": "bedrock"}, "protocol='bedrock'"),
        ({"base_url": "ftp://engine"}, "base_url='ftp://engine'"),
        ({"health": "perhaps"}, "health='perhaps'"),
        ({"console": "rcon-cli 'half"}, "console="),
        ({"ready_line": "("}, r"ready_line='\('"),
    ],
)
def test_an_invalid_argument_is_refused_at_once(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Server(**{"container": "mc", "server_port": 25575, "state_directory": ".", **arguments})  # type: ignore[arg-type]


def test_its_protocol_and_ready_line_are_as_given() -> None:
    server = Server("mc", server_port=25575, state_directory=".", protocol="minecraft")
    assert server.protocol == "minecraft"
    assert server.ready_line is not None
    assert re.search(server.ready_line, 'Done (1.5s)! For help, type "help"')
    other = Server("mc", server_port=25575, state_directory=".", ready_line="up")
    assert (other.protocol, other.ready_line) == (None, "up")
    web = Server("web", server_port=80, state_directory=".", protocol="http")
    assert (web.protocol, web.ready_line) == ("http", None)


LONG_ID = "4e2c1f0b7a9d" + "0" * 52


@pytest.mark.parametrize(
    ("container", "base_url", "name"),
    [
        ("mc", "unix:///run/x.sock", "container mc at unix:///run/x.sock"),
        ("/mc", "/run/x.sock", "container mc at unix:///run/x.sock"),
        ("mc", "tcp://Engine:2375/", "container mc at http://engine:2375"),
        ("mc", "http://engine:2375", "container mc at http://engine:2375"),
        ("mc", "https://engine:2376", "container mc at https://engine:2376"),
        (LONG_ID, "/run/x.sock", "container 4e2c1f0b7a9d at unix:///run/x.sock"),
        (LONG_ID[:16], "/run/x.sock", "container 4e2c1f0b7a9d at unix:///run/x.sock"),
        (LONG_ID[:9], "/run/x.sock", "container 4e2c1f0b7 at unix:///run/x.sock"),
    ],
)
def test_what_it_controls_has_one_spelling(container: str, base_url: str, name: str) -> None:
    server = Server(container, server_port=25575, state_directory=".", base_url=base_url)
    assert server.controls == {name: True}


def test_a_socket_is_the_same_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    urls = [f"unix://{directory}/engine.sock" for directory in (tmp_path, tmp_path / "link")]
    one, two = (Server("mc", server_port=25575, state_directory=".", base_url=url) for url in urls)
    assert one.controls == two.controls


async def test_a_container_by_name_and_by_id_belongs_to_one_server(subject: FakeSubject, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    found: list[str] = []
    message = f"is what the server {subject.state_directory.name!r} starts and stops, by another name; make one server"
    async with driven(subject) as one:
        short_id, url = subject.container.id[:10], f"unix://{subject.engine.path}"
        two = Server(short_id, server_port=1, state_directory=tmp_path / "two", base_url=url)
        two.on_found = lambda: found.append("found")
        try:
            assert not await one.adopt()
            with pytest.raises(PluginError, match=message):
                await two.adopt()
            await one.start()
            with pytest.raises(PluginError, match=message):
                await two.start()
            await two.stop()
            assert (await one.adopt(), found, subject.container.asked) == (True, [], False)
            await one.stop()
            await one.plugin.close()
            assert not await two.adopt()
            await two.start()
            await two.stop()
        finally:
            await two.close()


async def test_what_it_uses(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        subject.engine.stats = {"cpu_stats": {"cpu_usage": {"total_usage": 10**9}}, "memory_stats": {"usage": 4096}}
        assert isinstance(one.plugin, ReportsUsage)
        assert await one.plugin.usage() == (1.0, 4096)
        subject.engine.stats = {}
        assert await one.plugin.usage() is None
        await one.stop()


@pytest.mark.parametrize(("given", "asked"), [(None, "31622400"), (10, "31622400"), (90, None)])
async def test_it_is_killed_only_after_a_stop_time_out_that_its_operator_gave_it(
    subject: FakeSubject, given: int | None, asked: str | None
) -> None:
    async with driven(subject) as one:
        if given is not None:
            subject.container.config["StopTimeout"] = given
        await one.start()
        await one.stop()
        assert subject.container.stop_timeout == asked


async def test_a_start_waits_for_its_health(subject: FakeSubject) -> None:
    subject.engine.create(subject.name)
    subject.container.state["Health"] = {"Status": "starting"}
    async with driven(subject) as one:
        starting = asyncio.ensure_future(one.start())
        await until(lambda: subject.container.state["Running"])
        subject.engine.health(subject.container, "unhealthy")
        await until(lambda: subject.engine.requests[-1].endswith("/json"))
        assert not starting.done()
        subject.engine.health(subject.container, "healthy")
        await starting
        await one.stop()


async def test_its_health_need_not_be_waited_for(subject: FakeSubject) -> None:
    async with driven(subject, health="no") as one:
        subject.container.state["Health"] = {"Status": "starting"}
        await one.start()
        await one.stop()


async def test_one_that_ends_while_its_health_is_waited_for_has_ended(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        subject.container.state["Health"] = {"Status": "starting"}
        starting = asyncio.ensure_future(one.start())
        await until(lambda: subject.container.state["Running"])
        subject.engine.end(subject.container, 3)
        await starting
        assert one.exit is not None
        assert (await one.exit).code == 3


async def test_one_that_ends_at_once_has_ended_with_its_code(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        run = subject.engine.run

        def run_and_end(container: FakeContainer) -> None:
            run(container)
            subject.engine.end(container, 7)

        subject.engine.run = run_and_end  # type: ignore[method-assign]
        await one.start()
        assert one.exit is not None
        assert (await one.exit).code == 7
        assert not one.found.is_set()


async def test_a_kill_by_the_kernel_is_reported_as_such(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        subject.engine.end(subject.container, 137, out_of_memory=True)
        assert one.exit is not None
        assert "memory" in ((await one.exit).reason or "")


async def test_a_restart_by_others_is_an_end_and_a_find(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        await one.output.line_with("ready")
        await until(lambda: subject.engine.is_watched)
        subject.engine.end(subject.container, 143)
        subject.engine.run(subject.container)
        assert one.exit is not None
        assert (await one.exit).code == 143
        await one.found.wait()
        await one.stop()


async def test_one_that_others_start_and_pause_sleeps_until_it_is_woken(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        subject.engine.run(subject.container)
        subject.container.state["Paused"] = True
        await one.start()
        assert not subject.container.state["Paused"]
        assert not one.found.is_set()
        await one.stop()


async def test_a_paused_one_is_stopped_too(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        await one.pause()
        await one.stop()
        assert not await subject.is_running()


async def test_it_is_no_error_that_somebody_else_was_faster(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        subject.engine.forestalls = True
        await one.pause()
        assert await subject.is_paused()
        await one.resume()
        assert not await subject.is_paused()
        await one.stop()


async def test_its_output_is_passed_on_line_by_line(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        await one.output.line_with("ready")
        subject.engine.say(subject.container, "Done (1.5s)!")
        assert await one.output.line_with("Done") == "Done (1.5s)!"
        await one.stop()


async def test_its_last_output_is_reported_before_its_end(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        subject.engine.say(subject.container, "Exception in thread main")
        subject.engine.end(subject.container, 1)
        assert one.exit is not None
        await one.exit
        assert one.output.lines[-1] == "Exception in thread main"


async def test_a_signal_reaches_its_first_process(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        one.plugin.signal(signal.SIGTERM)
        assert one.exit is not None
        assert (await one.exit).is_clean


@pytest.mark.parametrize("action", ["start", "pause"])
async def test_a_request_that_is_refused_is_named(subject: FakeSubject, action: str) -> None:
    async with driving(subject) as driver:
        subject.engine.refuses = {f"/containers/{subject.name}/{action}"}
        with pytest.raises(PluginError, match=f"POST /containers/{subject.name}/{action} was refused by unix:"):
            await driver.start()
            await driver.pause()
        subject.engine.refuses = set()


async def test_without_a_console_a_line_is_refused_with_a_hint(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        with pytest.raises(PluginError, match="stdin_open: true"):
            await one.plugin.send("list")
        await one.stop()


async def test_its_address_is_that_of_the_network_that_is_named(subject: FakeSubject) -> None:
    async with driven(subject, network="games") as one:
        subject.container.addresses = {"games": "172.20.0.2", "others": "172.21.0.2"}
        addresses = [one.plugin.server_address]
        await one.start()
        addresses.append(one.plugin.server_address)
        assert addresses == [None, ("172.20.0.2", 25575)]
        await one.stop()


async def test_a_network_that_it_is_not_in_is_reported_with_those_it_is_in(subject: FakeSubject) -> None:
    async with driven(subject, network="game") as one:
        subject.container.addresses = {"games": "172.20.0.2"}
        with pytest.raises(PluginError, match=r"'game'.*games"):
            await one.start()


async def test_without_a_network_it_is_at_the_configured_address(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        assert one.plugin.server_address is None
        await one.stop()


async def test_a_container_that_is_created_anew_under_its_name_is_the_server(subject: FakeSubject) -> None:
    async with driven(subject) as one:
        await one.start()
        await until(lambda: subject.engine.is_watched)
        subject.engine.remove(subject.container)
        assert one.exit is not None
        assert (await one.exit).code == 137
        subject.engine.create(subject.name)
        subject.engine.run(subject.container)
        await one.found.wait()
        await one.stop()


def test_a_socket_that_we_may_not_use_is_reported_by_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "docker.sock"
    server = Server("mc", server_port=25575, state_directory=tmp_path, base_url=f"unix://{socket}")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    server.check()  # it may come yet
    socket.touch()
    with pytest.raises(PluginError, match=r"permission denied.*docker"):
        server.check()
    assert server.status is Status.stopped


async def test_one_that_was_never_seen_running_is_not_waited_for_while_the_engine_is_away(tmp_path: Path) -> None:
    server = Server("mc", server_port=25575, state_directory=tmp_path, base_url=f"unix://{tmp_path / 'docker.sock'}")
    with pytest.raises(PluginError, match="cannot be reached"):
        await server.adopt()
    async with asyncio.timeout(10):
        await server.stop()
    assert server.status is Status.stopped
    await server.close()


async def test_one_that_may_have_been_started_is_stopped_once_the_engine_is_back(
    subject: FakeSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "LONGEST_DELAY", 0.05)
    engine, start = subject.engine, subject.engine.run

    def run_and_be_gone(container: FakeContainer) -> None:
        start(container)
        engine.path.rename(hidden)

    hidden = subject.engine.path.with_name("hidden.sock")
    monkeypatch.setattr(engine, "run", run_and_be_gone)
    async with driven(subject) as one:
        with pytest.raises(PluginError, match="cannot be reached"):
            await one.plugin.start()
        stopping = asyncio.ensure_future(one.plugin.stop())
        await asyncio.wait([stopping], timeout=0.05)
        assert not stopping.done()
        hidden.rename(engine.path)
        await stopping
        assert not subject.container.state["Running"]


async def test_what_others_start_while_a_stop_waits_for_the_engine_is_not_stopped(
    subject: FakeSubject, caplog: pytest.LogCaptureFixture
) -> None:
    async with driven(subject) as one:
        await one.start()
        await until(lambda: subject.engine.is_watched)
        await subject.break_api()
        stopping = asyncio.ensure_future(one.stop())
        await until(lambda: "cannot be stopped yet" in caplog.text)
        subject.engine.end(subject.container, 0)
        subject.engine.run(subject.container)
        await subject.restore_api()
        await one.found.wait()
        await stopping
        assert await subject.is_running()
        assert not stop_requests(subject)
        await one.start()
        await one.stop()
        assert not await subject.is_running()


def stop_requests(subject: FakeSubject) -> int:
    return sum(request.endswith("/stop") for request in subject.engine.requests)


async def test_a_stop_that_did_not_reach_the_engine_is_requested_again(subject: FakeSubject) -> None:
    async with driven(subject) as first:
        await first.start()
        subject.engine.delays_stops = True
        stopping = asyncio.ensure_future(first.plugin.stop())
        await until(lambda: stop_requests(subject))
        stopping.cancel()
        await asyncio.wait([stopping])
    subject.engine.delays_stops = False
    async with driven(subject) as second:
        assert await second.adopt() is Status.stopping
        await second.stop()
        assert stop_requests(subject) == 2
        assert not await subject.is_running()


async def test_a_container_that_podman_is_stopping_is_waited_for(subject: FakeSubject) -> None:
    await subject.start()
    subject.container.state |= {"Running": False, "Status": "stopping"}
    async with driven(subject) as one:
        assert await one.adopt() is Status.stopping
        stopping = asyncio.ensure_future(one.stop())
        await until(lambda: subject.engine.is_watched)
        subject.container.state["Status"] = "exited"
        subject.engine.end(subject.container, 143)
        await stopping
        assert one.exit is not None
        assert (await one.exit).is_clean
        assert stop_requests(subject) == 0
        assert not one.found.is_set()
