"""Which servers a command is for. What is sent to them is tested with `wake` and `sleep`."""

from __future__ import annotations

import argparse
from typing import cast

import pytest
from control.fake_proxy import FakeProxy

from zeroscale.ctl.client import ControlClient, UsageError
from zeroscale.ctl.several import add_servers, chosen, first_name
from zeroscale.reports import ProxyReport, ServerReport


class Client:
    def ask(self, kind: type[ProxyReport], command: str) -> ProxyReport:
        assert (kind, command) == (ProxyReport, "status")
        return FakeProxy("survival", "creative", "lobby").report()


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_servers(parser, "all servers")
    return parser.parse_args(words)


def servers(*words: str) -> list[str | None]:
    def in_all(report: ServerReport) -> bool:
        return report.name != "creative"

    return chosen(cast(ControlClient, Client()), parsed(*words), in_all)


def test_names_each_once_in_their_order() -> None:
    assert servers("survival", "creative", "survival") == ["survival", "creative"]
    assert first_name(parsed("survival", "creative")) == "survival"


def test_no_name_is_the_only_server() -> None:
    assert servers() == [None]
    assert first_name(parsed()) is None


def test_all_that_the_command_is_for() -> None:
    assert servers("--all") == ["lobby", "survival"]


def test_names_and_all() -> None:
    with pytest.raises(UsageError, match="give names or --all, not both"):
        servers("survival", "--all")
