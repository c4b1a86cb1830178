"""One-time codes for two-factor login (RFC 6238, as authenticator apps make them)."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct

from v6flow.errors import FederationError

PERIOD = 30  # seconds that a code is valid
DIGITS = 6


def code(secret: str, now: float) -> str:
    """The code of a base32 secret at a time (seconds since 1970 UTC). Raises FederationError."""
    cleaned = secret.replace(" ", "").replace("-", "").rstrip("=").upper()
    try:
        key = base64.b32decode(cleaned + "=" * (-len(cleaned) % 8))
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise FederationError(
            "the secret of two-factor login is not one",
            hint="it is the base32 text that was shown beside the QR code",
        ) from None
    digest = hmac.digest(key, struct.pack(">Q", int(now) // PERIOD), "sha1")
    start = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"
