"""When a server is restarted: a cron expression in a time zone. No clock: moments are arguments, in seconds since 1970.

Imported only where a restart is configured. The rules are those of Debian's cron, also on the days on which clocks are
changed: a time of day that is left out is made up for at once, one that comes twice counts once, and what begins with
`*` in its minute or hour goes by the time that passes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim, CronSimError

LONGEST_TEXT = 200
"""Characters of an expression; a list of all minutes has 169."""

_EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)


class _SystemZone(tzinfo):
    """The system's own time zone, with all its changes: a `tzinfo` of the standard library has only one of them."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        if moment is None:
            return None
        shown = moment.replace(tzinfo=None)
        return shown.replace(fold=0) - _EPOCH - timedelta(seconds=shown.timestamp())

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None

    def fromutc(self, moment: datetime) -> datetime:
        system: tzinfo | None = None
        return datetime.fromtimestamp(moment.replace(tzinfo=UTC).timestamp(), system).replace(tzinfo=self)


_SYSTEM = _SystemZone()


def check(expression: str) -> None:
    """Check a cron expression.

    :raises ValueError: it is none of five fields, or no day matches it; the message, which may be empty, is to be
        appended to what was expected.
    """
    if len(expression) > LONGEST_TEXT or len(expression.split()) != 5:
        raise ValueError
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"; {error}") from None
    except StopIteration:
        raise ValueError("; there is no such day") from None


def next_restart(expression: str, zone: tzinfo | None, after: float) -> float | None:
    """Return the first moment after another one that an expression matches; None: there is none within 50 years.

    :param expression: one that `check` accepts.
    :param zone: None: the system's.
    """
    for found in CronSim(expression, datetime.fromtimestamp(after, zone or _SYSTEM)):
        moment = found.timestamp()
        if moment > after:  # else its time of day comes for the second time
            return moment
    return None
