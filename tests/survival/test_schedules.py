"""A whole zeroscale with times at which its server is kept awake and asleep: the clock is the machine's."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from peers.programs import DEADLINE, wait_until
from survival.harness import SurvivalHarness
from survival.test_story import news

ENOUGH = 10.0
"""Seconds for a zeroscale to start before the window begins."""


def clock(moment: datetime) -> str:
    return moment.strftime("%H:%M")


@pytest.mark.slow
def test_a_window_around_now_after_another(harness: SurvivalHarness) -> None:
    now = datetime.now(UTC) + timedelta(seconds=ENOUGH)
    begins = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    ends = begins + timedelta(hours=2)
    file = harness.directory / "zeroscale.toml"
    text = f"""state_directory = "{harness.state}"
    control.listen = "unix:{harness.directory}/control"
    [servers.survival]
    plugin = "demo"
    listen = {harness.port}
    server = {harness.server_port}
    working_directory = "{harness.world}"
    plugin_arguments.start_seconds = 0
    plugin_arguments.switches = "--journal journal"
    idle_shutdown = 0
    minimum_online_time = 0
    timezone = "UTC"
    """
    window = f"{clock(begins)}-{clock(ends)}"
    file.write_text(text + f'keep_awake = "{window}"\n')
    proxy = harness.run_configured(file)
    assert "Asleep" in harness.motd()
    left = begins.timestamp() - time.time()
    proxy.wait_for(f"survival: starting: schedule {window}", within=left + DEADLINE)
    assert time.time() >= begins.timestamp()
    proxy.wait_for("survival: ready after")
    harness.player().is_greeted()
    proxy.wait_for(f"not stopped: schedule {window}")
    assert harness.servers()

    file.write_text(text + f'keep_asleep = "{window}"\n')
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for(f"survival: stopping: schedule {window}")
    harness.server_is_gone(proxy)
    asleep = f"This server sleeps until {clock(ends)}."
    assert asleep in harness.motd()
    assert asleep in harness.player().kick_message()
    assert harness.servers() == set()

    file.write_text(text)
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "Asleep" in harness.motd(), "the schedule is gone", program=proxy)
    harness.player().is_greeted()
    harness.server_is_gone(proxy)
    assert proxy.terminate() == 0
    assert "Traceback" not in proxy.text()
    until = f"schedule {window} until {clock(ends)}"
    assert news(proxy, "survival") == [
        f"kept awake by {until}",
        f"starting: schedule {window}",
        "ready after N s",
        f"kept asleep by {until}",
        f"stopping: schedule {window}",
        "stopped after N s",
        "Steve (127.0.0.1) refused: lockout",
        "starting: Steve (127.0.0.1) joined",
        "ready after N s, 1 player waiting",
        "stopping: no players for N s",
        "stopped after N s",
    ]
    report = harness.journal()
    assert (report.consistent, report.closed, report.runs) == (True, True, 2)
