"""`zeroscalectl health`."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from ctl.ctl_fixture import CtlHarness

from zeroscale.ctl.main import main


@pytest_twisted.ensureDeferred
async def test_a_zeroscale_that_answers_is_healthy(harness: CtlHarness) -> None:
    run = await harness.run("health")
    assert (run.code, run.out) == (0, "zeroscale answers: 1 server\n")


def test_one_that_does_not_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--socket", str(tmp_path / "none.sock")]) == 3
    assert "no zeroscale answers" in capsys.readouterr().err
