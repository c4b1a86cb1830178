"""The plan of a run: a workflow with its parameters filled in and its settings resolved, ordered as a graph."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.core.json import Json, canonical
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.directory import Directory
    from v6flow.core.kinds import StepPlan
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.graph import StepGraph


class Plan(Struct, frozen=True):
    """What a run will do; `steps` and `needs` are in an order in which each step follows what it needs.

    Nested steps are behind the one they are nested in, by the names that the workflow gives them.
    """

    workflow: Workflow
    params: Mapping[str, Json]
    directory: Directory
    folder: str  # absolute: where files beside the workflow are looked for
    run: str
    started: float
    graph: StepGraph
    needs: Mapping[str, list[str]]
    steps: Mapping[str, StepPlan]
    levels: Mapping[str, tuple[str, ...]]
    """Of each step that has nested ones, and of "", those directly in it, in order."""
    deadline: float | None = None

    def step(self, path: str) -> StepPlan:
        """The plan of a step that is done, whichever its iteration or item."""
        return self.steps[ids.definition(path)]

    def nested(self, name: str) -> tuple[str, ...]:
        """The steps directly in a step, in order; for "" those that are in none."""
        return self.levels.get(name, ())

    def find(self, where: str, short: str) -> str | None:
        """The step that a name means to those of a prefix: beside them, else further outside."""
        for prefix in ids.outward(where):
            if ids.definition(prefix) + short in self.steps:
                return prefix + short
            if prefix and not ids.around(prefix)[1]:
                return None  # what is in another file sees nothing outside of that
        return None

    def tasks(self) -> list[TaskPlan]:
        """What its steps ask organizations, in their order."""
        return [step.task for step in self.steps.values() if step.task is not None]

    def scope(self) -> dict[str, Json]:
        """The names that are known everywhere."""
        return scope(self.workflow.name, self.params, self.directory, self.run, self.started)


def iso(moment: float) -> str:
    """A moment as people and files write it: UTC, to the second."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def token(run: str, step: str, organizations: tuple[str, ...], attempt: int) -> str:
    """The name of one submission, the same whenever it is computed: 32 hexadecimal digits."""
    return hashlib.blake2b(canonical([run, step, list(organizations), attempt]).encode(), digest_size=16).hexdigest()


def scope(name: str, params: Mapping[str, Json], directory: Directory, run: str, started: float) -> dict[str, Any]:
    """The names that are known before a run begins."""
    return {
        "params": dict(params),
        "run": {"id": run, "name": name, "started": iso(started)},
        "federation": {"organizations": list(directory.organizations)},
        "#organization_ids": dict(directory.ids),
    }
