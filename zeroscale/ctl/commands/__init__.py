"""The commands of `zeroscalectl`, one module each."""
