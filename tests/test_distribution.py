"""The distribution: what it is called, that sdist and wheel are complete, and how to install it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ports import free_port
from processes import Program

from zeroscale.build_info import COMMIT_FILE, find_commit
from zeroscale.version import VERSION

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))

NOT_SHIPPED = re.compile(
    r"(^|/)(\.git|\.gitignore|\.\w+_cache|\.hypothesis|__pycache__|node_modules|build|dist|[^/]*\.egg-info)(/|$)"
)


def files() -> set[str]:
    """Return the files of the checkout that belong into the source distribution."""
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()}
    return {path for path in found if not NOT_SHIPPED.search(path)}


def test_its_name() -> None:
    assert PROJECT["name"] == "zeroscale-proxy"
    assert PROJECT["scripts"].keys() == {"zeroscale", "zeroscalectl"}


def test_the_extra_all_has_everything() -> None:
    [everything] = map(Requirement, EXTRAS["all"])
    assert everything.extras == {"docker", "kubernetes", "notify", "systemd"} <= EXTRAS.keys()


def test_project_urls_are_files_that_are_there() -> None:
    assert {"Documentation", "Changelog"} <= PROJECT["urls"].keys()
    assert [path for path in PROJECT["urls"].values() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_requirement_is_pinned_to_a_version_that_it_allows(extra: str) -> None:
    for requirement in map(Requirement, EXTRAS[extra] if extra else PROJECT["dependencies"]):
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(PINNED[requirement.name]), requirement


def test_pins_name_no_place_to_download_from() -> None:
    assert "://" not in (ROOT / "constraints.txt").read_text()


def test_nothing_says_to_install_from_an_index() -> None:
    """Nothing of ours is published; the older program would be installed."""
    paths = [path for path in files() if path.endswith((".md", ".py", ".toml", ".yaml", ".service"))]
    paths.remove("tests/test_distribution.py")
    wrong = re.compile(r"pip install (-\S+ )*['\"]?zeroscale|zeroscale\[")
    assert [path for path in paths if wrong.search((ROOT / path).read_text())] == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with sdist and wheel: $ZEROSCALE_DIST, or one that they are built into."""
    if given := os.environ.get("ZEROSCALE_DIST"):
        return Path(given)
    source, directory = tmp_path_factory.mktemp("source") / "zeroscale", tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns(".git", "node_modules", "build", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    command = [sys.executable, "-P", "-m", "build", "--outdir", str(directory), str(source)]
    environment = {**os.environ, "ZEROSCALE_COMMIT": find_commit(ROOT / "zeroscale") or ""}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return directory


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
def test_the_sdist_has_every_file(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    assert files() - shipped == set()


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
def test_the_wheel_has_the_package_and_the_examples(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {path for path in files() if path.startswith(("zeroscale/", "twisted/"))}
    sources = {"systemd": "systemd", "docs/container": "container", "docs/kubernetes": "kubernetes"}
    examples = {
        f"zeroscale/examples/{name}/{path.relative_to(ROOT / source)}"
        for source, name in sources.items()
        for path in (ROOT / source).rglob("*")
        if path.is_file()
    }
    assert "zeroscale/py.typed" in ours and len(examples) > 10
    shared = {path for path in files() if path.startswith("share/")}
    placed = {name.partition(".data/data/")[2] for name in shipped if ".data/data/" in name}
    assert placed == shared and len(shared) == 8
    assert {name for name in shipped if ".data/" not in name} - {f"zeroscale/{COMMIT_FILE}"} == ours | examples


def environment_with(directory: Path, package: Path, python: str = sys.executable) -> Path:
    """Install into an environment of its own, without extras, and return the directory of its programs."""
    subprocess.run([python, "-m", "venv", directory], check=True)
    done = run(directory / "bin", "pip", "install", "--constraint", str(ROOT / "constraints.txt"), str(package))
    assert done.returncode == 0, done.stderr
    return directory / "bin"


def run(programs: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run one of the programs, away from the checkout."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(programs / command[0]), *command[1:]]
    return subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which the wheel is installed."""
    [wheel] = built.glob("*.whl")
    return environment_with(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the unpacked source distribution."""
    directory = tmp_path_factory.mktemp("unpacked")
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    [top] = directory.iterdir()
    return top


@pytest.fixture(scope="module")
def from_source(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which the unpacked source distribution is installed, with /usr's Python."""
    python = Path("/usr/bin/python3")
    suits = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    if not python.exists() or subprocess.run([python, "-c", suits], capture_output=True, check=False).returncode:
        pytest.skip("no Python 3.11 or newer, with ensurepip, in /usr")
    return environment_with(tmp_path_factory.mktemp("from-source"), unpacked, str(python))


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
@pytest.mark.parametrize(
    ("plugin", "argument"), [("docker", "container=mc"), ("kubernetes", "resource=statefulset/mc")]
)
def test_an_installed_wheel_names_the_requirement_that_is_missing(installed: Path, plugin: str, argument: str) -> None:
    [requirement] = EXTRAS[plugin]
    done = run(installed, "zeroscale", plugin, "25565", "25575", "-a", argument)
    assert done.returncode == 1
    assert f"pip install '{requirement}'" in done.stderr


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
def test_an_installed_wheel_prints_its_examples(installed: Path) -> None:
    done = run(installed, "zeroscalectl", "example", "zeroscale.service")
    assert (done.stdout, done.stderr) == ((ROOT / "systemd/zeroscale.service").read_text(), "")


def run_the_demo(programs: Path, directory: Path) -> None:
    """Run README's first command with these programs: the demo server wakes for a player."""
    [words] = re.findall(r"^pip install \. && zeroscale (demo .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    port = str(free_port())
    command = [str(programs / "zeroscale"), *words.replace("25565", port).replace("25575", str(free_port())).split()]
    command += ["--state-directory", str(directory / "state"), "-a", "start_seconds=0.5"]
    with Program(command, directory, {"PYTHONPATH": ""}) as proxy:
        proxy.wait_for(f"Ready: players come to port {port}")
        ping = run(programs, "zeroscalectl", "ping", f"localhost:{port}")
        assert (ping.returncode, ping.stdout.splitlines()[0]) == (0, "zZz Asleep. Join to wake it"), ping.stderr
        joined = run(programs, "zeroscalectl", "join", f"localhost:{port}")
        assert (joined.returncode, "Hello zeroscalectl!" in joined.stdout) == (0, True), joined
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0


def commit_of(dist: Path) -> str | None:
    """Return the commit that the wheel says it was built from."""
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        name = f"zeroscale/{COMMIT_FILE}"
        return archive.read(name).decode().strip() if name in archive.namelist() else None


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
def test_the_wheel_is_used_in_place_of_the_checkout(built: Path, installed: Path, tmp_path: Path) -> None:
    run_the_demo(installed, tmp_path)
    commit = find_commit(ROOT / "zeroscale")
    assert commit_of(built) == commit
    python = ".".join(map(str, sys.version_info[:3]))
    for program in ("zeroscale", "zeroscalectl"):
        shown = run(installed, program, "--version").stdout
        assert shown == f"{program} {VERSION} ({f'commit {commit[:12]}, ' if commit else ''}Python {python})\n"
    assert "zeroscale " in run(installed, "twistd", "--help").stdout
    share = installed.parent / "share"
    for path in (ROOT / "share").rglob("*"):
        if path.is_file():
            assert (share / path.relative_to(ROOT / "share")).read_text() == path.read_text()


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
def test_the_sdist_is_used_in_place_of_the_checkout(unpacked: Path, from_source: Path, tmp_path: Path) -> None:
    run_the_demo(from_source, tmp_path)
    server = tmp_path / "survival"
    server.mkdir()
    (server / "server.jar").touch()
    (server / "eula.txt").write_text("eula=true\n")
    steps = run(
        from_source, "zeroscalectl", "systemd", "install", "--server", str(server), "--user", "daemon", "--dry-run"
    )
    assert steps.returncode == 0, steps.stderr
    for name in ("man/man1/zeroscale.1", "bash-completion/completions/zeroscalectl", "zsh/site-functions/_zeroscale"):
        assert f"Would link /usr/local/share/{name} to {from_source.parent}/share/{name}" in steps.stdout


@pytest.mark.slow
@pytest.mark.peers("pyproject-build")
def test_the_sdist_has_tests_that_pass(unpacked: Path) -> None:
    some = [
        "tests/test_architecture.py",
        "tests/test_build_info.py",
        "tests/test_distribution.py",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--numprocesses", "0", "-p", "no:cacheprovider", *some],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
