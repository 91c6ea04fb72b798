"""zeroscale: a scale-to-zero proxy. What a plugin's author needs is importable from here."""

from zeroscale.errors import PluginError
from zeroscale.status import Status
from zeroscale.version import VERSION as __version__

__all__ = ["PluginError", "Status", "__version__"]
