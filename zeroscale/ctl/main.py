"""`zeroscalectl`: the operator's tool. Each command is a module of its own; here they are put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from zeroscale.ctl import exit_codes as exits
from zeroscale.ctl import terminal
from zeroscale.ctl.client import UsageError
from zeroscale.ctl.parser import build_parser
from zeroscale.errors import BackendError, ProtocolError, ZeroscaleError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    :param argv: the words after the program's name; None: the process's own.
    """
    told = build_parser().parse_args(argv)
    try:
        code: int = told.run(told)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, exits.USAGE)
    except (BackendError, ProtocolError) as error:
        return _complain(error, exits.UNREACHABLE)
    except ZeroscaleError as error:
        return _complain(error, exits.REFUSED)
    except BrokenPipeError:
        # Whoever reads us has enough, as `head` has. What is still buffered must not fail again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return code


def _complain(error: ZeroscaleError, code: int) -> int:
    lines = "\n".join(terminal.clean(line) for line in str(error).splitlines())
    sys.stderr.write(f"zeroscalectl: error: {lines}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
