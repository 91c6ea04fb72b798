"""The zeroscale process: command line, twistd, signals, logging."""
