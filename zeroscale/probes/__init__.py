"""Probes: check by Minecraft's status, by TCP, by HTTP or by a command whether a server is up."""
