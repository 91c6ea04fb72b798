"""Every exception of ours. Each message is one line that a person can act on; only `ConfigMistakes` has several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping


class ZeroscaleError(Exception):
    """The base of all of them; `str()` of any is fit to be shown to the operator."""


class ConfigError(ZeroscaleError):
    """What we were told cannot be done: a bad option, file, port or directory."""


class MissingDependency(ConfigError):
    """A library that a plugin needs is not installed; the message says what to install."""


class ConfigMistakes(ConfigError):
    """All that is wrong with a configuration, one line each.

    :ivar mistakes: the lines; `str()` has them one below the other.
    :ivar usage: whether what people wrote is wrong; otherwise only what is around it: a file, a missing library.
    """

    def __init__(self, mistakes: Iterable[str], *, usage: bool = True) -> None:
        self.mistakes = tuple(mistakes)
        self.usage = usage
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


MOST_SUGGESTED = 3
"""Words that begin like the unknown one; more would be a list to read."""


def suggest(
    word: str,
    known: Iterable[str],
    aliases: Mapping[str, str] = {},
    *,
    show: Callable[[str], str] = repr,
    most: int = 1,
) -> str:
    """Return "did you mean X?" for a word that is not known; empty where nothing resembles it.

    Letter case does not count, nor whether there are hyphens or underscores. Aliases come first, then likeness, then
    known words that begin with the word.

    :param known: the words that could be meant.
    :param aliases: other words that people use for known ones.
    :param show: how a known word is written in the answer.
    :param most: how many words that resemble it are named.
    """
    import difflib  # for mistakes only

    meant = {_plain(alias): target for alias, target in aliases.items()} | {_plain(each): each for each in known}
    plain = _plain(word)
    if plain in meant:
        found = [meant[plain]]
    else:
        found = [meant[like] for like in difflib.get_close_matches(plain, meant, n=most)]
        found = found or [
            each for like, each in meant.items() if plain and like == _plain(each) and like.startswith(plain)
        ]
    shown = [show(each) for each in dict.fromkeys(found)][:MOST_SUGGESTED]
    return f"did you mean {' or '.join(shown)}?" if shown else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
