"""HTTP/1, as far as needed to recognise a request, to refuse it with a page, and to probe a server. Sans-I/O.

Sources: RFC 9112 (messages), RFC 9110 (fields).
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from msgspec import Struct

from zeroscale.errors import ProtocolError

LONGEST_HEAD = 32768
"""Bytes of a request's line and fields: the limit of a generous server (nginx: 4 buffers of 8 KiB)."""

LONGEST_LINE = 8192
"""Bytes of a request line: RFC 9112, section 3, recommends at least 8000."""

LONGEST_STATUS_LINE = 1024

LONGEST_RELOAD = 5
"""Seconds after which the page reloads itself at the latest: a start may be quicker than the estimate."""

_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE = re.compile(rb"HTTP/[0-9](?:\.[0-9])? ([1-5][0-9]{2})(?: |$)")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_END = re.compile(rb"\n\r?\n")
_WEIGHT = re.compile(r"q=([01](?:\.[0-9]*)?)")

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{reload}<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 1rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{paragraphs}
</body>
</html>
"""
"""The page; its empty icon saves the server a request for /favicon.ico."""


class Head(Struct, frozen=True):
    """The head of a request.

    :ivar method: the method, as sent.
    :ivar target: the request's target, as sent.
    :ivar version: the major and the minor HTTP version.
    :ivar fields: its fields by lower-case name; those of the same name are joined with commas.
    """

    method: str
    target: str
    version: tuple[int, int]
    fields: Mapping[str, str]


class HttpRequest(Struct, frozen=True):
    """What decides how a request is refused.

    :ivar method: the method, as sent.
    :ivar major: the major HTTP version.
    :ivar accepts_html: its Accept field names text/html, with a weight above 0.
    :ivar navigates: it is a browser's that will show the reply as a page.
    """

    method: str
    major: int
    accepts_html: bool
    navigates: bool

    @property
    def repeatable(self) -> bool:
        """Whether a page that reloads itself can repeat the request (GET and HEAD)."""
        return self.method in ("GET", "HEAD")


def read_head(data: bytes | bytearray) -> Head | None:
    """Read a request's line and fields; return None while they are incomplete.

    :raises ProtocolError: it is no HTTP request, or exceeds a limit.
    """
    start = 2 if data.startswith(b"\r\n") else 0  # RFC 9112, 2.2: ignore one empty line before the request
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
    return Head(found[1].decode("ascii"), found[2].decode("latin-1"), (int(found[3]), int(found[4])), fields)


def parse_head(data: bytes | bytearray) -> HttpRequest | None:
    """Parse a request's line and fields; return None while they are incomplete.

    :raises ProtocolError: it is no HTTP request, or exceeds a limit.
    """
    head = read_head(data)
    return None if head is None else request_of(head)


def request_of(head: Head) -> HttpRequest:
    """Return what decides how a request is refused."""
    weights = _weights(head.fields.get("accept", ""))
    html_weight = weights.get("text/html", 0.0)
    is_best = 0.0 < html_weight == max(weights.values())
    navigates = head.method == "GET" and is_best and not _is_by_a_script(head.fields)
    return HttpRequest(head.method, head.version[0], accepts_html=html_weight > 0.0, navigates=navigates)


def service_unavailable(
    request: HttpRequest, text: str, seconds: float, page_note: str = "", *, reloads: bool = True
) -> bytes:
    """Return the whole 503 reply to a request; close the connection after it.

    :param text: the reason for the client; its first line is the page's title.
    :param seconds: the seconds after which the client may try again.
    :param page_note: the last paragraph of the page, which tells of the reload; the text for others is without it.
    :param reloads: the page reloads itself.
    """
    wait = max(1, round(seconds))
    reload = f'<meta http-equiv="refresh" content="{min(wait, LONGEST_RELOAD)}">\n' if reloads else ""
    note = page_note if reloads else ""
    return _reply("503 Service Unavailable", request, text, note, reload, f"Retry-After: {wait}\r\n")


def misdirected(request: HttpRequest, text: str) -> bytes:
    """Return the whole 421 reply to a request for a host that is not served here; close the connection after it.

    :param text: the reason for the client; its first line is the page's title.
    """
    return _reply("421 Misdirected Request", request, text)


def bad_request(request: HttpRequest, text: str) -> bytes:
    """Return the whole 400 reply to a request; close the connection after it.

    :param text: what is wrong with it.
    """
    return _reply("400 Bad Request", request, text)


def _reply(
    status: str, request: HttpRequest, text: str, page_note: str = "", reload: str = "", fields: str = ""
) -> bytes:
    title, _, more = text.partition("\n")
    if request.accepts_html:
        kind = "text/html"
        paragraphs = "\n".join(f"<p>{_escaped(each)}</p>" for each in (more, page_note) if each)
        body = PAGE.format(title=_escaped(title), paragraphs=paragraphs, reload=reload).encode()
    else:
        kind = "text/plain"
        body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\n"
        f"Content-Type: {kind}; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{fields}"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n"
        "\r\n"
    )
    return head.encode("ascii") + (b"" if request.method == "HEAD" else body)


def get_request(host: str, port: int, path: str) -> bytes:
    """Return a GET request that asks the server to close the connection after its reply."""
    authority = f"[{host}]" if ":" in host else host
    fields = f"Host: {authority}:{port}\r\nUser-Agent: zeroscale\r\nAccept: */*\r\nConnection: close\r\n"
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode("ascii")


def parse_status(data: bytes | bytearray) -> int | None:
    """Return the status code of a reply; None while its first line is incomplete.

    :raises ProtocolError: it is no HTTP reply.
    """
    line, line_break, _ = bytes(data[:LONGEST_STATUS_LINE]).partition(b"\n")
    found = _STATUS_LINE.match(line.removesuffix(b"\r"))
    if line_break and found:
        return int(found[1])
    if line_break or len(line) >= LONGEST_STATUS_LINE or not b"HTTP/".startswith(line[:5]):
        raise ProtocolError("its answer is not HTTP")
    return None


def _check_beginning(line: bytes) -> None:
    """Raise `ProtocolError` for an incomplete request line that can no longer become one."""
    if len(line) >= LONGEST_LINE:
        raise ProtocolError(f"not HTTP: its first line is longer than {LONGEST_LINE} bytes")
    if not line or line == b"\r":
        return
    method, _, rest = line.partition(b" ")
    if not _METHOD.fullmatch(method) or _CONTROL.search(rest.removesuffix(b"\r")):
        raise ProtocolError("not HTTP: it begins with no method")


def _escaped(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _weights(accept: str) -> Mapping[str, float]:
    """Return the weight of each media range of an Accept field (RFC 9110, 12.5.1), in lower case."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        found = [weight for weight in map(_WEIGHT.fullmatch, parameters) if weight is not None]
        if media:
            weights[media] = float(found[0][1]) if found else 1.0
    return weights


