"""Cohorts: whose data a value was computed from, and whether a step may put values together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from v6flow.core.execution.standing import Cohort
    from v6flow.core.execution.state import StepState

MIXED_HINT = "send it to those who answered (organizations: …responded), or say mixed_cohorts: <reason> if you mean it"


class Uses:
    """What one evaluation used: the steps whose value it carries, and the failed ones that it lacked.

    `lacked` has such a step by the reason that expressions give when they cannot do without it. `loose` are the repeat
    steps whose iterations may differ in who answers: the state of an earlier iteration is not held against a later one.
    """

    __slots__ = ("carrying", "lacked", "loose")

    def __init__(self) -> None:
        self.carrying: dict[str, StepState] = {}
        self.loose: set[str] = set()
        self.lacked: dict[str, str] = {}

    def cohorts(self) -> tuple[Cohort, ...]:
        """The cohorts of all that was used, each once."""
        found: dict[Cohort, None] = {}
        for step in self.carrying.values():
            found.update(dict.fromkeys(step.carried))
        return tuple(found)

    def compared(self) -> tuple[Cohort, ...]:
        """The cohorts that must be the same: all but those that only the state of an earlier iteration carries."""
        if not self.loose:
            return self.cohorts()
        found: dict[Cohort, None] = {}
        for name, step in self.carrying.items():
            if name not in self.loose:
                found.update(dict.fromkeys(step.carried))
        return tuple(found)

    def accepted(self) -> list[set[frozenset[str]]]:
        """For each value whose mixture was accepted, the cohorts it mixes."""
        return [{frozenset(names) for _, names in step.carried} for step in self.carrying.values() if step.accepted]


def difference(cohorts: Iterable[Cohort], accepted: Iterable[set[frozenset[str]]] = ()) -> str | None:
    """Why a value made from these cohorts would mix them, or None if it would not.

    Cohorts agree if they are the same organizations, whichever step asked them. A mixture that was accepted where it
    was made need not be accepted again: the cohorts of one accepted value may be combined later.
    """
    distinct: dict[frozenset[str], Cohort] = {}
    for cohort in cohorts:
        distinct.setdefault(frozenset(cohort[1]), cohort)
    if len(distinct) < 2 or any(distinct.keys() <= mixture for mixture in accepted):
        return None
    everyone = sorted(set().union(*distinct))
    told = []
    for members, (step, names) in distinct.items():
        without = [name for name in everyone if name not in members]
        told.append(
            f"{step} by {', '.join(names) or 'nobody'}" + (f" (without {', '.join(without)})" if without else "")
        )
    return "it mixes answers of different cohorts: " + "; ".join(told)


def distinct(cohorts: Iterable[Cohort]) -> tuple[Cohort, ...]:
    """The cohorts of which no other before them has the same organizations: of a hundred iterations, mostly one."""
    found: dict[frozenset[str], Cohort] = {}
    for cohort in cohorts:
        found.setdefault(frozenset(cohort[1]), cohort)
    return tuple(found.values())


def unreachable(
    carried: Iterable[Cohort], asked: Collection[str], needed: int, required: Collection[str]
) -> str | None:
    """Why nobody need be asked: whoever answers, it cannot be the one cohort that the kwargs carry. None if it can.

    `needed` is how many of those asked must answer, `required` are those who must be among them.
    """
    first = next(iter(carried), None)
    if first is None:
        return None
    step, names = first
    cohort = set(names)
    if cohort <= set(asked) and len(cohort) >= needed and cohort >= set(required):
        return None
    told = f"it is sent what {', '.join(names) or 'nobody'} answered to {step}, and asks {', '.join(asked)}"
    return f"its answers could only be of another cohort: {told}"
