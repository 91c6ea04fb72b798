"""`zeroscalectl`, the operator's command-line tool."""
