"""The control protocol, sans-I/O: one line of JSON in each direction (docs/control.md).

A request has the protocol's version, an id that its responses repeat, and a command. The response is one line with a
`result` or an `error`; a stream sends lines with an `event` before it. `handlers` executes the commands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

from zeroscale.errors import ControlError, ProtocolError

VERSION = 1
"""Incremented for incompatible changes; not for new commands and fields."""

MAX_REQUEST_BYTES = 32 * 1024
"""Enough for the longest console line (4096 characters), each escaped as six bytes, and the other fields."""

MAX_PENDING_REQUESTS = 16
"""Requests of one client that are executed at the same time: most need one, a wake of all servers several."""

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""Limit for a client: a hundred servers with a thousand players of 100 bytes each are 10 MiB."""

MAX_DEPTH = 8
"""Nested arrays and objects in a request; a valid one has one level."""

MAX_ENTRIES = 10_000
"""Entries of the history in one response: of 150 bytes each, or of 2 KB for a failure with a server's last output."""

TIME_OF_DAY = r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z"
"""A regular expression for times such as 22:30."""

LONGEST_AHEAD = 366 * 86400.0
"""Seconds for which something may be planned."""

LONGEST_LOOK_BACK = 10 * LONGEST_AHEAD
"""Seconds for which the history may be asked."""

Code = Literal[
    "malformed",
    "version",
    "unknown_command",
    "unknown_server",
    "which_server",
    "refused",
    "failed",
    "configuration",
    "environment",
    "busy",
    "internal",
]

Id = Annotated[int, msgspec.Meta(ge=0, le=2**53)] | Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=4096)]
LookBack = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_LOOK_BACK)]


class RequestError(ControlError):
    """A request cannot be executed.

    :ivar code: the kind of error, for programs.
    :ivar request: the request's id; None if it could not be read.
    """

    def __init__(self, code: Code, message: str, request: int | str | None = None) -> None:
        super().__init__(message)
        self.code: Code = code
        self.request = request


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True):
    """The fields of every request. Unknown fields are errors, since ignoring one could change the meaning.

    :ivar version: version of the protocol.
    :ivar id: repeated in the responses.
    """

    version: int
    id: Id


class ServerRequest(Request, frozen=True, kw_only=True):
    """A request for one server.

    :ivar server: its name; None: the only server.
    """

    server: Name | None = None


class StatusRequest(ServerRequest, frozen=True, kw_only=True, tag="status"):
    """Report a server, or the whole proxy if no server is named.

    :ivar watch: send a report as an event on each change.
    """

    watch: bool = False


class WakeRequest(ServerRequest, frozen=True, kw_only=True, tag="wake"):
    """Start the server.

    :ivar wait: respond once it is ready, and send reports as events until then.
    :ivar force: even while a flag file, a lockout or a time of the configuration keeps it asleep.
    """

    wait: bool = False
    force: bool = False


class SleepRequest(ServerRequest, frozen=True, kw_only=True, tag="sleep"):
    """Stop or pause the server, according to its `idle_action`.

    :ivar now: even while players are on it.
    :ivar after: stop it in so many seconds, after warnings to its players; or
    :ivar at: stop it at this time of day in its time zone, likewise; or
    :ivar cancel: cancel such a stop, or else its next restart.
    """

    now: bool = False
    after: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_AHEAD)] | None = None
    at: Annotated[str, msgspec.Meta(pattern=TIME_OF_DAY)] | None = None
    cancel: bool = False

    def __post_init__(self) -> None:
        if sum((self.now, self.after is not None, self.at is not None, self.cancel)) > 1:
            raise ValueError("only one of now, after, at and cancel")


class KeepAwakeRequest(ServerRequest, frozen=True, kw_only=True, tag="keep-awake"):
    """Do not stop the server when it is idle.

    :ivar seconds: for how long; None: until a release.
    """

    seconds: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_AHEAD)] | None = None


class ReleaseRequest(ServerRequest, frozen=True, kw_only=True, tag="release"):
    """Clear keep-awake, the lockout, a planned stop, and the count of failures."""


class LockoutRequest(ServerRequest, frozen=True, kw_only=True, tag="lockout"):
    """Refuse new players until a release.

    :ivar message: the text for refused players; "": the default text.
    """

    message: Text = ""


class ReloadRequest(Request, frozen=True, kw_only=True, tag="reload"):
    """Read the configuration again."""


class NotifyRequest(Request, frozen=True, kw_only=True, tag="notify"):
    """Send a test to a target of notifications.

    :ivar name: its name; None: all.
    """

    name: Name | None = None


class LogsRequest(ServerRequest, frozen=True, kw_only=True, tag="logs"):
    """Return the last lines of the server's output.

    :ivar follow: send new lines as events, too.
    """

    follow: bool = False


class ConsoleRequest(ServerRequest, frozen=True, kw_only=True, tag="console"):
    """Send a line to the server's console.

    :ivar line: without a line end.
    """

    line: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"\A[^\x00\r\n]*\Z")]


class HistoryRequest(ServerRequest, frozen=True, kw_only=True, tag="history"):
    """Return the latest entries of the history, of all servers if none is named.

    :ivar seconds: how far to look back.
    :ivar limit: the most entries; the newest ones are returned.
    """

    seconds: LookBack
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)]


class StatsRequest(ServerRequest, frozen=True, kw_only=True, tag="stats"):
    """Return the sums of the history, of all servers if none is named.

    :ivar seconds: how far to look back.
    """

    seconds: LookBack


