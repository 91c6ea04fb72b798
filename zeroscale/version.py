"""The version and the distribution's name, in a module that imports nothing, so that the build can read it."""

VERSION = "0.1.0"

DISTRIBUTION = "zeroscale-proxy"
"""This program's name in pip; `OLDER` is another program with the same package and command names."""

OLDER = "zeroscale"
