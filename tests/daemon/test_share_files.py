"""share/ has the manual pages and completion scripts that the parsers make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zeroscale.daemon import share_files

ROOT = Path(__file__).parent.parent.parent / "share"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help differently in other Pythons")
def test_the_files_are_those_that_the_parsers_make() -> None:
    made = share_files.files()
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()} == made.keys()
    changed = [path for path, text in made.items() if (ROOT / path).read_text() != text]
    assert changed == [], "run: python -m zeroscale.daemon.share_files"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.1")), ids=lambda path: path.name)
def test_a_manual_page_names_every_option_and_is_found_by_its_summary(path: Path) -> None:
    text = path.read_text()
    assert f"{path.stem} \\- " in text.splitlines()[2]
    for option in share_files.parsers()[path.stem]._option_string_actions:
        if option.startswith("--") and "_" not in option and option != "--help":
            assert option.replace("-", "\\-") in text, option


@pytest.mark.peers("man")
@pytest.mark.parametrize("name", ["zeroscale.1", "zeroscalectl.1"])
def test_man_shows_a_page_without_a_warning(name: str) -> None:
    command = ["man", "--warnings", "--local-file", str(ROOT / "man" / "man1" / name)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert shown.stdout.count("SYNOPSIS") == 1


def script(shell: str, program: str) -> Path:
    return ROOT / share_files.SCRIPTS[shell].format(program=program)


BASH = """\
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_zeroscale
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(("words", "expected"), [(["--hold-l"], ["--hold-limit"]), (["--motd", "b"], ["beside"])])
def test_bash_completes_options_and_their_values(words: list[str], expected: list[str]) -> None:
    command = ["bash", "--norc", "-c", BASH, "bash", str(script("bash", "zeroscale")), "zeroscale", *words]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == expected


@pytest.mark.peers("fish")
@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("zeroscale", "--hold-l", "--hold-limit"),
        ("zeroscale", "--motd b", "beside"),
        ("zeroscalectl", "stat", "status"),
    ],
)
def test_fish_completes(program: str, line: str, expected: str) -> None:
    text = f"source {script('fish', program)}; complete --do-complete '{program} {line}'"
    shown = subprocess.run(["fish", "--no-config", "-c", text], capture_output=True, text=True, check=True)
    assert expected in [each.partition("\t")[0] for each in shown.stdout.splitlines()]