AnyRequest = (
    StatusRequest
    | WakeRequest
    | SleepRequest
    | KeepAwakeRequest
    | ReleaseRequest
    | LockoutRequest
    | ReloadRequest
    | NotifyRequest
    | LogsRequest
    | ConsoleRequest
    | HistoryRequest
    | StatsRequest
)
COMMANDS: tuple[str, ...] = tuple(
    str(each.__struct_config__.tag)
    for each in (
        StatusRequest,
        WakeRequest,
        SleepRequest,
        KeepAwakeRequest,
        ReleaseRequest,
        LockoutRequest,
        ReloadRequest,
        NotifyRequest,
        LogsRequest,
        ConsoleRequest,
        HistoryRequest,
        StatsRequest,
    )
)


def is_stream(request: AnyRequest) -> bool:
    """Return whether the request sends events before its result."""
    match request:
        case StatusRequest(watch=True) | WakeRequest(wait=True) | LogsRequest(follow=True):
            return True
    return False


def changes_state(request: AnyRequest) -> bool:
    """Return whether the request changes anything, as opposed to reading."""
    return not isinstance(request, StatusRequest | LogsRequest | HistoryRequest | StatsRequest)


class ErrorBody(msgspec.Struct, frozen=True):
    """The error of a response.

    :ivar code: the kind of error, for programs; newer proxies may send codes that `Code` does not have.
    :ivar message: for people; one line for each mistake.
    """

    code: str
    message: str


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One line from the proxy, as a client reads it: an event, a result or an error.

    :ivar id: id of the request; None: the request's id could not be read.
    :ivar event: one event of a stream; more lines follow.
    :ivar result: the result of the request.
    :ivar error: the error, or None.
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


class LineBuffer:
    """Splits received bytes into lines.

    :param max_bytes: maximum length of a line, without its end.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial = bytearray()

    @property
    def has_partial(self) -> bool:
        """Whether an incomplete line is buffered."""
        return bool(self._partial)

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes, and return the lines that are complete now, without their ends.

        :raises ProtocolError: a line is too long; the stream cannot be parsed any further.
        """
        first, *others = data.split(b"\n")
        self._partial += first
        whole = []
        for other in others:
            whole.append(bytes(self._partial))
            self._partial = bytearray(other)
        if any(len(line) > self._max_bytes for line in (*whole, self._partial)):
            raise ProtocolError(f"a line of more than {self._max_bytes} bytes")
        return whole


def decode_request(line: bytes) -> AnyRequest:
    """Decode one line as a request.

    :raises RequestError: it is not a valid request of this version of the protocol.
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
        request: AnyRequest = msgspec.json.decode(line, type=AnyRequest)
    except msgspec.MsgspecError as error:
        raise RequestError("malformed", f"{envelope.command}: {error}", envelope.id) from None
    return request


def encode_request(command: str, request_id: int, fields: Mapping[str, object]) -> bytes:
    """Encode a request as one line."""
    return msgspec.json.encode({"version": VERSION, "id": request_id, "command": command, **fields}) + b"\n"


def encode_event(request_id: int | str, event: object) -> bytes:
    """Encode an event as one line; structs become objects."""
    return _encode({"id": request_id, "event": event})


def encode_result(request_id: int | str, result: object) -> bytes:
    """Encode a result as one line; structs become objects."""
    return _encode({"id": request_id, "result": result})


def encode_error(request_id: int | str | None, code: Code, message: str) -> bytes:
    """Encode an error as one line."""
    return _encode({"id": request_id, "error": ErrorBody(code, message)})


def decode_response(line: bytes) -> Response:
    """Decode one line as a response.

    :raises ProtocolError: it is not a valid response.
    """
    return _decode(line, Response)


T = TypeVar("T")


def decode_body(body: msgspec.Raw, kind: type[T]) -> T:
    """Decode the event or the result of a response.

    :param kind: the type that it must have.
    :raises ProtocolError: it has another type.
    """
    return _decode(bytes(body), kind)


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"not a response of zeroscale's control protocol: {error}") from None


def _encode(message: object) -> bytes:
    try:
        return msgspec.json.encode(message, enc_hook=_mapping_to_dict) + b"\n"
    except UnicodeEncodeError:
        # Third-party text (output, player names) may hold lone surrogates, which UTF-8 cannot encode.
        plain = _without_surrogates(msgspec.to_builtins(message, enc_hook=_mapping_to_dict))
        return msgspec.json.encode(plain, enc_hook=_mapping_to_dict) + b"\n"


def _mapping_to_dict(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value)} in a response")


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    return [_without_surrogates(each) for each in value] if isinstance(value, list | tuple) else value


def _check_depth(line: bytes) -> None:
    """Raise `DecodeError` for deep nesting, before the decoder recurses into it."""
    depth = 0
    # The pattern is possessive and its closing quote optional, so that no input makes it backtrack.
    for bracket in re.findall(rb"[\[{\]}]", re.sub(rb'"(?:[^"\\]|\\.)*+"?', b"", line, flags=re.DOTALL)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise msgspec.DecodeError(f"more than {MAX_DEPTH} arrays and objects inside one another")


def _id_of(line: bytes) -> int | str | None:
    try:
        _check_depth(line)
        return msgspec.json.decode(line, type=_OnlyId).id
    except (msgspec.MsgspecError, UnicodeError):
        return None
