"""The machine that runs the commands of pages, and the commands of pages for operators that need no more than it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from machine import Machine
from pages import block

pytestmark = [pytest.mark.slow, pytest.mark.peers("nsenter", "unshare")]

OPERATING, TROUBLE, TWISTD = "docs/operating.md", "docs/trouble.md", "docs/twistd.md"
SERVERS = """\
[servers.survival]
plugin = "demo"
listen = 25565
server = 25575
working_directory = "/srv/survival"
minimum_online_time = "60s"
restart = "0 5 * * *"
plugin_arguments.start_seconds = 0.2

[servers.creative]
plugin = "demo"
listen = 25566
server = 25576
working_directory = "/srv/creative"

[servers.pocket]
plugin = "command"
listen = "udp:19132"
server = 19133
protocol = "bedrock"
plugin_arguments = { start = "true pocket", stop = "true" }

[servers.arena]
plugin = "command"
listen = "udp:27015"
server = 27016
protocol = "source-query"
plugin_arguments = { start = "true arena", stop = "true" }
"""


def test_it_runs_commands(machine: Machine) -> None:
    machine.write("/srv/survival/eula.txt", "eula=true\n")
    machine.run("useradd --create-home max")
    assert not Path("/home/max").exists()
    assert machine.run("cat eula.txt; touch x; id -un; echo ~", "/srv/survival") == "eula=true\nroot\n/root\n"
    assert machine.run("id -un; echo ~", "/home/max", "max") == "max\n/home/max\n"
    assert machine.path("/srv/survival/x").exists()
    with pytest.raises(AssertionError, match="exit code 1"):
        machine.run("false\ntrue")


def test_an_operator_looks_what_happened(machine: Machine) -> None:
    machine.write("/etc/zeroscale.toml", SERVERS)
    machine.run("mkdir -p /srv/survival /srv/creative")
    with machine.start("zeroscale --config /etc/zeroscale.toml --info") as proxy:
        proxy.wait_for("Ready: players come to")
        for line in block(TROUBLE, "zeroscalectl ping bedrock").commands.splitlines():
            assert "Asleep" in machine.run(line)
        machine.run("zeroscalectl wake survival --wait")
        machine.run(block(TROUBLE, "zeroscalectl join localhost").commands)

        table = block(OPERATING, "$ zeroscalectl status\n")
        said = machine.run(table.commands).splitlines()
        assert said[0].split() == table.output[0].split()
        assert [line.split()[:2] for line in said[2:]] == [
            ["creative", "stopped"],
            ["pocket", "stopped"],
            ["survival", "running"],
        ]

        one = block(OPERATING, "$ zeroscalectl status survival")
        said = machine.run(one.commands).splitlines()
        assert labels(said) == labels(one.output)

        machine.run("zeroscalectl sleep survival --now")
        history = block(OPERATING, "$ zeroscalectl history survival")
        said = machine.run(history.commands).splitlines()
        assert form(said[0]) == form(history.output[0])
        assert form(said[-1]) == form(history.output[-1])
        woken = block(TROUBLE, "$ zeroscalectl history survival --since 1d")
        assert machine.run(woken.commands).splitlines() == said
        machine.interrupt(proxy)


def labels(lines: list[str]) -> set[str]:
    """The words in front of the values."""
    return {line[2:15].strip() for line in lines if re.match(r"  \w", line)}


def form(line: str) -> str:
    """A line without its numbers."""
    return re.sub(r"[\d.]+", "0", line)


def test_a_daemon_of_twistd(machine: Machine) -> None:
    rotate = re.search(r"postrotate\n(.*)\n *endscript", block(TWISTD, "/var/log/zeroscale/zeroscale.log {").text)
    assert rotate is not None
    machine.write("/etc/zeroscale.toml", SERVERS)
    machine.run("mkdir -p /srv/survival /srv/creative")
    machine.run("useradd --system zeroscale; mkdir -p /var/log/zeroscale; chown zeroscale /srv/*")
    machine.run("chmod o+x /root")  # where the Python of the tests may be
    stop = "kill $(cat /run/zeroscale.pid); while kill -0 $(cat /run/zeroscale.pid); do sleep 0.1; done 2>/dev/null"
    for command, user in (("twistd --pidfile /run/zeroscale.pid", "root"), ("install -d -o zeroscale", "zeroscale")):
        machine.run(block(TWISTD, command).commands)
        assert machine.run("ps -o user= -p $(cat /run/zeroscale.pid)").strip() == user
        machine.run("until zeroscalectl health >/dev/null 2>&1; do sleep 0.1; done")
        machine.run("zeroscalectl wake survival --wait")
        machine.run(rotate[1])
        machine.run("until test -e /var/log/zeroscale/zeroscale.log.1; do sleep 0.1; done")
        machine.run("zeroscalectl sleep --all --now")
        machine.run(f"{stop} || true; rm -rf /var/log/zeroscale/* /var/lib/zeroscale /run/zeroscale*")
