"""Secrets that the configuration only refers to: passwords and tokens in a file or in the environment.

`{ file = "/run/secrets/x" }` or `{ env = "NAME" }` can be written where a text is expected. The text is not shown, not
even by `repr()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zeroscale.errors import ConfigError
from zeroscale.system.files import read_configured

LONGEST = 64 * 1024
"""Bytes of a secret; keys and certificates are under 16 KiB."""


class Secret(str):
    """A text that must not be shown.

    :ivar source: where it was read.
    """

    __slots__ = ("source",)

    source: str

    def __new__(cls, text: str, source: str) -> Secret:
        """Make a secret; see the class."""
        secret = super().__new__(cls, text)
        secret.source = source
        return secret

    def __repr__(self) -> str:
        return f"<{self.source}>"


def is_reference(value: object) -> bool:
    """Return whether a value of the file is a reference to a secret."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("file", "env")


def resolve(reference: Mapping[str, object], base: Path, environment: Mapping[str, str]) -> Secret:
    """Return the text that a reference names; of a file, without the line break at its end.

    :param base: the directory that a relative path starts from.
    :raises ConfigError: there is no such file or variable, or it is not a text.
    """
    [(kind, name)] = reference.items()
    if not isinstance(name, str) or not name or "\0" in name:
        what = "a path" if kind == "file" else "the name of a variable"
        raise ConfigError(f"{kind} must be {what}")
    if kind == "env":
        if name not in environment:
            raise ConfigError(f"there is no {name} in the environment")
        return Secret(environment[name], f"from the environment's {name}")
    path = base / name
    content = read_configured(path, LONGEST)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
    return Secret(text.removesuffix("\n").removesuffix("\r"), f"from {path}")
