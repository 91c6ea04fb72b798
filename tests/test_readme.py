"""README.md tells the truth: its commands, every option, every text."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from processes import Program, python

from zeroscale.daemon.parser import build_parser
from zeroscale.frontend.messages import DEFAULTS
from zeroscale.plugins.loader import contract_mistakes

README = (Path(__file__).parent.parent / "README.md").read_text()
OPTIONS = [option for action in build_parser("zeroscale")._actions for option in action.option_strings]


def test_the_two_commands_stand_at_the_top() -> None:
    top = README.splitlines()[:8]
    assert "pip install . && zeroscale demo 25565 25575 --info" in top
    assert "pip install '.[test]' && pytest" in top


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_told(option: str) -> None:
    assert re.search(rf"`{option}[` ]", README)


def test_no_other_option_is_told() -> None:
    told = set(re.findall(r"^\| `(--\w+)", README, re.MULTILINE))
    assert len(told) > 20
    assert told <= set(OPTIONS)


@pytest.mark.parametrize(
    "option", [action for action in build_parser("zeroscale")._actions if action.metavar == "SECONDS"]
)
def test_a_default_is_the_real_one(option: object) -> None:
    dest, default = vars(option)["dest"], vars(option)["default"]
    row = re.search(rf"`--{dest}`[^|]*\| ([^|]*) \|", README.replace(f"`--{dest}` ", f"`--{dest}`"))
    assert row is not None
    assert row[1] == f"{default:g}" if default is not None else not row[1].isdigit()


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_text_is_told(name: str) -> None:
    assert f"`{name.removesuffix('_hover').removesuffix('_kick')}`" in README or f"`{name}`" in README


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
        proxy.wait_for(f"INFO:zeroscale.proxy.service:Ready: players come to port {public}")
        with Program(python("-m", "zeroscale.ctl.main", "ping", f"localhost:{public}")) as ping:
            assert ping.wait() == 0
        assert "\n".join(ping.lines[:6]) in README
        with Program(python("-m", "zeroscale.ctl.main", "join", f"localhost:{public}")) as join:
            assert join.wait() == 1
        assert join.lines[0].endswith(": Hello zeroscalectl!")
        proxy.wait_for(f"INFO:zeroscale.plugins.demo:Starting demo-{private}")
        proxy.wait_for(f"INFO:zeroscale.plugins.demo:demo-{private} is online")
        proxy.wait_for("INFO:zeroscale.access:zeroscalectl ")
        proxy.wait_for(f"INFO:zeroscale.plugins.demo:demo-{private} is offline")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
