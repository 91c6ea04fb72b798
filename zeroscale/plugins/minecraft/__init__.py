"""Plugin minecraft: a Minecraft server as a child process."""

from zeroscale.plugins.minecraft.server import Server

__all__ = ["Server"]
