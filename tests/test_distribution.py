"""The distribution: what it is called, that sdist and wheel are complete, and how to install it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

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
    subprocess.run(
        [sys.executable, "-P", "-m", "build", "--outdir", directory, source], check=True, capture_output=True
    )
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
    assert {name for name in shipped if ".data/" not in name} == ours | examples


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which the wheel is installed without extras."""
    directory = tmp_path_factory.mktemp("installed")
    [wheel] = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    pip, pins = directory / "bin" / "pip", ROOT / "constraints.txt"
    subprocess.run([pip, "install", "--quiet", "--constraint", pins, wheel], check=True)
    return directory / "bin"


def run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(installed / command[0]), *command[1:]]
    return subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)


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
