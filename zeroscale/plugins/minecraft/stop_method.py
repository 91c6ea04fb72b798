"""How a Minecraft server is asked to stop, `stop=`: a command on its console, RCON, or a signal.

Sends nothing itself.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

from msgspec import Struct

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_files import ServerFiles, line_of
from zeroscale.plugins.support import arguments
from zeroscale.process.console_files import input_line

DEFAULT_COMMAND = "stop"
"""What stops a vanilla server, and by RCON any server that has RCON."""

RCON = "rcon"

COMMANDS = ("stop", "quit")
"""Console commands that are names of signals as well, without SIG."""

EXPECTED = f"give a command of its console, {RCON}, or a signal's name such as SIGTERM"


class StopMethod(Struct, frozen=True):
    """How a server is asked to stop.

    :ivar command: the command that is sent to it; not used with `signal`.
    :ivar by_rcon: the command is sent by RCON only, not on its console.
    :ivar signal: the signal that it gets in place of a command; None: it gets the command.
    """

    command: str = DEFAULT_COMMAND
    by_rcon: bool = False
    signal: signal.Signals | None = None

    def check(self, files: ServerFiles, server_port: int) -> None:
        """Check that the server's files allow it.

        :param server_port: the server's own port, which cannot be that of RCON too.
        :raises PluginError: RCON is needed, and is off; the message has the lines to write.
        """
        mistakes = _rcon_mistakes(files, server_port) if self.by_rcon else []
        if mistakes:
            raise PluginError(f"stop={RCON}: {'; '.join(mistakes)}")


def parse_stop(value: str) -> StopMethod:
    """Read `stop=`.

    :raises PluginError: it is none of the three.
    """
    text = str(value).strip()
    if text.lower() == RCON:
        return StopMethod(by_rcon=True)
    if re.fullmatch(r"SIG\S+", text, re.IGNORECASE):
        number = arguments.stop_signal("stop", text)
        if number is signal.SIGKILL:
            raise PluginError(f"stop={value!r}: a server that is killed does not save its world; see --kill-timeout")
        if number is signal.SIGQUIT:
            raise PluginError(f"stop={value!r}: Java writes its threads on it, and runs on; use SIGTERM or SIGINT")
        return StopMethod(signal=number)
    if text.isdigit() or (f"SIG{text.upper()}" in signal.Signals.__members__ and text not in COMMANDS):
        raise PluginError(f"stop={value!r}: write a signal by its whole name, such as SIGTERM")
    if not text:
        raise PluginError(f"stop= is empty: {EXPECTED}")
    if not text.isprintable():
        raise PluginError(f"stop={value[:100]!r}: a command is one line, without control characters")
    try:
        input_line(text)
    except PluginError as error:
        raise PluginError(f"stop={value[:100]!r}: {error}") from None
    return StopMethod(command=text)


def _rcon_mistakes(files: ServerFiles, server_port: int) -> list[str]:
    path = files.properties_file
    mistakes = []
    if files.properties.get("enable-rcon", "").strip().lower() != "true":
        mistakes.append(_wrong_line(path, "enable-rcon", files.properties.get("enable-rcon"), "enable-rcon=true"))
    if not files.rcon_password:
        mistakes.append(_wrong_line(path, "rcon.password", "", "rcon.password=A_LONG_PASSWORD"))
    if files.rcon_port == server_port:
        other = f"rcon.port={server_port - 1 or 2}"
        wrong = _wrong_line(path, "rcon.port", str(server_port), other)
        mistakes.append(f"RCON cannot have port {server_port}, which is the server's own: {wrong}")
    return mistakes


def _wrong_line(path: Path, key: str, value: str | None, wanted: str) -> str:
    line = line_of(path, key)
    return f"line {line} of {path}: {key}={value} must be {wanted}" if line else f"{path} needs the line {wanted}"
