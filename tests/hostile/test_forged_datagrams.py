"""A million datagrams from forged addresses: `python tests/hostile/forged_datagrams.py 100000000` is a long run."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hostile.forged_datagrams import run

DATAGRAMS = 1_000_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="UDP is relayed on Linux")
def test_a_million_forged_datagrams(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    run(DATAGRAMS, seed, tmp_path)
