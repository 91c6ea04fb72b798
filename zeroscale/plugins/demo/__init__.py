"""Plugin demo: a small Minecraft server of our own."""

from zeroscale.plugins.demo.server import Server

__all__ = ["Server"]
