"""Find the processes that listen on a TCP port of this machine, or receive on a UDP port.

Without /proc no process is known, and on systems other than Linux no listener.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Collection, Iterator

from zeroscale.process import procfs, sock_diag
from zeroscale.process.sock_diag import Listener, unmapped
from zeroscale.system.accounts import account_name

NAMED_AT_MOST = 5
"""Processes that a message names."""


def listeners(port: int, host: str | None = None, *, datagrams: bool = False) -> list[Listener]:
    """Return the sockets that listen on the port, also those of other users' processes.

    :param host: only those that a connection to this address reaches; None, or a name other than localhost: all.
    :param datagrams: the port is of UDP.
    """
    found = sock_diag.listeners(port, datagrams=datagrams)
    if found is None:
        tables = ("udp", "udp6") if datagrams else ("tcp", "tcp6")
        found = [listener for table in tables for listener in _read(table, port)]
    return [listener for listener in found if listener.address.is_unspecified or _is_at(listener, host)]


def processes(
    port: int, host: str | None = None, *, among: Collection[int] | None = None, datagrams: bool = False
) -> list[int]:
    """Return the processes that listen on the port, except those that we may not inspect.

    :param host: as for `listeners`.
    :param among: look only at these processes; None: at all.
    :param datagrams: as for `listeners`.
    """
    found = listeners(port, host, datagrams=datagrams)
    return procfs.holders_of_sockets({listener.inode for listener in found}, among) if found else []


def describe(port: int, host: str | None = None, *, datagrams: bool = False) -> str | None:
    """Return who listens on the port, for a message such as "... already answers"; None: nobody is known to.

    :param host: as for `listeners`.
    :param datagrams: as for `listeners`.
    """
    found = listeners(port, host, datagrams=datagrams)
    if not found:
        return None
    holders = procfs.holders_of_sockets({listener.inode for listener in found})
    if not holders:
        command = "ss -lunp" if datagrams else "ss -ltnp"
        return f"a process of user {account_name(found[0].user_id)} (`{command}` shows it to root)"
    named = ", ".join(
        f"process {holder} ({procfs.program_name(holder) or 'unknown'})" for holder in holders[:NAMED_AT_MOST]
    )
    return named + (" and others" if len(holders) > NAMED_AT_MOST else "")


def _read(table: str, port: int) -> Iterator[Listener]:
    try:
        content = (procfs.PROC / "net" / table).read_bytes()
    except OSError:
        return
    state = b"07" if table.startswith("udp") else b"0A"
    # sl, local address, remote address, state (include/net/tcp_states.h: 0A, for UDP 07), queues, timer, retransmits,
    # uid, timeout, inode. The table has each connection of the machine.
    pattern = rb"^ *[0-9]+: ([0-9A-F]+):%04X [0-9A-F:]+ %b \S+ \S+ \S+ +([0-9]+) +[0-9]+ ([0-9]+) " % (port, state)
    for address, user_id, inode in re.findall(pattern, content, re.MULTILINE):
        yield Listener(inode=int(inode), user_id=int(user_id), address=_address(address))


def _address(digits: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address of the table, which has each 32 bits of it in the order of the processor."""
    words = [int(digits[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8)]
    return unmapped(b"".join(words))


def _is_at(listener: Listener, host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is None or listener.address.is_loopback
    try:
        wanted = ipaddress.ip_address(host)
    except ValueError:  # a name
        return True
    return wanted.is_unspecified or listener.address == wanted
