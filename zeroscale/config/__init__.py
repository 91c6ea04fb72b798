"""The configuration: its keys, the reader for files, options and labels, and the messages about mistakes."""
