"""One record, one line: in text and in JSON, whatever is in it, and with no address where none is wanted."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zeroscale.daemon.log_format import JsonLines, TextLines


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("zeroscale.frontend")
    return logger.makeRecord(logger.name, logging.INFO, __file__, 1, message, arguments, None, extra=extra)


def failed() -> logging.LogRecord:
    try:
        raise ValueError("bad\nINFO:zeroscale:forged, by 203.0.113.7")
    except ValueError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
        return made


def as_json(made: logging.LogRecord, *, addresses: bool = True) -> dict[str, Any]:
    line = JsonLines(addresses=addresses).format(made)
    assert line.isascii()
    assert line.isprintable()
    read: dict[str, Any] = json.loads(line)
    return read


def test_text_is_level_logger_message() -> None:
    assert TextLines().format(record("Steve (203.0.113.7:1): %s", "left")) == (
        "INFO:zeroscale.frontend:Steve (203.0.113.7:1): left"
    )


def test_json_has_the_time_the_level_the_logger_and_the_message() -> None:
    made = record("%s left", "Steve")
    made.created = 1.5
    assert as_json(made) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "INFO",
        "logger": "zeroscale.frontend",
        "message": "Steve left",
    }


def test_json_has_the_records_own_fields() -> None:
    made = record("x", server="survival", seconds=1.25, to_server=3, player=None, odd=float("nan"), names=("a", "b"))
    fields = {name: value for name, value in as_json(made).items() if name not in ("time", "level", "logger")}
    assert fields == {"message": "x", "server": "survival", "seconds": 1.25, "to_server": 3, "names": "('a', 'b')"}


def test_a_field_cannot_replace_ours() -> None:
    read = as_json(record("x", **{"time": "never", "level": "none", "logger": "nobody", "exception": "none"}))
    assert (read["level"], read["logger"], "exception" in read) == ("INFO", "zeroscale.frontend", False)


def test_a_traceback_is_part_of_its_line() -> None:
    text = TextLines().format(failed())
    assert text.splitlines()[0] == "INFO:zeroscale.frontend:it failed"
    assert all(line.startswith("  ") for line in text.splitlines()[1:])
    assert as_json(failed())["exception"].startswith("Traceback (most recent call last):\n")


FORGED = "Steve\nINFO:zeroscale:all is well\r\n\x1b[2Jx\u2028y\u202ez\u200f\x85\x00"


def test_no_forged_line_of_text() -> None:
    text = TextLines().format(record("%s left", FORGED))
    assert text == (
        "INFO:zeroscale.frontend:Steve\n  INFO:zeroscale:all is well\\r\n"
        "  \\x1b[2Jx\\u2028y\\u202ez\\u200f\\x85\\x00 left"
    )


def test_no_forged_line_of_json() -> None:
    assert as_json(record("%s left", FORGED, player=FORGED))["player"] == FORGED


@given(st.text(st.characters(exclude_categories=())))
def test_one_record_is_one_line(text: str) -> None:
    assert as_json(record("%s", text))["message"] == text
    lines = TextLines().format(record("%s", text))
    lines.encode("utf-8")
    assert all(line.startswith("  ") for line in re.split("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", lines)[1:])


def test_no_address_is_in_either_form() -> None:
    made = record("%s left", "Steve (203.0.113.7:1)", peer="203.0.113.7:1", player="Steve", detail="by 203.0.113.7")
    assert TextLines(addresses=False).format(made) == "INFO:zeroscale.frontend:Steve ([address]) left"
    read = as_json(made, addresses=False)
    assert (read["message"], read["player"], read["detail"]) == ("Steve ([address]) left", "Steve", "by [address]")
    assert "peer" not in read
    for lines in (TextLines(addresses=False), JsonLines(addresses=False)):
        assert "203.0.113" not in lines.format(failed())
