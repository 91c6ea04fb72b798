"""Plugin systemd_unit: a systemd unit."""

from zeroscale.plugins.systemd_unit.server import Server

__all__ = ["Server"]
