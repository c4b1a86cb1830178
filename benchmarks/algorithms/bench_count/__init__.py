"""A vantage6 v4 algorithm that reads nothing, so that all that a round costs is the way to it."""

from __future__ import annotations


def count(state: int) -> dict[str, int]:
    """One more each time: the parity of the state shows that it was seen."""
    return {"n": 1, "parity": state % 2}
