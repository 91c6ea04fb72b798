"""The syntax of `wake_on` and `ready`; the message of a mistake lists the allowed forms."""

from __future__ import annotations

import pytest

from zeroscale.config.triggers import (
    ANY_ANSWER,
    LONGEST_PATTERN,
    WAKE_WORDS,
    ConnectCheck,
    ExecCheck,
    ExpectBytes,
    HttpCheck,
    OutputLineCheck,
    ReadyCheck,
    parse_health_path,
    parse_ready,
    parse_wake_on,
)


@pytest.mark.parametrize("word", WAKE_WORDS)
def test_a_word_to_wake_on(word: str) -> None:
    assert (parse_wake_on(word).kind, parse_wake_on(word).pattern) == (word, None)


def test_a_pattern_to_wake_on_is_of_bytes() -> None:
    pattern = parse_wake_on(r"regex:\x00{2}.:\r\n").pattern
    assert pattern is not None
    assert pattern.match(b"\0\0\n:\r\n")


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("datagrams:1", 1, 10.0),
        ("datagrams:3/10", 3, 10.0),
        ("datagrams:20/0.5", 20, 0.5),
        ("datagrams:2/3600", 2, 3600),
    ],
)
def test_a_number_of_datagrams_to_wake_on(text: str, count: int, seconds: float) -> None:
    trigger = parse_wake_on(text)
    assert (trigger.kind, trigger.count, trigger.seconds) == ("datagrams", count, seconds)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tsl", "$"),
        ("datagrams", "$"),
        ("datagrams:", "; after datagrams: comes a number"),
        ("datagrams:3/", "; after datagrams: comes a number"),
        ("datagrams:-1", "; after datagrams: comes a number"),
        ("datagrams:\u0661", "; after datagrams: comes a number"),
        ("datagrams:0", "; the number of datagrams is from 1 to 20, not 0"),
        ("datagrams:21/10", "; the number of datagrams is from 1 to 20, not 21"),
        ("datagrams:3/0", "; the datagrams come within more than 0 and at most 3600 seconds"),
        ("datagrams:3/3601", "; the datagrams come within"),
        ("", "$"),
        ("tls:1.3", "$"),
        ("regex", "$"),
        ("regex:", "; a regular expression has 1 to"),
        ("regex:" + "a" * (LONGEST_PATTERN + 1), "; a regular expression has 1 to"),
        ("regex:(", "; it is no regular expression"),
        (r"regex:\u00e9", "; it is no regular expression of bytes"),
    ],
)
def test_values_that_are_not_a_wake_trigger(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}") as raised:
        parse_wake_on(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("connect", ConnectCheck()),
        ("bytes:SSH-2.0-", ExpectBytes(b"SSH-2.0-")),
        (r"bytes:\x05\r\n\\", ExpectBytes(b"\x05\r\n\\")),
        (r"bytes:PING\r\n=>+PONG", ExpectBytes(b"+PONG", b"PING\r\n")),
        ("http", HttpCheck("/", ANY_ANSWER)),
        ("http:/health?full=1%20", HttpCheck("/health?full=1%20", ANY_ANSWER)),
        ("http:/health=204", HttpCheck("/health", range(204, 205))),
        ("command:pg_isready -h 'a b'", ExecCheck(("pg_isready", "-h", "a b"))),
        (r"line:Done \(.*\)", OutputLineCheck(r"Done \(.*\)")),
    ],
)
def test_ready_checks(text: str, trigger: ReadyCheck) -> None:
    assert parse_ready(text) == trigger


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "$"),
        ("connect:", "$"),
        ("bytes:", "$"),
        ("bytes:PING=>", "$"),
        ("bytes:\u20ac", "; what is not ASCII in the bytes"),
        ("bytes:\\x", "; what is not ASCII in the bytes"),
        ("http:", "$"),
        ("http:health", "; a path begins with"),
        ("http:/a b", "; a path begins with"),
        ("http:/=99", "; an HTTP status is from 100 to 599, not 99"),
        ("http:/=" + "9" * 5000, "; an HTTP status"),
        ("command: ", "$"),
        ("command:'", "; it cannot be split"),
        ("line:", "$"),
        ("line:(", "; it is no regular expression"),
    ],
)
def test_values_that_are_not_a_ready_check(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}") as raised:
        parse_ready(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", ["/", "/healthz", "/-/health/", "/a%20b", "/health;x=1"])
def test_paths_of_health_checks(path: str) -> None:
    assert parse_health_path(path) == path


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("", "; a path begins with a slash, and spaces and what is not ASCII in it are %-encoded"),
        ("healthz", "; a path begins with a slash"),
        ("http://example.org/healthz", "; a path begins with a slash"),
        ("/health z", "; a path begins with a slash"),
        ("/healthz\n", "; a path begins with a slash"),
        ("/gesund\u00e4", "; a path begins with a slash"),
        ("/healthz?full=1", "; what follows a '\\?' in a request is not compared"),
        ("/healthz#top", "; what follows a '\\?' in a request is not compared"),
        ("/" * 1001, "; it is longer than 1000 characters"),
    ],
)
def test_values_that_are_no_path_of_health_checks(path: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        parse_health_path(path)
