"""Choose what to start in a Minecraft server's directory: a jar, or a start script.

The wrong choice destroys worlds: a modded world that the vanilla server has loaded has lost everything its mods had put
into it. So a mod loader comes before server.jar, which its installer leaves beside it, and where that is not enough
nothing is started, and the message names the choices.

Nothing is written. What the files of each loader are called, with sources: docs/protocol.md, "The server's process".
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from msgspec import Struct

from zeroscale.minecraft.server_files import read_properties
from zeroscale.minecraft.server_jar import JarKind, ServerJar, read_server_jar
from zeroscale.minecraft.start_script import JAVA_ARGUMENTS_FILE, read_start_script
from zeroscale.system.files import resolved

DEFAULT_JAR = "server.jar"
RUN_SCRIPT = "run.sh"
SCRIPTS = (RUN_SCRIPT, "start.sh")

LAUNCHER_FILES = ("fabric-server-launcher.properties", "quilt-server-launcher.properties")
"""Files in which a launcher's `serverJar` names the vanilla jar that it loads; server.jar if it does not say."""

LOADER_LIBRARIES = (
    "net/minecraftforge",
    "net/neoforged/neoforge",
    "net/neoforged/forge",
    "net/fabricmc/fabric-loader",
    "org/quiltmc/quilt-loader",
    "net/minecraft/launchwrapper",
)
"""Folders below `libraries` that only a mod loader has. Not all of net/neoforged and net/fabricmc: Paper takes
libraries from there (AutoRenamingTool, mapping-io)."""

NAMED_AT_MOST = 10

DANGER = "a modded world is destroyed when it is started without its mods"


class ServerChoice(Struct, frozen=True, kw_only=True):
    """What to start.

    :ivar jar: the jar to start, relative to the directory; None: a script, or nothing.
    :ivar script: the name of the script to start; None: a jar, or nothing.
    :ivar refusal: why nothing can be chosen, for a message that says what to do; None: something is.
    :ivar other_jars: the jars beside the chosen one that could be started, too.
    :ivar other_scripts: the scripts beside what is chosen.
    :ivar warnings: what could not be found out, for messages.
    :ivar needs_eula: whether the jar certainly ends without eula.txt: it is the game's own, and not one of the old
        releases that have no version.json.
    :ivar java_version: the Java that the game asks for, such as 21; None: not known.
    """

    jar: str | None = None
    script: str | None = None
    refusal: str | None = None
    other_jars: tuple[str, ...] = ()
    other_scripts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    needs_eula: bool = False
    java_version: int | None = None


def choose_server(directory: Path, jar: str | None = None) -> ServerChoice:
    """Choose what to start. Never raises.

    The order: the jar that is asked for; run.sh of Forge or NeoForge; a mod loader's launcher; server.jar; another
    run.sh, or start.sh; the only jar.

    :param directory: the server's directory.
    :param jar: the jar that is asked for, relative to the directory.
    """
    try:
        return _Chooser(directory).choose(jar)
    except OSError as error:  # what cannot be looked at may be a mod loader's
        return ServerChoice(refusal=f"cannot look into {error.filename or directory}: {error.strerror}")


