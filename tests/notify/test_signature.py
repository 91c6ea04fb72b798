"""Signatures as in Standard Webhooks."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pages import blocks

from zeroscale.notify.signature import signature_key, signed_headers


def test_the_example_of_the_specifications_libraries() -> None:
    key = signature_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_any_other_secret_is_taken_as_it_is() -> None:
    assert signature_key("p\u00e4ss") == "p\u00e4ss".encode()


@pytest.mark.parametrize("secret", ["whsec_!", "whsec_abc"])
def test_a_secret_that_is_no_base64(secret: str) -> None:
    with pytest.raises(ValueError):
        signature_key(secret)


def test_the_function_on_the_page_verifies_it() -> None:
    [source] = blocks("docs/notify.md", "python")
    names: dict[str, Any] = {}
    exec(source.text, names)
    is_genuine, key, body = names["is_genuine"], signature_key("whsec_c2VjcmV0"), b"{}"
    assert key == b"secret"
    headers = signed_headers(key, "id", int(time.time()), body)
    assert is_genuine(key, headers, body)
    assert not is_genuine(b"other", headers, body)
    assert not is_genuine(key, headers, b"{ }")
    assert not is_genuine(key, signed_headers(key, "id", int(time.time()) - 600, body), body)
