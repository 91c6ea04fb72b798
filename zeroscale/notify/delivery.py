"""One attempt to deliver one notification, in the calling thread: over HTTP, or by a program.

What an outcome says of a problem has neither the URL nor anything of an answer's body in it: both may have tokens.
"""

from __future__ import annotations

import json
import os
import re
import sys

from zeroscale.errors import PluginError, ProtocolError
from zeroscale.events import ServerEvent
from zeroscale.notify import payload
from zeroscale.notify.http_post import post
from zeroscale.notify.http_url import proxy_for
from zeroscale.notify.signature import signed_headers, unsigned_headers
from zeroscale.notify.target import DeliveryOutcome, Target
from zeroscale.process.blocking_run import run_with_input
from zeroscale.process.environment import ChildEnvironment
from zeroscale.version import VERSION

TEMPORARY = frozenset({408, 425, 429})
"""The statuses from 400 to 499 after which the same request may succeed later (RFC 9110, 15.5.9; 8470; 6585)."""

LONGEST_RETRY_AFTER = 3600.0
"""Seconds: a server that wants to be left alone for longer is asked again after this time."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)

EX_TEMPFAIL = 75
"""The exit code of a program that asks for a further attempt (sysexits.h)."""

APPRISE = (sys.executable, "-P", "-m", "zeroscale.notify.apprise_program")
"""The command that sends a notification through the library apprise."""


class Delivery:
    """Delivers the notifications of one target.

    :raises ConfigError: one of its texts cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._texts = payload.templates(target.texts)

    def attempt(self, identifier: str, event: ServerEvent, now: float) -> DeliveryOutcome:
        """Try to deliver an event; this takes up to the target's time-out.

        :param identifier: the same at each attempt.
        :param now: seconds since 1970.
        """
        match self._target.kind:
            case "url":
                return self._post_json(identifier, event, now)
            case "discord":
                return self._post(payload.as_discord(event, self._texts), {}, now)
            case "apprise":
                text = payload.words(event, self._texts)
                request = {"url": self._target.apprise, "title": f"zeroscale: {event.server}", "body": text}
                return self._run(json.dumps(request).encode(), {})
            case "command":
                table = payload.as_table(identifier, event, self._texts)
                return self._run(payload.as_json(table), payload.as_variables(table))

    def _post_json(self, identifier: str, event: ServerEvent, now: float) -> DeliveryOutcome:
        body = payload.as_json(payload.as_table(identifier, event, self._texts))
        key = self._target.key
        if key is None:
            return self._post(body, unsigned_headers(identifier, int(now)), now)
        return self._post(body, signed_headers(key, identifier, int(now), body), now)

    def _post(self, body: bytes, headers: dict[str, str], now: float) -> DeliveryOutcome:
        url = self._target.url
        assert url is not None
        headers = {"Content-Type": "application/json", "User-Agent": f"zeroscale/{VERSION}", **headers}
        try:
            answer = post(url, headers, body, timeout=self._target.timeout, proxy=proxy_for(url, os.environ))
        except OSError as error:
            return DeliveryOutcome(_why(error))
        except (ProtocolError, ValueError) as error:
            return DeliveryOutcome(str(error))
        return outcome_of(*answer, now)

    def _run(self, content: bytes, variables: dict[str, str]) -> DeliveryOutcome:
        limit = self._target.timeout
        try:
            ended = run_with_input(
                self._target.command,
                directory=self._target.directory,
                environment=ChildEnvironment().build(variables),
                content=content,
                limit=limit,
            )
        except PluginError as error:
            return DeliveryOutcome(str(error))
        if ended.code is None:
            return DeliveryOutcome(f"it took more than {limit:g} s, and was killed")
        if ended.code == 0:
            return DeliveryOutcome()
        said = f": {payload.clean(ended.last_line)}" if ended.last_line else ""
        how = f"exit code {ended.code}" if ended.code > 0 else f"signal {-ended.code} has ended it"
        return DeliveryOutcome(how + said, final=ended.code != EX_TEMPFAIL)


def outcome_of(status: int, retry_after: str, now: float) -> DeliveryOutcome:
    """Return what the answer to a request means.

    :param retry_after: its header `Retry-After`, or "".
    :param now: seconds since 1970.
    """
    if 200 <= status < 300:
        return DeliveryOutcome()
    if 300 <= status < 400:
        return DeliveryOutcome(f"HTTP {status}: redirects are not followed", final=True)
    final = 400 <= status < 500 and status not in TEMPORARY
    return DeliveryOutcome(f"HTTP {status}", final=final, retry_after=None if final else _seconds(retry_after, now))


def _seconds(given: str, now: float) -> float | None:
    """Return after how many seconds a server wants to be asked again; None: it does not say.

    A server may write a date (RFC 9110, 10.2.3), and Discord writes fractions of seconds.
    """
    if _SECONDS.fullmatch(given):
        return min(float(given), LONGEST_RETRY_AFTER)
    from email.utils import parsedate_to_datetime

    try:
        seconds = parsedate_to_datetime(given).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _why(error: OSError) -> str:
    verification: str = getattr(error, "verify_message", "")
    if verification:
        return f"its certificate cannot be verified: {verification}"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return payload.clean(error.strerror or str(error))
