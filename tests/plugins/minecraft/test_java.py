"""Which Java a server needs, by its log."""

from __future__ import annotations

import pytest

from zeroscale.plugins.minecraft.java import how_to_install, needed_java, newest_java

CLASS_FILE = (
    "Error: LinkageError occurred while loading main class net.minecraft.bundler.Main\n"
    "\tjava.lang.UnsupportedClassVersionError: net/minecraft/bundler/Main has been compiled by a more recent version "
    "of the Java Runtime (class file version 65.0), this version of the Java Runtime only recognizes class file "
    "versions up to 61.0"
)
JAVA_7 = 'Exception in thread "main" java.lang.UnsupportedClassVersionError: a/B : Unsupported major.minor version 52.0'
PAPER = (
    "Minecraft 1.21.4 requires running the server with Java 21 or above. Download Java 21 (or above) from "
    "https://adoptium.net/"
)
SPIGOT = (
    "Unsupported Java detected (55.0). This version of Minecraft requires at least Java 17. Check your Java version "
    "with the command 'java -version'."
)
SHIM = 'Exception in thread "main" java.lang.IllegalStateException: Current Java is 17 but we require at least 21'
FABRIC = (
    "\t - Mod 'Fabric API' (fabric-api) 0.114.0 requires version 21 or later of 'OpenJDK 64-Bit Server VM' (java), but "
    "only the wrong version is present: 17!"
)
TOO_NEW = "Unsupported Java detected (65.0). Only up to Java 19 is supported."


@pytest.mark.parametrize(
    ("log", "needed"),
    [
        (CLASS_FILE, 21),
        (JAVA_7, 8),
        (PAPER, 21),
        (SPIGOT, 17),
        (SHIM, 21),
        (FABRIC, 21),
        (f"{SPIGOT}\n{PAPER}", 21),
        (TOO_NEW, None),
        ("Starting minecraft server version 1.21.4", None),
        ("[main/INFO]: Loading Java 21 support", None),
        ("", None),
    ],
)
def test_the_oldest_java(log: str, needed: int | None) -> None:
    assert needed_java(log.splitlines()) == needed


@pytest.mark.parametrize(("log", "newest"), [(TOO_NEW, 19), (SPIGOT, None), ("", None)])
def test_the_newest_java(log: str, newest: int | None) -> None:
    assert newest_java(log.splitlines()) == newest


def test_no_package_is_named_that_may_be_too_old() -> None:
    assert "openjdk-25-jre-headless" in how_to_install(25)
    assert "default-jre" not in how_to_install(25) and "apt" not in how_to_install(None)
