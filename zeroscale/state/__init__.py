"""Small files that are kept for each server."""
