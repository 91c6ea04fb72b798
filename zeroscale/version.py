"""The version and the distribution's name, in a module that imports nothing, so that the build can read it."""

VERSION = "0.1.0"

DISTRIBUTION = "zeroscale-proxy"
"""What pip calls this; `OLDER` is another program, whose package and command have the same names as ours."""

OLDER = "zeroscale"
