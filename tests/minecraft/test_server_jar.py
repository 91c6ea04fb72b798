"""What a jar says about itself."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jars import FABRIC, VANILLA, main_class, version, write_jar
from java_files import MANIFESTS

from zeroscale.minecraft.server_jar import JarKind, ServerJar, parse_manifest, read_server_jar


def jar(tmp_path: Path, manifest: str | bytes | None, files: Mapping[str, str | bytes] | None = None) -> ServerJar:
    return read_server_jar(write_jar(tmp_path / "server.jar", manifest, files))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("net.minecraft.bundler.Main", JarKind.vanilla),
        ("net.minecraft.server.Main", JarKind.vanilla),
        ("net.minecraft.server.MinecraftServer", JarKind.vanilla),
        ("net.minecraft.client.main.Main", JarKind.other),
        ("net.minecraft.launchwrapper.Launch", JarKind.launcher),
        ("net.fabricmc.loader.impl.launch.server.FabricServerLauncher", JarKind.launcher),
        ("net.fabricmc.loader.launch.server.FabricServerLauncher", JarKind.launcher),
        ("net.fabricmc.loader.launch.knot.KnotServer", JarKind.launcher),
        ("net.fabricmc.installer.ServerLauncher", JarKind.launcher),
        ("net.fabricmc.installer.Main", JarKind.installer),
        ("org.quiltmc.loader.impl.launch.server.QuiltServerLauncher", JarKind.launcher),
        ("org.quiltmc.installer.Main", JarKind.installer),
        ("cpw.mods.fml.relauncher.ServerLaunchWrapper", JarKind.launcher),
        ("net.minecraftforge.fml.relauncher.ServerLaunchWrapper", JarKind.launcher),
        ("net.minecraftforge.server.ServerMain", JarKind.launcher),
        ("net.minecraftforge.bootstrap.shim.Main", JarKind.launcher),
        ("net.minecraftforge.installer.SimpleInstaller", JarKind.installer),
        ("net.neoforged.serverstarterjar.Main", JarKind.other),
        ("io.papermc.paperclip.Main", JarKind.other),
        ("org.bukkit.craftbukkit.Main", JarKind.other),
        ("com.mohistmc.MohistMCStart", JarKind.other),
        ("io.izzel.arclight.server.Launcher", JarKind.other),
        ("net/minecraft/server/Main", JarKind.vanilla),
        ("net.minecraftserver.Main", JarKind.other),
    ],
)
def test_what_it_is_by_its_main_class(tmp_path: Path, name: str, kind: JarKind) -> None:
    found = jar(tmp_path, main_class(name))
    assert (found.kind, found.main_class, found.problem) == (kind, name.replace("/", "."), "")


@pytest.mark.parametrize("folder", ["cpw/mods/fml", "net/minecraftforge/common", "net/fabricmc/loader"])
def test_a_vanilla_jar_that_a_loader_was_put_into_is_not_vanilla(tmp_path: Path, folder: str) -> None:
    found = jar(tmp_path, main_class("net.minecraft.server.MinecraftServer"), {f"{folder}/Loader.class": b""})
    assert found.kind is JarKind.other


def test_its_version_and_class_path(tmp_path: Path) -> None:
    found = jar(tmp_path, main_class("a.B", Class_Path="a.jar libraries/b%20c.jar"), version(21))
    assert (found.class_path, found.has_version, found.java_version) == (("a.jar", "libraries/b%20c.jar"), True, 21)
    found = jar(tmp_path, VANILLA)
    assert (found.class_path, found.has_version, found.java_version) == ((), False, None)


@pytest.mark.parametrize(
    "text",
    [
        b'{"id": "1.16.5"}',
        b'{"java_version": "new"}',
        b'{"java_version": -8}',
        b'{"java_version": 1000}',
        b'{"java_version": true}',
        b'{"java_version": null}',
        b'{"java_version": {"majorVersion": 21}}',
        b"[21]",
        b"21",
        b"",
        b"\xff",
        b'{"java_version": 21' + b" " * 100_000 + b"}",
        b"[" * 50_000,
    ],
)
def test_a_version_file_without_a_java_version(tmp_path: Path, text: bytes) -> None:
    found = jar(tmp_path, VANILLA, {"version.json": text})
    assert (found.kind, found.has_version, found.java_version) == (JarKind.vanilla, True, None)


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        (None, "it has no manifest"),
        ("Manifest-Version: 1.0\n", "it names no Main-Class"),
        ("", "it names no Main-Class"),
        (b"\xff\xfe\x00", "it names no Main-Class"),
    ],
)
def test_a_jar_without_a_main_class(tmp_path: Path, manifest: str | bytes | None, problem: str) -> None:
    found = jar(tmp_path, manifest)
    assert (found.kind, found.problem) == (JarKind.unreadable, problem)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.touch(), "it is no valid zip archive (File is not a zip file)"),
        (lambda path: path.write_text("<html>404</html>"), "it is no valid zip archive (File is not a zip file)"),
        (lambda path: path.mkdir(), "it is not a regular file"),
        (os.mkfifo, "it is not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_jar(tmp_path: Path, make: object, problem: str) -> None:
    assert callable(make)
    make(tmp_path / "server.jar")
    assert read_server_jar(tmp_path / "server.jar") == ServerJar(kind=JarKind.unreadable, problem=problem)


def test_a_jar_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    assert jar(tmp_path, VANILLA).kind is JarKind.vanilla
    assert jar(tmp_path, main_class("io.papermc.paperclip.Main")).kind is JarKind.other
    (tmp_path / "server.jar").unlink()
    assert read_server_jar(tmp_path / "server.jar").kind is JarKind.unreadable


def test_a_jar_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = jar(tmp_path, VANILLA)
    monkeypatch.setattr("zeroscale.minecraft.server_jar.open_other", None)
    assert read_server_jar(tmp_path / "server.jar") is found


def test_a_link_is_followed(tmp_path: Path) -> None:
    write_jar(tmp_path / "paper-1.21.4-232.jar", VANILLA)
    (tmp_path / "server.jar").symlink_to("paper-1.21.4-232.jar")
    assert read_server_jar(tmp_path / "server.jar").kind is JarKind.vanilla


def test_the_digests_of_a_signed_jar_are_not_read(tmp_path: Path) -> None:
    digests = "".join(f"Name: net/minecraft/{number}.class\nSHA-256-Digest: {'x' * 44}\n\n" for number in range(20_000))
    path = tmp_path / "server.jar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/MANIFEST.MF", VANILLA + "\n" + digests)
    assert read_server_jar(path).kind is JarKind.vanilla


# The manifest; tests/peers/test_java.py compares it with Java's reading.


@pytest.mark.parametrize(("manifest", "name"), MANIFESTS)
def test_the_main_class_of_a_manifest(tmp_path: Path, manifest: bytes, name: str) -> None:
    assert jar(tmp_path, manifest).main_class == name


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_and_continued_lines(end: str) -> None:
    text = "Manifest-Version: 1.0\nMain-Class: net.minecraft.\n bundler.Main\nClass-Path: a.jar \n b.jar\n"
    text += "\nName: x\nMain-Class: no\n"
    assert parse_manifest(text.replace("\n", end).encode()) == {
        "manifest-version": "1.0",
        "main-class": "net.minecraft.bundler.Main",
        "class-path": "a.jar b.jar",
    }


def test_a_letter_that_is_cut_by_the_end_of_a_line() -> None:
    first, second = "ü".encode()
    assert parse_manifest(b"Main-Class: " + bytes([first]) + b"\r\n " + bytes([second]) + b"\r\n") == {
        "main-class": "ü"
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest(content: bytes) -> None:
    assert isinstance(parse_manifest(content), dict)


@given(st.text(st.characters(min_codepoint=33, blacklist_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=200))
def test_a_value_of_any_length_as_java_writes_it(value: str) -> None:
    line = f"Main-Class: {value}".encode()
    lines = [line[:70], *(b" " + line[start : start + 69] for start in range(70, len(line), 69))]
    assert parse_manifest(b"\r\n".join(lines) + b"\r\n\r\n")["main-class"] == value


def test_an_error_of_the_system_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jar(tmp_path / "server.jar", FABRIC)

    def fail(*_: object) -> BinaryIO:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr("zeroscale.minecraft.server_jar.open_other", fail)
        assert read_server_jar(path) == ServerJar(kind=JarKind.unreadable, problem="Too many open files")
    assert read_server_jar(path).kind is JarKind.launcher
