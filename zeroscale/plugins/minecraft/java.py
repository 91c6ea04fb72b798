"""Which Java a server needs, as its log says it, where to get it, and which one is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

FIRST_CLASS_FILE_VERSION = 44
"""Class files of Java N have version 44 + N (JVM specification, table 4.1-A)."""

_CLASS_FILE = r"UnsupportedClassVersionError.*version (\d+)"
_NEEDED = (
    r"requires running the server with Java (\d+)"  # Paper: io.papermc.paperclip.Main
    r"|requires at least Java (\d+)"  # Spigot: org.bukkit.craftbukkit.Main
    r"|Current Java is \d+ but we require at least (\d+)"  # Forge: net.minecraftforge.bootstrap.shim.Main
    r"|requires version (\d+) or later of '[^']*' \(java\)"  # Fabric and Quilt, of a mod or the game
)
_VERSION = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)
RELEASE_FILE_AT_MOST = 65536
"""Bytes of a file `release` that are read; that of OpenJDK 25 has 1300."""

_NEWEST = r"Unsupported Java detected.*Only up to Java (\d+) is supported"  # Spigot and Paper


def needed_java(lines: Iterable[str]) -> int | None:
    """Return the oldest Java with which a server would start, such as 21; None: its log does not say.

    :param lines: the last lines of its log.
    """
    needed = []
    for line in lines:
        if class_file := re.search(_CLASS_FILE, line):
            needed.append(int(class_file[1]) - FIRST_CLASS_FILE_VERSION)
        if found := re.search(_NEEDED, line):
            needed.append(int(found[found.lastindex or 0]))
    return max(needed, default=None)


def newest_java(lines: Iterable[str]) -> int | None:
    """Return the newest Java with which a server would start; None: its log does not say."""
    found = (re.search(_NEWEST, line) for line in lines)
    return min((int(each[1]) for each in found if each), default=None)


def installed_java(program: str) -> int | None:
    """Return the version of a `java`, such as 17 (8 for 1.8), without running it; None: not known.

    A Java's directory has a file `release` with its JAVA_VERSION (OpenJDK, JEP 223); a wrapper around a Java has none.

    :param program: its path, which may be a link.
    """
    home = Path(program).resolve().parent.parent
    for directory in (home, home.parent):  # Java 8 also has jre/bin/java
        try:
            with (directory / "release").open(errors="replace") as release:
                found = _VERSION.search(release.read(RELEASE_FILE_AT_MOST))
        except OSError:
            continue
        if found:
            return int(found[1])
    return None


def how_to_install(needed: int | None) -> str:
    """Return what to do, for a message.

    No package is named that may be too old, such as default-jre-headless, which is Java 17 in Debian 12.

    :param needed: the oldest Java that will do; None: not known.
    """
    if needed is None:
        return "install a Java runtime that is new enough for the server (https://adoptium.net)"
    return (
        f"install Java {needed} or newer (https://adoptium.net, or apt install openjdk-{needed}-jre-headless where "
        "the system has that package)"
    )
