"""The command line of a Minecraft server, for the present contents of its directory, and what speaks against it.

Everything is read anew each time, since the operator may have changed it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from zeroscale.errors import PluginError
from zeroscale.minecraft.server_choice import ServerChoice, choose_server
from zeroscale.minecraft.server_files import ServerFiles, line_of, read_properties
from zeroscale.minecraft.start_script import heap_in_text, read_start_script
from zeroscale.plugins.minecraft.java import how_to_install, installed_java
from zeroscale.process.spawn import find_program

JAVA_OPTIONS = "JDK_JAVA_OPTIONS"
"""Variable with options that Java 9 and newer put before those of the command line (the manual of `java`)."""

TOOL_OPTIONS = "JAVA_TOOL_OPTIONS"
"""The same of every Java."""

LAST_OPTIONS = "_JAVA_OPTIONS"
"""The same, but put after those of the command line."""

EULA_OPTION = "com.mojang.eula.agree=true"
"""A Java property that Spigot, Paper and what comes from them take for eula.txt; vanilla does not."""

PORT_OPTION = re.compile(r"(?:--port|--server-port)(?:=(.*))?")
SHORT_PORT_OPTION = re.compile(r"(?:-p|--port|--server-port)(?:=(.*))?")
"""Vanilla has --port; CraftBukkit and its successors have the other two, too. Many other programs have a -p."""


class CommandLine:
    """Makes the command line, from the arguments of the plugin.

    :param files: the server's own files, in its working directory.
    :param port: the port on which the server must listen.
    :param words: the operator's own command; empty: `choose_server` chooses.
    :param jar: the jar to run; None: `choose_server` chooses.
    :param java: the Java program; None: that in PATH.
    :param memory: the largest heap, as in -Xmx; None: Java's own default.
    :param arguments_table: the table of the configuration file that has the plugin's arguments; None: they are given on
        the command line.
    """

    def __init__(
        self,
        files: ServerFiles,
        port: int,
        *,
        words: Sequence[str] = (),
        jar: str | None = None,
        java: str | None = None,
        memory: str | None = None,
        arguments_table: str | None = None,
    ) -> None:
        self._files = files
        self._directory = files.directory
        self._port = port
        self._words = words
        self._jar = jar
        self._java = java
        self._memory = memory
        self._arguments_table = arguments_table

    def choice(self) -> ServerChoice:
        """Return what there is to start; of the operator's own command, the jar after its -jar."""
        if "-jar" in self._words[:-1]:
            return choose_server(self._directory, self._words[self._words.index("-jar") + 1])
        return ServerChoice() if self._words else choose_server(self._directory, self._jar)

    def build(self, environment: Mapping[str, str]) -> Sequence[str]:
        """Return the program and its arguments.

        :param environment: the server's environment.
        :raises PluginError: something is missing or does not fit; the message says what to do.
        """
        choice = self.choice()
        if self._words:
            self._check_port_of(self._words)
            command = self._words
        elif choice.refusal is not None:
            raise PluginError(choice.refusal)
        elif self._memory and (last := heap_in_text(environment.get(LAST_OPTIONS, ""))) is not None:
            raise self._lost_memory(f"{LAST_OPTIONS} in its environment", last)
        elif choice.script is not None:
            command = (*self._script(choice.script, environment), "nogui", "--port", str(self._port))
        else:
            self._check_java(choice, environment)
            heap = (f"-Xmx{self._memory}",) if self._memory else ()
            command = (self._java or "java", *heap, "-jar", str(choice.jar), "nogui", "--port", str(self._port))
        accepted = self._files.eula_accepted
        if not accepted and (choice.needs_eula or (accepted is False and not self._accepts_eula(environment))):
            raise PluginError(self.eula_message())
        return command

    def java_options(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """Return the variable by which a script's Java gets `memory`; options that are there already are kept."""
        if self._memory is None or self.choice().script is None:
            return {}
        return {JAVA_OPTIONS: f"{environment.get(JAVA_OPTIONS, '')} -Xmx{self._memory}".strip()}

    def warnings(self, environment: Mapping[str, str]) -> Iterator[str]:
        """Return what may prevent the start, and cannot be known before."""
        yield from self.choice().warnings
        if self._files.eula_accepted is None and not self._accepts_eula(environment):
            yield (
                f"there is no {self._files.eula_file}: every release since 1.7.10 ends at its start without the line "
                "eula=true in it, by which you accept Minecraft's EULA"
            )

    def eula_message(self) -> str:
        """Return that the EULA has not been accepted, and what to write where."""
        path = self._files.eula_file
        line = line_of(path, "eula")
        if line:
            where = f"line {line} of {path}: eula=false must be eula=true"
        elif path.exists():
            where = f"{path} needs the line eula=true"
        else:
            where = f"there is no {path}; if you accept it, write the line eula=true into that file"
        return f"the Minecraft EULA has not been accepted: {where}"

    def how_to_use_java(self) -> str:
        """Return the end of a message that tells to install another Java."""
        if self._words:
            return "and give its path in the command"
        if self.choice().script is not None:
            return "and put it first in PATH"
        if self._arguments_table is not None:
            return f'or give its path, java = "/path/to/bin/java", in [{self._arguments_table}]'
        return "or give its path with -a java=/path/to/bin/java"

    def _accepts_eula(self, environment: Mapping[str, str]) -> bool:
        options = (environment.get(name, "") for name in (JAVA_OPTIONS, TOOL_OPTIONS))
        return any(EULA_OPTION in text for text in (*self._words, *options, *self._script_texts()))

    def _script_texts(self) -> Iterator[str]:
        for name in (*self._words, self.choice().script or ""):
            with contextlib.suppress(OSError):  # it is missing, or will be refused
                if name.endswith(".sh"):
                    yield read_start_script(self._directory / name).text

    # A start script

    def _script(self, name: str, environment: Mapping[str, str]) -> Sequence[str]:
        path = self._directory / name
        if self._java:
            raise PluginError(f"java= has no effect on {path}, which runs java itself: put the right one first in PATH")
        try:
            script = read_start_script(path)
        except OSError as error:
            raise PluginError(f"cannot read {path}: {error.strerror}") from None
        heap = script.heap() if self._memory else None
        if heap is not None:  # it comes after `JAVA_OPTIONS`, and of several sizes Java takes the last one
            raise self._lost_memory(*heap)
        if script.needs_java:
            self._check_java(ServerChoice(script=name), environment)
        if not script.passes_arguments:  # such as our --port
            self._check_port_in_properties()
        # A script unpacked from an archive may not be executable.
        return [f"./{name}"] if os.access(path, os.X_OK) else [script.interpreter, name]

    def _lost_memory(self, where: object, heap: str) -> PluginError:
        wins = f"{where} sets {heap}, which wins"
        return PluginError(f"memory={self._memory} would have no effect: {wins}; change it there, or remove it")

    def _check_java(self, choice: ServerChoice, environment: Mapping[str, str]) -> None:
        found = find_program(self._java or "java", self._directory, environment)
        install = how_to_install(choice.java_version)
        if found is not None and os.access(found, os.X_OK):
            installed = installed_java(found)
            if installed is not None and installed < (choice.java_version or 0):
                raise PluginError(
                    f"{found} is Java {installed}, and the server needs Java {choice.java_version} or newer: "
                    f"{install}, {self.how_to_use_java()}"
                )
            return
        if self._java:
            raise PluginError(f"java={self._java}: there is no such program")
        raise PluginError(f"there is no java in PATH: {install}, {self.how_to_use_java()}")

    # The port

    def _check_port_of(self, words: Sequence[str]) -> None:
        arguments = words[words.index("-jar") + 1 :] if "-jar" in words else words[1:]
        pattern = SHORT_PORT_OPTION if "-jar" in words else PORT_OPTION
        for word, following in pairwise([*arguments, ""]):
            option = pattern.fullmatch(word)
            if option is None:
                continue
            value = following if option[1] is None else option[1]
            if value != str(self._port):
                raise PluginError(
                    f"{shlex.join(words)}: the command has port {value}, but zeroscale expects the server on port "
                    f"{self._port}: make them the same"
                )
            return
        self._check_port_in_properties()

    def _check_port_in_properties(self) -> None:
        path = self._files.properties_file
        if not path.is_file():
            return  # the server will write the file, or does not use it
        port = read_properties(path).get("server-port")
        if port is None and self._port != 25565:
            raise PluginError(f"{path} has no server-port, which means 25565: add the line server-port={self._port}")
        if port is not None and port.strip() != str(self._port):
            raise PluginError(f"line {line_of(path, 'server-port')} of {path}: server-port={port} must be {self._port}")
