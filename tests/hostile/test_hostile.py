"""Two minutes of the hostile hour: `python tests/hostile 3600` is the whole."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hostile.run import run

SECONDS = 120


@pytest.mark.slow
def test_two_minutes_among_hostile_clients_and_disturbances(tmp_path: Path) -> None:
    seed = int(os.environ.get("HOSTILE_SEED") or random.randrange(1 << 32))
    report = run(SECONDS, seed, tmp_path)
    assert report.problems == [], f"seed {seed}, {report.facts}"
