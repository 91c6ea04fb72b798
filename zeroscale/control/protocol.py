"""The control protocol, sans-I/O: a line of JSON each way (docs/control.md).

A request names the protocol's version, an id that its answers carry, and a command. It is answered by one line with a
`result` or an `error`, before which a stream sends lines with an `event`. Knows no socket, no clock, and nothing of
what a command does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from zeroscale.errors import ControlError, ProtocolError

VERSION = 1
"""Raised when a client of before would misunderstand us. What is new beside the old does not raise it."""

LONGEST_REQUEST = 32 * 1024
"""Bytes: the longest console line (4096 of them), each escaped in six characters, and some more."""

LONGEST_ANSWER = 64 * 1024 * 1024
"""Bytes that a client takes: a hundred servers of a thousand players, each 100 bytes, are 10 MiB."""

DEEPEST = 8
"""Arrays and objects inside one another in a request, which itself needs one."""

Code = Literal[
    "malformed",
    "version",
    "unknown_command",
    "unknown_server",
    "which_server",
    "refused",
    "failed",
    "configuration",
    "busy",
    "internal",
]

Id = Annotated[int, msgspec.Meta(ge=0, le=2**53)] | Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=4096)]


class RequestError(ControlError):
    """A request that cannot be answered as was asked.

    :ivar code: why, in a word for programs.
    :ivar request: its id, where that could be read.
    """

    def __init__(self, code: Code, message: str, request: int | str | None = None) -> None:
        super().__init__(message)
        self.code: Code = code
        self.request = request


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True):
    """What every request says.

    A field that is not known is an error: to pass over one would do something else than was asked.

    :ivar version: of the protocol.
    :ivar id: what the answers are to carry.
    """

    version: int
    id: Id


class ServerRequest(Request, frozen=True, kw_only=True):
    """One about one server.

    :ivar server: its name; None: the only one there is.
    """

    server: Name | None = None


class Status(ServerRequest, frozen=True, kw_only=True, tag="status"):
    """How it stands; of all servers where none is named.

    :ivar watch: again whenever that changes.
    """

    watch: bool = False


class Wake(ServerRequest, frozen=True, kw_only=True, tag="wake"):
    """Start it.

    :ivar wait: answer once it is ready, and tell of it meanwhile.
    """

    wait: bool = False


class Sleep(ServerRequest, frozen=True, kw_only=True, tag="sleep"):
    """Stop it, or pause it, as it is told to do when idle.

    :ivar now: though players are on it.
    """

    now: bool = False


class KeepAwake(ServerRequest, frozen=True, kw_only=True, tag="keep-awake"):
    """Keep it up though it is idle.

    :ivar seconds: for how long; None: until released.
    """

    seconds: Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)] | None = None


class Release(ServerRequest, frozen=True, kw_only=True, tag="release"):
    """Take back keep-awake and lockout, and forgive a server that has failed too often."""


class Lockout(ServerRequest, frozen=True, kw_only=True, tag="lockout"):
    """Have nobody wake it.

    :ivar message: what players read; "": words of ours.
    """

    message: Text = ""


class Reload(Request, frozen=True, kw_only=True, tag="reload"):
    """Read the configuration again."""


class Logs(ServerRequest, frozen=True, kw_only=True, tag="logs"):
    """The last lines of its output.

    :ivar follow: and those that come.
    """

    follow: bool = False


class Console(ServerRequest, frozen=True, kw_only=True, tag="console"):
    """One line for its console.

    :ivar line: the line, without its end.
    """

    line: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"\A[^\x00\r\n]*\Z")]


Command = Status | Wake | Sleep | KeepAwake | Release | Lockout | Reload | Logs | Console
COMMANDS: tuple[str, ...] = tuple(
    str(each.__struct_config__.tag)
    for each in (Status, Wake, Sleep, KeepAwake, Release, Lockout, Reload, Logs, Console)
)


def is_stream(request: Command) -> bool:
    """Whether events come before its result, which may take for ever."""
    match request:
        case Status(watch=True) | Wake(wait=True) | Logs(follow=True):
            return True
    return False


def changes_something(request: Command) -> bool:
    """Whether it does more than to look."""
    return not isinstance(request, Status | Logs)


class ErrorBody(msgspec.Struct, frozen=True):
    """What was wrong.

    :ivar code: in a word for programs; newer proxies may know more of them.
    :ivar message: for people; of several mistakes each is a line.
    """

    code: str
    message: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line from the proxy, as a client reads it.

    :ivar id: which request it answers; None: one whose id could not be read.
    :ivar event: part of a stream, where there is one; more lines follow.
    :ivar result: the answer, where there is one.
    :ivar error: what was wrong, where something was.
    """

    id: int | str | None = None
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | None = None


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    id: Id
    command: str


