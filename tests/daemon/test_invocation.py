"""A configuration file beside a command line, and read again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from zeroscale.config.model import Config
from zeroscale.daemon.options import parse
from zeroscale.errors import ConfigError, ConfigMistakes

FILE = '[servers.{name}]\nplugin = "minecraft"\nlisten = 25565\nserver = 25575\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "zeroscale.toml"
    path.write_text(FILE.format(name="survival"))
    return path


def names(config: Config) -> list[str]:
    return [server.name for server in config.servers]


def test_a_file_in_place_of_a_server(file: Path) -> None:
    told = parse(["--config", str(file)])
    assert (names(told.config), told.config_file, told.log_level) == (["survival"], file, logging.WARNING)
    assert parse(["-i", f"--config={file}"]).log_level == logging.INFO
    assert parse(["--config", file.name], directory=file.parent).config_file == file


def test_what_the_command_line_says_wins(file: Path) -> None:
    file.write_text('relay = "splice"\nstate_directory = "state"\nlog = {format = "text", addresses = false}\n')
    with file.open("a") as more:
        more.write(FILE.format(name="survival"))
    plain = parse(["--config", str(file)]).config
    assert (plain.relay, plain.state_directory, plain.log.format) == ("splice", file.parent / "state", "text")
    words = ["--relay", "transport", "--state-directory", "other", "--log-format", "json", "--console", "--debug"]
    told = parse(["--config", str(file), *words], directory=Path("/srv"))
    assert (told.config.relay, told.config.state_directory) == ("transport", Path("/srv/other"))
    assert (told.config.log.format, told.config.log.addresses) == ("json", False)
    assert (told.console, told.log_level) == (True, logging.DEBUG)
    shown = parse(["--config", str(file), "--log-addresses", "yes"]).config.log
    assert (shown.format, shown.addresses) == ("text", True)


def test_it_is_read_again(file: Path) -> None:
    told = parse(["--config", str(file), "--relay", "transport", "--log_format", "json"])
    file.write_text(FILE.format(name="creative"))
    again = told.read_again()
    assert (names(told.config), names(again), again.relay, again.log.format) == (
        ["survival"],
        ["creative"],
        "transport",
        "json",
    )
    file.write_text("relay = 5")
    with pytest.raises(ConfigMistakes):
        told.read_again()


def test_without_a_file_there_is_nothing_else_to_read() -> None:
    told = parse(["minecraft", "25565", "25575"])
    assert told.config_file is None
    assert told.read_again() is told.config


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["minecraft", "25565", "25575"], "leave out minecraft 25565 25575"),
        (["-t", "900"], "--idle_shutdown: say it in the file"),
        (["--join=kick", "-a", "memory=4G", "--forwarding"], "--forwarding, --join, --plugin_argument: say it"),
        (["--text", "sleeping=x"], "--text: say it in the file"),
        (["--no-such-option"], "unrecognized arguments: --no_such_option"),
        (["--relay", "fast"], "fast"),
        (["--", "minecraft"], "leave out minecraft"),
        (["minecraft", "--"], "leave out minecraft"),
    ],
)
def test_what_is_about_one_server_is_for_the_file(file: Path, words: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(["--config", str(file), *words])
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("words", [["--config"], ["--config="]])
def test_a_file_without_a_name(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--config"):
        parse(words)


def test_all_mistakes_of_the_file_are_told(file: Path) -> None:
    file.write_text("relay = 5\nlog = 5\n")
    with pytest.raises(ConfigMistakes) as raised:
        parse(["--config", str(file)])
    assert len(raised.value.mistakes) == 3
