"""Values from files and from the environment: read, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeroscale.config.secret_refs import LONGEST, Secret, is_reference, resolve
from zeroscale.errors import ConfigError


@pytest.mark.parametrize(("content", "text"), [("hunter2\n", "hunter2"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")])
def test_from_a_file_without_its_last_line_break(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert resolve({"file": "secret"}, tmp_path, {}) == text
    assert resolve({"file": str(tmp_path / "secret")}, Path("/"), {}) == text


def test_a_file_may_be_a_link_as_kubernetes_and_docker_make_them(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "password").write_text("hunter2\n")
    (tmp_path / "password").symlink_to("..data/password")
    assert resolve({"file": "password"}, tmp_path, {}) == "hunter2"


def test_from_the_environment() -> None:
    assert resolve({"env": "PASSWORD"}, Path("/"), {"PASSWORD": " hunter2 "}) == " hunter2 "


def test_it_is_a_text_that_does_not_show_itself() -> None:
    secret = Secret("hunter2", "from /run/secrets/x")
    assert (str(secret), secret + "!", f"{secret}") == ("hunter2", "hunter2!", "hunter2")
    assert repr(secret) == f"{secret!r}" == "<from /run/secrets/x>"
    assert repr({"password": secret}) == "{'password': <from /run/secrets/x>}"


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ({"file": "gone"}, "cannot read .*/gone: No such file"),
        ({"file": "."}, "cannot read .*: it is not a regular file"),
        ({"file": "fifo"}, "cannot read .*/fifo: it is not a regular file"),
        ({"file": ""}, "file must be a path"),
        ({"file": "a\0b"}, "file must be a path"),
        ({"file": 5}, "file must be a path"),
        ({"file": "latin"}, "is not text in UTF-8"),
        ({"file": "long"}, "is longer than"),
        ({"env": "GONE"}, "there is no GONE in the environment"),
        ({"env": ["A"]}, "env must be the name of a variable"),
    ],
)
def test_what_cannot_be_had(tmp_path: Path, reference: dict[str, object], complaint: str) -> None:
    (tmp_path / "latin").write_bytes(b"m\xfcnchen")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "long").write_bytes(b"x" * (LONGEST + 1))
    with pytest.raises(ConfigError, match=complaint):
        resolve(reference, tmp_path, {})


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ({"file": "x"}, True),
        ({"env": "X"}, True),
        ({"text": "x"}, False),
        ({}, False),
        ({"file": "x", "env": "X"}, False),
        ("file", False),
    ],
)
def test_what_a_reference_is(value: object, is_one: bool) -> None:
    assert is_reference(value) is is_one
