"""The contestants: zeroscale in front of several kinds of server, and other proxies, where they are installed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.processes import ROOT, Place, Subject

OURS, BASELINE, NGINX, HAPROXY, NODE = "zeroscale", "baseline", "nginx", "haproxy", "Node server"
"""Names of contestants."""

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
PEERS = ROOT / "tests" / "peers"
SOCKET_PROXYD = ("/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd")

GENERIC = "{python} -m zeroscale generic {listen} {server} -t 3600 --state-directory {state} -a command={backend}"
MINECRAFT = (
    "{python} -m zeroscale minecraft {listen} {server} -t 3600 --state-directory {state} -a stop=SIGTERM -a {backend}"
)
NGINX_CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
{modules}
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
stream {{
    server {{
        listen 127.0.0.1:{listen} backlog=4096;
        proxy_pass 127.0.0.1:{server};
        tcp_nodelay on;
    }}
    server {{
        listen 127.0.0.1:{listen} udp;
        proxy_pass 127.0.0.1:{server};
        proxy_timeout 60s;
    }}
}}
"""

HAPROXY_CONFIGURATION = """
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind 127.0.0.1:{listen} backlog 4096
    server server 127.0.0.1:{server}
"""


def zeroscale(template: str, baseline: Path | None) -> dict[str, Subject | None]:
    """Return zeroscale, and that of another checkout.

    :param template: the command line (see `from_template`).
    :param baseline: the other checkout; None: there is none.
    """
    trees = {OURS: None, BASELINE: baseline} if baseline else {OURS: None}
    return {name: from_template(name, template, tree) for name, tree in trees.items()}


def from_template(name: str, template: str, tree: Path | None = None) -> Subject:
    """Return a proxy that is started by a command line.

    :param template: its words, as a shell would split them; in each, `{listen}` and `{server}` are replaced by the
        ports, `{backend}` by the command line that starts the server, `{python}` by this interpreter, and `{state}` by
        a directory. With `{backend}`, it starts the server itself.
    :param tree: goes first on PYTHONPATH.
    """

    def command(place: Place) -> list[str]:
        (place.directory / "eula.txt").write_text("eula=true\n")  # else zeroscale warns of each start
        values = {
            "python": sys.executable,
            "listen": place.listen,
            "server": place.server,
            "state": place.directory / "state",
            "backend": shlex.join(place.backend),
        }
        return [word.format(**values) for word in shlex.split(template)]

    return Subject(name, command, "{backend}" in template, tree)


def named(commands: Sequence[Sequence[str]]) -> dict[str, Subject | None]:
    """Return the proxies of the option `--also`: pairs of name and template."""
    return {name: from_template(name, template) for name, template in commands}


def nginx() -> Subject | None:
    """Return nginx with its stream module, built in or as a file; None: not installed."""
    program = program_of(NGINX)
    if program is None:
        return None
    module = next((path for each in NGINX_MODULES if (path := Path(each) / "ngx_stream_module.so").exists()), None)
    built = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr.split()
    if module is None and "--with-stream" not in built:
        return None

    def command(place: Place) -> list[str]:
        modules = f"load_module {module};" if module else ""
        file, log = place.directory / "nginx.conf", place.directory / "nginx.log"
        values = {"directory": place.directory, "listen": place.listen, "server": place.server}
        file.write_text(NGINX_CONFIGURATION.format(modules=modules, **values))
        return [program, "-p", str(place.directory), "-c", str(file), "-e", str(log)]

    return Subject(NGINX, command)


def haproxy() -> Subject | None:
    """Return HAProxy with `splice-auto`; None: not installed."""
    program = program_of(HAPROXY)
    if program is None:
        return None

    def command(place: Place) -> list[str]:
        file = place.directory / "haproxy.cfg"
        file.write_text(HAPROXY_CONFIGURATION.format(listen=place.listen, server=place.server))
        return [program, "-f", str(file), "-db"]

    return Subject(HAPROXY, command)


def socket_proxyd() -> Subject | None:
    """Return systemd-socket-proxyd; None: not installed."""
    program = next((each for each in SOCKET_PROXYD if Path(each).exists()), None)
    if program is None:
        return None

    def command(place: Place) -> list[str]:
        activate = [sys.executable, "-m", "benchmarks.relay.activate", str(place.listen)]
        return [*activate, program, "--connections-max=8192", f"127.0.0.1:{place.server}"]

    return Subject("socket-proxyd", command)


def node_server() -> Subject | None:
    """Return a Minecraft server in Node without players; None: Node, or an npm package of the tests, is missing."""
    program = shutil.which("node")
    if program is None or not (PEERS / "node_modules" / "minecraft-protocol").is_dir():
        return None
    words = [program, str(PEERS / "server.js"), "--version", "1.20.4", "--port"]
    return Subject(NODE, lambda place: [*words, str(place.listen)])


def module(name: str, program: str) -> Subject:
    """Return a relay of ours: a module that is given the two ports."""
    return Subject(name, lambda place: [sys.executable, "-m", program, str(place.listen), str(place.server)])


def program_of(name: str) -> str | None:
    """Return the path of a program, also of those that only root has on its PATH."""
    return shutil.which(name) or shutil.which(name, path=PATH)


def installed(subjects: Mapping[str, Subject | None]) -> list[Subject]:
    """Return those that are installed; print the names of the others."""
    for name, subject in subjects.items():
        if subject is None:
            print(f"not installed, left out: {name}", file=sys.stderr)
    return [subject for subject in subjects.values() if subject is not None]
