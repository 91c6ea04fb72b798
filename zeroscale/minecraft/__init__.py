"""Read a Minecraft server's own files. Never written."""
