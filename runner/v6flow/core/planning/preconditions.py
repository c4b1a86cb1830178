"""Whether params fulfil the preconditions of a workflow, which is seen before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.language.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow


def problems(workflow: Workflow, params: Mapping[str, Json]) -> list[Problem]:
    """The preconditions that are not met; those about params that have no value are not judged."""
    document = workflow.document
    found = []
    for each in workflow.preconditions:
        references = (*each.condition.references, *each.message.references)
        named = {reference.path[0] for reference in references if reference.root == "params" and reference.path}
        if named <= params.keys():
            wrong = each.unmet({"params": dict(params)})
            if wrong is not None:
                found.append(Problem(wrong, "precondition", document.name, document.position(each.key)))
    return found
