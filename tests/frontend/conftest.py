"""What the tests of the frontend share: harnesses, and what they log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from frontend.harness import FrontendHarness


@pytest.fixture
def make_harness() -> Iterator[Callable[..., FrontendHarness]]:
    """Return a function that makes harnesses whose log is collected."""
    # Not before: quarry installs a reactor when it is imported, and pytest has to choose which.
    from frontend.harness import FrontendHarness, logged

    with ExitStack() as stack:

        def make(**options: object) -> FrontendHarness:
            harness = FrontendHarness(**options)  # type: ignore[arg-type]  # as FrontendHarness's own, passed on
            stack.enter_context(logged(harness.lines))
            return harness

        yield make


@pytest.fixture
def harness(make_harness: Callable[..., FrontendHarness]) -> FrontendHarness:
    """A frontend with a Minecraft server that is stopped."""
    return make_harness()


@pytest.fixture
def generic(make_harness: Callable[..., FrontendHarness]) -> FrontendHarness:
    """A frontend with a server of another protocol that is stopped."""
    return make_harness(generic=True)
