"""The contestants: zeroscale in front of several kinds of server, and other proxies, where they are installed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import Place, Subject

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")

GENERIC = "{python} -m zeroscale generic {listen} {server} -t 3600 --state-directory {state} -a command={backend}"
MINECRAFT = (
    "{python} -m zeroscale minecraft {listen} {server} -t 3600 --state-directory {state} -a stop=SIGTERM -a {backend}"
)
ASLEEP = "{python} -m zeroscale minecraft {listen} {server} --state-directory {state} -a 'sleep 3600'"
"""A Minecraft server that is never started."""

NGINX = """
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
}}
"""

HAPROXY = """
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


def zeroscale(template: str, name: str = "zeroscale", tree: Path | None = None) -> Subject:
    """Return zeroscale.

    :param template: its command line, in which `{python}`, `{listen}`, `{server}`, `{state}` and `{backend}` are
        replaced.
    :param tree: the directory that has the package `zeroscale`; None: this one.
    """

    def command(place: Place) -> list[str]:
        (place.directory / "eula.txt").write_text("eula=true\n")  # else it warns of each start
        values = {
            "python": sys.executable,
            "listen": place.listen,
            "server": place.server,
            "state": place.directory / "state",
            "backend": shlex.join(place.backend),
        }
        return [word.format(**values) for word in shlex.split(template)]

    return Subject(name, command, "{backend}" in template, tree)


def nginx() -> Subject | None:
    """Return nginx with its stream module, built in or as a file; None: not installed."""
    program = program_of("nginx")
    if program is None:
        return None
    module = next((path for each in NGINX_MODULES if (path := Path(each) / "ngx_stream_module.so").exists()), None)
    built = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr.split()
    if module is None and "--with-stream" not in built:
        return None

    def command(place: Place) -> list[str]:
        modules = f"load_module {module};" if module else ""
        text = NGINX.format(modules=modules, directory=place.directory, listen=place.listen, server=place.server)
        file, log = place.directory / "nginx.conf", place.directory / "nginx.log"
        file.write_text(text)
        return [program, "-p", str(place.directory), "-c", str(file), "-e", str(log)]

    return Subject("nginx", command)


def haproxy() -> Subject | None:
    """Return HAProxy with `splice-auto`; None: not installed."""
    program = program_of("haproxy")
    if program is None:
        return None

    def command(place: Place) -> list[str]:
        file = place.directory / "haproxy.cfg"
        file.write_text(HAPROXY.format(listen=place.listen, server=place.server))
        return [program, "-f", str(file), "-db"]

    return Subject("haproxy", command)


def program_of(name: str) -> str | None:
    """Return the path of a program, also of those that only root has on its PATH."""
    return shutil.which(name) or shutil.which(name, path=PATH)


def installed(**subjects: Subject | None) -> list[Subject]:
    """Return those that are installed; print the names of the others."""
    for name, subject in subjects.items():
        if subject is None:
            print(f"not installed, left out: {name.replace('_', '-')}", file=sys.stderr)
    return [subject for subject in subjects.values() if subject is not None]
