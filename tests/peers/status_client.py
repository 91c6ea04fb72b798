"""Asks a server for its status with a third-party client from PyPI, and prints what that client understood.

    python status_client.py minestat JSON|EXTENDED_LEGACY|LEGACY|BETA PORT
    python status_client.py mctools JSON PORT

A program of its own, because the clients cannot all be installed in one environment. Prints a JSON object with
`motd`, `online`, `maximum` and `version`, each null where the client's dialect has no such thing.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Asks, and prints."""
    client, dialect, port = sys.argv[1:]
    answer = ask_minestat(dialect, int(port)) if client == "minestat" else ask_mctools(int(port))
    sys.stdout.write(json.dumps(answer) + "\n")


def ask_minestat(dialect: str, port: int) -> dict[str, Any]:
    """minestat, in any of its four dialects of the server list ping."""
    minestat = import_module("minestat")
    server = minestat.MineStat("127.0.0.1", port, 5, minestat.SlpProtocols[dialect], False)
    if not server.online:
        raise SystemExit(f"minestat says that the server is not online: {server.connection_status}")
    return {
        # it leaves codes that stand in the `text` of an object, as those of a vanilla server do
        "motd": server.motd_strip_formatting(server.stripped_motd),
        "online": int(server.current_players),
        "maximum": int(server.max_players),
        "version": server.version,
    }


def ask_mctools(port: int) -> dict[str, Any]:
    """mctools, which speaks the modern dialect only, status and ping in one go."""
    mctools = import_module("mctools")
    client = mctools.PINGClient("127.0.0.1", port, timeout=5, format_method=mctools.PINGClient.REMOVE)
    stats = client.get_stats()
    return {
        "motd": stats["description"],
        "online": stats["players"]["online"],
        "maximum": stats["players"]["max"],
        "version": stats["version"]["name"],
    }


if __name__ == "__main__":
    main()
