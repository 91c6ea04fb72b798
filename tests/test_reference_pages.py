"""The commands of the reference pages and of many servers behind one port, as printed."""

from __future__ import annotations

import re
import shlex
import sys

import pytest
from jars import write_jar
from machine import Machine
from pages import block, blocks
from processes import wait_until

from zeroscale.notify.signature import signature_key

pytestmark = [pytest.mark.slow, pytest.mark.peers("nsenter", "unshare")]

READY = "Ready: players come to"
DEMO = f"{sys.executable} -P -m zeroscale.plugins.demo.program --start-seconds 0.1"
SURVIVAL = """\
[servers.survival]
plugin = "demo"
listen = 25565
hosts = ["survival.example.org"]
server = "127.0.0.1:25575"
plugin_arguments.start_seconds = 0.1
"""


def stub(machine: Machine, name: str, script: str) -> None:
    """Install a program of others, which is not there."""
    machine.write(f"/usr/local/bin/{name}", f"#!/bin/sh\n{script}", 0o755)


def labels(lines: list[str]) -> list[str]:
    """The words at the beginnings of the lines of a server's report."""
    return [found[1] for line in lines if (found := re.match(r"  (\w+(?: \w+)?)  +\S", line))]


def in_order(wanted: list[str], found: list[str]) -> bool:
    rest = iter(found)
    return all(word in rest for word in wanted)


def test_many_servers(machine: Machine) -> None:
    page = "docs/recipes/many-servers.md"
    [file] = blocks(page, "toml")
    machine.write("/etc/zeroscale.toml", file.text)
    stub(machine, "java", f'while [ "$1" != --port ]; do shift; done\nexec {DEMO} --port "$2"\n')
    for name in ("survival", "creative", "modded", "lobby"):
        machine.write(f"/srv/{name}/eula.txt", "eula=true\n")
        write_jar(machine.path(f"/srv/{name}/server.jar"), "Main-Class: net.minecraft.bundler.Main\n")
    machine.write("/srv/modded/start.sh", "#!/bin/sh\n", 0o755)
    check = block(page, "$ zeroscalectl check /etc/zeroscale.toml")
    assert machine.run(check.commands).splitlines() == check.output
    with machine.start("zeroscale --config /etc/zeroscale.toml --info") as proxy:
        proxy.wait_for(READY)
        said = machine.run(block(page, "zeroscalectl ping localhost --host").commands)
        assert "Asleep" in said
        assert proxy.wait_for(": starting: ").startswith("INFO:zeroscale.server:creative: ")
        machine.interrupt(proxy)


def test_control_and_history(machine: Machine) -> None:
    page = "docs/control.md"
    machine.write("/etc/zeroscale.toml", SURVIVAL)
    with machine.start("zeroscale --config /etc/zeroscale.toml --info") as proxy:
        proxy.wait_for(READY)
        for _ in range(2):
            machine.run("zeroscalectl join localhost --host survival.example.org")
            machine.run("zeroscalectl sleep survival --now")
            proxy.wait_for("survival: stopped after")
        machine.run("zeroscalectl lockout survival; zeroscalectl join localhost --host survival.example.org || true")
        machine.run("zeroscalectl release survival; zeroscalectl wake survival --wait")

        session = block(page, "$ zeroscalectl status survival")
        lines = machine.run(session.commands).splitlines()
        assert re.match(r"survival \(demo\): running for ", lines[0])
        assert in_order(labels(session.output), labels(lines))
        program = next(each for each in blocks(page, "python") if "socket" in each.text)
        assert machine.run(f"{sys.executable} -c {shlex.quote(program.text)}") == "running\n"

        machine.run(block(page, "mkdir -p ~/.local/share/bash-completion").commands)
        machine.run("bash -n ~/.local/share/bash-completion/completions/zeroscalectl")
        assert machine.path("/root/.zfunc/_zeroscalectl").read_text().startswith("#compdef zeroscalectl")

        session = block("docs/history.md", "$ zeroscalectl history survival")
        lines = machine.run(session.commands).splitlines()
        begin = next(number for number, line in enumerate(lines) if line.startswith("survival: since "))
        for line in lines[:begin]:
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  survival  ", line)
        shown = "\n".join(lines[:begin])
        assert re.search(r"woken: zeroscalectl \(127\.0\.0\.1\) joined; ready after [\d.]+ s$", shown, re.MULTILINE)
        assert re.search(r"  stopped\b.*; took [\d.]+ s$", shown, re.MULTILINE)
        assert "zeroscalectl (127.0.0.1) refused: " in shown
        assert set(labels(session.output)) - set(labels(lines[begin:])) <= {"Idle use", "Saved"}
        machine.interrupt(proxy)

    stub(machine, "sqlite3", f'exec {sys.executable} -c "$PROGRAM" "$@"\n')
    forget = block("docs/security.md", 'sqlite3 history.sqlite3 "DELETE FROM sessions').text.replace(
        "Ada", "zeroscalectl"
    )
    forgetting = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])"
    machine.run(f"export PROGRAM={shlex.quote(forgetting)}\n{forget}", "/var/lib/zeroscale/survival")
    kept = machine.run("zeroscalectl history survival --state-directory /var/lib/zeroscale")
    assert "operator root" in kept and "zeroscalectl" not in kept


