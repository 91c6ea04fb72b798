"""The relays to measure, and the command line of each for a listening port and a server port."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
SOCKET_PROXYD = ("/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd")

DEFAULT_COMMAND = (
    "{python} -m zeroscale generic {listen} {server} -t 3600 --state-directory {state} -a command={backend}"
)

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


@dataclass(frozen=True)
class Subject:
    """One relay.

    :ivar command: returns its command line for a directory of its own, a listening port and a server port.
    :ivar starts_backend: whether it starts the server itself, at the first connection.
    """

    name: str
    command: Callable[[Path, int, int], list[str]]
    starts_backend: bool = False


def _program(name: str) -> str | None:
    return shutil.which(name, path=PATH) or shutil.which(name)


def _python(module: str) -> Callable[[Path, int, int], list[str]]:
    return lambda directory, listen, server: [sys.executable, "-m", module, str(listen), str(server)]


def harness() -> Subject:
    """Return zeroscale's relay in a proxy that does nothing else."""
    return Subject("harness", _python("benchmarks.relay.harness"))


def portforward() -> Subject:
    """Return Twisted's port forwarder."""
    return Subject("portforward", _python("benchmarks.relay.portforward"))


def nginx() -> Subject | None:
    """Return nginx with its stream module, built in or as a file; None: not installed."""
    program = _program("nginx")
    if program is None:
        return None
    module = next((path for each in NGINX_MODULES if (path := Path(each) / "ngx_stream_module.so").exists()), None)

    def command(directory: Path, listen: int, server: int) -> list[str]:
        modules = f"load_module {module};" if module else ""
        text = NGINX.format(modules=modules, directory=directory, listen=listen, server=server)
        (directory / "nginx.conf").write_text(text)
        return [program, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", str(directory / "nginx.log")]

    return Subject("nginx", command)


def haproxy() -> Subject | None:
    """Return HAProxy with `splice-auto`; None: not installed."""
    program = _program("haproxy")
    if program is None:
        return None

    def command(directory: Path, listen: int, server: int) -> list[str]:
        (directory / "haproxy.cfg").write_text(HAPROXY.format(listen=listen, server=server))
        return [program, "-f", str(directory / "haproxy.cfg"), "-db"]

    return Subject("haproxy", command)


def socket_proxyd() -> Subject | None:
    """Return systemd-socket-proxyd; None: not installed."""
    program = next((each for each in SOCKET_PROXYD if Path(each).exists()), None)
    if program is None:
        return None

    def command(directory: Path, listen: int, server: int) -> list[str]:
        activate = [sys.executable, "-m", "benchmarks.relay.activate", str(listen)]
        return [*activate, program, "--connections-max=8192", f"127.0.0.1:{server}"]

    return Subject("socket-proxyd", command)
