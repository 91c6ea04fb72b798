"""The log of one server: each line begins with the server's name."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class ServerLog(_Adapter):
    """Logs what happens to one server; `server` is a field of each record.

    :param name: the server's name.
    """

    def __init__(self, logger: logging.Logger, name: str) -> None:
        super().__init__(logger, {"server": name})
        self._prefix = name.replace("%", "%%") + ": "

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the name to a message, and the fields of the record to its own."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return f"{self._prefix}{msg}", kwargs
