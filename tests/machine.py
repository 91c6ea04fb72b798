"""A machine to run the commands of pages in, as printed: with the files of this one, and a network of its own.

What the commands change is in memory and gone afterwards; all ports are free. It has no systemd (tests/systemd boots
one) and reaches no other machine.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from processes import DEADLINE, Program

import zeroscale

FIRST_PROCESS = """\
set -e
mount -t tmpfs tmpfs "$DIRECTORY"
mkdir "$DIRECTORY/upper" "$DIRECTORY/work" "$DIRECTORY/root"
root=$DIRECTORY/root
mount -t overlay overlay "$root" -o "lowerdir=/,upperdir=$DIRECTORY/upper,workdir=$DIRECTORY/work"
for path in /dev /sys $OTHER_FILE_SYSTEMS; do
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t proc proc "$root/proc"
ip link set lo up
hostname machine
exec chroot "$root" /bin/bash -c 'echo ready; read -r'
"""
"""It ends, and everything in its namespaces with it, once its input is closed."""

PROGRAM = """\
#!/bin/sh
export PYTHONPATH='{path}'"${{PYTHONPATH:+:$PYTHONPATH}}"
exec {python} -P -c 'import sys; from {module} import {function}; sys.argv[0] = "{name}"; sys.exit({function}())' "$@"
"""
PROGRAMS = {
    "zeroscale": ("zeroscale.daemon.main", "main"),
    "zeroscalectl": ("zeroscale.ctl.main", "main"),
    "twistd": ("twisted.scripts.twistd", "run"),
}
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


class Machine:
    """The machine, with `zeroscale` and `zeroscalectl` installed. Use it as a context manager; needs root.

    :param directory: an empty one.

    :ivar root: where its files are seen from outside.
    """

    def __init__(self, directory: Path) -> None:
        binds = {sys.prefix, sys.base_prefix, str(Path(zeroscale.__file__).parents[1]), str(Path(__file__).parent)}
        others = [path for path in sorted(binds) if Path(path).stat().st_dev != Path("/").stat().st_dev]
        self._first = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--net",
                "--pid",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
                "bash",
                "-c",
                FIRST_PROCESS,
            ],
            env={**ENVIRONMENT, "DIRECTORY": str(directory), "OTHER_FILE_SYSTEMS": " ".join(others)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == "ready\n"
        [pid] = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()
        self._enter = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--root"]
        self.root = Path(f"/proc/{pid}/root")
        assert not self.root.samefile("/"), "its commands would change this machine"
        path = os.environ.get("PYTHONPATH", "")
        for name, (module, function) in PROGRAMS.items():
            text = PROGRAM.format(path=path, python=sys.executable, module=module, function=function, name=name)
            self.write(f"/usr/local/bin/{name}", text, 0o755)

    @staticmethod
    def is_possible() -> bool:
        """Whether this process may make one."""
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._first.communicate(timeout=DEADLINE)

    def path(self, path: str) -> Path:
        """Return where one of its files is seen from outside, to be read."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in it, and the directories above."""
        # By a process inside: from outside, a link to an absolute path would lead to a file of this machine.
        parent, file = shlex.quote(str(Path(path).parent)), shlex.quote(path)
        words = f"mkdir -p {parent}; cat >{file}; chmod {mode:o} {file}"
        subprocess.run(self._command(words, "/", "root"), input=text, text=True, check=True, timeout=DEADLINE)

    def run(self, commands: str, directory: str = "/root", user: str = "root", within: float = DEADLINE) -> str:
        """Run commands as a reader types them, each of which has to succeed; return what they print.

        :param user: one who exists, with a home in /home.
        """
        done = subprocess.run(
            self._command(commands, directory, user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=False,
        )
        assert done.returncode == 0, f"exit code {done.returncode}:\n{commands}\n{done.stdout}"
        return done.stdout

    def start(self, commands: str, directory: str = "/root", user: str = "root") -> Program:
        """Start what runs until `interrupt`, or the end of the machine. Use it as a context manager."""
        return Program(self._command(commands, directory, user))

    def interrupt(self, program: Program) -> list[str]:
        """Stop a started program as Ctrl-C does; return all its lines."""
        os.killpg(program.process.pid, signal.SIGINT)
        program.wait()
        return program.lines

    def _command(self, commands: str, directory: str, user: str) -> list[str]:
        variables = {**ENVIRONMENT, "HOME": "/root" if user == "root" else f"/home/{user}"}
        shell = [
            "env",
            "--default-signal=INT",
            "-i",
            *map("=".join, variables.items()),
            "bash",
            "-e",
            "-o",
            "pipefail",
            "-c",
            commands,
        ]
        return [*self._enter, f"--wdns={directory}", "runuser", "-u", user, "--", *shell]
