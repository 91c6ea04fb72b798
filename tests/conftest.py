"""The marks of the tests, the settings of hypothesis, and the fixtures of several packages."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from machine import Machine

# How long one example takes says something about the machine, not about the program. CI tries more examples.
settings.register_profile("zeroscale", deadline=None, max_examples=100 if "CI" in os.environ else 30)
settings.load_profile("zeroscale")

PEERS_ARE_REQUIRED = os.environ.get("ZEROSCALE_PEERS") == "required"


@pytest.fixture
def java_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Java that is only looked for."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "java").touch(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine to run the commands of pages in; a test with it is marked `slow` and `peers("nsenter", "unshare")`."""
    if not Machine.is_possible():
        pytest.skip("only root, with a kernel that has namespaces and overlays, can make a machine")
    directory = tmp_path / "machine"
    directory.mkdir()
    with Machine(directory) as machine:
        yield machine


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the key.pem and the cert.pem of a self-signed certificate."""
    pytest.importorskip("OpenSSL", reason="TLS needs twisted[tls]")
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout key.pem -out cert.pem"
    try:
        subprocess.run(command.split(), cwd=directory, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    return directory


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share all tests among processes, which often wait; a choice of tests takes less time in this process (0)."""
    whole = config.args_source is config.ArgsSource.TESTPATHS
    return min(2 * (os.cpu_count() or 1), 8) if whole and not config.option.collectonly else 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long bytes by their length: some are random, and processes that share the tests must name them alike."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 40 else None


def pytest_collection_finish() -> None:
    """Spare the garbage collector the tests and modules that stay anyway: a tenth of the time of a run."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.peers("redis-server")` skips where that program is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for mark in item.iter_markers("peers"):
        missing = [program for program in mark.args if shutil.which(program, path=path) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ZEROSCALE_PEERS=required, a test with peers that could not run has failed."""
    report = yield
    if PEERS_ARE_REQUIRED and report.skipped and item.get_closest_marker("peers"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same, for files that skip all of themselves."""
    report = yield
    if PEERS_ARE_REQUIRED and report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"ZEROSCALE_PEERS=required, but this could not run: {reason}"
