"""What the relay costs, beside a direct connection and other people's relays: `python -m benchmarks.relay`."""