def _is_by_a_script(fields: Mapping[str, str]) -> bool:
    """Return whether a request, although it may accept HTML, is no visit of a page: its reply is not shown as one.

    Browsers name the mode of what they request (W3C Fetch Metadata), of secure origins only; XMLHttpRequest is named by
    libraries (Android's WebView has the app's name in that field); WebSockets, and HTTP/2 without prior knowledge,
    upgrade.
    """
    return (
        fields.get("sec-fetch-mode", "navigate").lower() != "navigate"
        or fields.get("x-requested-with", "").lower() == "xmlhttprequest"
        or "upgrade" in fields
    )


def _fields(lines: bytes) -> Mapping[str, str]:
    """Return the fields by lower-case name; fields of the same name are joined (RFC 9110, 5.3), as are folded lines."""
    fields: dict[str, str] = {}
    key = ""
    for line in lines.split(b"\n"):
        if line[:1] in (b" ", b"\t"):  # a value that goes on in a further line (RFC 9112, 5.2)
            if key:
                fields[key] += f" {_trimmed(line)}"
            continue
        name, colon, value = line.partition(b":")
        if not colon and line.strip():
            raise ProtocolError("not HTTP: a line among its fields is no field")
        key = name.decode("latin-1").lower()
        text = _trimmed(value)
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields


def _trimmed(value: bytes) -> str:
    return value.removesuffix(b"\r").strip(b" \t").decode("latin-1")
