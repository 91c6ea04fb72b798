"""A program that sends one notification through the library apprise, which takes too much memory for the proxy.

`python -m zeroscale.notify.apprise_program` reads `{"url": ..., "title": ..., "body": ...}` from its standard input:
every user of the machine could read a URL on a command line. What the library logs may have it, too, and is not shown.
"""

from __future__ import annotations

import json
import logging
import sys

EX_USAGE, EX_UNAVAILABLE, EX_TEMPFAIL = 64, 69, 75
"""Exit codes of sysexits.h: the URL is wrong, the library is missing, it was not delivered."""


def main() -> int:
    """Send the notification and return the exit code."""
    request = json.load(sys.stdin)
    logging.disable()
    try:
        import apprise
    except ImportError:
        return _failed("the library apprise is not installed: install zeroscale's extra notify", EX_UNAVAILABLE)
    sender = apprise.Apprise()
    if not sender.add(request["url"]):
        return _failed("apprise does not understand the URL", EX_USAGE)
    # Its own interpretation of the text would replace escape sequences and emojis.
    if not sender.notify(title=request["title"], body=request["body"], body_format=apprise.NotifyFormat.TEXT):
        return _failed("apprise could not deliver it", EX_TEMPFAIL)
    return 0


def _failed(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
