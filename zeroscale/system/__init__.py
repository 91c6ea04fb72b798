"""Facilities of the operating system: files, locks, endpoints, service manager."""
