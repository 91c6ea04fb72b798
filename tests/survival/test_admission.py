"""Which players may wake the server, with a whole zeroscale, real files, and `zeroscalectl join` as the player."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peers.programs import wait_for_changed_files
from processes import Program, python
from survival.harness import PROTOCOL, SurvivalHarness

from zeroscale.access_lists import offline_uuid

NOT_LISTED = "You are not white-listed on this server!"


def join(harness: SurvivalHarness, name: str) -> tuple[int, str]:
    """Run `zeroscalectl join`; return its exit code and output."""
    arguments = [
        "-m",
        "zeroscale.ctl.main",
        "join",
        f"127.0.0.1:{harness.port}",
        "--name",
        name,
        "--protocol",
        str(PROTOCOL),
    ]
    with Program(python(*arguments)) as program:
        return program.wait(), program.output


def write_list(path: Path, *names: str, **more: object) -> None:
    """Write a list of players, as a server in offline mode does."""
    path.write_text(json.dumps([{"uuid": offline_uuid(name), "name": name, **more} for name in names], indent=2))
    wait_for_changed_files()


@pytest.mark.slow
def test_a_whitelist_edited_while_the_server_sleeps_counts_within_a_second(harness: SurvivalHarness) -> None:
    (harness.world / "server.properties").write_text("white-list=true\n")
    write_list(harness.world / "whitelist.json", "Ada")
    proxy = harness.run_demo(idle=0)
    code, output = join(harness, "Bob")
    assert (code, NOT_LISTED in output) == (1, True), output
    proxy.wait_for(r"Bob \(127\.0\.0\.1:\d+\): kicked after .* \(not_whitelisted: ")
    assert not harness.servers()
    write_list(harness.world / "whitelist.json", "Ada", "Bob")
    assert "You have woken the zeroscale demo server" in join(harness, "Bob")[1]
    harness.server_is_gone(proxy)
    write_list(harness.world / "whitelist.json", "Ada")
    assert NOT_LISTED in join(harness, "Bob")[1]
    write_list(harness.world / "ops.json", "Bob", level=4)
    write_list(harness.world / "banned-players.json", "Ada", expires="2026-01-01 00:00:00 +0000", reason="Griefing")
    assert "You have woken" in join(harness, "Bob")[1]
    harness.server_is_gone(proxy)
    assert "You have woken" in join(harness, "Ada")[1], "her ban has ended"
    harness.server_is_gone(proxy)
    write_list(harness.world / "banned-players.json", "Ada", expires="forever", reason="Griefing")
    code, output = join(harness, "Ada")
    assert (code, "You are banned from this server." in output, "Reason: Griefing" in output) == (1, True, True), output
    assert proxy.terminate() == 0
    report = harness.journal()
    assert (report.consistent, report.runs, report.saves) == (True, 3, 3)


@pytest.mark.slow
def test_the_configuration_files_admission_table(harness: SurvivalHarness) -> None:
    file = harness.directory / "zeroscale.toml"
    text = f"""state_directory = "{harness.state}"
    [servers.survival]
    plugin = "demo"
    listen = {harness.port}
    server = "127.0.0.1:{harness.server_port}"
    working_directory = "{harness.world}"
    plugin_arguments = {{ start_seconds = "0", switches = "--journal journal" }}
    texts.nobody_kick = "Ask Olga to wake it, {{player}}."
    [servers.survival.admission]
    wake = "nobody"
    allow = ["Ada"]
    """
    file.write_text(text)
    with harness.run_configured(file) as proxy:
        assert "Ask Olga to wake it, Bob." in join(harness, "Bob")[1]
        proxy.wait_for(r"Bob .*: kicked after .* \(nobody: ")
        assert not harness.servers()
        assert "You have woken" in join(harness, "ada")[1]
        assert proxy.terminate() == 0
    file.write_text(text + 'lockout = "Back on Friday."\n')
    with harness.run_configured(file) as proxy:
        assert "Back on Friday." in harness.motd()
        assert "Back on Friday." in join(harness, "Ada")[1]
        proxy.wait_for(r"Ada .*: kicked after .* \(lockout\)")
        assert not harness.servers()
        assert proxy.terminate() == 0


@pytest.mark.slow
def test_the_running_server_itself_admits_players(harness: SurvivalHarness) -> None:
    proxy = harness.run_demo(idle=60)
    harness.player("Ada").is_greeted()
    (harness.world / "server.properties").write_text("white-list=true\n")
    write_list(harness.world / "whitelist.json")
    assert "You have woken" in join(harness, "Bob")[1]
    assert proxy.terminate() == 0
