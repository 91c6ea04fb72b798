"""Kinds of server, one module or package each. Plain asyncio, no Twisted."""
