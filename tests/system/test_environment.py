"""Secrets are moved out of the environment that children inherit, and kept for the next reading."""

from __future__ import annotations

import os
import subprocess

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
