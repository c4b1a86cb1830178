"""Cohorts: whose data a value was computed from, and whether a step may put values together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.core.state import Cohort


def difference(cohorts: Iterable[Cohort], accepted: Iterable[set[frozenset[str]]] = ()) -> str | None:
    """Why a value made from these cohorts would mix them, or None if it would not.

    Cohorts agree if they are the same organizations, whichever step asked them. A mixture that was accepted where it
    was made need not be accepted again: the cohorts of one accepted value may stand together further on.
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
