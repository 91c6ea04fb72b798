"""Child processes that survive the proxy."""
