"""Plugin docker: a container."""

from zeroscale.plugins.docker.server import Server

__all__ = ["Server"]
