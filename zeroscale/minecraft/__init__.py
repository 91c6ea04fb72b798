"""The files of a Minecraft server's directory."""
