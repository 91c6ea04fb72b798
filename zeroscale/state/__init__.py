"""Small files that are kept for each server, mostly in its state directory."""
