"""Makes small jars from text, so that no binary file has to be kept."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


def write_jar(path: Path, manifest: str | bytes | None, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Write a jar.

    :param manifest: what its manifest has, as it is; None: it has no manifest.
    :param files: what else is in it, by path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if manifest is not None:
            archive.writestr("META-INF/MANIFEST.MF", manifest)
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return path


def main_class(name: str, **more: str) -> str:
    """The manifest of a jar with this main class; `more` are further attributes, with `_` for a hyphen."""
    attributes = {"Manifest-Version": "1.0", "Main-Class": name, **more}
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in attributes.items())


VANILLA = main_class("net.minecraft.bundler.Main", Bundler_Format="1.0")
PAPER = main_class("io.papermc.paperclip.Main")
FABRIC = main_class("net.fabricmc.loader.impl.launch.server.FabricServerLauncher")
FORGE = main_class("net.minecraftforge.fml.relauncher.ServerLaunchWrapper")


def version(java: object = 21) -> dict[str, str]:
    """The game's version.json, which asks for this Java."""
    return {"version.json": f'{{"id": "1.21.4", "java_component": "java-runtime-delta", "java_version": {java}}}'}
