"""Have `async def` tests run on the reactor's own asyncio loop."""

from asyncio_tests import _short_read_interval, process_fixture, pytest_pyfunc_call, state

__all__ = ["_short_read_interval", "process_fixture", "pytest_pyfunc_call", "state"]
