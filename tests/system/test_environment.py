"""Secrets are moved out of the environment that children inherit, and kept for the next reading."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from zeroscale.system import environment


def test_a_withheld_variable_can_be_read_but_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET", "hidden")
    assert environment.readable()["TEST_SECRET"] == "hidden"
    environment.withhold(["TEST_SECRET", "THERE_IS_NONE"])
    assert "TEST_SECRET" not in os.environ
    assert environment.readable()["TEST_SECRET"] == "hidden"
    assert b"TEST_SECRET=" not in subprocess.run(["env"], stdout=subprocess.PIPE, check=True).stdout
    environment.withhold(["TEST_SECRET"])
    assert environment.readable()["TEST_SECRET"] == "hidden"
    assert "THERE_IS_NONE" not in environment.readable()


@pytest.mark.parametrize("name", ["PATH", "HOME", "LC_ALL", "XDG_DATA_HOME", "JAVA_HOME", "LD_LIBRARY_PATH", "SHELL"])
def test_a_variable_that_programs_need_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The configuration may name one to pass it on where little is inherited; it is no secret."""
    monkeypatch.setenv(name, os.environ.get(name, "value"))
    environment.withhold([name])
    assert name in os.environ


def test_the_page_lists_what_stays() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    listed = [*environment.NEEDED, *(f"{prefix}*" for prefix in environment.NEEDED_PREFIXES)]
    assert [name for name in listed if f"`{name}`" not in page and not name.startswith("XDG_")] == []
