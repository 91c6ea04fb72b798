"""All exceptions of zeroscale, and helpers for their messages.

A message is one line that tells the operator what to do; only `ConfigMistakes` has several lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

PROCESS_LIMIT = (
    "no more processes or threads are allowed: "
    "raise TasksMax= of the service, --pids-limit of the container, or ulimit -u"
)
"""The likely cause where the kernel answers EAGAIN to a new process or thread, and the remedy."""


class ZeroscaleError(Exception):
    """Base of all exceptions of zeroscale; `str()` is the message for the operator."""


class ConfigError(ZeroscaleError):
    """The configuration cannot be used: a bad option, file, port or directory."""


class UnknownPlugin(ConfigError):
    """There is no plugin of this name."""


class MissingDependency(ConfigError):
    """A library that a plugin needs is not installed; the message says what to install."""


class ConfigMistakes(ConfigError):
    """All mistakes of a configuration.

    :ivar mistakes: one line for each; `str()` joins them with newlines.
    :ivar usage: whether the configuration itself is wrong; False: only its environment, such as a missing library.
    """

    def __init__(self, mistakes: Iterable[str], *, usage: bool = True) -> None:
        self.mistakes = tuple(mistakes)
        self.usage = usage
        super().__init__("\n".join(self.mistakes))


class ProtocolError(ZeroscaleError):
    """The peer violated its protocol. Its connection is closed with one log line, and wakes nothing."""


class PluginError(ZeroscaleError):
    """A plugin cannot do what was requested; the message says why and how to fix it.

    Raised by plugins, including third-party ones, from their constructor, `start()`, `stop()` or `wait()`.
    """


class StartRefused(PluginError):
    """A server was not started for a reason other than itself: no process or no disk space is left. It is no crash."""


class StateError(ZeroscaleError):
    """A file of the state directory is locked by another process, or cannot be written."""


class ServerUnavailable(ZeroscaleError):
    """The server will not become ready for those who wait; `str()` is why, for the operator where the operator waits.

    :param text: why.
    :ivar reason: why, for players.
    """

    def __init__(self, text: str, reason: str | None = None) -> None:
        super().__init__(text)
        self.reason = text if reason is None else reason


class BackendError(ZeroscaleError):
    """The server did not accept the connection, or its answer violated the protocol."""


class RelayError(ZeroscaleError):
    """The relay cannot relay a pair of connections."""


class ControlError(ZeroscaleError):
    """A command of the operator is impossible now; the message says why."""


def lines_of(error: BaseException | None) -> list[str]:
    """Return the message of an error as the lines to show to the operator: one, or one for each mistake of a file."""
    return list(error.mistakes) if isinstance(error, ConfigMistakes) else [one_line(str(error))]


def printed(error: BaseException | None, program: str = "zeroscale") -> str:
    """Return the message of an error as a command prints it: its name and the word error before each line."""
    return "\n".join(f"{program}: error: {line}" for line in lines_of(error))


def one_line(text: str) -> str:
    """Return a text of several lines as one line, joined with semicolons."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


MOST_SUGGESTED = 3
"""The most words named that begin like the unknown one."""


def suggest(
    word: str,
    known: Iterable[str],
    aliases: Mapping[str, str] = {},
    *,
    show: Callable[[str], str] = repr,
    most: int = 1,
) -> str:
    """Return "did you mean X?" for an unknown word; "" if no known word is similar.

    Letter case does not count, nor whether there are hyphens or underscores, nor an option's dashes. Aliases come
    first, then likeness, then known words that begin with the word.

    :param known: the words that could be meant.
    :param aliases: other words that people use for known ones.
    :param show: how a known word is written in the answer.
    :param most: how many words that resemble it are named.
    """
    import difflib  # for mistakes only

    names = {_plain(each): each for each in known}
    meant = {_plain(alias): target for alias, target in aliases.items()} | names
    plain = _plain(word)
    if plain in meant:
        found = [meant[plain]]
    else:
        near = difflib.get_close_matches(plain, meant, n=most + 3)
        # an alias is like other words by chance, as "path" is like "port"
        certain = difflib.get_close_matches(plain, near, n=most + 3, cutoff=0.76)
        found = [meant[like] for like in near if like in names or like in certain][:most]
        found = found or [each for like, each in names.items() if plain and like.startswith(plain)]
    shown = [show(each) for each in dict.fromkeys(found)][:MOST_SUGGESTED]
    return f"did you mean {' or '.join(shown)}?" if shown else ""


def _plain(word: str) -> str:
    return word.lower().lstrip("-").replace("-", "_")
