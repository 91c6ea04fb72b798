"""Pipes, also without free descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

import pytest
from processes import descriptors
from relay.relay_fixture import with_small_pipes

from zeroscale.relay.pipe_pool import CAPACITY, MOST_SPARE, Pipe, Pipes


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Has the system refuse this process every new descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pipe_never_blocks_and_is_drained_to_the_last_byte() -> None:
    pipe = Pipe()
    assert Pipes().enlarge(pipe)
    try:
        data = os.urandom(CAPACITY)
        assert os.write(pipe.writer, data) == CAPACITY
        with pytest.raises(BlockingIOError):
            os.write(pipe.writer, b"x")
        assert pipe.drain(CAPACITY) == data
        with pytest.raises(BlockingIOError):
            os.read(pipe.reader, 1)
    finally:
        pipe.close()


def test_what_is_given_back_is_taken_again_up_to_a_bound() -> None:
    before = descriptors()
    pipes = Pipes()
    taken = [pipes.take() for _ in range(MOST_SPARE + 3)]
    assert descriptors() == before + 2 * (MOST_SPARE + 3)
    for pipe in taken:
        assert pipe is not None
        pipes.give_back(pipe)
    assert descriptors() == before + 2 * MOST_SPARE
    again = pipes.take()
    assert again in taken
    assert again is not None
    again.close()
    pipes.close()
    assert descriptors() == before


def test_without_descriptors_a_reserved_pipe_is_still_to_be_had() -> None:
    pipes = Pipes()
    pipes.reserve()
    with no_descriptors():
        pipes.reserve()
        pipe = pipes.take()
        assert pipe is not None
        assert pipes.take() is None
        with pytest.raises(OSError, match="Too many open files"):
            pipes.reserve()
    pipe.close()


def test_a_small_pipe_is_not_handed_out_and_is_enlarged_once_the_kernel_allows_it() -> None:
    seen = with_small_pipes("pool")
    assert seen == {"taken": [False] * 3, "small": 3, "after": [CAPACITY], "small_after": 3}
