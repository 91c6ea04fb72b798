"""The operator's tool, `zeroscalectl`: a program of its own."""
