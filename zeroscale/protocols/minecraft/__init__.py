"""The Minecraft Java protocol, every version from Beta 1.8 on."""
