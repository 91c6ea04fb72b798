"""A scale-to-zero proxy. The names that plugin authors need can be imported from here, which is cheap."""

from zeroscale.errors import PluginError
from zeroscale.plugins.api import (
    Adoptable,
    Checkable,
    Closable,
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
    Signalable,
    Waitable,
)
from zeroscale.status import Status
from zeroscale.version import VERSION as __version__

__all__ = [
    "Adoptable",
    "Checkable",
    "Closable",
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
    "Signalable",
    "Status",
    "Waitable",
    "__version__",
]
