"""`zeroscalectl example`: the files of systemd/ and docs/, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeroscale.ctl.main import main

ROOT = Path(__file__).parents[3]
FILES = [
    path
    for name in ("systemd", "docs/container", "docs/kubernetes")
    for path in (ROOT / name).rglob("*")
    if path.is_file()
]


def test_each_is_listed_with_its_first_comment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(path.name for path in FILES)
    [compose] = [line for line in lines if line.startswith("compose.yaml ")]
    assert "  zeroscale in front of a Minecraft server " in compose


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_is_printed_as_it_is(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", path.name]) == 0
    assert capsys.readouterr().out == path.read_text()


def test_the_names_are_unique() -> None:
    assert len({path.name for path in FILES}) == len(FILES)


def test_another_name_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["example", "zeroscale.servic"])
    assert "choose from" in capsys.readouterr().err
