"""Graphs of steps with small arithmetic, in the measured shapes, with their expected results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MODULUS = 1_000_003  # keeps the numbers small at any depth
CHAIN = 200
FAN = 1_000
LAYER = 100
DEPENDENCIES = 3
JOIN = 32  # the number of steps that a fan's join adds up


@dataclass(frozen=True, slots=True)
class Step:
    """A step that yields (the sum of what it needs + constant) % MODULUS."""

    name: str
    needs: tuple[str, ...]
    constant: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps in order, each after its dependencies."""

    shape: str
    steps: tuple[Step, ...]

    @property
    def ends(self) -> list[str]:
        """The steps without dependents. Every step leads to one, so a wrong number anywhere reaches them."""
        needed = {need for step in self.steps for need in step.needs}
        return [step.name for step in self.steps if step.name not in needed]

    def values(self) -> list[int]:
        """The expected results of the ends."""
        known: dict[str, int] = {}
        for step in self.steps:
            known[step.name] = (sum(known[need] for need in step.needs) + step.constant) % MODULUS
        return [known[name] for name in self.ends]


def chain(size: int) -> Graph:
    """Chains of CHAIN steps, for the requested number of steps."""
    return Graph("chain", tuple(_step(n, [n - 1] if n % CHAIN else []) for n in range(size)))


def fan(size: int) -> Graph:
    """Fans of FAN steps, for the requested number of steps.

    In each, many steps need the first; others take the sum of about JOIN of those; the last, of the others.
    """
    steps: list[Step] = []
    for first in range(0, size, FAN):
        inner = min(FAN, size - first) - 2
        leaves = list(range(first + 1, first + 1 + inner * JOIN // (JOIN + 1)))
        joins = list(range(leaves[-1] + 1, first + 1 + inner))
        steps.append(_step(first, []))
        steps += [_step(n, [first]) for n in leaves]
        steps += [_step(n, leaves[offset :: len(joins)]) for offset, n in enumerate(joins)]
        steps.append(_step(joins[-1] + 1, joins))
    return Graph("fan", tuple(steps))


def layered(size: int) -> Graph:
    """Layers of LAYER steps, each with DEPENDENCIES in the previous layer."""

    def needs(n: int) -> list[int]:
        before = n - n % LAYER - LAYER
        return [before + (n + 7 * k) % LAYER for k in range(DEPENDENCIES)] if before >= 0 else []

    return Graph("layered", tuple(_step(n, needs(n)) for n in range(size)))


SHAPES: dict[str, Callable[[int], Graph]] = {"chain": chain, "fan": fan, "layered": layered}


def _step(n: int, needs: list[int]) -> Step:
    return Step(f"s{n}", tuple(f"s{need}" for need in needs), n * 7919 % 1000)
