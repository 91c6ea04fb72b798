"""URLs of webhooks, and the proxies of the environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscale.notify.http_url import HttpUrl, parse_http_url, proxy_for


@pytest.mark.parametrize(
    ("text", "parsed", "authority"),
    [
        ("https://a.example/x?y=1#z", HttpUrl(True, "a.example", 443, "/x?y=1"), "a.example"),
        ("http://a.example", HttpUrl(False, "a.example", 80, "/"), "a.example"),
        ("http://[::1]:8080/%20x", HttpUrl(False, "::1", 8080, "/%20x"), "[::1]:8080"),
        ("https://a.example:80/", HttpUrl(True, "a.example", 80, "/"), "a.example:80"),
        ("https://b\u00fccher.example/\u00fc", HttpUrl(True, "xn--bcher-kva.example", 443, "/%C3%BC"), None),
        ("https://max:p%40ss@a/", HttpUrl(True, "a", 443, "/", "Basic bWF4OnBAc3M="), "a"),
    ],
)
def test_what_a_request_needs_of_a_url(text: str, parsed: HttpUrl, authority: str | None) -> None:
    assert parse_http_url(text) == parsed
    assert authority in (None, parsed.authority)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example/SECRET",
        "ftp://a.example/SECRET",
        "http:///SECRET",
        "http://a:0/SECRET",
        "http://a:99999/SECRET",
        "http://a/SECRET\r\nX: y",
        "http://a/SEC RET",
        "http://[::1/SECRET",
        "http://a..b/SECRET",
        "http://a\\@b/SECRET",
    ],
)
def test_a_reason_does_not_quote_the_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"^its? ") as caught:
        parse_http_url(text)
    assert "SECRET" not in str(caught.value)


@given(st.text())
def test_whatever_is_given_no_line_break_gets_into_a_request(text: str) -> None:
    try:
        url = parse_http_url(f"http://{text}")
    except ValueError:
        return
    assert (url.host + url.target + url.authorization).isascii()
    assert not any(letter.isspace() for letter in url.host + url.target)


URL = parse_http_url("https://hook.example.org/x")
PROXY = parse_http_url("http://proxy:3128")


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, PROXY),
        ({"HTTPS_PROXY": "proxy:3128"}, PROXY),
        ({"https_proxy": "http://proxy:3128", "HTTPS_PROXY": "http://other"}, PROXY),
        ({"http_proxy": "http://proxy:3128"}, None),
        ({"https_proxy": "proxy:3128", "no_proxy": "other, .example.org"}, None),
        ({"https_proxy": "proxy:3128", "NO_PROXY": "HOOK.example.org:443"}, None),
        ({"https_proxy": "proxy:3128", "no_proxy": "*"}, None),
        ({"https_proxy": "proxy:3128", "no_proxy": "ample.org,,hook.example.org:80"}, PROXY),
    ],
)
def test_the_proxy_of_the_environment(environment: dict[str, str], proxy: HttpUrl | None) -> None:
    assert proxy_for(URL, environment) == proxy


@pytest.mark.parametrize("given", ["https://proxy", "socks5://SECRET@proxy"])
def test_a_proxy_that_cannot_be_used(given: str) -> None:
    with pytest.raises(ValueError, match=r"^https_proxy: ") as caught:
        proxy_for(URL, {"https_proxy": given})
    assert "SECRET" not in str(caught.value)
