"""Whether a node lets an image run, judged by the patterns that it shares as the released node judges."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = "all"  # what a node shares that has no such policy

_PATTERN = pattern(r"[*\\?$^\[\](){}|+]")  # by any of these a node takes a text for a pattern
_MOST_WORK = 10_000_000  # steps of matching
_HUB = "docker.io"


def allows(patterns: Sequence[str], image: str) -> bool | None:
    """Whether an image that is not looked up in a store may run where these are the allowed algorithms.

    None where that cannot be said from here: where a name goes with several tags the node compares what they stand
    for; older nodes took each name for a pattern; and a pattern that may take for ever is not tried.
    """
    if not patterns or ALL in patterns:
        return True
    found = [_allows(pattern, image) for pattern in patterns]
    return True if True in found else None if None in found else False


def _allows(pattern: str, image: str) -> bool | None:
    if _PATTERN.search(pattern) is None:
        bare, allowed = _without_tag(image), _without_tag(pattern)
        if pattern in (image, bare):
            return True
        return None if bare is None or bare == allowed or _matches(pattern, image) else False
    return _matches(pattern, image)


def _matches(pattern: str, image: str) -> bool | None:
    if not _is_bounded(pattern, image):
        return None
    try:
        return re.match(pattern, image) is not None
    except (re.error, RecursionError, OverflowError):
        return None


def _is_bounded(pattern: str, image: str) -> bool:
    """Whether matching ends soon in any case, by a generous estimate: it is others who write patterns."""
    if re.search(r"\)[*+{]", pattern) or len(pattern) > 1000 or len(image) > 1000:
        return False
    loops = len(re.findall(r"[*+{]", pattern))
    choices = len(re.findall(r"[?|]", pattern))
    return math.comb(len(image) + loops + 1, loops) << min(choices, 60) <= _MOST_WORK


def _without_tag(image: str) -> str | None:
    """An image's name without its tag or digest, as a node makes it; None if it is no image's name."""
    name, tag = _split(image)
    if tag is not None and tag.startswith("sha256:"):
        name, _ = _split(name)
    registry, slash, repository = name.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, repository = _HUB, name
    if "://" in name or registry.startswith("-") or registry.endswith("-"):
        return None
    registry = _HUB if registry == f"index.{_HUB}" else registry
    return repository if registry == _HUB else f"{registry}/{repository}"


def _split(image: str) -> tuple[str, str | None]:
    name, at, digest = image.rpartition("@")
    if at:
        return name, digest
    name, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return name, tag
    return image, None
