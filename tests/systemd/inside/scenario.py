"""Runs as root where systemd is process 1, and says line by line what it has seen. test_nspawn.py reads that."""

import contextlib
import pwd
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PYTHON = sys.executable
CONFIG = Path("/etc/zeroscale.toml")
JOURNAL = Path("/srv/survival/journal")
DROP_IN = Path("/run/systemd/system/zeroscale.service.d")
UNIT = Path("/etc/systemd/system/zeroscale.service")
CREATIVE = Path("/data/creative")
START_SCRIPT = f"""\
#!/bin/sh
shift
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/checkout:/opt/packages
exec {PYTHON} -m zeroscale.plugins.demo.program --start-seconds 0.5 "$@"
"""
DEADLINE = 60
DYNAMIC_USERS = range(61184, 65520)
"""The numbers that systemd gives to units with DynamicUser= (its documentation of user and group numbers)."""

SURVIVAL = f"""\
[servers.survival]
plugin = "blocking:Server"
listen = "systemd:survival"
server = 25575
working_directory = "/srv/survival"
idle_shutdown = "1h"
plugin_arguments.command = ["{PYTHON}", "/opt/inside/slow_server.py", "25575", "journal"]
"""
ELSEWHERE = """\
[servers.elsewhere]
plugin = "command"
listen = 25599
server = 25600
working_directory = "/"
on_exit = "leave"
plugin_arguments.start = "true"
plugin_arguments.stop = "true"
"""


class Greeting(NamedTuple):
    """The server's process, and whose it is."""

    process: int
    user: int


