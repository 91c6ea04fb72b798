"""Shared code of plugins with servers that are not child processes of zeroscale."""