class _OnlyId(msgspec.Struct, frozen=True, kw_only=True):
    id: Id


class Lines:
    """Cuts what comes into lines.

    :param longest: bytes of one line at most, without its end.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._partial = bytearray()

    @property
    def cut(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._partial)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends.

        :raises ProtocolError: one is too long; nothing can be made of what follows.
        """
        first, *others = data.split(b"\n")
        self._partial += first
        whole = []
        for other in others:
            whole.append(bytes(self._partial))
            self._partial = bytearray(other)
        if any(len(line) > self._longest for line in (*whole, self._partial)):
            raise ProtocolError(f"a line of more than {self._longest} bytes")
        return whole


def decode_request(line: bytes) -> Command:
    """Reads one request.

    :raises RequestError: it is none, or of another version of the protocol.
    """
    try:
        _check_depth(line)
        envelope = msgspec.json.decode(line, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise RequestError("malformed", f"not a request: {error}", _id_of(line)) from None
    if envelope.version != VERSION:
        raise RequestError(
            "version",
            f"this proxy speaks version {VERSION} of the control protocol, not {envelope.version}: "
            "use the zeroscalectl that was installed with it",
            envelope.id,
        )
    if envelope.command not in COMMANDS:
        message = f"there is no command {envelope.command!r}; there are: {', '.join(COMMANDS)}"
        raise RequestError("unknown_command", message, envelope.id)
    try:
        request: Command = msgspec.json.decode(line, type=Command)
    except msgspec.MsgspecError as error:
        raise RequestError("malformed", f"{envelope.command}: {error}", envelope.id) from None
    return request


def encode_request(command: str, request_id: int, fields: Mapping[str, object]) -> bytes:
    """One request as a line."""
    return msgspec.json.encode({"version": VERSION, "id": request_id, "command": command, **fields}) + b"\n"


def encode_event(request_id: int | str, event: object) -> bytes:
    """One part of a stream as a line. Dataclasses and structs are objects with their fields."""
    return _encode({"id": request_id, "event": event})


def encode_result(request_id: int | str, result: object) -> bytes:
    """An answer as a line."""
    return _encode({"id": request_id, "result": result})


def encode_error(request_id: int | str | None, code: Code, message: str) -> bytes:
    """An error as a line."""
    return _encode({"id": request_id, "error": ErrorBody(code, message)})


def decode_answer(line: bytes) -> Answer:
    """Reads one answer.

    :raises ProtocolError: it is none.
    """
    return _decoded(line, Answer)


T = TypeVar("T")


def decode_body(body: msgspec.Raw, kind: type[T]) -> T:
    """An event or a result as what it is.

    :raises ProtocolError: it is something else.
    """
    return _decoded(bytes(body), kind)


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"not an answer of zeroscale's control protocol: {error}") from None


def _encode(message: object) -> bytes:
    try:
        return msgspec.json.encode(message, enc_hook=_plain) + b"\n"
    except UnicodeEncodeError:
        # What others wrote may hold halves of surrogate pairs, which JSON in UTF-8 cannot carry.
        return msgspec.json.encode(_carried(msgspec.to_builtins(message, enc_hook=_plain)), enc_hook=_plain) + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value)} in an answer")


def _carried(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode()
    if isinstance(value, dict):
        return {_carried(key): _carried(each) for key, each in value.items()}
    return [_carried(each) for each in value] if isinstance(value, list | tuple) else value


def _check_depth(line: bytes) -> None:
    """Raises before the decoder goes deep, which would cost it the stack."""
    depth = 0
    # possessive, and also without the closing quote, so that no line makes it look twice
    for bracket in re.findall(rb"[\[{\]}]", re.sub(rb'"(?:[^"\\]|\\.)*+"?', b"", line, flags=re.DOTALL)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise msgspec.DecodeError(f"more than {DEEPEST} arrays and objects inside one another")


def _id_of(line: bytes) -> int | str | None:
    try:
        _check_depth(line)
        return msgspec.json.decode(line, type=_OnlyId).id
    except (msgspec.MsgspecError, UnicodeError):
        return None
