"""Leave modules out of the process that it does not need.

Its functions are called before the modules that import what is to be left out, so it imports none of them itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from importlib.util import find_spec, module_from_spec


def leave_out(modules: Iterable[str]) -> None:
    """Let every import of these modules fail from now on, as where they are not installed.

    One that is imported already stays. This cannot be undone: what does without a module looks for it only once.
    """
    for name in modules:
        # None makes an import raise ModuleNotFoundError (Python reference, 5.3.1)
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def is_left_out(module: str) -> bool:
    """Return whether `leave_out` has left a module out."""
    return module in sys.modules and sys.modules[module] is None


def import_on_use(name: str) -> None:
    """Import a module only when one of its names is used, for a library that always imports it and seldom uses it.

    Has no effect if the module is imported already.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader = spec.loader
    module = module_from_spec(spec)
    names = vars(module)
    lock = threading.RLock()
    importing = False

    def first_use(attribute: str) -> object:
        nonlocal importing
        with lock:
            if importing:  # by the module itself
                raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
            if names.get("__getattr__") is first_use:  # not if another thread was first
                importing = True
                try:
                    loader.exec_module(module)
                finally:
                    importing = False
                if names["__getattr__"] is first_use:
                    del names["__getattr__"]
        found: object = getattr(module, attribute)
        return found

    names["__getattr__"] = first_use
    sys.modules[name] = module
