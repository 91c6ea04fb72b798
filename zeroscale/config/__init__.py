"""The configuration file: its structs, its reader, its messages."""
