"""The fixtures of the tests with real peers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from peers.harness import HERE, PeerHarness


@pytest.fixture(scope="session")
def npm_packages() -> None:
    """The npm packages of package.json are installed."""
    if not (HERE / "node_modules" / "minecraft-protocol").is_dir():
        pytest.skip(f"the npm packages are not installed: run `npm ci` in {HERE}")


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerHarness]:
    """What the tests of one module share."""
    harness = PeerHarness(tmp_path_factory.mktemp("peers"))
    yield harness
    harness.close()
