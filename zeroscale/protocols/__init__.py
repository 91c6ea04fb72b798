"""Sans-I/O protocol parsers: bytes in, events out, replies as bytes. No clock, no log, no transport."""
