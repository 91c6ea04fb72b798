"""The control protocol: valid messages are decoded and encoded; anything else is one of two errors."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from control.fake_proxy import FakeProxy
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.control import protocol
from zeroscale.control.protocol import LineBuffer, RequestError, decode_body, decode_request, decode_response
from zeroscale.errors import ProtocolError
from zeroscale.reports import PlayerReport, ProxyReport, RelayReport, ServerReport, ServerStats

DOCS = (Path(__file__).parent.parent.parent / "docs" / "control.md").read_text()

TEXT = st.text(max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(["version", "id", "command", "server", "watch", "wait", "now", "seconds", "message", "line"])
REQUESTS = st.dictionaries(FIELDS, JSON, max_size=4) | st.fixed_dictionaries(
    {"version": st.just(1), "id": st.integers(0, 9), "command": st.sampled_from([*protocol.COMMANDS, "fly"])},
    optional={"server": JSON, "wait": JSON, "now": JSON, "seconds": JSON, "message": JSON, "line": JSON},
)


def request(command: str, **fields: object) -> bytes:
    return json.dumps({"version": 1, "id": 7, "command": command, **fields}).encode()


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (request("status"), protocol.StatusRequest(version=1, id=7)),
        (request("status", server="a", watch=True), protocol.StatusRequest(version=1, id=7, server="a", watch=True)),
        (request("wake", wait=True), protocol.WakeRequest(version=1, id=7, wait=True)),
        (request("sleep", now=True), protocol.SleepRequest(version=1, id=7, now=True)),
        (request("sleep", at="22:30"), protocol.SleepRequest(version=1, id=7, at="22:30")),
        (request("keep-awake", seconds=60), protocol.KeepAwakeRequest(version=1, id=7, seconds=60.0)),
        (request("keep-awake", seconds=None), protocol.KeepAwakeRequest(version=1, id=7)),
        (request("release"), protocol.ReleaseRequest(version=1, id=7)),
        (request("lockout", message="later"), protocol.LockoutRequest(version=1, id=7, message="later")),
        (request("reload"), protocol.ReloadRequest(version=1, id=7)),
        (request("notify", name="hook"), protocol.NotifyRequest(version=1, id=7, name="hook")),
        (request("logs", follow=True), protocol.LogsRequest(version=1, id=7, follow=True)),
        (request("console", line="say hi"), protocol.ConsoleRequest(version=1, id=7, line="say hi")),
        (request("history", seconds=60, limit=5), protocol.HistoryRequest(version=1, id=7, seconds=60.0, limit=5)),
        (request("stats", server="a", seconds=60), protocol.StatsRequest(version=1, id=7, server="a", seconds=60.0)),
        (b'{"command": "reload", "id": "mine", "version": 1}', protocol.ReloadRequest(version=1, id="mine")),
    ],
)
def test_requests(line: bytes, read: protocol.AnyRequest) -> None:
    assert decode_request(line) == read


@pytest.mark.parametrize(
    ("line", "code", "message", "identity"),
    [
        (b"", "malformed", "not a request", None),
        (b"hello", "malformed", "JSON is malformed", None),
        (b"[1]", "malformed", "Expected `object`", None),
        (b"\xff\xfe", "malformed", "JSON is malformed", None),
        (b"[" * 30000, "malformed", "more than 8 arrays and objects", None),
        (b'{"id": 3}', "malformed", "missing required field `version`", 3),
        (b'{"version": 1, "id": -1, "command": "status"}', "malformed", "id", None),
        (b'{"version": 1, "id": 1e400, "command": "status"}', "malformed", "out of range", None),
        (b'{"version": 2, "id": 3, "command": "dance", "who": []}', "version", "speaks version 1", 3),
        (request("sleep", at="24:00"), "malformed", "regex", 7),
        (request("sleep", at="9:00"), "malformed", "regex", 7),
        (request("sleep", after=0), "malformed", "> 0", 7),
        (request("sleep", after=60, cancel=True), "malformed", "only one of now, after, at and cancel", 7),
        (request("fly"), "unknown_command", "there are: status, wake, sleep", 7),
        (request("wake", waits=True), "malformed", "unknown field `waits`", 7),
        (request("wake", wait="yes"), "malformed", "Expected `bool`", 7),
        (request("console"), "malformed", "missing required field `line`", 7),
        (request("console", line="a\nstop"), "malformed", "line", 7),
        (request("console", line="stop\n"), "malformed", "line", 7),
        (request("console", line="a" * 4097), "malformed", "line", 7),
        (request("keep-awake", seconds=0), "malformed", "seconds", 7),
        (request("keep-awake", seconds=1e9), "malformed", "seconds", 7),
        (request("status", server="a" * 257), "malformed", "server", 7),
    ],
)
def test_invalid_requests(line: bytes, code: str, message: str, identity: object) -> None:
    with pytest.raises(RequestError) as raised:
        decode_request(line)
    assert (raised.value.code, raised.value.request) == (code, identity)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'["\\"",[', b'{"version":1,"id":1,"command":"status","server":['])
def test_deep_nesting_is_an_error(opening: bytes) -> None:
    with pytest.raises(RequestError, match="inside one another"):
        decode_request((opening * protocol.MAX_REQUEST_BYTES)[: protocol.MAX_REQUEST_BYTES])


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    line = request("console", line='say "' + "[{" * 1000)
    assert isinstance(decode_request(line), protocol.ConsoleRequest)


@given(st.binary(max_size=300) | REQUESTS.map(lambda each: json.dumps(each).encode()))
def test_any_line_is_a_request_or_a_request_error(line: bytes) -> None:
    try:
        read = decode_request(line)
    except RequestError as error:
        answer = decode_response(protocol.encode_error(error.request, error.code, str(error)))
        assert answer.error is not None and answer.error.code == error.code
    else:
        assert read.version == 1


@given(JSON)
def test_any_request_can_be_answered(value: object) -> None:
    answer = decode_response(protocol.encode_result(1, value))
    assert answer.result is not msgspec.UNSET


@given(st.binary(max_size=300) | JSON.map(lambda each: json.dumps(each).encode()))
def test_a_client_reads_any_line_or_raises_protocol_error(line: bytes) -> None:
    try:
        answer = decode_response(line)
    except ProtocolError:
        return
    assert isinstance(answer.id, int | str | None)


def test_a_client_survives_any_depth() -> None:
    with pytest.raises(ProtocolError):
        decode_response(b"[" * 100000)


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.integers(1, 10))
def test_lines_in_any_chunks(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines) + b"rest"
    whole = LineBuffer(100)
    assert whole.feed(data) == lines
    assert whole.has_partial
    cut = LineBuffer(100)
    assert [line for at in range(0, len(data), size) for line in cut.feed(data[at : at + size])] == lines


@pytest.mark.parametrize("chunks", [[b"a" * 11], [b"a" * 11 + b"\n"], [b"a" * 6] * 2, [b"\n" + b"a" * 11 + b"\n\n"]])
def test_the_length_of_a_line_is_limited(chunks: list[bytes]) -> None:
    lines = LineBuffer(10)
    assert lines.feed(b"a" * 10 + b"\n") == [b"a" * 10]
    assert not lines.has_partial
    with pytest.raises(ProtocolError, match="a line of more than 10 bytes"):
        for chunk in chunks:
            lines.feed(chunk)


def test_a_report_is_encoded_and_decoded() -> None:
    proxy = FakeProxy("a", "b")
    report = proxy.report()
    answer = decode_response(protocol.encode_event("x", report))
    assert answer.id == "x" and answer.result is msgspec.UNSET
    assert isinstance(answer.event, msgspec.Raw)
    assert decode_body(answer.event, ProxyReport) == report


def test_mappings_and_lone_surrogates_are_encoded() -> None:
    line = protocol.encode_result(1, {"frozen": types.MappingProxyType({"half": "\ud800!"}), "more": ["\udfff"]})
    assert json.loads(line)["result"] == {"frozen": {"half": "?!"}, "more": ["?"]}


def test_a_body_of_another_kind() -> None:
    with pytest.raises(ProtocolError):
        decode_body(msgspec.Raw(b'{"version": 1}'), ProxyReport)


def test_requests_as_clients_encode_them() -> None:
    line = protocol.encode_request("wake", 3, {"server": "a", "wait": True})
    assert line.endswith(b"\n")
    assert decode_request(line[:-1]) == protocol.WakeRequest(version=1, id=3, server="a", wait=True)


@pytest.mark.parametrize(
    ("command", "fields", "stream", "changes"),
    [
        ("status", {}, False, False),
        ("status", {"watch": True}, True, False),
        ("logs", {"follow": True}, True, False),
        ("wake", {}, False, True),
        ("wake", {"wait": True}, True, True),
        ("history", {"seconds": 1, "limit": 1}, False, False),
        ("stats", {"seconds": 1}, False, False),
        ("reload", {}, False, True),
        ("notify", {}, False, True),
        ("console", {"line": "x"}, False, True),
    ],
)
def test_kinds_of_requests(command: str, fields: dict[str, object], stream: bool, changes: bool) -> None:
    read = decode_request(request(command, **fields))
    assert (protocol.is_stream(read), protocol.changes_state(read)) == (stream, changes)


@pytest.mark.parametrize("kind", get_args(protocol.AnyRequest))
def test_every_command_is_documented(kind: type[protocol.Request]) -> None:
    rows = [line for line in DOCS.splitlines() if line.startswith(f"| `{kind.__struct_config__.tag}` |")]
    fields = set(kind.__struct_fields__) - {"version", "id"}
    assert any(all(f"`{field}`" in row for field in fields) for row in rows)


def test_every_field_of_a_report_and_every_code_is_documented() -> None:
    kinds = (ProxyReport, ServerReport, PlayerReport, RelayReport, ServerStats)
    documented = {field.name for kind in kinds for field in msgspec.structs.fields(kind)} | set(get_args(protocol.Code))
    assert sorted(name for name in documented if f"`{name}`" not in DOCS) == []
    for bound in (protocol.MAX_REQUEST_BYTES, protocol.MAX_DEPTH, protocol.VERSION):
        assert f" {bound} " in DOCS or f" {bound}," in DOCS
