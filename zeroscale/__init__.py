"""A scale-to-zero proxy. The names that plugin authors need can be imported from here, which is cheap."""

import sys

if sys.platform == "win32":
    raise SystemExit(
        "zeroscale does not run on Windows itself. It runs in the Windows Subsystem for Linux (WSL): "
        "'wsl --install' installs that; then install zeroscale there, as on any Linux."
    )

from zeroscale.errors import PluginError
from zeroscale.plugins.api import (
    Adoptable,
    Checkable,
    Closable,
    ControlsOthers,
    Doubtable,
    HasConsole,
    HasFakeStatus,
    HasProtocol,
    HasReadyLine,
    HasServerAddress,
    InterruptibleStart,
    LoadBalanced,
    Pausable,
    Plugin,
    ProposesSigterm,
    Remote,
    ReportsOutput,
    ReportsPauses,
    ReportsPlayers,
    ReportsStarts,
    ReportsUsage,
    Signalable,
    Waitable,
)
from zeroscale.status import Status
from zeroscale.version import VERSION as __version__

__all__ = [
    "Adoptable",
    "Checkable",
    "Closable",
    "ControlsOthers",
    "Doubtable",
    "HasConsole",
    "HasFakeStatus",
    "HasProtocol",
    "HasReadyLine",
    "HasServerAddress",
    "InterruptibleStart",
    "LoadBalanced",
    "Pausable",
    "Plugin",
    "PluginError",
    "ProposesSigterm",
    "Remote",
    "ReportsOutput",
    "ReportsPauses",
    "ReportsPlayers",
    "ReportsStarts",
    "ReportsUsage",
    "Signalable",
    "Status",
    "Waitable",
    "__version__",
]
