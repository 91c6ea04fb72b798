"""The contract tests for plugins: that they are a development tool only, and that they find mistakes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zeroscale
from zeroscale.errors import PluginError
from zeroscale.lifecycle.exit_codes import is_clean
from zeroscale.plugins.testing import (
    PluginTests,
    RecordedOutput,
    ServerExit,
    ServerUnderTest,
    WaitableTests,
    driving,
    error_of,
)

PACKAGE = Path(zeroscale.__file__).parent


def test_zeroscale_itself_imports_neither_it_nor_pytest() -> None:
    importing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            if any(f"{name}.".startswith(("zeroscale.plugins.testing.", "pytest.")) for name in names):
                importing.add(path.name)
    assert importing == {"testing.py"}, "pytest, which it imports itself"


@pytest.mark.parametrize("code", [None, 0, 1, 2, 126, 127, 129, 130, 137, 143, 255])
def test_it_distinguishes_a_crash_from_a_clean_end_as_zeroscale_does(code: int | None) -> None:
    assert ServerExit(code).is_clean == is_clean(code)
    assert not ServerExit(code, "it crashed").is_clean


class Good:
    """A plugin whose server is a flag.

    :ivar runs: the flag.
    """

    def __init__(self) -> None:
        self.runs = False

    async def start(self) -> None:
        self.runs = True

    async def stop(self) -> None:
        self.runs = False


class Flag(ServerUnderTest):
    def __init__(self, plugin: Good) -> None:
        self.plugin = plugin

    def make_plugin(self) -> Good:
        return self.plugin

    async def is_running(self) -> bool:
        return self.plugin.runs


class Waits(Good):
    async def wait(self) -> int | None:
        return 0


class NeverStops(Good):
    async def stop(self) -> None: ...


class BadFakeStatus(Good):
    def fake_status(self) -> str:
        return "asleep"


class Both(PluginTests, WaitableTests): ...


async def test_a_correct_plugin_passes() -> None:
    tests = PluginTests()
    await tests.test_it_fits_the_contract(Flag(Good()))
    await tests.test_every_ability_is_tested(Flag(Good()))
    await tests.test_it_starts_and_stops_and_starts_again(Flag(Good()))
    await tests.test_the_fake_status_is_bytes_or_none(Flag(Good()))


async def test_an_ability_without_its_tests_fails_and_so_do_tests_without_the_ability() -> None:
    await Both().test_every_ability_is_tested(Flag(Waits()))
    with pytest.raises(AssertionError):
        await PluginTests().test_every_ability_is_tested(Flag(Waits()))
    with pytest.raises(AssertionError):
        await Both().test_every_ability_is_tested(Flag(Good()))


async def test_mistakes_fail() -> None:
    with pytest.raises(AssertionError):
        await PluginTests().test_it_starts_and_stops_and_starts_again(Flag(NeverStops()))
    with pytest.raises(AssertionError):
        await PluginTests().test_the_fake_status_is_bytes_or_none(Flag(BadFakeStatus()))


async def test_a_message_of_several_lines_fails() -> None:
    async def fails(message: str) -> None:
        raise PluginError(message)

    assert await error_of(fails("one line")) == "one line"
    with pytest.raises(AssertionError):
        await error_of(fails("two\nlines"))


async def test_a_negative_exit_code_is_a_signal() -> None:
    class Killed(Waits):
        async def wait(self) -> int | None:
            return -15

    async with driving(Flag(Killed())) as driver:
        await driver.start()
        assert driver.exit is not None
        assert await driver.exit == ServerExit(143)


async def test_output_is_recorded_and_can_be_waited_for() -> None:
    output = RecordedOutput()
    output("first line")
    assert await output.line_with("first") == "first line"
    assert output.lines == ["first line"]
