"""Which Java a server needs, by its log, and which one is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.plugins.minecraft.java import how_to_install, installed_java, needed_java, newest_java

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


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ('JAVA_VERSION="25"\n', 25),
        ('IMPLEMENTOR="x"\nJAVA_VERSION="21.0.1"\n', 21),
        ('JAVA_VERSION="1.8.0_392"\n', 8),
        ('JAVA_RUNTIME_VERSION="21"\n', None),
        ("\0\xff", None),
    ],
)
def test_the_java_that_is_installed(tmp_path: Path, release: str, version: int | None) -> None:
    (tmp_path / "jre" / "bin").mkdir(parents=True)
    (tmp_path / "release").write_text(release)
    (tmp_path / "java").symlink_to("jre/bin/java")
    assert installed_java(str(tmp_path / "jre" / "bin" / "java")) == version
    assert installed_java(str(tmp_path / "java")) == version


def test_a_java_without_its_file_is_not_known(tmp_path: Path) -> None:
    assert installed_java(str(tmp_path / "a" / "b" / "bin" / "java")) is None
