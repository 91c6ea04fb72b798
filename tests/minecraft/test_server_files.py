"""Files of a Minecraft server: valid, invalid, unusual or missing."""

from __future__ import annotations

import base64
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.minecraft.server_files import (
    LARGEST_PROPERTIES,
    LARGEST_SCRIPT,
    ServerFiles,
    line_of,
    parse_properties,
    read_properties,
    read_script,
    session_lock_holder,
)

VANILLA = """#Minecraft server properties
#Mon Nov 23 20:04:11 UTC 2026
enable-rcon=true
enable-status=false
level-name=my world
max-players=40
max-tick-time=-1
motd=\\u00A7aA Minecraft\\: Server\\u00A7r\\nsecond line
rcon.password=se\\=cret
rcon.port=25999
server-port=25575
"""

LOCK = """
import fcntl, sys
file = open(sys.argv[1], "wb")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def icon(side: int = 64, extra: bytes = b"") -> bytes:
    """The head of a PNG, the only part that is parsed."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5s", 13, b"IHDR", side, side, b"\x08\x06\x00\x00\x00") + extra


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", {"a": "b"}),
        ("a = b ", {"a": "b "}),
        ("a:b\nc d\n e\t=\tf", {"a": "b", "c": "d", "e": "f"}),
        ("a\nb=\n", {"a": "", "b": ""}),
        ("=x", {"": "x"}),
        ("# a=b\n ! c=d\n#end \\\ne=f", {"e": "f"}),
        ("a=one, \\\n   two\\\r\n\tthree", {"a": "one, twothree"}),
        ("a=one \\\n# two\n! three", {"a": "one # two"}),
        ("a=one \\\n\nb=two", {"a": "one ", "b": "two"}),
        ("a=x\\\\\nb=y", {"a": "x\\", "b": "y"}),
        ("a=x\\\\\\\n  y", {"a": "x\\y"}),
        ("a\\=b\\ c\\:d=e", {"a=b c:d": "e"}),
        ("a=\\t\\n\\r\\f\\q\\=\\#", {"a": "\t\n\r\fq=#"}),
        ("a=\\u00a7c\\u00A7", {"a": "\u00a7c\u00a7"}),
        ("a=\\uD83D\\uDE00", {"a": "\U0001f600"}),
        ("a=\\uD83D!", {"a": "\ufffd!"}),
        ("a=\\u12", {"a": "u12"}),
        ("a==b", {"a": "=b"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=x\\", {"a": "x"}),
        ("a=b\rc=d\r\ne=f", {"a": "b", "c": "d", "e": "f"}),
        ("a=\x0b\x85b", {"a": "\x0b\x85b"}),
        ("", {}),
        ("\n\n \t\f\n", {}),
    ],
)
def test_parsing_properties(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text) == expected


@given(st.text(alphabet=st.sampled_from(" \t\f\n\r\\=:#!u0aé\U0001f600")))
def test_any_text_can_be_parsed(text: str) -> None:
    parse_properties(text)


def escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in " \t\f\n\r\\=:#!" else char for char in text).replace("\\\n", "\\n")


@given(st.dictionaries(st.text(alphabet="ab =:#!\\"), st.text(alphabet="ab =:#!\\\n")))
def test_what_java_writes_is_parsed(properties: dict[str, str]) -> None:
    text = "\n".join(f"{escaped(key)}={escaped(value)}" for key, value in properties.items() if key)
    assert parse_properties(text) == {key: value for key, value in properties.items() if key}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_both_encodings_of_the_game(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "server.properties").write_bytes("motd=\u00a7aGr\u00fc\u00dfe".encode(encoding))
    assert read_properties(tmp_path / "server.properties") == {"motd": "\u00a7aGr\u00fc\u00dfe"}


