"""Plugin wake_on_lan: another machine."""

from zeroscale.plugins.wake_on_lan.server import Server

__all__ = ["Server"]