class _Chooser:
    """Makes one choice.

    :param directory: the server's directory; need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._real = resolved(directory)
        self._scripts = [name for name in SCRIPTS if _starts_server(directory / name)]

    def choose(self, wanted: str | None) -> ServerChoice:
        if wanted is not None:
            return self._jar_asked_for(wanted)
        if RUN_SCRIPT in self._scripts and _starts_loader(self._directory / RUN_SCRIPT):
            return self._chosen(script=RUN_SCRIPT)
        jars = {name: read_server_jar(self._directory / name) for name in _jar_names(self._directory)}
        candidates = {name: jar for name, jar in jars.items() if not self._is_left_out(name, jars)}
        launchers = [name for name, jar in candidates.items() if jar.kind is JarKind.launcher]
        if len(launchers) == 1:
            return self._chosen(jar=launchers[0], jars=candidates, game=self._game_of(launchers[0], jars))
        if launchers:
            return self._refused(f"{self._directory} has {len(launchers)} mod loaders", launchers)
        if DEFAULT_JAR in candidates:
            return self._chosen_unless_modded(DEFAULT_JAR, candidates)
        if self._scripts:
            return self._chosen(script=self._scripts[0], jars=candidates)
        if len(candidates) == 1:
            return self._chosen_unless_modded(next(iter(candidates)), candidates)
        if candidates:
            return self._refused(f"there is no {DEFAULT_JAR} in {self._directory}", list(candidates))
        return self._nothing(jars)

    def _jar_asked_for(self, wanted: str) -> ServerChoice:
        path = self._directory / wanted
        if not path.is_file():
            there = _listed(_jar_names(self._directory)) or "no other jar either"
            return ServerChoice(refusal=f"jar={wanted}: there is no file {path} (there is {there})")
        jar = read_server_jar(path)
        game = self._game_of(wanted, {wanted: jar}) if jar.kind is JarKind.launcher else None
        return self._chosen(jar=wanted, jars={wanted: jar}, game=game, warn=False)

    def _chosen(
        self,
        *,
        jar: str | None = None,
        script: str | None = None,
        jars: Mapping[str, ServerJar] | None = None,
        game: ServerJar | None = None,
        warn: bool = True,
    ) -> ServerChoice:
        jars = jars or {}
        own = jars[jar] if jar is not None else None
        return ServerChoice(
            jar=jar,
            script=script,
            other_jars=tuple(name for name in jars if name != jar),
            other_scripts=tuple(name for name in self._scripts if name != script),
            warnings=tuple(
                f"cannot read the manifest of {self._directory / name}: {found.problem}; {jar or script} is started "
                "all the same"
                for name, found in jars.items()
                if warn and found.kind is JarKind.unreadable
            ),
            needs_eula=own is not None and own.kind is JarKind.vanilla and own.has_version,
            java_version=next((jar.java_version for jar in (own, game) if jar and jar.java_version), None),
        )

    def _chosen_unless_modded(self, name: str, candidates: Mapping[str, ServerJar]) -> ServerChoice:
        trace = self._trace_of_mods() if candidates[name].kind is JarKind.vanilla else None
        if trace is None:
            return self._chosen(jar=name, jars=candidates)
        return self._refused(
            f"{name} in {self._directory} is the vanilla server, but {trace} belongs to a mod loader, and {DANGER}",
            [other for other in candidates if other != name],
            f"{_argument(name)} starts the vanilla server all the same",
        )

    def _refused(self, problem: str, jars: Sequence[str], *more: str) -> ServerChoice:
        """Return a refusal that names the candidates, and what to give for each."""
        advice = [f"choose a jar, such as {_argument(jars[0])} (there is {_listed(jars)})"] if jars else []
        advice += [f"-a ./{name} runs {name}" for name in self._scripts]
        command = self._loader_command()
        advice += [f"-a {shlex.quote(command)} starts the loader"] if command else []
        return ServerChoice(refusal="; ".join([problem, *advice, *more]))

    def _nothing(self, jars: Mapping[str, ServerJar]) -> ServerChoice:
        """Return what to do where no jar and no script can be started."""
        problem = f"there is no Minecraft server in {self._directory}"
        if not jars:
            problem += f", neither {DEFAULT_JAR} nor another jar nor {RUN_SCRIPT}: put it there, or give its directory"
            return self._refused(problem, ())
        name = min(jars, key=lambda name: (_is_installer(name, jars[name]), not _is_shim(name)))
        if _is_installer(name, jars[name]):
            return self._refused(f"{problem}: {name} is an installer; run it there first", ())
        if _is_shim(name):
            problem += f": {name} is started by {RUN_SCRIPT}, which is missing"
            return self._refused(problem, (), f"{_argument(name)} starts it")
        problem += f": {name} is the vanilla server of a mod loader whose launcher is missing, and {DANGER}"
        return self._refused(problem, (), f"{_argument(name)} starts the vanilla server all the same")

    def _is_left_out(self, name: str, jars: Mapping[str, ServerJar]) -> bool:
        jar = jars[name]
        belongs_to_loader = jar.kind is JarKind.vanilla and self._path(name) in self._games(jars)
        return _is_installer(name, jar) or _is_shim(name) or belongs_to_loader

    def _games(self, jars: Mapping[str, ServerJar]) -> set[Path]:
        """Return the paths that loaders name as the game's."""
        files = [path for file in LAUNCHER_FILES if (path := self._directory / file).is_file()]
        games = {self._path(read_properties(file).get("serverJar", DEFAULT_JAR)) for file in files}
        launchers = [jar for jar in jars.values() if jar.kind is JarKind.launcher]
        on_class_path = {self._path(unquote(path)) for jar in launchers for path in jar.class_path}
        return games | {path for path in on_class_path if path.parent == self._real}

    def _path(self, name: str) -> Path:
        return Path(os.path.normpath(self._real / name))

    def _game_of(self, launcher: str, jars: Mapping[str, ServerJar]) -> ServerJar | None:
        """Return the vanilla jar that a launcher loads, if that is known."""
        games = self._games(jars) or {self._path(DEFAULT_JAR)}
        found = (read_server_jar(path) for path in sorted(games) if path != self._path(launcher) and path.is_file())
        return next((jar for jar in found if jar.kind is JarKind.vanilla), None)

    def _loader_command(self) -> str | None:
        """Return a command for a Forge or NeoForge without its run.sh, as panels leave it; None: there is none."""
        folders = ("libraries/net/minecraftforge/forge/*", "libraries/net/neoforged/*/*")
        found = [path for folder in folders for path in sorted(self._directory.glob(f"{folder}/unix_args.txt"))]
        if RUN_SCRIPT in self._scripts or not found:
            return None
        own = f"@{JAVA_ARGUMENTS_FILE} " if (self._directory / JAVA_ARGUMENTS_FILE).is_file() else ""
        return f"java {own}@{found[-1].relative_to(self._directory)} nogui"

    def _trace_of_mods(self) -> str | None:
        """Return a path below the directory that only a mod loader has; None: there is none."""
        for name in _jars_in(self._directory / "mods"):
            return f"mods/{name}"
        for folder in LOADER_LIBRARIES:
            if (self._directory / "libraries" / folder).is_dir():
                return f"libraries/{folder}"
        return None


