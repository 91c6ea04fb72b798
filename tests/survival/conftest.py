"""The fixtures of the tests of survival."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from survival.harness import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A world of its own, of which nothing is left running."""
    scene = Scene(tmp_path)
    yield scene
    scene.close()
