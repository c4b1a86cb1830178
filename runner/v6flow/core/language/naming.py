"""Which step a name means where it stands, and which steps are nested in which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator


def resolve(steps: Container[str], where: str, name: str) -> str | None:
    """The step that a name means: one in the step `where`, else in those that it is nested in, else outside of all."""
    while True:
        found = f"{where}.{name}" if where else name
        if found in steps:
            return found
        if not where:
            return None
        where = where.rpartition(".")[0]


def outward(name: str) -> Iterator[str]:
    """A step, and those that it is nested in, the innermost first; none for ""."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def levels(steps: Iterable[str]) -> dict[str, list[str]]:
    """Steps by the one that they are nested in, "" for none."""
    found: dict[str, list[str]] = {}
    for name in steps:
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return found
