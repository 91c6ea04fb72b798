"""Run the operator's command that says whether an idle server is busy, at most once a minute. Plain asyncio."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from zeroscale.characters import DIRECTIONS, HIGH_CONTROLS, LINE_SEPARATORS, SURROGATES
from zeroscale.errors import PluginError
from zeroscale.process.environment import ChildEnvironment
from zeroscale.process.oneshot import CompletedProgram, run_program

logger = logging.getLogger("zeroscale.server")

RUN_EVERY = 60.0
"""Seconds from one run to the next one, at least, while the server is busy."""

LONGEST_REASON = 200
"""Characters of the command's output that are shown."""

NOT_RUN = (126, 127)
"""Exit codes of a shell that could not run a command."""

_UNFIT = f"[\x00-\x1f{HIGH_CONTROLS}{DIRECTIONS}{LINE_SEPARATORS}{SURROGATES}]"


class BusyCommand:
    """The command of one server.

    :param server: the server's name.
    :param argv: the command line.
    :param limit: seconds; then it is killed, with all that it started.
    :param directory: where it runs.
    :param environment: its environment variables.
    :param seconds: returns the time of a monotonic clock.
    """

    def __init__(
        self,
        server: str,
        argv: Sequence[str],
        limit: float,
        directory: Path,
        environment: ChildEnvironment,
        seconds: Callable[[], float],
    ) -> None:
        self._server = server
        self._argv = argv
        self._limit = limit
        self._directory = directory
        self._environment = environment
        self._seconds = seconds
        self._last: tuple[float, str] | None = None
        self._is_busy = False
        self._reported: set[str] = set()

    async def reason(self) -> str | None:
        """Return why the server is busy, in the words of the command; None: it is not, or the command has failed.

        When cancelled the command is killed. Soon after a run that has said "busy", that still counts.
        """
        now = self._seconds()
        if self._last is not None and now - self._last[0] < RUN_EVERY:
            return self._last[1]
        self._last = None
        done = await self._run()
        was_busy, self._is_busy = self._is_busy, done is not None and done.code == 0
        if done is None or not self._is_busy:
            return None
        reason = f"busy: {shown_line(done.output) or self._argv[0]}"
        if not was_busy:
            logger.info("%s: not stopped: %s", self._server, reason)
        self._last = now, reason
        return reason

    async def _run(self) -> CompletedProgram | None:
        try:
            async with asyncio.timeout(self._limit):
                done = await run_program(
                    self._argv,
                    directory=self._directory,
                    environment=self._environment.build({"ZEROSCALE_SERVER": self._server}),
                    capture=True,
                )
        except TimeoutError:
            self._warn("took too long", f"has taken more than {self._limit:g} s")
        except PluginError as error:
            self._warn("environment", f"cannot be run: {error}")
        except OSError as error:
            self._warn("cannot be run", f"cannot be run: {error.strerror}")
        else:
            if done.code < 0:
                self._warn("ended", f"was ended by signal {-done.code}")
            elif done.code in NOT_RUN:
                self._warn("shell", f"ended with exit code {done.code}: {shown_line(done.errors)}")
            else:
                self._reported.clear()
            return done
        return None

    def _warn(self, kind: str, text: str) -> None:
        """Log a warning, once for each kind until the command has run well again."""
        if kind not in self._reported:
            self._reported.add(kind)
            logger.warning(
                "%s: busy_command (%s) %s, and the server counts as not busy", self._server, self._argv[0], text
            )


def shown_line(output: bytes) -> str:
    """Return the first line that is not blank, as it can be shown."""
    text = output[: 4 * LONGEST_REASON].decode(errors="replace")
    lines = (re.sub(_UNFIT, "", line).strip() for line in re.split("[\r\n]", text))
    return next((line for line in lines if line), "")[:LONGEST_REASON]
