"""An application that needs a PostgreSQL, both of which sleep: `curl` wakes both in order, and no write is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from peers.harness import HERE, ROOT
from peers.programs import DEADLINE, Program, answers, processes_in
from ports import free_ports


class Pair:
    """A zeroscale with the two servers.

    :ivar app: where clients of the application connect.
    :ivar database: where clients of the database connect.
    """

    def __init__(self, directory: Path, binaries: Path) -> None:
        self.directory = directory
        self.binaries = binaries
        self.app, self.database, own_app, own_database = free_ports(4)
        psql, postgres = str(binaries / "psql"), str(binaries / "postgres")
        settings = ["-D", "data", "-p", str(own_database), "-h", "127.0.0.1", "-k", str(directory / "db")]
        app = [sys.executable, str(HERE / "database_app.py"), str(own_app), psql, str(own_database)]
        self.file = directory / "zeroscale.toml"
        self.file.write_text(
            f"""
            state_directory = "{directory / "state"}"
            control.listen = ""
            [servers.db]
            plugin = "generic"
            listen = {self.database}
            server = {own_database}
            working_directory = "{directory / "db"}"
            wake_on = 'regex:.{{4}}(\\x04\\xd2\\x16[\\x2f\\x30]|\\x00\\x03\\x00.)'
            ready = "command:{binaries / "pg_isready"} -q -h 127.0.0.1 -p {own_database}"
            idle_shutdown = 1
            [servers.db.plugin_arguments]
            command = {json.dumps([*_become(), postgres, *settings])}
            stop_signal = "SIGINT"
            stop_to = "first"
            [servers.app]
            plugin = "generic"
            listen = {self.app}
            server = {own_app}
            working_directory = "{directory / "app"}"
            plugin_arguments.command = {json.dumps(app)}
            wake_on = "http"
            idle_shutdown = 1
            needs = ["db"]
            """
        )

    def start(self) -> Program:
        proxy = Program([sys.executable, "-m", "zeroscale", "--debug", "--config", str(self.file)], ROOT)
        proxy.wait_until_ready(lambda: answers(self.app), "the proxy listens")
        return proxy

    def curl(self) -> str:
        """What the application answers."""
        return _run("curl", "-sS", "--fail-with-body", f"http://127.0.0.1:{self.app}/").strip()

    def story(self) -> list[str]:
        """The rows of the table, by a client of the database."""
        settings = ["-h", "127.0.0.1", "-p", str(self.database), "-U", "postgres"]
        return _run(str(self.binaries / "psql"), "-qAt", *settings, "-c", "select event from story").split()

    def processes(self, name: str) -> set[int]:
        return processes_in(self.directory / name) | (
            processes_in(self.directory / "db/data") if name == "db" else set()
        )


def _become() -> list[str]:
    """What runs PostgreSQL, which refuses to run as root, as another user."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A database and an application, neither of which runs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is not installed in /usr/lib/postgresql")
    directory = Path(tempfile.mkdtemp(prefix="zeroscale-needs-"))
    directory.chmod(0o755)  # users without privileges reach it, too
    for name in ("app", "db"):
        (directory / name).mkdir()
    if os.geteuid() == 0:
        shutil.chown(directory / "db", "postgres")
    (directory / "db").chmod(0o700)
    pair = Pair(directory, found[-1].parent)
    made = ["-D", str(directory / "db/data"), "-A", "trust", "-U", "postgres", "--no-sync"]
    command = [*_become(), str(pair.binaries / "initdb"), *made]
    subprocess.run(command, check=True, capture_output=True, cwd=directory / "db")
    yield pair
    for pid in pair.processes("app") | pair.processes("db"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory)


@pytest.mark.slow
@pytest.mark.peers("curl", "psql", "setpriv")
def test_an_application_with_a_database_that_sleeps_too(pair: Pair) -> None:
    with pair.start() as proxy:
        assert pair.curl() == "2"
        words = [line.partition("zeroscale.server:")[2] for line in proxy.lines if ": starting: " in line]
        assert words == ["app: starting: 127.0.0.1 connected", "db: starting: needed by app"]
        # The application keeps no connection to its database, and has no client, but needs it until it has stopped.
        at = proxy.wait_for("app: stopped after")
        proxy.wait_for(r"db: stopping: no connections for \d+ s", after=at)
        proxy.wait_for("db: stopped after")
        assert not pair.processes("app") and not pair.processes("db")
        assert pair.curl() == "5"  # with `stopped` and `started`
        assert proxy.terminate() == 0, proxy.text()
        assert "Traceback" not in proxy.text()
    assert not pair.processes("app") and not pair.processes("db")
    with pair.start() as proxy:
        assert pair.story() == ["started", "request", "stopped"] * 2
        assert "app: starting" not in proxy.text()
        assert proxy.terminate() == 0, proxy.text()
