"""The notifications of a configuration: their mistakes, their targets, and those of the real program."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
import threading
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import blocks
from ports import free_port
from processes import Program, python, wait_until
from webhooks import Answer, Receiver, make_certificate

from zeroscale.config.loader import parse
from zeroscale.config.model import Config, EventName
from zeroscale.errors import ConfigMistakes
from zeroscale.events import EVENTS
from zeroscale.notify.http_url import parse_http_url
from zeroscale.notify.target import Target
from zeroscale.proxy.notifications import mistakes, targets

SERVER = """
state_directory = "/state"
[servers.survival]
plugin = "demo"
listen = 25565
server = 25575
"""


def config(*tables: str) -> Config:
    return parse(SERVER + "".join(f"[[notify]]\n{table}\n" for table in tables), Path("/etc"), {"KEY": "SECRET"}, 0)


def test_the_configurations_events_are_those_that_there_are() -> None:
    assert set(typing.get_args(EventName)) == set(EVENTS)


def test_the_targets_of_a_configuration() -> None:
    found = targets(
        config(
            'url = "https://hook.example/x"\nsecret = {env = "KEY"}\nservers = "survival"\nevents = ["joined"]',
            'name = "chat"\ndiscord = "http://a/"\ntexts = {joined = "hi"}\naddresses = true\ntimeout = "5s"',
            'command = ["./tell", "me"]',
        )
    )
    usual = frozenset({"woken", "ready", "joined", "left", "stopped", "failed", "given_up"})
    assert found == [
        Target(
            name="url",
            kind="url",
            url=parse_http_url("https://hook.example/x"),
            directory=Path("/etc"),
            key=b"SECRET",
            servers=frozenset({"survival"}),
            events=frozenset({"joined"}),
            timeout=30.0,
        ),
        Target(
            name="chat",
            kind="discord",
            url=parse_http_url("http://a/"),
            directory=Path("/etc"),
            events=usual,
            texts={"joined": "hi"},
            addresses=True,
            timeout=5.0,
        ),
        Target(
            name="command",
            kind="command",
            command=("./tell", "me"),
            directory=Path("/etc"),
            events=usual,
            timeout=30.0,
        ),
    ]


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ("", "notify[0].url: each [[notify]] needs exactly one of url, discord, apprise and command"),
        ('url = "http://a/"\ncommand = "x"', "notify[0].url: each [[notify]] needs exactly one of"),
        ('discord = "http://a/"\nsecret = "SECRET"', "notify[0].secret: signs what goes to url only"),
        ('url = "http://a/"\nevents = ["moved"]', 'notify[0].events[0]: "moved" is not'),
        ('webhook = "http://a/"', 'notify[0].webhook: there is no such key; did you mean "url"?'),
    ],
)
def test_mistakes_of_one_table(table: str, mistake: str) -> None:
    with pytest.raises(ConfigMistakes) as caught:
        config(table)
    assert caught.value.mistakes[0].startswith(mistake)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ('url = "ftp://a/SECRET"', "notify[0].url: is not a URL that can be used: it begins neither with https://"),
        ('discord = "http:///SECRET"', "notify[0].discord: is not a URL that can be used: its host or port is missing"),
        ('url = "http://a/"\nsecret = "whsec_SECRET!"', "notify[0].secret: what follows whsec_ is not base64"),
        ('url = "http://a/"\nname = "../x"', 'notify[0].name: "../x" is not a name of up to 100 letters'),
        ('url = "http://a/"\nservers = "survivel"', 'there is no server "survivel"; did you mean "survival"?'),
        (
            'url = "http://a/"\ntexts = {join = "x"}',
            'notify[0].texts.join: there is no such event; did you mean "joined"?',
        ),
        (
            'url = "http://a/"\ntexts = {joined = "{playr}"}',
            "texts.joined has no variable {playr}: did you mean {player}?",
        ),
        ('command = ["no-such-program"]', "notify[0].command: there is no 'no-such-program' in PATH"),
    ],
)
def test_mistakes_that_reading_does_not_find(table: str, mistake: str) -> None:
    [found] = mistakes(config(table))
    assert mistake in str(found)
    assert "SECRET" not in str(found)


def test_the_tables_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [block.text for block in blocks("docs/notify.md", "toml") if block.text.startswith("[[notify]]")]
    monkeypatch.setattr("zeroscale.proxy.notifications.check_program", lambda *_: None)
    (tmp_path / "secret").write_text("https://discord.example/api/webhooks/1/x")
    for table in tables:
        text = re.sub('file = ".*?"', f'file = "{tmp_path}/secret"', table)
        parsed = parse(f"{SERVER}{text}", Path("/etc"), {"NTFY_URL": "ntfys://x"}, 0)
        assert list(mistakes(parsed)) == []
        assert len(targets(parsed)) == 1
    assert len(tables) == 5


def test_two_of_one_name() -> None:
    [found] = mistakes(config('url = "http://a/"', 'url = "http://b/"', 'name = "b"\nurl = "http://b/"'))
    assert str(found) == 'notify[1].name: notify[0] is called "url", too: each needs a name of its own'


def test_without_the_library_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeroscale.proxy.notifications.find_spec", lambda name: None)
    [found] = mistakes(config('apprise = "json://SECRET"'))
    assert found.environment and "extra notify" in found.text


# With the real program.

ECHO = """
import socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    with listening.accept()[0] as client:
        while data := client.recv(65536):
            client.sendall(data)
