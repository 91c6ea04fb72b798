"""Split command-line words into a server's name and the free text that follows it."""

from __future__ import annotations

from collections.abc import Sequence

from zeroscale.ctl.client import ControlClient
from zeroscale.reports import ProxyReport


def server_names(client: ControlClient) -> tuple[str, ...]:
    """Return the names of all servers.

    :raises ZeroscaleError: there was no answer.
    """
    return tuple(each.name for each in client.ask(ProxyReport, "status").servers)


def split_words(client: ControlClient, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split words into a server's name and the rest.

    The first word is the name if a server has it, or if there are several servers.

    :return: the name, None where it was omitted, and the remaining words.
    :raises ZeroscaleError: there was no answer.
    """
    names = server_names(client)
    if words and (words[0] in names or len(names) > 1):
        return words[0], list(words[1:])
    return None, list(words)
