"""The signature of a webhook, as Standard Webhooks 1.0 defines it (https://www.standardwebhooks.com). Pure.

Libraries in many languages can verify it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

PREFIX = "whsec_"
"""What a secret that is written in base64 begins with."""


def signature_key(secret: str) -> bytes:
    """Return the key that a secret stands for: `whsec_` and base64, or any other text as it is.

    :raises ValueError: what follows `whsec_` is not base64.
    """
    if secret.startswith(PREFIX):
        return b64decode(secret.removeprefix(PREFIX), validate=True)
    return secret.encode()


def signed_headers(key: bytes, identifier: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a webhook.

    :param identifier: what tells the receiver that an event is one that it has had already.
    :param seconds: when it is sent, in seconds since 1970; receivers refuse an old one, which may be replayed.
    """
    import hmac  # here, since OpenSSL's libcrypto comes with it

    content = b"%s.%d.%s" % (identifier.encode(), seconds, body)
    signature = b64encode(hmac.digest(key, content, "sha256")).decode()
    return {**unsigned_headers(identifier, seconds), "webhook-signature": f"v1,{signature}"}


def unsigned_headers(identifier: str, seconds: int) -> dict[str, str]:
    """Return the headers of a webhook for which there is no secret."""
    return {"webhook-id": identifier, "webhook-timestamp": str(seconds)}
