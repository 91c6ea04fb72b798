"""`python -m zeroscale`."""

from __future__ import annotations

from processes import Program, python

from zeroscale.build_info import version_line


def test_the_package_runs_as_the_command() -> None:
    with Program(python("-m", "zeroscale", "--version")) as program:
        assert program.wait() == 0
    assert program.lines == [version_line("zeroscale")]
