"""Compares what a run was started with, step by step, with what the files are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core import json
from v6flow.core.planning import ids
from v6flow.core.planning import plan as planning
from v6flow.runs.pinning import source_digests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan


def differences(state: RunState, old: Plan, new: Plan) -> tuple[list[str], list[str]]:
    """The steps that differ, and for those that have completed or asked somebody, how."""
    before = planning.parts(old, state.pinned.sources)
    after = planning.parts(new, source_digests(new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    refused: list[str] = []
    for name in changed:
        done = [step for each, step in state.steps.items() if ids.definition(each) == name]
        early = any(
            before.get(name, {}).get(key) != after.get(name, {}).get(key)
            for key in {**before.get(name, {}), **after.get(name, {})}
            if key not in planning.JUDGED_LAST
        )
        asked = early and any(each.attempt for step in done for each in step.organizations.values())
        begun = early and any(step.history or step.items is not None or step.params is not None for step in done)
        completed = any(step.status == "completed" for step in done)
        left_out = any(step.status == "skipped" and step.reason == "when" for step in done)
        if completed or asked or begun or left_out:
            what = "was left out" if left_out else "has completed" if completed else _ASKED if asked else "has begun"
            refused.append(f"step {name} {what}, and {_difference(before.get(name), after.get(name))}")
    return changed, refused


_ASKED = "has asked organizations"


def _difference(before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> str:
    if after is None:
        return "is gone from the file"
    assert before is not None  # a step that was run stood in the file
    told = []
    for key in {**before, **after}:
        was, is_ = before.get(key), after.get(key)
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
