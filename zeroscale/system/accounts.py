"""Names of this machine's accounts."""

from __future__ import annotations

from pathlib import Path

PASSWD = Path("/etc/passwd")


def account_name(user: int, passwd: Path = PASSWD) -> str:
    """Return the name of the account of this user id, else the id as text.

    Only the file is read, not the other sources that the system may have: a directory server that does not answer would
    stop the reactor.
    """
    try:
        lines = passwd.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return str(user)
    for line in lines:
        name, _, rest = line.partition(":")
        if rest.split(":")[1:2] == [str(user)]:
            return name
    return str(user)