"""


class Real:
    """A zeroscale with an echo server, which a connection wakes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listen, self.port = free_port(), free_port()
        self.file = directory / "zeroscale.toml"
        (directory / "echo.py").write_text(ECHO)

    def write(self, *tables: str) -> None:
        notify = "".join(f"[[notify]]\n{table}\n" for table in tables)
        self.file.write_text(
            f'state_directory = "{self.directory}/state"\ncontrol = {{listen = "unix:{self.directory}/control"}}\n'
            f'[servers.cache]\nplugin = "generic"\nlisten = {self.listen}\nserver = {self.port}\nwake_on = "data"\n'
            f"plugin_arguments = {{command = '{sys.executable} {self.directory}/echo.py {self.port}'}}\n{notify}"
        )

    def run(self, **environment: str) -> Program:
        program = Program(python("-m", "zeroscale", "--config", str(self.file), "--info"), self.directory, environment)
        program.wait_for("Ready")
        return program

    @contextlib.contextmanager
    def visitor(self) -> Iterator[None]:
        """Wake the server, and stay on it inside the block."""
        with socket.create_connection(("127.0.0.1", self.listen), 30.0) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
            yield

    def ctl(self, *words: str) -> tuple[int, str]:
        """Run zeroscalectl, and return its exit code and output."""
        with Program(python("-m", "zeroscale.ctl.main", "--socket", f"{self.directory}/control", *words)) as program:
            return program.wait(), program.output

    def waiting(self, name: str) -> list[Path]:
        return sorted((self.directory / "state" / ".notify" / name).glob("*.json"))


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    real = Real(tmp_path)
    yield real
    with contextlib.suppress(ConnectionRefusedError):  # a killed zeroscale has left its server: the next one stops it
        socket.create_connection(("127.0.0.1", real.port), 30.0).close()
        with real.run() as program:
            program.signal(signal.SIGTERM)
            assert program.wait() == 0


