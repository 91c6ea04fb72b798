"""Whether a server is up: asked by its protocol, by TCP or by a command."""
