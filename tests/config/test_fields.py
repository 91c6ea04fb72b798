"""Kinds of values: the expected values, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import inspect

from zeroscale.config.fields import KINDS, expected, kind_of, within

BASE = Path("/etc/zeroscale")


def described(annotation: Any) -> str:
    return expected(inspect.type_info(annotation))


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "text in quotes"),
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (Path, "a path in quotes"),
        (dict[str, str], "a table"),
        (int | None, "a whole number"),
        (int | str, "a whole number or text in quotes"),
        (tuple[int, ...], "a whole number, or a list of such"),
        (Literal["stop", "leave", "pause"], '"leave", "pause" or "stop"'),
        (Annotated[int, msgspec.Meta(ge=1)], "a whole number of at least 1"),
        (Annotated[int, msgspec.Meta(ge=1, le=5)], "a whole number from 1 to 5"),
        (Annotated[float, msgspec.Meta(gt=0, le=1e6)], "a number above 0 and at most 1000000"),
        (Annotated[str, msgspec.Meta(extra={"kind": "network"})], KINDS["network"].expected),
        (Annotated[str, msgspec.Meta(description="x")], "text in quotes"),
    ],
)
def test_expected(annotation: Any, words: str) -> None:
    assert described(annotation) == words


def test_an_unknown_kind_is_a_defect_and_not_a_mistake() -> None:
    kind = inspect.type_info(Annotated[str, msgspec.Meta(extra={"kind": "colour"})])
    assert isinstance(kind, inspect.Metadata)
    with pytest.raises(KeyError, match="colour"):
        kind_of(kind)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, 0, 6])
def test_out_of_range(number: float) -> None:
    kind = inspect.type_info(Annotated[float, msgspec.Meta(ge=1, lt=6)])
    assert isinstance(kind, inspect.FloatType)
    assert not within(number, kind)
    assert within(1, kind) and within(5.9, kind)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("duration", 15, 15.0),
        ("duration", "15m", 900.0),
        ("size", "100MB", 100_000_000),
        ("size", 1_000_000, 1_000_000),
        ("size", "1TB", 10**12),
        ("size", 999_999, None),
        ("size", "1.1TB", None),
        ("size", "large", None),
        ("size", 2e6, None),
        ("size", True, None),
        ("network", "10.0.0.0/8", "10.0.0.0/8"),
        ("listed", "Notch", "Notch"),
        ("listed", "2001:db8::/32", "2001:db8::/32"),
        ("listed", "10.0.0.0/99", None),
        ("listed", 5, None),
        ("endpoint", 25565, "25565"),
        ("endpoint", "025565", None),
        ("endpoint", "25565", "25565"),
        ("endpoint", "tcp:25565:interface=192.0.2.1", "tcp:25565:interface=192.0.2.1"),
        ("endpoint", "unix:game.sock:mode=660", "unix:/etc/zeroscale/game.sock:mode=660"),
        ("endpoint", "unix:/run/game.sock", "unix:/run/game.sock"),
        ("endpoint", "unix:address=/run/game.sock", "unix:address=/run/game.sock"),
        ("endpoint", True, None),
        ("endpoint", -1, None),
        ("endpoint", "", None),
        ("endpoint", "tcp:", None),
        ("control_socket", "", ""),
        ("control_socket", "unix:/run/control.sock", "unix:/run/control.sock"),
        ("control_socket", "unix:control.sock", "unix:/etc/zeroscale/control.sock"),
        ("control_socket", "unix:", None),
        ("control_socket", "/run/control.sock", None),
        ("host", "Survival.Example.ORG.", "survival.example.org"),
        ("host", "*.example.org", "*.example.org"),
        ("host", "localhost", "localhost"),
        ("host", "192.0.2.1", "192.0.2.1"),
        ("host", "2001:DB8::1", "2001:db8::1"),
        ("host", "_minecraft._tcp.example.org", "_minecraft._tcp.example.org"),
        ("host", "*example.org", None),
        ("host", "a..b", None),
        ("host", "-a.b", None),
        ("host", "", None),
        ("host", "*.", None),
        ("host", "x" * 64, None),
        ("host", "\u00fc" * 300, None),
        ("host", 5, None),
        ("server_host", "::1", "::1"),
        ("server_host", "my_server", None),
        ("wake_on", "http", "http"),
        ("wake_on", "tsl", None),
        ("ready", "http:/health", "http:/health"),
        ("ready", "soon", None),
        ("health_path", "/healthz", "/healthz"),
        ("health_path", "healthz", None),
        ("health_path", 5, None),
        ("window", "mon-friday 6:00-22:00", "Mon-Fri 06:00-22:00"),
        ("window", "22-6", None),
        ("window", 22, None),
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("timezone", "Berlin", None),
        ("timezone", 1, None),
        ("cron", "0 5 * * *", "0 5 * * *"),
        ("cron", "at five", None),
        ("cron", 5, None),
        ("command", ["pgrep", "-f", "a b"], ("pgrep", "-f", "a b")),
        ("command", "pgrep -f 'a b'", ("pgrep", "-f", "a b")),
        ("command", "pgrep 'a", None),
        ("command", " ", None),
        ("command", [], None),
        ("command", [""], None),
        ("command", ["pgrep", 5], None),
        ("command", ["pgrep", "\0"], None),
        ("command", 5, None),
        ("warning_command", "say {text}", "say {text}"),
        ("warning_command", "say", None),
        ("warning_command", "say {text}\nstop", None),
        ("warning_command", "say {text}" + "x" * 1000, None),
        ("warning_command", 5, None),
    ],
)
def test_what_is_read(kind: str, given: object, value: object) -> None:
    if value is None:
        with pytest.raises(ValueError):
            KINDS[kind].read(given, BASE)
    else:
        assert KINDS[kind].read(given, BASE) == value


def test_a_directory_with_a_colon_does_not_end_the_endpoints_path() -> None:
    assert KINDS["endpoint"].read("unix:x", Path("/srv/a:b")) == r"unix:/srv/a\:b/x"