def test_a_whole_directory(tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text(VANILLA)
    files = ServerFiles(tmp_path)
    assert files.server_port == 25575
    assert files.motd == "\u00a7aA Minecraft: Server\u00a7r\nsecond line"
    assert files.max_players == 40
    assert files.enable_status is False
    assert files.max_tick_time == -1
    assert files.enable_rcon is True
    assert files.rcon_port == 25999
    assert files.rcon_password == "se=cret"
    assert files.level_directory == tmp_path / "my world"


def test_no_directory_at_all(tmp_path: Path) -> None:
    files = ServerFiles(tmp_path / "missing")
    assert files.properties == {}
    assert files.server_port is None
    assert files.motd is None
    assert files.max_players is None
    assert files.enable_status is True
    assert files.max_tick_time == 60000
    assert files.enable_rcon is False
    assert files.rcon_port == 25575
    assert files.level_name == "world"
    assert files.icon is None
    assert files.eula_accepted is None
    assert files.fallback_status() is None
    assert session_lock_holder(files.level_directory) is None


@pytest.mark.parametrize("value", ["", "x", "0", "65536", "-1", "1.5", "\u0661", "9" * 5000])
def test_an_invalid_port_is_none(tmp_path: Path, value: str) -> None:
    (tmp_path / "server.properties").write_text(f"server-port={value}")
    assert ServerFiles(tmp_path).server_port is None


def test_rcon_without_a_password_is_off(tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text("enable-rcon=true\nrcon.password=\n")
    assert ServerFiles(tmp_path).enable_rcon is False


def test_only_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.properties"
    files = ServerFiles(tmp_path)
    seen = [files.motd]
    path.write_text("motd=one")
    seen.append(files.motd)
    with monkeypatch.context() as patch:
        patch.delattr("zeroscale.minecraft.server_files.read_bounded")
        seen.append(files.motd)
    path.write_text("motd=two")
    os.utime(path, ns=(1, 1))
    seen.append(files.motd)
    path.unlink()
    seen.append(files.motd)
    assert seen == [None, "one", "one", "two", None]


@pytest.mark.parametrize(
    ("text", "accepted"),
    [("eula=true", True), ("#By\neula = TRUE \n", True), ("eula=false", False), ("", False), ("eula=yes", False)],
)
def test_the_eula(tmp_path: Path, text: str, accepted: bool) -> None:
    (tmp_path / "eula.txt").write_text(text)
    files = ServerFiles(tmp_path)
    assert files.eula_accepted is accepted
    assert files.eula_file == tmp_path / "eula.txt"


@pytest.mark.parametrize("extra", [0, 22_000 - len(icon())])
def test_an_icon_is_a_data_url(tmp_path: Path, extra: int) -> None:
    (tmp_path / "server-icon.png").write_bytes(icon(extra=bytes(extra)))
    shown = ServerFiles(tmp_path).icon
    assert shown is not None
    assert base64.b64decode(shown.removeprefix("data:image/png;base64,")) == icon(extra=bytes(extra))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (icon(32), "it is 32x32"),
        (b"GIF89a", "not a PNG"),
        (icon()[:20], "not a PNG"),
        (b"", "not a PNG"),
        (icon(extra=b"x" * (22_001 - len(icon()))), "longer than 22000 bytes"),
    ],
)
def test_an_invalid_icon_is_logged_once(
    tmp_path: Path, content: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "server-icon.png").write_bytes(content)
    files = ServerFiles(tmp_path)
    assert files.icon is None
    assert files.icon is None
    [warning] = caplog.records
    assert message in warning.getMessage()


def test_the_fallback_status(tmp_path: Path) -> None:
    (tmp_path / "server.properties").write_text("motd=Hello\nmax-players=7\n")
    files = ServerFiles(tmp_path)
    status = files.fallback_status()
    assert status == {"description": "Hello", "players": {"max": 7, "online": 0}}
    assert files.fallback_status() is status
    (tmp_path / "server-icon.png").write_bytes(icon())
    assert files.fallback_status() == {**status, "favicon": files.icon}


@pytest.mark.parametrize("name", ["server.properties", "server-icon.png", "eula.txt"])
def test_a_fifo_is_ignored(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    files = ServerFiles(tmp_path)
    assert (files.motd, files.icon) == (None, None)
    assert files.eula_accepted is not True


def test_a_session_lock_of_another_process(tmp_path: Path) -> None:
    lock = tmp_path / "session.lock"
    assert session_lock_holder(tmp_path) is None
    lock.write_bytes("\u2603".encode())
    assert session_lock_holder(tmp_path) is None
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        for _ in range(2):  # the query does not change the lock
            assert session_lock_holder(tmp_path) == holder.pid
        holder.kill()
    assert session_lock_holder(tmp_path) is None


def test_a_session_lock_that_is_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "session.lock")
    assert session_lock_holder(tmp_path) is None


def test_the_line_of_a_key_is_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "eula.txt"
    assert line_of(path, "eula") is None
    path.write_text("#eula=true\neula=true\n eula : false\neulas=1\n")
    assert line_of(path, "eula") == 3
    with path.open("wb") as file:
        file.truncate(LARGEST_PROPERTIES + 1)
    assert line_of(path, "eula") is None, "a file of any size is not read"


def test_a_script_is_read_in_part_and_only_from_a_regular_file(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"\xff" + b"x" * LARGEST_SCRIPT)
    assert len(read_script(script)) == LARGEST_SCRIPT
    script.unlink()
    os.mkfifo(script)
    with pytest.raises(OSError, match="not a regular file"):
        read_script(script)
