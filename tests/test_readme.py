"""README.md is correct: its commands, every option, every text."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import readme_listing
from ports import free_port
from processes import Program, python

from zeroscale.plugins.loader import contract_mistakes
from zeroscale.state.start_history import WORLD_LOCK

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_at_the_top() -> None:
    top = README.splitlines()[:8]
    assert "pip install . && zeroscale demo 25565 25575 --info" in top
    assert "pip install '.[test]' && pytest" in top


def test_the_plugin_shown_fits_the_contract() -> None:
    [source] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    module: dict[str, Any] = {"__name__": "shown"}
    exec(source, module)
    assert contract_mistakes(module["Server"]) == []
    module["Server"](world="desert", working_directory="/")


def test_the_demo_is_as_shown(tmp_path: Path) -> None:
    public, private = free_port(), free_port()
    command = ["demo", str(public), str(private), "--debug", "-a", "start_seconds=0.5", "-t", "1"]
    with Program(python("-m", "zeroscale", *command, "--state_directory", str(tmp_path))) as proxy:
        proxy.wait_for(f"INFO:zeroscale.proxy:Ready: players come to port {public}")
        assert not (ROOT / WORLD_LOCK).exists(), "the tests run it elsewhere"
        with Program(python("-m", "zeroscale.ctl.main", "ping", f"localhost:{public}")) as ping:
            assert ping.wait() == 0
        number = r"\(protocol [0-9]+\)"  # of the newest version, whichever that is
        assert re.sub(number, "", "\n".join(ping.lines[:6])) in re.sub(number, "", README)
        with Program(python("-m", "zeroscale.ctl.main", "join", f"localhost:{public}")) as join:
            assert join.wait() == 0
        assert join.lines[0].endswith(": Hello zeroscalectl!")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0


def test_the_log_shown_is_that_of_a_real_run() -> None:
    lines = readme_listing.listing(free_port(), free_port(), ["-a", "start_seconds=0.5", "-t", "1"])
    assert readme_listing.form(readme_listing.shown()) == readme_listing.form(lines)


def test_files_that_contributing_names_are_there() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:zeroscale|docs|tests|\.ci)/[\w./]+|[\w.]+\.(?:toml|txt|md))`", contributing)
    named += re.findall(r"\]\(([\w./]+)\)", contributing)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []
