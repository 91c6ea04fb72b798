"""Plugin kubernetes: a Deployment or StatefulSet."""

from zeroscale.plugins.kubernetes.server import Server

__all__ = ["Server"]
