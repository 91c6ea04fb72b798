"""Log lines: their form, and how Twisted's log and stdlib's are joined."""

from __future__ import annotations

from processes import Program, python


def said(code: str) -> list[str]:
    with Program(python("-c", code)) as program:
        assert program.wait() == 0
    return program.lines


def test_on_stderr_in_the_seeds_form() -> None:
    assert said(
        "import logging; from zeroscale import logs; logs.to_stderr(logging.INFO)\n"
        "logging.getLogger('zeroscale.plugins.minecraft').info('Minecraft server %s', 'online')\n"
        "logging.getLogger('zeroscale').debug('hidden')"
    ) == ["INFO:zeroscale.plugins.minecraft:Minecraft server online"]


def test_asyncio_keeps_out_of_the_story() -> None:
    assert said(
        "import asyncio, logging; from zeroscale import logs; logs.to_stderr(logging.DEBUG)\n"
        "asyncio.new_event_loop().close()\n"
        "logging.getLogger('zeroscale').debug('shown')"
    ) == ["DEBUG:zeroscale:shown"]


def test_of_twisted_only_what_is_wrong_is_shown() -> None:
    lines = said(
        "import logging; from twisted.python import log; from zeroscale import logs; logs.to_stderr(logging.DEBUG)\n"
        "log.msg('Factory starting on 25565')\n"
        "log.err(ValueError('odd'), 'while doing a thing')"
    )
    assert lines[0].startswith("CRITICAL:twisted:while doing a thing")
    assert "ValueError: odd" in "".join(lines)
    assert "Factory" not in "".join(lines)


def test_into_twisteds_log() -> None:
    [line] = said(
        "import logging, sys; from twisted.python import log; from zeroscale import logs\n"
        "log.startLogging(sys.stdout, setStdout=False)\n"
        "logs.to_twisted(logging.INFO)\n"
        "logging.getLogger('zeroscale').info('%d %% of it', 50)\n"
        "logging.getLogger('zeroscale').debug('hidden')"
    )[1:]
    assert line.endswith(" [-] INFO:zeroscale:50 % of it")


def test_a_line_that_cannot_be_formatted_is_no_error() -> None:
    lines = said(
        "import logging, sys; from twisted.python import log; from zeroscale import logs\n"
        "log.startLogging(sys.stdout, setStdout=False)\n"
        "logs.to_twisted(logging.INFO)\n"
        "logging.getLogger('zeroscale').info('%d', 'no number')\n"
        "logging.getLogger('zeroscale').info('the next')"
    )
    assert any("--- Logging error ---" in line for line in lines)
    assert any("INFO:zeroscale:the next" in line for line in lines)
