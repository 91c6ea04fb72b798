"""Every exception of ours. Each message is one line that a person can act on; only `ConfigMistakes` has several."""

from __future__ import annotations

from collections.abc import Iterable


class ZeroscaleError(Exception):
    """The base of all of them; `str()` of any is fit to be shown to the operator."""


class ConfigError(ZeroscaleError):
    """What we were told cannot be done: a bad option, file, port or directory."""


class ConfigMistakes(ConfigError):
    """All that is wrong with a configuration, one line each.

    :ivar mistakes: the lines; `str()` has them one below the other.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class ProtocolError(ZeroscaleError):
    """The peer broke its protocol. The peer's fault: one log line, closed, nothing woken."""


class PluginError(ZeroscaleError):
    """A plugin cannot do what it was asked; the message says why and what mends it.

    Raised by plugins (also by those of other authors) from their constructor, `start()`, `stop()` or `wait()`.
    """


class StateError(ZeroscaleError):
    """What is kept on disk is held by somebody else, or cannot be written."""


class ServerUnavailable(ZeroscaleError):
    """The server will not become ready for those who wait: `str()` is the reason, for a player to read."""


class BackendError(ZeroscaleError):
    """The real server did not take the connection, or did not answer as its protocol demands."""


class RelayError(ZeroscaleError):
    """The relay cannot take or keep a pair of connections."""


class ControlError(ZeroscaleError):
    """The operator asked for what cannot be done now; the message says why."""


def lines_of(error: BaseException | None) -> list[str]:
    """Return the message of an error as the lines to show to the operator: one, or one for each mistake of a file."""
    return list(error.mistakes) if isinstance(error, ConfigMistakes) else [one_line(str(error))]


def one_line(text: str) -> str:
    """Return a text of several lines as one line, joined with semicolons."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
