"""Sans-I/O protocols: bytes in, events out, replies as bytes. No clock, no log, no transport in here."""
