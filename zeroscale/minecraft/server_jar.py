"""Tell by a jar's manifest what it is: a vanilla server, a mod loader's launcher, an installer, or something else.

What it is called says nothing: a launcher is often renamed to server.jar, because panels start that. The names of the
classes and their sources: docs/protocol.md, "The server's process".
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from zeroscale.system.files import open_other

if TYPE_CHECKING:
    from zeroscale.minecraft.zip_archive import ZipArchive

MANIFEST = "META-INF/MANIFEST.MF"
VERSION_FILE = "version.json"

LONGEST_MANIFEST = 64 * 1024
"""Bytes that are read: the main section comes first, and has 5 KiB with a long Class-Path. In a signed jar megabytes of
digests follow."""

LONGEST_VERSION_FILE = 64 * 1024
"""Bytes; the game's has 500."""

REMEMBERED = 200
"""Jars; a start asks for each jar of the directory several times."""

LAUNCHERS = (
    "net.fabricmc.loader.",
    "net.fabricmc.installer.ServerLauncher",
    "org.quiltmc.loader.",
    "cpw.mods.",
    "net.minecraftforge.fml.",
    "net.minecraftforge.server.",
    "net.minecraftforge.bootstrap.",
    "net.minecraft.launchwrapper.",
)
"""How the main classes begin that start a mod loader."""

INSTALLERS = ("net.fabricmc.installer.", "org.quiltmc.installer.", "net.minecraftforge.installer.")
"""How the main classes begin that only install a server. NeoForge's installer is Forge's."""

GAME = "net.minecraft."
CLIENT = "net.minecraft.client."

LOADER_FOLDERS = ("cpw/mods/fml/", "net/minecraftforge/", "net/fabricmc/")
"""Folders in a jar of the game that a loader has been put into, as Forge up to 1.5 was: its main class stays the
game's."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


class JarKind(Enum):
    """What is started by `java -jar`.

    :cvar vanilla: the game's own server.
    :cvar launcher: a mod loader, which starts the game with mods.
    :cvar installer: a program that installs a loader.
    :cvar other: another program, such as Paper, or a hybrid with a loader in it, such as Mohist.
    :cvar unreadable: not known.
    """

    vanilla = auto()
    launcher = auto()
    installer = auto()
    other = auto()
    unreadable = auto()


class ServerJar(Struct, frozen=True, kw_only=True):
    """What a jar says about itself.

    :ivar kind: what it starts.
    :ivar main_class: its Main-Class; empty if it is not known.
    :ivar class_path: the paths in its Class-Path, relative to the jar's directory.
    :ivar has_version: whether it has the game's version.json.
    :ivar java_version: the Java that version.json asks for, such as 21; None: it does not say.
    :ivar problem: why its manifest cannot be read, for a message; empty if it can.
    """

    kind: JarKind
    main_class: str = ""
    class_path: tuple[str, ...] = ()
    has_version: bool = False
    java_version: int | None = None
    problem: str = ""


def read_server_jar(path: Path) -> ServerJar:
    """Read a jar, again only when it has changed. Never raises: one that cannot be read is `JarKind.unreadable`."""
    try:
        found = path.stat()
        return _read(path, (found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns))
    except OSError as error:
        return ServerJar(kind=JarKind.unreadable, problem=error.strerror or str(error))


@lru_cache(maxsize=REMEMBERED)
def _read(path: Path, stamp: tuple[int, ...]) -> ServerJar:
    """Read a jar.

    :param stamp: changes with its content and its permissions.
    :raises OSError: it cannot be read now; that is not remembered.
    """
    from zeroscale.minecraft.zip_archive import ZipArchive  # zipfile and what it imports take 0.8 MiB

    try:
        with open_other(path) as file:
            archive = ZipArchive(file)
            manifest = archive.read_start(MANIFEST, LONGEST_MANIFEST)
            if manifest is None:
                raise ValueError("it has no manifest")
            attributes = parse_manifest(manifest)
            main_class = attributes.get("main-class", "").replace("/", ".")
            if not main_class:
                raise ValueError("it names no Main-Class")
            return ServerJar(
                kind=_kind(main_class, archive),
                main_class=main_class,
                class_path=tuple(attributes.get("class-path", "").split()),
                has_version=VERSION_FILE in archive,
                java_version=_java_version(archive),
            )
    except ValueError as error:
        return ServerJar(kind=JarKind.unreadable, problem=str(error))


def parse_manifest(content: bytes) -> dict[str, str]:
    """Return the main attributes of a manifest, by their names in lower case.

    A line that begins with a space continues the one before it (JAR File Specification, "JAR Manifest"). The main
    section ends at the first empty line.
    """
    lines: list[bytes] = []
    for line in _LINE_END.split(content):
        if not line:
            break
        if line.startswith(b" ") and lines:
            lines[-1] += line[1:]
        else:
            lines.append(line)
    pairs = (line.decode("utf-8", "replace").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _kind(main_class: str, archive: ZipArchive) -> JarKind:
    if main_class.startswith(LAUNCHERS):
        return JarKind.launcher
    if main_class.startswith(INSTALLERS):
        return JarKind.installer
    if not main_class.startswith(GAME) or main_class.startswith(CLIENT) or archive.has_below(*LOADER_FOLDERS):
        return JarKind.other
    return JarKind.vanilla


def _java_version(archive: ZipArchive) -> int | None:
    try:
        found = msgspec.json.decode(archive.read_start(VERSION_FILE, LONGEST_VERSION_FILE) or b"{}")
    except (ValueError, RecursionError):
        return None
    text = str(found.get("java_version")) if isinstance(found, dict) else ""
    return int(text) if re.fullmatch("[1-9][0-9]{0,2}", text) else None
