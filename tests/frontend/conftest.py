"""What the tests of the front share: scenes, and what they log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from frontend.harness import Scene


@pytest.fixture
def make_scene() -> Iterator[Callable[..., Scene]]:
    """Makes scenes whose log is collected."""
    # Not before: quarry installs a reactor when it is imported, and pytest has to choose which.
    from frontend.harness import Scene, logged

    with ExitStack() as stack:

        def make(**options: object) -> Scene:
            scene = Scene(**options)  # type: ignore[arg-type]  # as Scene's own, passed on
            stack.enter_context(logged(scene.lines))
            return scene

        yield make


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """A Minecraft server that sleeps."""
    return make_scene()


@pytest.fixture
def generic(make_scene: Callable[..., Scene]) -> Scene:
    """Any other server, asleep."""
    return make_scene(generic=True)
