"""The `zeroscalectl` command: run one command, turn errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from zeroscale.ctl import exit_codes, failure
from zeroscale.ctl.parser import build_parser
from zeroscale.errors import ZeroscaleError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    :param argv: the command-line arguments; None: those of the process.
    """
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except ZeroscaleError as error:
        return failure.report(error)
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does. Flushing the rest at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.DONE
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
