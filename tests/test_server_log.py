from __future__ import annotations

import logging

import pytest

from zeroscale.server_log import ServerLog


@pytest.mark.parametrize("name", ["survival", "100%s"])
def test_a_line_begins_with_the_servers_name(caplog: pytest.LogCaptureFixture, name: str) -> None:
    log = ServerLog(logging.getLogger("tests.server_log"), name)
    log.warning("has not stopped for %d s", 60, extra={"seconds": 60})
    [record] = caplog.records
    assert record.getMessage() == f"{name}: has not stopped for 60 s"
    assert (vars(record)["server"], vars(record)["seconds"]) == (name, 60)
