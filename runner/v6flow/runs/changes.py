"""Compares what a run was started with, step by step, with what the files are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core import json
from v6flow.core.planning import ids, question
from v6flow.runs.pinning import source_digests

if TYPE_CHECKING:
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan
    from v6flow.core.planning.question import Fingerprint


def differences(state: RunState, old: Plan, new: Plan) -> tuple[list[str], list[str]]:
    """The steps that differ, and for those that have completed or asked somebody, how."""
    before = question.fingerprints(old, state.pinned.sources)
    after = question.fingerprints(new, source_digests(new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    refused: list[str] = []
    for name in changed:
        done = [step for each, step in state.steps.items() if ids.definition(each) == name]
        was, is_ = before.get(name), after.get(name)
        early = was is None or is_ is None or was.asked != is_.asked
        asked = early and any(each.attempt for step in done for each in step.organizations.values())
        begun = early and any(step.history or step.items is not None or step.params is not None for step in done)
        completed = any(step.status == "completed" for step in done)
        left_out = any(step.status == "skipped" and step.reason == "when" for step in done)
        if completed or asked or begun or left_out:
            what = "was left out" if left_out else "has completed" if completed else _ASKED if asked else "has begun"
            refused.append(f"step {name} {what}, and {_difference(was, is_)}")
    return changed, refused


_ASKED = "has asked organizations"


def _difference(before: Fingerprint | None, after: Fingerprint | None) -> str:
    if after is None:
        return "is gone from the file"
    assert before is not None  # a step that was run stood in the file
    told = []
    for key in {**before.parts, **after.parts}:
        was, is_ = before.parts.get(key), after.parts.get(key)
        if was == is_:
            continue
        if key == "source":
            told.append("its function's source, or its files, changed")
        elif key == "federation":
            told.append("the federation (its databases, environment or algorithms) changed")
        else:
            told.append(f"its {key} was {short(was)}, and is {short(is_)}")
    return "; ".join(told)


def short(value: Json) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "…"
