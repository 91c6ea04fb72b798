"""The `async def` tests here run on the reactor's own asyncio loop."""

from asyncio_tests import _quick_looks, bench, pytest_pyfunc_call, state

__all__ = ["_quick_looks", "bench", "pytest_pyfunc_call", "state"]
