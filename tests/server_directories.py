"""The directories of tests/fixtures/server_directories, made from their descriptions."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jars import write_jar

FOLDER = Path(__file__).parent / "fixtures" / "server_directories"


@dataclass(frozen=True, kw_only=True)
class ServerDirectory:
    """A server's directory, and what is started in it.

    :ivar about: what has left it so.
    :ivar command: the plugin's command line; empty: it refuses.
    :ivar init: what `init` writes as the plugin's arguments, besides `memory`.
    :ivar not_run: start scripts that `init` says are not run.
    :ivar refuses: parts of the message with which plugin and `init` refuse; empty: they do not.
    :ivar files: text files by path.
    :ivar jars: jars by path: their manifest, and the files in them.
    """

    about: str
    command: str = ""
    init: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
    refuses: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    jars: dict[str, dict[str, Any]] = field(default_factory=dict)

    def make(self, path: Path) -> Path:
        """Make the directory."""
        path.mkdir(parents=True)
        for name, text in self.files.items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for name, jar in self.jars.items():
            write_jar(path / name, jar["manifest"], jar.get("files"))
        return path


DIRECTORIES = {path.stem: ServerDirectory(**tomllib.loads(path.read_text())) for path in sorted(FOLDER.glob("*.toml"))}