def _jar_names(directory: Path) -> list[str]:
    """Return the names of the jars, server.jar first; a file with several names (links) by its first one only."""
    found: dict[object, str] = {}
    for name in sorted(_jars_in(directory), key=lambda name: (name != DEFAULT_JAR, name)):
        try:
            status = (directory / name).stat()
        except OSError:  # it may not be looked at
            found[name] = name
        else:
            found.setdefault((status.st_dev, status.st_ino), name)
    return list(found.values())


def _jars_in(directory: Path) -> list[str]:
    """Return the names of the jars in a directory, without hidden ones, which macOS leaves in archives.

    :raises OSError: it cannot be read.
    """
    try:
        return sorted(path.name for path in directory.iterdir() if path.match("[!.]*.jar") and _may_be_file(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # it may not be looked at
        return True


def _starts_server(path: Path) -> bool:
    """Return whether there is a start script that is not zeroscale's own; one that cannot be read is taken for one."""
    try:
        return not read_start_script(path).starts_zeroscale
    except OSError:
        return path.is_file()


def _starts_loader(path: Path) -> bool:
    try:
        return read_start_script(path).starts_loader
    except OSError:
        return False


def _is_installer(name: str, jar: ServerJar) -> bool:
    return jar.kind is JarKind.installer or re.search(r"(?:^|-)installer\.jar$", name) is not None


def _argument(jar: str) -> str:
    return f"-a {shlex.quote(f'jar={jar}')}"


def _is_shim(name: str) -> bool:
    return name.endswith("-shim.jar")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED_AT_MOST]) + (", ..." if len(names) > NAMED_AT_MOST else "")
