"""The `zeroscale` command: parse the command line, leave out the modules that it does not need, run the proxy.

Imports Twisted and asyncio only when the configuration is read: what of them is left out depends on it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from zeroscale.config.tls import unneeded_modules
from zeroscale.daemon import options
from zeroscale.daemon.exit_codes import EXIT_USAGE
from zeroscale.errors import ConfigError, printed
from zeroscale.system.left_out import import_on_use, leave_out
from zeroscale.system.socket_activation import service_manager_environment


def main(argv: Sequence[str] | None = None) -> int:
    """Run a proxy until a signal or the console stops it.

    :param argv: the command-line arguments; None: those of the process.
    :return: the exit code: 0 after a clean stop, 2 for a mistake in the command line or the file, else 1.
    """
    gc.disable()  # until what a start makes has been made, nearly all of which stays
    service_manager_environment()  # before any child could inherit it
    try:
        invocation = options.examine(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        sys.stderr.write(f"{printed(error)}\n")
        return EXIT_USAGE
    if invocation.config.umask is not None:
        os.umask(invocation.config.umask)
    if not invocation.mistakes:
        leave_out(unneeded_modules(invocation.config))
    import_on_use("http.cookiejar")  # Twisted imports it, and with it 30 modules, for its HTTP client
    from zeroscale.daemon import foreground

    return foreground.run(invocation)
