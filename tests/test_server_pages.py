"""The commands of the pages about servers, with programs in the place of the game's own.

The examples of docs/generic.md run with real servers and clients, in peers/test_examples.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from demo_java import demo_java
from machine import Machine
from pages import block
from processes import Program

import zeroscale

pytestmark = [pytest.mark.slow, pytest.mark.peers("nsenter", "unshare")]

CONFIG = "/etc/zeroscale.toml"
START = f"zeroscale --config {CONFIG} --state-directory /var/lib/zeroscale --info"

JAVA = demo_java()
LIMBO = demo_java(console=False)

SYSTEMCTL = """\
#!/bin/bash
# `reload zeroscale` does what the unit's ExecReload= do; `disable` finds no unit.
[ "$1" = disable ] && exit
[ "$*" = "reload zeroscale" ] && zeroscalectl check /etc/zeroscale.toml && kill -HUP "$(cat /run/zeroscale.pid)"
"""
FACTORIO = """\
#!/usr/bin/python3
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[-1])))
print("Hosting game", flush=True)
while True:
    server.sendto(*server.recvfrom(2000))
"""
POSTGRESQL = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
WEB_SERVER = "#!/bin/sh\nexec python3 -m http.server {} --bind 127.0.0.1\n"


@pytest.fixture(autouse=True)
def furnish(machine: Machine) -> None:
    """Put in what the pages expect: a server's directory, Java, systemd's command."""
    machine.run("rm -rf /root/.local/state/zeroscale /var/lib/zeroscale")
    for path, text in (("/usr/local/bin/java", JAVA), ("/usr/local/bin/systemctl", SYSTEMCTL)):
        machine.write(path, text, 0o755)
    for directory in ("survival", "creative", "modded"):
        machine.write(f"/srv/{directory}/eula.txt", "eula=true\n")
        machine.write(f"/srv/{directory}/server.jar", "")


def start(machine: Machine, command: str, directory: str = "/root") -> Program:
    """Start a command of a page, whose log is read, too; return it when it listens."""
    program = machine.start(command.replace("zeroscale ", "exec zeroscale --info ", 1), directory)
    program.wait_for("Ready: ")
    return program


def start_configured(machine: Machine, *tables: str) -> Program:
    """Start it with a file; `systemctl reload` finds it."""
    machine.write(CONFIG, "\n".join(tables))
    program = machine.start(f"echo $$ >/run/zeroscale.pid; exec {START}", "/etc")
    program.wait_for("Ready: ")
    return program


def text(page: str, first_words: str) -> str:
    """Return a file of a page."""
    return block(page, first_words).text


def joins(machine: Machine, command: str) -> None:
    """A player who joins starts the server of a command."""
    with start(machine, command) as proxy:
        machine.run("zeroscalectl join localhost")
        log = machine.interrupt(proxy)
        assert any(": ready after" in line for line in log), proxy.output
        assert not any("SIGTERM" in line for line in log), proxy.output


def test_minecraft(machine: Machine) -> None:
    [command] = block("docs/minecraft.md", "zeroscale minecraft 25565 25575 -w /srv/survival").commands.splitlines()
    joins(machine, command)


def test_what_is_started_of_a_modded_server(machine: Machine) -> None:
    machine.write("/srv/modded/arclight-forge-1.20.1-1.0.5.jar", "")
    machine.write("/srv/modded/start.sh", '#!/bin/sh\nexec java -jar server.jar "$@"\n', 0o755)
    for command in block("docs/minecraft.md", "zeroscale minecraft 25565 25575 -w /srv/modded").commands.splitlines():
        joins(machine, command)


def test_other_programs_that_speak_minecraft(machine: Machine) -> None:
    machine.write("/srv/limbo/pico_limbo", LIMBO, 0o755)
    machine.write("/usr/local/bin/java", LIMBO, 0o755)
    machine.write("/usr/local/bin/mc-router", LIMBO, 0o755)
    machine.run("mkdir /srv/lobby /srv/router")
    for command in block("docs/minecraft.md", "zeroscale generic 25565 25575").commands.splitlines():
        joins(machine, command)


@pytest.mark.peers("curl")
def test_health_checks(machine: Machine) -> None:
    machine.write("/srv/www/start.sh", WEB_SERVER.format(8080), 0o755)
    command, check = block(
        "docs/generic.md", "zeroscale generic 80 8080 -w /srv/www -t 600 --protocol http --health"
    ).commands.splitlines()
    with start(machine, command) as proxy:
        assert "200 OK" in machine.run(check)
        assert not any("starting" in line for line in machine.interrupt(proxy))


@pytest.mark.peers("curl")
def test_several_ports(machine: Machine) -> None:
    machine.write("/srv/db/start-db", WEB_SERVER.format(5433), 0o755)
    with start(machine, block("docs/generic.md", "zeroscale generic 5432 5433 -a").commands, "/srv/db") as proxy:
        answer = machine.run("curl -si http://localhost:8080/")
        assert "503" in answer and "Retry-After" in answer
        assert "Directory listing" in machine.run("curl -s http://localhost:5432/")
        assert sum("starting" in line for line in machine.interrupt(proxy)) == 1


@pytest.mark.peers("curl", "openssl")
def test_several_web_servers_on_one_port(machine: Machine) -> None:
    machine.write("/etc/shop", "", 0o755)
    machine.write("/usr/local/bin/node", WEB_SERVER.format(8080), 0o755)
    machine.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -addext subjectAltName=DNS:mail.example.org"
        " -keyout /etc/key.pem -out /etc/cert.pem && cp /etc/cert.pem /etc/ssl/certs/ca-certificates.crt"
    )
    mail = """
        [servers.mail]
        plugin = "generic"
        listen = 443
        server = 8443
        wake_on = "tls"
        hosts = ["mail.example.org"]
        plugin_arguments.command = "openssl s_server -quiet -www -key /etc/key.pem -cert /etc/cert.pem -accept 8443"
    """
    with start_configured(machine, text("docs/generic.md", "[servers.wiki]\nplugin = "), mail) as proxy:
        answers = machine.run(block("docs/generic.md", "curl -i http://127.0.0.1/ -H").commands)
        assert len(re.findall("HTTP/1.0 200 ok", answers, re.IGNORECASE)) == 2
        assert not any("shop: starting" in line for line in machine.interrupt(proxy))


def test_bedrock(machine: Machine) -> None:
    machine.write("/srv/bedrock/bedrock_server", "", 0o755)
    with start_configured(machine, text("docs/bedrock.md", "[servers.bedrock]\nplugin = ")):
        assert "sleep" in machine.run(block("docs/bedrock.md", "zeroscalectl ping bedrock://").commands)


def test_udp(machine: Machine) -> None:
    machine.write("/usr/local/bin/factorio", FACTORIO, 0o755)
    with start(machine, block("docs/udp.md", "zeroscale -t 600 ").commands) as proxy:
        machine.run("for i in 1 2 3; do echo join >/dev/udp/127.0.0.1/34197; done")
        proxy.wait_for(": ready after")
        machine.interrupt(proxy)


def test_queries(machine: Machine) -> None:
    for path in ("/usr/local/bin/ioq3ded", "/etc/start_server.sh"):
        machine.write(path, "", 0o755)
    query = """
        [servers.survival]
        plugin = "minecraft"
        working_directory = "/srv/survival"
        listen = 25565
        server = 25575
        [[servers.survival.ports]]
        listen = "udp:25565"
        server = 25575
        protocol = "minecraft-query"
    """
    tables = [text("docs/query.md", f"[servers.{name}]\nplugin = ") for name in ("arena", "valheim")]
    with start_configured(machine, *tables, query):
        shown = machine.run(block("docs/query.md", "zeroscalectl ping a2s://").commands)
        assert shown.count("Asleep") == 3


@pytest.mark.peers("haproxy", "nginx")
@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
def test_proxies_in_front(machine: Machine, proxy: str) -> None:
    if proxy == "haproxy":
        times = "defaults\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
        machine.write("/etc/front.cfg", times + text("docs/proxy_protocol.md", "frontend minecraft\n"))
        front = "exec haproxy -db -f /etc/front.cfg"
    else:
        modules = "/usr/share/nginx/modules-available/mod-stream.conf"
        load = f"include {modules};\n" if Path(modules).exists() else ""
        shown = text("docs/proxy_protocol.md", "stream {\n")
        machine.write("/etc/front.cfg", f"{load}daemon off;\nevents {{}}\n{shown}")
        front = "exec nginx -c /etc/front.cfg"
    command = block("docs/proxy_protocol.md", "zeroscale minecraft 25566 25575").commands
    with start(machine, command) as behind, machine.start(front) as program:
        machine.run(
            "for i in $(seq 100); do echo >/dev/tcp/127.0.0.1/25565 && exit; sleep 0.05; done 2>/dev/null; exit 1"
        )
        machine.run("zeroscalectl join localhost")
        assert any(": ready after" in line for line in machine.interrupt(behind)), behind.output
        machine.interrupt(program)


def test_the_recipe_for_geyser(machine: Machine) -> None:
    table = text("docs/recipes/bedrock.md", "[servers.survival]\nplugin = ")
    with start_configured(machine, table.partition("[[")[0]) as proxy:
        machine.write(CONFIG, table)
        commands = block("docs/recipes/bedrock.md", "zeroscalectl check /etc").commands
        machine.run("zeroscalectl check /etc/zeroscale.toml; systemctl reload zeroscale")
        proxy.wait_for("Reloaded: ")
        assert "sleep" in machine.run(commands)
        machine.interrupt(proxy)


def test_the_recipe_for_velocity(machine: Machine) -> None:
    survival, _, creative = text("docs/recipes/velocity.md", "[servers.survival]\n").partition("[servers.creative]")
    with start_configured(machine, survival) as proxy:
        machine.write(CONFIG, f"{survival}[servers.creative]{creative}")
        machine.run(block("docs/recipes/velocity.md", "zeroscalectl check /etc").commands)
        log = machine.interrupt(proxy)
        assert any("creative: ready after" in line for line in log)
        assert not any("survival: starting" in line for line in log)


@pytest.mark.skipif(not POSTGRESQL, reason="PostgreSQL is not installed")
def test_the_recipe_for_a_web_application(machine: Machine) -> None:
    page = "docs/recipes/web-app.md"
    machine.run(f"test -e /usr/lib/postgresql/15 || ln -s {max(POSTGRESQL).parents[1]} /usr/lib/postgresql/15")
    machine.write("/srv/app/start.sh", WEB_SERVER.format(8081), 0o755)
    made = block(page, "useradd --system ").commands
    machine.run(f"chmod 755 /srv; printf 'secret\\nsecret\\n' | {{\n{made}}}")
    machine.write(CONFIG, text(page, "[servers.db]\n"))
    machine.run("install -d -o zeroscale /run/zeroscale /var/lib/zeroscale")
    for path in (sys.prefix, sys.base_prefix, str(Path(zeroscale.__file__).parent)):
        for above in Path(path).resolve().parents:
            machine.run(f"chmod a+x {above}")
    user = "setpriv --reuid=zeroscale --regid=zeroscale --clear-groups"
    with machine.start(f"exec {user} {START}", "/etc") as proxy:
        proxy.wait_for("Ready: ")
        said = machine.run(block(page, "curl -i http://localhost:8080/").commands)
        assert "200 OK" in said and "needed by app" in said
        log = machine.interrupt(proxy)
    events = [line.partition("zeroscale.server:")[2] for line in log if "zeroscale.server:" in line]
    shown = block(page, "app: starting").output
    assert len(shown) == 4
    assert [re.sub(r"\d\.\d", "0", line) for line in events[:4]] == [re.sub(r"\d\.\d", "0", line) for line in shown]
    assert events[-1].startswith("db: stopped")
