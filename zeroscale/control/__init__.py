"""The admin socket and the metrics of the running proxy."""