def report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def output(*command: str, code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{command}: {done.returncode}: {done.stdout}{done.stderr}\n{log()}")
    return done.stdout.strip()


def log() -> str:
    units = ("--unit=zeroscale", "--unit=zeroscale-proxy", "--unit=elsewhere")
    words = ["journalctl", *units, "-n", "60", "--no-pager", "-o", "cat"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def shown(key: str, unit: str = "zeroscale") -> str:
    return output("systemctl", "show", "--value", "-p", key, unit)


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}\n{log()}")
        time.sleep(0.05)


@contextlib.contextmanager
def player(port: int = 25565) -> Iterator[Greeting]:
    """Joins, and has been greeted: by which process, of which user."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as ours:
        with ours.makefile() as lines:
            line = lines.readline().split()
        if len(line) != 2:
            raise AssertionError(f"not greeted but {line}\n{log()}")
        yield Greeting(int(line[0]), int(line[1]))


def drop_in(name: str, text: str) -> None:
    DROP_IN.mkdir(parents=True, exist_ok=True)
    (DROP_IN / f"{name}.conf").write_text(text)
    output("systemctl", "daemon-reload")


def start() -> Iterator[str]:
    CONFIG.write_text(SURVIVAL)
    drop_in("test", "[Service]\nWatchdogSec=3s\nTimeoutStopSec=2s\nEnvironment=PYTHONPATH=/opt/inside\n")
    output("systemctl", "start", "zeroscale.service")
    yield f"active: {shown('ActiveState')}, status: {shown('StatusText')}, user: {user()}"
    with player(443) as greeting:
        until(lambda: "1 player" in shown("StatusText"), "the player in the status")
        yield f"by port 443: a server of user {pwd.getpwuid(greeting.user).pw_name}, status: {shown('StatusText')}"
    yield f"zeroscalectl finds it: {'survival' in output('zeroscalectl', 'status')}"


def user() -> str:
    return output("ps", "-o", "user=", "-p", shown("MainPID"))


def stop_during_a_save() -> Iterator[str]:
    began = time.monotonic()
    output("systemctl", "stop", "zeroscale.service")
    took = time.monotonic() - began
    lines = [line.split(" ", 1)[1] for line in JOURNAL.read_text().splitlines()]
    whole = [*(f"chunk {number}" for number in range(12)), "saved"]
    yield f"saved whole: {lines == whole}, longer than TimeoutStopSec=2s: {took > 5}"
    yield f"result: {shown('Result')}"


def activation() -> Iterator[str]:
    yield f"before: {shown('ActiveState')}"
    with player():
        yield f"by a connection: {shown('ActiveState')}"


def reload() -> Iterator[str]:
    CONFIG.write_text(SURVIVAL.replace("1h", "2h"))
    output("systemctl", "reload", "zeroscale.service")
    until(lambda: "survival: changed: idle_shutdown" in log(), "the reload")
    yield f"after a reload: {shown('ActiveState')}"
    CONFIG.write_text(SURVIVAL + "nonsense = 1\n")
    output("systemctl", "reload", "zeroscale.service", code=1)
    yield f"a mistake: {'unknown' in log() or 'nonsense' in log()}, and it is still {shown('ActiveState')}"
    CONFIG.write_text(SURVIVAL)


def watchdog() -> Iterator[str]:
    with player() as before:
        subprocess.Popen(
            ["zeroscalectl", "console", "survival", "block"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        began = time.monotonic()
        until(lambda: shown("NRestarts") == "1", "the restart")
    until(lambda: shown("ActiveState") == "active" and shown("SubState") == "running", "being up again")
    yield f"watchdog: {'Watchdog timeout' in output('journalctl', '-u', 'zeroscale', '--no-pager', '-o', 'cat')}"
    with player() as after:
        yield f"restarted within 20 s: {time.monotonic() - began < 20}, the same server: {before == after}"


def restart() -> Iterator[str]:
    drop_in("leave", Path("/opt/units/zeroscale-leave.conf").read_text())
    CONFIG.write_text(SURVIVAL.replace("idle_shutdown", 'on_exit = "leave"\nidle_shutdown'))
    output("systemctl", "reload", "zeroscale.service")
    with player() as before:
        pass
    found: list[int] = []
    problems: list[Exception] = []
    over = threading.Event()

    def join() -> None:
        while not over.is_set():
            try:
                with player() as greeting:
                    found.append(greeting.process)
            except (OSError, AssertionError) as error:
                problems.append(error)
            time.sleep(0.02)

    thread = threading.Thread(target=join)
    thread.start()
    main = shown("MainPID")
    output("systemctl", "restart", "zeroscale.service")
    joined = len(found)
    until(lambda: len(found) > joined + 3, "players after the restart")
    over.set()
    thread.join()
    yield f"restarted: {shown('MainPID') != main}, the same server for all: {set(found) == {before.process}}"
    # a connection at the moment of the end is closed, as all connections are; no connection is refused
    yield f"refused: {sum(isinstance(problem, ConnectionRefusedError) for problem in problems)}"
    yield f"cut off: {len(problems) <= 1}"


def proxy_only() -> Iterator[str]:
    output("systemctl", "stop", "zeroscale.socket", "zeroscale.service")
    CONFIG.write_text(ELSEWHERE)
    elsewhere = [
        "systemd-run",
        "--unit=elsewhere",
        "--setenv=LD_LIBRARY_PATH",
        PYTHON,
        "/opt/inside/slow_server.py",
        "25600",
        "/dev/null",
    ]
    output(*elsewhere)
    output("systemctl", "start", "zeroscale-proxy.service")
    with player(25599):
        user = Path("/proc", shown("MainPID", "zeroscale-proxy")).stat().st_uid
        yield f"relayed: True, dynamic user: {user in DYNAMIC_USERS}"
    output("systemctl", "stop", "zeroscale-proxy.service")
    yield f"result: {shown('Result', 'zeroscale-proxy')}"


def installed() -> Iterator[str]:
    """Install zeroscale as an operator does: an environment under /opt, a server of root's outside of /srv."""
    CONFIG.unlink()
    for left in DROP_IN.iterdir():
        left.unlink()
    output(PYTHON, "-m", "venv", "--without-pip", "/opt/zeroscale")
    for name in ("zeroscale", "zeroscalectl"):
        program = Path("/usr/local/bin", name)
        own = Path("/opt/zeroscale/bin", name)
        own.write_text(program.read_text().replace(PYTHON, "/opt/zeroscale/bin/python"))
        own.chmod(0o755)
        program.unlink()
    CREATIVE.mkdir(parents=True)
    (CREATIVE / "eula.txt").write_text("eula=true\n")
    (CREATIVE / "server.properties").write_text("server-port=25590\n")
    (CREATIVE / "start.sh").write_text(START_SCRIPT)
    (CREATIVE / "start.sh").chmod(0o755)
    link = Path("/srv/creative")
    link.symlink_to(CREATIVE)
    install = ("/opt/zeroscale/bin/zeroscalectl", "systemd", "install")
    done = output(*install, "--server", str(link))
    yield f"owner: {CREATIVE.owner()}, an older unit is kept: {'becomes zeroscale.service.old' in done}"
    yield f"healthy: {output('zeroscalectl', 'health')}"
    output("zeroscalectl", "join", "localhost")
    yield f"a player got in: {'creative: ready after' in log()}, may write: {'Read-only' not in log()}"
    files = [UNIT, Path(f"{UNIT}.d/10-install.conf")]
    before = [file.read_text() for file in files]
    output(*install)
    yield f"installed again: {before == [file.read_text() for file in files]}"
    sections = output("zeroscalectl", "report").count("### ")
    output("zeroscalectl", "systemd", "uninstall")
    removed = not any(path.exists() for path in (*files, Path("/usr/local/bin/zeroscale")))
    yield f"sections of a report: {sections}, removed: {removed}"
    yield f"the server is stopped: {not is_open(25590)}, and left: {CREATIVE.is_dir() and CONFIG.exists()}"


def is_open(port: int) -> bool:
    with socket.socket() as ours:
        return ours.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    output("systemctl", "start", "zeroscale.socket")
    for part in (activation, stop_during_a_save, start, reload, watchdog, restart, proxy_only, installed):
        JOURNAL.unlink(missing_ok=True)
        if part is activation:
            CONFIG.write_text(SURVIVAL)
            drop_in("test", "[Service]\nWatchdogSec=3s\nTimeoutStopSec=2s\nEnvironment=PYTHONPATH=/opt/inside\n")
        for line in part():
            report(f"{part.__name__}: {line}")
    report("done")


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        report(f"failed: {error!r}\n{error}\n{log()}")
    finally:
        subprocess.run(["systemctl", "poweroff", "--no-block"], check=True)
