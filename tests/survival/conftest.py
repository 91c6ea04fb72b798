"""The fixture of the survival tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from survival.harness import SurvivalHarness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[SurvivalHarness]:
    """A directory, ports and programs of its own; everything is ended after the test."""
    harness = SurvivalHarness(tmp_path)
    yield harness
    harness.close()
