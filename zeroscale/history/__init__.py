"""The history: what happened to each server, kept in an SQLite file in its state directory, and read again."""
