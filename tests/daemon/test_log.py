"""Log lines: their form, and how Twisted's log and stdlib's are joined."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from processes import Program, python


def stderr_lines(code: str) -> list[str]:
    with Program(python("-c", code)) as program:
        assert program.wait() == 0
    return program.lines


def test_on_stderr_level_logger_message() -> None:
    assert stderr_lines(
        "import logging; from zeroscale.daemon import log as logs; logs.to_stderr(logging.INFO)\n"
        "logging.getLogger('zeroscale.plugin.minecraft').info('%s: Java %s', 'survival', 21)\n"
        "logging.getLogger('zeroscale').debug('hidden')"
    ) == ["INFO:zeroscale.plugin.minecraft:survival: Java 21"]


ONE_LINE = (
    "import logging, os, sys; from zeroscale.config.model import LogConfig; from zeroscale.daemon import log as logs\n"
    "where = os.fstat(2)\n"
    "os.environ['JOURNAL_STREAM'] = sys.argv[1].format(where)\n"
    "logs.to_stderr(logging.INFO, LogConfig(format=sys.argv[2]))\n"
    "logging.getLogger('zeroscale').warning('a line')\n"
)
JOURNAL = "{0.st_dev}:{0.st_ino}"


@pytest.mark.parametrize(
    ("journal", "form", "line"),
    [
        ("", "text", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} WARNING:zeroscale:a line\n"),
        ("1:1", "text", r"\d{4}-\S+ WARNING:zeroscale:a line\n"),
        (JOURNAL, "text", r"WARNING:zeroscale:a line\n"),
        ("", "plain", r"WARNING:zeroscale:a line\n"),
    ],
)
def test_a_line_begins_with_the_time_where_its_reader_has_none(journal: str, form: str, line: str) -> None:
    ran = subprocess.run([*python("-c", ONE_LINE), journal, form], capture_output=True, text=True, check=True)
    assert re.fullmatch(line, ran.stderr)


def test_asyncio_keeps_out_of_the_story() -> None:
    assert stderr_lines(
        "import asyncio, logging; from zeroscale.daemon import log as logs; logs.to_stderr(logging.DEBUG)\n"
        "asyncio.new_event_loop().close()\n"
        "logging.getLogger('zeroscale').debug('shown')"
    ) == ["DEBUG:zeroscale:shown"]


def test_of_twisted_only_what_is_wrong_is_shown() -> None:
    lines = stderr_lines(
        "import logging; from twisted.python import log; from zeroscale.daemon import log as logs\n"
        "logs.to_stderr(logging.DEBUG)\n"
        "log.msg('Factory starting on 25565')\n"
        "log.err(ValueError('odd'), 'while doing a thing')"
    )
    assert lines[0].startswith("CRITICAL:twisted:while doing a thing")
    assert "ValueError: odd" in "".join(lines)
    assert "Factory" not in "".join(lines)


def test_into_twisteds_log() -> None:
    [line] = stderr_lines(
        "import logging, sys; from twisted.python import log; from zeroscale.daemon import log as logs\n"
        "log.startLogging(sys.stdout, setStdout=False)\n"
        "logs.to_twisted(logging.INFO)\n"
        "logging.getLogger('zeroscale').info('%d %% of it', 50)\n"
        "logging.getLogger('zeroscale').debug('hidden')"
    )[1:]
    assert line.endswith(" [-] INFO:zeroscale:50 % of it")


def test_a_line_that_cannot_be_formatted_is_no_error() -> None:
    lines = stderr_lines(
        "import logging, sys; from twisted.python import log; from zeroscale.daemon import log as logs\n"
        "log.startLogging(sys.stdout, setStdout=False)\n"
        "logs.to_twisted(logging.INFO)\n"
        "logging.getLogger('zeroscale').info('%d', 'no number')\n"
        "logging.getLogger('zeroscale').info('the next')"
    )
    assert any("--- Logging error ---" in line for line in lines)
    assert any("INFO:zeroscale:the next" in line for line in lines)


def test_as_json_on_stderr() -> None:
    lines = stderr_lines(
        "import logging; from zeroscale.daemon import log as logs; from zeroscale.config.model import LogConfig\n"
        "from twisted.python import log\n"
        "logs.to_stderr(logging.INFO, LogConfig(format='json', addresses=False))\n"
        "logging.getLogger('zeroscale').info('%s\\n left', 'Steve (203.0.113.7:1)', extra={'server': 'survival'})\n"
        "log.err(ValueError('odd'), 'while doing a thing')"
    )
    first, second = (json.loads(line) for line in lines)
    assert (first["message"], first["server"]) == ("Steve ([address])\n left", "survival")
    assert (second["level"], second["logger"]) == ("CRITICAL", "twisted")
    assert "ValueError: odd" in second["message"]


@pytest.mark.slow
def test_addresses_are_kept_out_of_twisteds_log() -> None:
    [line] = stderr_lines(
        "import logging, sys; from twisted.python import log; from zeroscale.daemon import log as logs\n"
        "from zeroscale.config.model import LogConfig\n"
        "log.startLogging(sys.stdout, setStdout=False)\n"
        "logs.to_twisted(logging.INFO, LogConfig(addresses=False))\n"
        "logging.getLogger('zeroscale').info('203.0.113.7 left')"
    )[1:]
    assert line.endswith(" [-] INFO:zeroscale:[address] left")


TWISTD: dict[str, object] = {"syslog": False, "logger": None, "logfile": None, "nodaemon": False}


def to_twistd(options: str, *lines: str) -> str:
    return "\n".join(
        [
            "import logging, os, signal, sys; from twisted.logger import globalLogBeginner",
            "from zeroscale.daemon import log as logs",
            "from twisted.python import log; from zeroscale.config.model import LogConfig",
            "class Reactor:",
            "    def callFromThread(self, function): function()",
            f"observer = logs.to_twisted(logging.WARNING, LogConfig(format='json'), {options}, Reactor()).observer",
            *lines,
        ]
    )


def test_as_json_each_line_of_twistds_file_is_one_object(tmp_path: Path) -> None:
    file = tmp_path / "log"
    options = {**TWISTD, "logfile": str(file)}
    assert (
        stderr_lines(
            to_twistd(
                repr(options),
                "globalLogBeginner.beginLoggingTo([observer])",
                "logging.getLogger('zeroscale').warning('first')",
                "log.msg('of Twisted')",
                "os.kill(os.getpid(), signal.SIGUSR1)",
                "print('printed')",
            )
        )
        == []
    )
    [rotated] = tmp_path.glob("log.*")
    lines = [json.loads(line) for line in [*rotated.read_text().splitlines(), *file.read_text().splitlines()]]
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("zeroscale", "first"),
        ("twisted", "of Twisted"),
        ("twisted", "printed"),
    ]


def test_a_full_disk_is_no_endless_story() -> None:
    options = {**TWISTD, "logfile": "/dev/full"}
    lines = stderr_lines(
        to_twistd(
            repr(options),
            "globalLogBeginner.beginLoggingTo([observer])",
            "logging.getLogger('zeroscale').warning('first')",
        )
    )
    assert lines == ["zeroscale: log lines are lost: No space left on device"]


def test_an_observer_that_the_user_has_chosen_stays() -> None:
    own: list[dict[str, object]] = [{"syslog": True}, {"logger": "a.factory"}, {"logfile": "-"}]
    code = [f"print(logs.to_twisted(30, LogConfig(format='json'), { ({**TWISTD, **each})!r}).observer)" for each in own]
    assert stderr_lines("\n".join([*to_twistd(repr({**TWISTD, "syslog": True})).splitlines(), *code])) == ["None"] * 3


def test_a_twistd_in_the_foreground_writes_to_stdout() -> None:
    [line] = stderr_lines(
        to_twistd(
            repr({**TWISTD, "nodaemon": True}),
            "globalLogBeginner.beginLoggingTo([observer])",
            "logging.getLogger('zeroscale').warning('first')",
        )
    )
    assert json.loads(line)["message"] == "first"
