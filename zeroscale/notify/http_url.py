"""The URLs of webhooks and proxies, and which proxy the environment names for one. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+(%[A-Za-z0-9._-]+)?")
_SAFE = "/%:@!$&'()*+,;=-._~?"
"""What stays in a path and a query: RFC 3986, 3.3 and 3.4; `%` since the text is encoded already."""


class HttpUrl(Struct, frozen=True):
    """A URL, as a request needs it.

    :ivar secure: whether it is `https`.
    :ivar host: name or address, in ASCII and without brackets.
    :ivar target: path and query.
    :ivar authorization: the value of the header that its user and password stand for; "": it has none.
    """

    secure: bool
    host: str
    port: int
    target: str
    authorization: str = ""

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them, the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


def parse_http_url(text: str) -> HttpUrl:
    """Parse a URL.

    :raises ValueError: it is none of `http` or `https`; the reason does not quote it, since it may have a token in it.
    """
    if _FORBIDDEN.search(text):
        raise ValueError("it has a blank, a backslash or a control character in it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port is not one") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("it begins neither with https:// nor with http://")
    try:
        host = (parts.hostname or "").encode("idna").decode()
    except UnicodeError:
        raise ValueError("its host is no name") from None
    if _HOST.fullmatch(host) is None or port == 0:
        raise ValueError("its host or port is missing")
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    authorization = ""
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(user.encode()).decode()}"
    return HttpUrl(parts.scheme == "https", host, port or DEFAULT_PORTS[parts.scheme], target, authorization)


def proxy_for(url: HttpUrl, environment: Mapping[str, str]) -> HttpUrl | None:
    """Return the proxy that the environment names for a URL; None: it is to be connected to itself.

    As for curl and Python, `https_proxy` and `http_proxy` name it, `no_proxy` has the exceptions, and names in lower
    case come first.

    :raises ValueError: it names one that cannot be used.
    """
    name = "https_proxy" if url.secure else "http_proxy"
    given = environment.get(name) or environment.get(name.upper())
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if not given or _is_exception(url, exceptions):
        return None
    try:
        proxy = parse_http_url(given if "://" in given else f"http://{given}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if proxy.secure:
        raise ValueError(f"{name}: a proxy is spoken to over http:// only")
    return proxy


def _is_exception(url: HttpUrl, exceptions: str) -> bool:
    for each in (item.strip().lower().lstrip(".") for item in exceptions.split(",")):
        if each == "*" or (each and any(_is_below(host, each) for host in (url.host, f"{url.host}:{url.port}"))):
            return True
    return False


def _is_below(host: str, name: str) -> bool:
    return host == name or host.endswith(f".{name}")
