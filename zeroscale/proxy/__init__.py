"""The composition root: service, servers, ports, checks before a start, discovery."""
