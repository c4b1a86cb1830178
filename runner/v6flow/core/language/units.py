"""Durations and sizes as a workflow writes them."""

from __future__ import annotations

from v6flow.core.patterns import pattern

_DURATION = pattern(r"(?=[0-9])(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_SECONDS = (86400, 3600, 60, 1)
_MOST_DIGITS = 10  # of one number; int() of a text without end takes as long
LONGEST = 100 * 365 * 86400  # seconds: a moment that is farther away than this may not be a date any more
_SIZE = pattern(r"([0-9]+)([KMGT]?)(?:i?B)?")
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def seconds(duration: str) -> float:
    """The seconds of a duration like `1h30m`. Raises ValueError with the remedy."""
    match = _DURATION.fullmatch(duration)
    if not match:
        raise ValueError(f"{duration!r} is not a duration: write days, hours, minutes and seconds, like 1h30m or 45s")
    numbers = [number or "0" for number in match.groups()]
    total = sum(int(number[:_MOST_DIGITS]) * unit for number, unit in zip(numbers, _SECONDS, strict=True))
    if total > LONGEST or any(len(number) > _MOST_DIGITS for number in numbers):
        raise ValueError(f"{duration[:40]!r} is longer than a hundred years: write a shorter duration")
    return float(total)


def duration(seconds: float) -> str:
    """The duration of so many seconds, to the second, as a workflow writes it: `1h30m`."""
    rest, text = round(seconds), ""
    for unit, length in zip("dhms", _SECONDS, strict=True):
        number, rest = divmod(rest, length)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def size(text: str) -> int:
    """The bytes of a size like `512M` or `2G` (powers of 1024). Raises ValueError with the remedy."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a size: write a number and K, M, G or T, like 512M or 2G")
    if len(match[1]) > 2 * _MOST_DIGITS:
        raise ValueError(f"{text[:40]!r} is more than any machine has: write a smaller size")
    return int(match[1]) * _BYTES[match[2]]


def spell(duration: float) -> str:
    """A duration for people: `0.4s`, `12s`, `3m05s`, `2h10m`, `1d4h`."""
    if duration < 10:
        return f"{duration:.1f}s"
    total = round(duration)
    days, rest = divmod(total, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{secs:02}s" if minutes else f"{secs}s"
