"""A real container engine of the tests' own: dockerd on a socket of its own, with one image of busybox alone.

No network but the host's and no image registry are needed. Its containers outlive a restart of it (live-restore).
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.programs import Program, wait_until

IMAGE = "base:1"

FILES = {"Name": "nofile", "Hard": 1024, "Soft": 1024}
"""Open files: by default dockerd asks for more than it may have where it runs in a container itself."""


class Dockerd:
    """The daemon.

    :ivar socket: where it listens.
    """

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "docker.sock"
        self._directory = directory
        # The engine's own sockets are there, and the path of a socket has at most 107 bytes.
        self._sockets = Path(tempfile.mkdtemp(prefix="engine-"))
        self._program: Program | None = None
        settings = {
            "storage-driver": "vfs",
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            "live-restore": True,
            "data-root": str(directory / "data"),
            "exec-root": str(self._sockets),
            "pidfile": str(directory / "pid"),
            "hosts": [self.url],
            "default-ulimits": {"nofile": FILES},
        }
        (directory / "daemon.json").write_text(json.dumps(settings))

    @property
    def url(self) -> str:
        """Where it listens, as a client wants it."""
        return f"unix://{self.socket}"

    def begin(self) -> None:
        """Starts it, and waits until it answers."""
        command = ["dockerd", "--config-file", str(self._directory / "daemon.json")]
        program = self._program = Program(command, self._directory)
        program.wait_for("API listen on", within=60)

    def end(self) -> None:
        """Stops it; its containers run on."""
        program, self._program = self._program, None
        assert program is not None
        program.terminate(within=60)
        program.discard()

    def clear(self) -> None:
        """Ends it, and all that it runs."""
        try:
            if self._program is None:
                self.begin()
            containers = self.docker("ps", "--all", "--quiet").split()
            if containers:
                self.docker("rm", "--force", *containers)
        finally:
            self.end()
            self._unmount()
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _unmount(self) -> None:
        """It leaves its mounts behind, and a directory with one in it cannot be removed."""
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for target in reversed(mounted):
            if target.startswith((f"{self._directory}/", f"{self._sockets}/")):
                subprocess.run(["umount", "--lazy", target], check=True, timeout=60)

    def docker(self, *words: str, given: bytes | None = None) -> str:
        """The engine's own client; returns what it says."""
        command = ["docker", "--host", self.url, *words]
        done = subprocess.run(command, check=False, input=given, capture_output=True, timeout=60)
        assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.decode()}"
        return done.stdout.decode().strip()

    def state(self, name: str) -> str:
        """A container's state, in the engine's word: created, running, paused, exited."""
        return self.docker("inspect", "--format", "{{.State.Status}}", name)

    def wait_for_state(self, name: str, wanted: str, program: Program | None = None) -> None:
        """Waits until a container is in that state."""
        wait_until(lambda: self.state(name) == wanted, f"container {name} is {wanted}", program=program)

    def import_image(self) -> None:
        """Makes the image."""
        busybox = shutil.which("busybox")
        assert busybox is not None
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(busybox, "bin/busybox")
            link = tarfile.TarInfo("bin/sh")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        self.docker("import", "-", IMAGE, given=packed.getvalue())


@contextmanager
def dockerd(directory: Path) -> Iterator[Dockerd]:
    """A daemon that runs, with its image."""
    daemon = Dockerd(directory)
    try:
        daemon.begin()
        daemon.import_image()
        yield daemon
    finally:
        daemon.clear()
