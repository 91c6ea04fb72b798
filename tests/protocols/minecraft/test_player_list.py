"""Answers to `list`, as servers and plugins of many versions word them, and as their logs write them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.protocols.minecraft import player_list

ANSWERS = [
    ("There are 0 of a max of 20 players online: ", 0),  # vanilla 1.16 and later
    ("There are 2 of a max of 20 players online: Notch, jeb_", 2),
    ("There are 20 of a max of 20 players online: ...", 20),
    ("There are 1 of a max 20 players online: Notch\n", 1),  # vanilla 1.13 to 1.15
    ("There are 0/20 players online:\n", 0),  # vanilla 1.3 to 1.12, CraftBukkit, Forge
    ("There are 2/20 players online:\nNotch, jeb_", 2),
    ("There are 1/100 players online.\nItzme", 1),
    ("Connected players: ", 0),  # vanilla up to 1.2.5
    ("Connected players: Notch", 1),
    ("Connected players: Notch, jeb_", 2),
    ("There are 0 out of maximum 35 players online.", 0),  # Essentials
    ("There are 1 out of maximum 35 players online.\ndefault: Steve", 1),
    ("There are 1/1 out of maximum 35 players online.", 2),  # one of them hidden
    ("There are 0/1 out of maximum 35 players online.", 1),
    ("\u00a76There are \u00a7c0\u00a76 out of maximum \u00a7c50\u00a76 players online.\n", 0),
    ("\u00a76There are \u00a7c1\u00a76/\u00a7c2\u00a76 out of maximum \u00a7c20\u00a76 players online.", 3),
    ("\x1b[0;33;1mThere are \x1b[0;31;1m1\x1b[0;33;1m out of maximum \x1b[0;31;1m20\x1b[m players online.", 1),
    ("There are 0 out of a maximum 20 players online", 0),
    ("1 out of a maximum 35 players online", 1),
    ("1/1 out of maximum 35 players online", 2),
    ("There are 3 out of a maximum of 20 players online", 3),
    ("There are 0 out of 20 players online", 0),
    ("There are 0 out of maximum 1,000 players online.", 0),  # the numbers as the language writes them
    ("There are 2 out of maximum 1.000 players online.", 2),
    ("There are currently 2 of 10 players online:", 2),
    ("There is 1 of a max of 20 players online: Steve", 1),
    ("There is 1 player online:\nSteve", 1),
    ("There are no players online.", 0),
    ("\n  There are 1/20 players online:", 1),
    ("There are 0/20 players online: \nThere are 3/20 players online: ", 3),
]

NOT_UNDERSTOOD = [
    "",
    "Es sind 2 Spieler online",
    "Es sind 1 von maximal 20 Spielern online.",
    "\u5f53\u524d\u6709 0 \u4e2a\u73a9\u5bb6\u5728\u7ebf",
    'Unknown command. Type "/help" for help.',
    "There are 0 of a max of 20 zombies",
    "There are 20 zombies",
    "There are 1,000 of a max of 2,000 players online",
    "There are 12345678901 of a max of 20 players online",
    "<Steve> There are 0 of a max of 20 players online: ",
    "[Steve] There are 0 of a max of 20 players online: ",
    "Steve: There are 0/20 players online",
    "* Steve There are 0/20 players online",
    "default: There are 0/20 players online",
    "There are -1/20 players online",
]


@pytest.mark.parametrize(("answer", "count"), ANSWERS)
def test_answers_in_many_words(answer: str, count: int) -> None:
    assert player_list.count(answer) == count


@pytest.mark.parametrize("answer", NOT_UNDERSTOOD)
def test_answers_that_are_not_understood(answer: str) -> None:
    assert player_list.count(answer) is None


PREFIXES = [
    "",
    "> ",
    ">",
    ">> ",
    "[12:00:00] [Server thread/INFO]: ",  # vanilla, Fabric
    "> [12:00:00] [Server thread/INFO]: ",
    "[12:00:00 INFO]: ",  # Paper
    ">[12:00:00 INFO]: ",
    "\x1b[m> \x1b[K[12:00:00 INFO]: ",
    "\x1b[?1l\x1b>\x1b[?2004l\x1b[?1h\x1b=\x1b[?2004h> \r\x1b[K[12:00:00 INFO]: ",  # JLine on a terminal
    "[12:00:00] [Server thread/INFO] [minecraft/DedicatedServer]: ",  # Forge 1.13
    "[12Jan2026 12:00:00.123] [Server thread/INFO] [net.minecraft.server.dedicated.DedicatedServer/]: ",
    "[12:00:00] [Server thread/INFO] [net.minecraft.server.MinecraftServer]: ",  # Forge 1.7
    "[2026-05-01 12:00:00] [Server thread/INFO]: ",
    "2013-05-01 12:00:00 [INFO] ",  # before 1.7
    "12:00:00 [INFO] ",  # CraftBukkit before 1.7
    "[12:00:00] [INFO] ",
    "[12:00:00] INFO: ",
    "[12:00:00] ",
    "[INFO] ",
    "INFO: ",
    "30.11.2026 12:00:00 [INFO]: ",
    "> November 30th 2026, 12:00:00 [INFO]: ",  # flying-squid
    "12:00:00.123 [main] INFO  net.minestom.server.MinecraftServer - ",  # Logback
    "2026-05-01T12:00:00.123Z  INFO pumpkin::command: ",  # tracing
    "2026-05-01T12:00:00+02:00 ",
]
LINES = [answer for answer, _ in ANSWERS if "\n" not in answer]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_prefix_of_a_log_is_skipped(prefix: str) -> None:
    for answer in LINES:
        assert player_list.count(player_list.message(prefix + answer)) == player_list.count(answer), answer


@pytest.mark.parametrize(
    "chat",
    [
        "<Steve> {}",
        "[Not Secure] <Steve> {}",
        "[Steve] {}",
        "[Steve]: {}",
        "[Server] {}",
        "Steve: {}",
        "* Steve {}",
        "[Admin] Steve: {}",
        "[.Steve]: {}",
        "[Rcon: {}]",
        "Steve issued server command: /{}",
    ],
)
def test_a_chat_message_is_not_taken_for_the_answer(chat: str) -> None:
    for prefix in PREFIXES:
        for answer in LINES:
            line = prefix + chat.format(answer)
            assert player_list.count(player_list.message(line)) is None, line


@pytest.mark.parametrize("chat", ["[INFO]: {}", "[INFO] {}", "INFO: {}"])
def test_a_players_name_is_not_taken_for_a_second_level(chat: str) -> None:
    for prefix in PREFIXES:
        if "INFO" in prefix:
            for answer in LINES:
                line = prefix + chat.format(answer)
                assert player_list.count(player_list.message(line)) is None, line


@pytest.mark.parametrize(
    "layout",
    [
        '{"timeMillis":1767225600000,"thread":"Server thread","level":"INFO","loggerName":"minecraft","message":%s}',
        '{"instant":{"epochSecond":1},"level":"INFO","message":%s,"endOfBatch":false}',
        '{"@timestamp":"2026-05-01T12:00:00.000Z","log.level":"INFO","message":%s,"ecs.version":"1.2.0"}',
        '{"@version":1,"@message":%s}',
        '{"version":"1.1","host":"mc","short_message":%s,"level":6}',
        '{"time":"2026-05-01T12:00:00Z","level":"INFO","msg":%s}',
        '> {"message":%s}',
        '  "message" : %s,',
        '  "message" : %s',
    ],
)
def test_json_layouts_of_logs(layout: str) -> None:
    for answer in LINES:
        text, chat = json.dumps(answer), json.dumps(f"<Steve> {answer}")
        assert player_list.count(player_list.message(layout % text)) == player_list.count(answer)
        assert player_list.count(player_list.message(layout % chat)) is None


@pytest.mark.parametrize("line", ["{", "{}", "[]", '{"message": 7}', '{"message": "', '"message" : "\\x",', "{" * 5000])
def test_broken_json_is_text(line: str) -> None:
    assert player_list.count(player_list.message(line)) is None


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        ("Es sind \u00a7c0\u00a76 von maximal \u00a7c20\u00a76 Spielern online.", True),
        ("Es sind \u00a7c1\u00a76 von maximal \u00a7c20\u00a76 Spielern online.", False),
        ("Es sind 10 von 20", False),
        ("\u00a70\u00a76Unknown command", True),
        ("", True),
    ],
)
def test_whether_an_answer_that_is_not_understood_may_mean_nobody(answer: str, may: bool) -> None:
    assert player_list.may_mean_nobody(answer) is may


def test_an_answer_is_shown_as_one_short_line() -> None:
    assert player_list.shown("\u00a76Hello\n \x1b[0;33mworld " + "x" * 500) == "Hello world " + "x" * 188


@pytest.mark.parametrize(
    "line",
    [
        "[a/INFO]" + "[./]" * 8000,
        "[a/INFO][" + "." * 32000,
        "[" + "INFO " * 6000,
        "[" + "12:00 " * 6000,
        "\x1b[" * 16000,
        "> " * 16000,
        " " * 32000 + "x",
    ],
    ids=lambda line: line[:10],
)
def test_no_line_takes_long_to_read(line: str) -> None:
    before = time.process_time()
    player_list.count(player_list.message(line))
    assert time.process_time() - before < 0.5


WORDS = [
    "> ",
    "[12:00:00] ",
    "[INFO]",
    ": ",
    "There are ",
    "1",
    "/",
    " of a max of ",
    " out of ",
    " players online",
    "{",
]


@given(st.text() | st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
def test_any_line_has_a_message_and_a_count_or_none(line: str) -> None:
    message = player_list.message(line)
    count = player_list.count(message)
    assert count is None or count >= 0
    player_list.may_mean_nobody(line)
    assert "\n" not in player_list.shown(line)