def test_a_webhook_that_was_away_across_a_kill(real: Real) -> None:
    """It gets every event, in order, each with its id."""
    port = free_port()
    real.write(f'name = "hook"\nurl = "http://127.0.0.1:{port}/x?SECRET"\nsecret = "abc"')
    with real.run() as program:
        with real.visitor():
            wait_until(lambda: len(real.waiting("hook")) == 3, lambda: program.output)
        wait_until(lambda: len(real.waiting("hook")) == 4, lambda: program.output)
        program.signal(signal.SIGKILL)
        program.wait()
    with real.run() as again, Receiver(Answer(503), port=port) as receiver:
        got = [receiver.get() for _ in range(6)]
        again.signal(signal.SIGKILL)
        again.wait()
    first, *rest = got
    assert first.json == rest[0].json, "the one that was not accepted came again"
    assert [each.json["event"] for each in rest] == ["woken", "ready", "joined", "left", "ready"]
    assert len({each.json["id"] for each in rest}) == 5
    assert all(each.json["id"] == each.headers["webhook-id"] for each in got)
    assert [each.json["found"] for each in rest if each.json["event"] == "ready"] == [False, True]
    assert "SECRET" not in program.output + again.output
    real.write()


def test_tls_is_there_where_a_target_needs_it(real: Real, tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    with Receiver(certificate=pair) as receiver:
        real.write(f'url = "{receiver.url}"')
        with real.run(SSL_CERT_FILE=str(pair[0])) as program:
            assert real.ctl("notify", "test", "url") == (0, "url: delivered")
            assert receiver.get().json["event"] == "test"
            program.signal(signal.SIGTERM)
            assert program.wait() == 0
        with real.run() as program:
            said = "url: its certificate cannot be verified: self-signed certificate"
            assert real.ctl("notify", "test") == (1, said)
            code, said = real.ctl("notify", "test", "ulr")
            assert code == 1 and "did you mean url?" in said
            program.signal(signal.SIGTERM)
            assert program.wait() == 0


def test_what_happens_as_zeroscale_exits_is_delivered(real: Real) -> None:
    may_answer = threading.Event()
    with Receiver(Answer(wait_for=may_answer)) as receiver:
        real.write(f'url = "{receiver.url}"\nevents = ["stopping", "stopped"]')
        with real.run() as program:
            with real.visitor():
                program.signal(signal.SIGTERM)
            assert receiver.get().json["event"] == "stopping"
            threading.Timer(1.5, may_answer.set).start()  # by then all else has ended
            assert program.wait() == 0
        assert receiver.get().json["event"] == "stopped"
    real.write()


def test_a_reload_changes_the_targets(real: Real) -> None:
    events = 'events = ["woken", "ready", "joined"]'
    real.write()
    with real.run() as program, Receiver() as first, Receiver() as second:
        real.write(f'url = "{first.url}"\n{events}', f'name = "gone"\nurl = "http://127.0.0.1:1/"\n{events}')
        program.signal(signal.SIGHUP)
        program.wait_for("Reloaded: notify url: added")
        with real.visitor():
            assert [first.get().json["event"] for _ in range(3)] == ["woken", "ready", "joined"]
        wait_until(lambda: len(real.waiting("gone")) == 3, lambda: program.output)
        real.write(f'url = "{second.url}"\n{events}')
        program.signal(signal.SIGHUP)
        program.wait_for("Reloaded: notify gone: removed")
        program.wait_for("Reloaded: notify url: changed")
        program.wait_for("Notification gone is not configured any more: 3 are dropped")
        assert real.ctl("notify", "test") == (0, "url: delivered")
        assert second.get().json["event"] == "test"
        with real.visitor():
            assert second.get().json["event"] == "joined"
        assert first.requests.empty()
        real.write('url = "http://127.0.0.1:1/"', 'discord = "https://127.0.0.1:1/SECRET"')
        program.signal(signal.SIGHUP)
        line = program.wait_for("Not reloaded")
        assert "notify[1].discord: 'https' needs TLS, which zeroscale left out" in line
        real.write()
        program.signal(signal.SIGHUP)
        program.wait_for("Reloaded: notify url: removed")
        code, said = real.ctl("notify", "test")
        assert code == 1 and "no notifications are configured" in said
