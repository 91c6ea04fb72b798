"""The state machine of one real server: start, stop, idle time, plugin, and waiting players."""
