"""One real server's life."""
