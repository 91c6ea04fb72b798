"""The zeroscale process under test: its configuration, its log, which is read through a pipe, and its resources."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hostile.listeners import HEADERS_FROM, TRUSTED, Kind, Listener
from hostile.messages import OPEN, WORLD
from peers.programs import answers
from ports import free_port
from processes import descriptors_of, threads_of

from zeroscale.access_lists import offline_uuid

HONEST_NAMES = tuple(f"Honest{number}" for number in range(8))
"""The players that the world knows; nobody else may wake it."""

DEFECTS = re.compile(
    r"Traceback|[Uu]nhandled|defect of zeroscale|RuntimeError|RecursionError|AssertionError|CRITICAL|"
    r"never awaited|never retrieved|ResourceWarning|No buffer space|Too many open files"
)
"""What the log must never have."""

ECHO_SERVER = Path(__file__).with_name("echo_server.py")


@dataclass(frozen=True)
class Resources:
    """What a process uses.

    :ivar descriptors: how many it has of each kind.
    :ivar threads: their names.
    :ivar resident: bytes.
    """

    descriptors: dict[str, int]
    threads: tuple[str, ...]
    resident: int

    def steady(self) -> tuple[object, object]:
        """Return what must be the same again: all but the pipes, of which the relay keeps some to spare, and memory."""
        return {kind: count for kind, count in self.descriptors.items() if kind != "pipe:"}, self.threads


class ZeroscaleProcess:
    """A zeroscale with two Minecraft servers, which share their listeners, and two generic ones.

    :param directory: of the log, sockets and journals.
    :param small_disk: of the state and of the servers' directories.
    :ivar server_ports: where the real servers listen.
    :ivar journals: the journals of the Minecraft servers' worlds.
    """

    def __init__(self, directory: Path, small_disk: Path) -> None:
        self.directory = directory
        self.log_file = directory / "log"
        self.server_ports = {name: free_port() for name in ("world", "open", "echo", "page")}
        self.journals = {name: directory / f"{name}.journal" for name in ("world", "open")}
        self._ports = {name: free_port() for name in ("minecraft", "echo", "page", "metrics")}
        self._tls_ports = {name: free_port() for name in ("minecraft", "echo")} if has_tls() else {}
        if self._tls_ports:
            make_certificate(directory)
        configuration = directory / "zeroscale.toml"
        configuration.write_text(self._configuration(small_disk))
        known = [
            {"name": name, "uuid": offline_uuid(name), "expiresOn": "2099-01-01 00:00:00 +0000"}
            for name in HONEST_NAMES
        ]
        (small_disk / "world" / "usercache.json").write_text(json.dumps(known))
        self._log = self.log_file.open("wb")
        self._writing = threading.Lock()
        self._reading = threading.Event()
        self._reading.set()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "default", "-m", "zeroscale", "--debug", "--config", str(configuration)],
            cwd=directory,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, 4096)  # so that it is full within a second
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def listeners(self, server: str) -> list[Listener]:
        """Return the listeners of `minecraft`, `echo`, `page` or `metrics`, one for each kind."""
        port = self._ports[server]
        if server == "metrics":
            return [Listener(Kind.ipv4, server, port)]
        found = [Listener(kind, server, port) for kind in (Kind.ipv4, Kind.ipv6, Kind.proxy_v1, Kind.proxy_v2)]
        if server != "page":
            found.append(Listener(Kind.unix, server, str(self.directory / f"{server}.sock")))
        if server in self._tls_ports:
            found.append(Listener(Kind.tls, server, self._tls_ports[server]))
        return found

    def is_listening(self) -> bool:
        """Return whether all ports accept connections."""
        return all(map(answers, (*self._ports.values(), *self._tls_ports.values())))

    def stall_log(self) -> None:
        """Do not read the log any more."""
        self._reading.clear()

    def read_log(self) -> None:
        """Read the log again."""
        self._reading.set()

    def note(self, text: str) -> None:
        """Write a line of the test's to the file with the log."""
        self._write_log(f"--- {text}\n".encode())

    def freeze(self) -> None:
        """Stop the process as by Ctrl-Z."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process continue."""
        self.process.send_signal(signal.SIGCONT)

    def resources(self) -> Resources:
        """Return what it uses now."""
        pid = self.process.pid
        kinds = Counter(re.sub(r"\[\d+\]", "", target) for target in descriptors_of(pid))
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert resident is not None
        return Resources(dict(kinds), tuple(threads_of(pid)), int(resident[1]) * 1024)

    def defects(self) -> list[str]:
        """Return the lines of the log that must not be there, at most 20."""
        with self.log_file.open(errors="replace") as lines:
            return [line.rstrip() for line in lines if DEFECTS.search(line)][:20]

    def log_tail(self, count: int = 30) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-count:])

    def end(self, within: float) -> int | None:
        """Send SIGTERM; return the exit code, or None if it has not ended in time and was killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.discard()

    def discard(self) -> None:
        """Kill it, if it still runs, and read the rest of its log."""
        self.read_log()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        self._log.close()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self._write_log(line)
                self._reading.wait()

    def _write_log(self, line: bytes) -> None:
        with self._writing:
            self._log.write(datetime.now(UTC).strftime("%H:%M:%S.%f ").encode() + line)
            self._log.flush()

    def _configuration(self, small_disk: Path) -> str:
        for name in self.server_ports:
            (small_disk / name).mkdir()
        times = {"idle_shutdown": 1, "minimum_online_time": 0}
        game = self._server("world", "minecraft", small_disk, plugin="demo", hosts=[WORLD], **times)
        game += self._admission("world", wake="known", logins_per_minute=600, wakes_per_minute=600)
        game += self._demo("world")
        times["idle_shutdown"] = 3
        game += self._server("open", "minecraft", small_disk, plugin="demo", hosts=[OPEN], **times)
        game += self._demo("open")
        generic = self._server("echo", "echo", small_disk, plugin="generic", idle_shutdown=1, wake_on="data")
        generic += self._admission("echo", wakes_per_minute=600)
        generic += self._echo("echo")
        generic += self._server(
            "page", "page", small_disk, plugin="generic", idle_shutdown=2, wake_on="http", waiting="page"
        )
        generic += self._echo("page")
        metrics = f"tcp:{self._ports['metrics']}:interface=127.0.0.1"
        return (
            f"state_directory = {json.dumps(str(small_disk / 'state'))}\n"
            + _table("control", listen=f"unix:{self.directory}/control.sock")
            + _table("metrics", listen=metrics)
            + _table("limits", handshake_timeout=3, trusted=[TRUSTED])
            + game
            + generic
        )

    def _server(self, name: str, listeners: str, small_disk: Path, **keys: object) -> str:
        listen = [str(self._ports[listeners])]
        if listeners != "page":
            listen.append(f"unix:{self.directory}/{listeners}.sock")
        if listeners in self._tls_ports:
            keys_of_tls = f"privateKey={self.directory}/key.pem:certKey={self.directory}/cert.pem"
            listen.append(f"ssl:{self._tls_ports[listeners]}:{keys_of_tls}:interface=127.0.0.1")
        return _table(
            f"servers.{name}",
            listen=listen,
            server=f"127.0.0.1:{self.server_ports[name]}",
            working_directory=str(small_disk / name),
            max_crashes=1_000_000,
            **keys,
        ) + _table(f"servers.{name}.proxy_protocol", accept_from=[HEADERS_FROM])

    def _admission(self, name: str, **keys: object) -> str:
        return _table(f"servers.{name}.admission", **keys)

    def _demo(self, name: str) -> str:
        # Its journal is not on the small disk: that it is whole must depend on zeroscale alone.
        switches = f"--echo --journal {self.journals[name]} --fill-output 100000 --slow-stop 0.2"
        return _table(f"servers.{name}.plugin_arguments", start_seconds=0.5, switches=switches)

    def _echo(self, name: str) -> str:
        command = [sys.executable, "-S", "-E", str(ECHO_SERVER), str(self.server_ports[name])]
        return _table(f"servers.{name}.plugin_arguments", command=command)


def has_tls() -> bool:
    """Whether a TLS endpoint can be made: Twisted needs pyOpenSSL, and we a certificate."""
    return importlib.util.find_spec("OpenSSL") is not None and shutil.which("openssl") is not None


def make_certificate(directory: Path) -> None:
    """Make a certificate for localhost there, cert.pem, and its key, key.pem."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 30 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=directory, check=True, capture_output=True)


def _table(name: str, **keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join([f"\n[{name}]", *lines, ""])
