"""Durations and sizes."""

from __future__ import annotations

import pytest

from v6flow.core.language import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("45s", 45),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1d1h1m1s", 90061),
        ("90m", 5400),
        ("010s", 10),
    ],
)
def test_seconds(text: str, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "1m1h", "1h 30m", "-1s", "1.5h", "h", "1w", "٣s", "1s\n", "1H"])
def test_no_duration(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a duration: write days, hours, minutes and seconds, like 1h30m or 45s"
    ):
        units.seconds(text)


@pytest.mark.parametrize("text", ["36501d", "99999999999s", "9" * 5000 + "d", "9" * 400 + "s"])
def test_durations_beyond_a_century(text: str) -> None:
    with pytest.raises(ValueError, match="is longer than a hundred years"):
        units.seconds(text)
    assert units.seconds("36500d") == 36500 * 86400


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512M", 512 * 2**20), ("2G", 2**31), ("2GiB", 2**31), ("1KB", 1024), ("1T", 2**40)],
)
def test_size(text: str, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize("text", ["", "2g", "G", "-1", "1.5G", "2 G", "٢G"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: write a number and K, M, G or T"):
        units.size(text)


def test_sizes_without_end() -> None:
    with pytest.raises(ValueError, match="is more than any machine has"):
        units.size("9" * 5000)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0.0s"), (0.44, "0.4s"), (9.94, "9.9s"), (12, "12s"), (59.6, "1m00s"), (185, "3m05s"), (7800, "2h10m"),
     (3600, "1h00m"), (100800, "1d4h")],
)  # fmt: skip
def test_spell(seconds: float, told: str) -> None:
    assert units.spell(seconds) == told
