"""Cost of the relay, compared with a direct connection and with other relays: `python -m benchmarks.relay`."""
