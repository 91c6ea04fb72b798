"""Who may wake, with a whole zeroscale, its real files, and the operator's own tool as the player."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import Program, python
from survival.harness import PROTOCOL, Scene

from zeroscale.access_lists import offline_uuid

NOT_LISTED = "You are not white-listed on this server!"


def join(scene: Scene, name: str) -> tuple[int, str]:
    """Joins as `zeroscalectl join` does; returns its exit code and what it says."""
    words = ["-m", "zeroscale.ctl.main", "join", f"127.0.0.1:{scene.port}", "--name", name, "--protocol", str(PROTOCOL)]
    with Program(python(*words)) as program:
        return program.wait(), program.output


def put(path: Path, *names: str, **more: object) -> None:
    """Puts players on a list, as a server in offline mode writes it."""
    path.write_text(json.dumps([{"uuid": offline_uuid(name), "name": name, **more} for name in names], indent=2))


@pytest.mark.slow
def test_a_whitelist_edited_while_it_sleeps_counts_at_the_next_login_without_a_restart(scene: Scene) -> None:
    (scene.world / "server.properties").write_text("white-list=true\n")
    put(scene.world / "whitelist.json", "Ada")
    proxy = scene.demo(idle=0)
    code, said = join(scene, "Bob")
    assert (code, NOT_LISTED in said) == (1, True), said
    proxy.wait_for(r"Bob \(127\.0\.0\.1:\d+\): kicked after .* \(not_whitelisted: ")
    assert not scene.servers()
    put(scene.world / "whitelist.json", "Ada", "Bob")
    assert "You have woken the zeroscale demo server" in join(scene, "Bob")[1]
    scene.server_is_gone(proxy)
    put(scene.world / "whitelist.json", "Ada")
    assert NOT_LISTED in join(scene, "Bob")[1]
    put(scene.world / "ops.json", "Bob", level=4)
    put(scene.world / "banned-players.json", "Ada", expires="2026-01-01 00:00:00 +0000", reason="Griefing")
    assert "You have woken" in join(scene, "Bob")[1]
    scene.server_is_gone(proxy)
    assert "You have woken" in join(scene, "Ada")[1], "her ban has ended"
    scene.server_is_gone(proxy)
    put(scene.world / "banned-players.json", "Ada", expires="forever", reason="Griefing")
    code, said = join(scene, "Ada")
    assert (code, "You are banned from this server." in said, "Reason: Griefing" in said) == (1, True, True), said
    assert proxy.terminate() == 0
    report = scene.journal()
    assert (report.consistent, report.runs, report.saves) == (True, 3, 3)


@pytest.mark.slow
def test_what_a_configuration_file_says_of_it(scene: Scene) -> None:
    file = scene.directory / "zeroscale.toml"
    said = f"""state_directory = "{scene.state}"
    [servers.survival]
    plugin = "demo"
    listen = {scene.port}
    server = "127.0.0.1:{scene.server_port}"
    working_directory = "{scene.world}"
    plugin_arguments = {{ start_seconds = "0", switches = "--journal journal" }}
    texts.nobody_kick = "Ask Olga to wake it, {{player}}."
    [servers.survival.admission]
    wake = "nobody"
    allow = ["Ada"]
    """
    file.write_text(said)
    with scene.configured(file) as proxy:
        assert "Ask Olga to wake it, Bob." in join(scene, "Bob")[1]
        proxy.wait_for(r"Bob .*: kicked after .* \(nobody: ")
        assert not scene.servers()
        assert "You have woken" in join(scene, "ada")[1]
        assert proxy.terminate() == 0
    file.write_text(said + 'lockout = "Back on Friday."\n')
    with scene.configured(file) as proxy:
        assert "Back on Friday." in scene.motd()
        assert "Back on Friday." in join(scene, "Ada")[1]
        proxy.wait_for(r"Ada .*: kicked after .* \(lockout\)")
        assert not scene.servers()
        assert proxy.terminate() == 0


@pytest.mark.slow
def test_while_it_runs_the_real_server_judges(scene: Scene) -> None:
    proxy = scene.demo(idle=60)
    scene.player("Ada").is_greeted()
    (scene.world / "server.properties").write_text("white-list=true\n")
    put(scene.world / "whitelist.json")
    assert "You have woken" in join(scene, "Bob")[1]
    assert proxy.terminate() == 0
