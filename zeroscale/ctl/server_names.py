"""Which server is meant where words follow that are not ours to read."""

from __future__ import annotations

from collections.abc import Sequence

from zeroscale.ctl.client import Channel
from zeroscale.reports import ProxyReport


def server_names(channel: Channel) -> tuple[str, ...]:
    """The names of all servers.

    :raises ZeroscaleError: there is no answer.
    """
    return tuple(each.name for each in channel.ask(ProxyReport, "status").servers)


def split_words(channel: Channel, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The server's name, where the first word is one or has to be, and what follows it.

    :returns: None for the name where it was left out.
    :raises ZeroscaleError: there is no answer.
    """
    names = server_names(channel)
    if words and (words[0] in names or len(names) > 1):
        return words[0], list(words[1:])
    return None, list(words)