def test_notifications(machine: Machine) -> None:
    page = "docs/notify.md"
    file = "/etc/zeroscale/zeroscale.toml"
    machine.write(file, SURVIVAL)
    machine.run(block(page, "install -D -m 600 /dev/null /etc/zeroscale").commands)
    secret = machine.path("/etc/zeroscale/hook-secret")
    assert len(signature_key(secret.read_text().strip())) == 32
    assert secret.stat().st_mode & 0o077 == 0

    stub(machine, "restic", 'echo "$@" >/root/saved\n')
    machine.write("/usr/local/bin/on-event", block(page, "#!/bin/sh\ncase $ZEROSCALE_EVENT in").text, 0o755)
    saved = machine.path("/root/saved")
    with machine.start("zeroscale --config /etc/zeroscale/zeroscale.toml --info") as proxy:
        proxy.wait_for(READY)
        machine.write(file, SURVIVAL + '[[notify]]\nname = "discord"\ncommand = "true"\n')
        session = block(page, "$ zeroscalectl notify test")
        machine.run("zeroscalectl reload")
        assert machine.run(session.commands).splitlines() == session.output

        machine.write(file, SURVIVAL + '[[notify]]\ncommand = "/usr/local/bin/on-event"\nevents = ["stopped"]\n')
        machine.run("zeroscalectl reload")
        machine.run("zeroscalectl wake survival --wait; zeroscalectl sleep survival --now")
        wait_until(lambda: saved.exists() and saved.read_text(), lambda: proxy.output)
        assert saved.read_text() == "backup /srv/survival\n"
        machine.interrupt(proxy)


def test_a_plugin_of_your_own(machine: Machine) -> None:
    page = "docs/plugins.md"
    machine.write("/root/my_game.py", blocks(page, "python")[0].text)
    machine.write("/srv/my-game/game-server", f'#!/bin/sh\necho "$@" >words\nexec {DEMO} --port "$2"\n', 0o755)
    with machine.start(block(page, "PYTHONPATH=. zeroscale my_game").commands) as proxy:
        proxy.wait_for("Ready: ")
        machine.run("zeroscalectl wake --wait")
        assert machine.path("/srv/my-game/words").read_text() == "--port 7778 --world desert\n"
        machine.interrupt(proxy)


def test_servers_that_others_run(machine: Machine) -> None:
    page = "docs/plugins.md"
    machine.run("ip address add 10.0.0.5/24 dev lo")
    stub(
        machine,
        "virsh",
        f"""case $1 in
start) {DEMO} --host 10.0.0.5 --port 25575 >/dev/null 2>&1 & echo $! >/run/mc ;;
shutdown) kill "$(cat /run/mc)"; rm /run/mc ;;
domstate) if [ -e /run/mc ]; then echo running; else echo shut off; fi ;;
esac
""",
    )
    with machine.start(block(page, "zeroscale command 25565 25575").text.rstrip() + " --info") as proxy:
        proxy.wait_for(READY)
        machine.run("zeroscalectl join localhost && zeroscalectl sleep --now")
        proxy.wait_for(": stopped after")
        assert not machine.path("/run/mc").exists()
        machine.interrupt(proxy)
    with machine.start(block(page, "zeroscale wake_on_lan 25565 25565").text.rstrip() + " --info") as proxy:
        proxy.wait_for(READY)
        assert "Asleep" in machine.run("zeroscalectl ping localhost")
        machine.interrupt(proxy)
