"""As much of HTTP/1 as it takes to know a request, to refuse it well, and to ask whether a server is up. Pure.

Sources: RFC 9112 (messages), RFC 9110 (fields). What is not understood is not guessed at: it is the real server's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from zeroscale.errors import ProtocolError

LONGEST_HEAD = 32768
"""Bytes of a request's line and fields: as much as servers take that take much (nginx: 4 buffers of 8 KiB)."""

LONGEST_LINE = 8192
"""Bytes of a request line: what RFC 9112 section 3 asks for, and what servers take."""

LONGEST_STATUS_LINE = 1024

LONGEST_RELOAD = 5
"""Seconds after which the page looks again at the latest: starts are often quicker than the last ones were."""

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.[0-9]")
_STATUS_LINE = re.compile(rb"HTTP/[0-9](?:\.[0-9])? ([1-5][0-9]{2})(?: |$)")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_END = re.compile(rb"\n\r?\n")
_HTML = re.compile(r"(?:^|,)\s*text/html\s*(?:;|,|$)", re.IGNORECASE)

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="{seconds}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 1rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request.

    :ivar method: as it was sent.
    :ivar major: of its HTTP version.
    :ivar accepts_html: a person looks at the answer: it asks for a page.
    """

    method: str
    major: int
    accepts_html: bool

    @property
    def repeatable(self) -> bool:
        """Whether asking again does what asking now would have done, so that a page which reloads itself will do."""
        return self.method in ("GET", "HEAD")


def parse_head(data: bytes | bytearray) -> Request | None:
    """Reads a request's line and fields; None: they are not whole yet.

    :raises ProtocolError: this is no HTTP request, or none that a server would take.
    """
    start = 2 if data.startswith(b"\r\n") else 0  # RFC 9112, 2.2: one empty line before it is to be ignored
    line_end = data.find(b"\n", start, start + LONGEST_LINE)
    if line_end < 0:
        _check_beginning(bytes(data[start : start + LONGEST_LINE]))
        return None
    found = _REQUEST_LINE.fullmatch(bytes(data[start:line_end]).removesuffix(b"\r"))
    if found is None:
        raise ProtocolError("not HTTP: its first line is no request")
    end = _END.search(data, line_end, LONGEST_HEAD)
    if end is None:
        if len(data) >= LONGEST_HEAD:
            raise ProtocolError(f"its HTTP fields are longer than {LONGEST_HEAD} bytes")
        return None
    fields = _fields(bytes(data[line_end + 1 : end.start() + 1]))
    return Request(found[1].decode("ascii"), int(found[3]), _HTML.search(fields.get("accept", "")) is not None)


def service_unavailable(request: Request, text: str, seconds: float) -> bytes:
    """The whole reply to a request that the server cannot be given now; the connection is closed after it.

    :param text: why; its first line is the page's title.
    :param seconds: after how many another try is worth it.
    """
    title, _, more = text.partition("\n")
    wait = max(1, round(seconds))
    if request.accepts_html:
        kind = "text/html"
        more = html.escape(more).replace("\n", "<br>")
        body = PAGE.format(title=html.escape(title), text=more, seconds=min(wait, LONGEST_RELOAD)).encode()
    else:
        kind = "text/plain"
        body = f"{text}\n".encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Retry-After: {wait}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n"
        "\r\n"
    )
    return head.encode("ascii") + (b"" if request.method == "HEAD" else body)


def get_request(host: str, port: int, path: str) -> bytes:
    """A GET, after which the server is to close."""
    where = f"[{host}]" if ":" in host else host
    fields = f"Host: {where}:{port}\r\nUser-Agent: zeroscale\r\nAccept: */*\r\nConnection: close\r\n"
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode("ascii")


def parse_status(data: bytes | bytearray) -> int | None:
    """The status of a reply; None: its first line is not whole yet.

    :raises ProtocolError: this is no HTTP reply.
    """
    line, line_break, _ = bytes(data[:LONGEST_STATUS_LINE]).partition(b"\n")
    found = _STATUS_LINE.match(line.removesuffix(b"\r"))
    if line_break and found:
        return int(found[1])
    if line_break or len(line) >= LONGEST_STATUS_LINE or not b"HTTP/".startswith(line[:5]):
        raise ProtocolError("its answer is not HTTP")
    return None


def _check_beginning(line: bytes) -> None:
    """Of a first line that is not whole."""
    if len(line) >= LONGEST_LINE:
        raise ProtocolError(f"not HTTP: its first line is longer than {LONGEST_LINE} bytes")
    if not line or line == b"\r":
        return
    method, _, rest = line.partition(b" ")
    if not _METHOD.fullmatch(method) or _CONTROL.search(rest.removesuffix(b"\r")):
        raise ProtocolError("not HTTP: it begins with no method")


def _fields(lines: bytes) -> Mapping[str, str]:
    """The fields by their names in lower case, several of one name as one (RFC 9110, 5.3)."""
    fields: dict[str, str] = {}
    for line in lines.split(b"\n"):
        name, colon, value = line.partition(b":")
        if not colon and line.strip() and not line[:1].isspace():
            raise ProtocolError("not HTTP: a line among its fields is none")
        key = name.decode("latin-1").lower()
        said = value.decode("latin-1").strip()
        fields[key] = f"{fields[key]}, {said}" if key in fields else said
    return fields
