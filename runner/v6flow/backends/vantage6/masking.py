"""Blanks out secrets in texts that others wrote."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST = 4  # characters; what is shorter would blank out half of any text
BLANK = "…"


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets: as they are, and as base64, URLs and JSON write them."""
    for secret in secrets:
        if len(secret) < SHORTEST:
            continue
        for shape in sorted(_shapes(secret), key=len, reverse=True):
            text = text.replace(shape, BLANK)
    return text


def _shapes(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(raw),
        quote(raw, safe=""),
        quote_plus(raw),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
