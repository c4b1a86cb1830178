"""Show what a run would do: the steps in order, and what each would send to which organization.

Params are filled in; values that are known only after another step completes are marked. Warnings about cohorts that
are certain to mix go to stderr. Nothing is submitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.views.preview import Preview


def configure(parser: Parser) -> None:
    common.workflow(parser)
    common.params(parser)
    common.federation(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import loading
    from v6flow.cli import show
    from v6flow.core.checks import soundness
    from v6flow.core.views import documents
    from v6flow.core.views.preview import preview
    from v6flow.runs.reach import reach_for
    from v6flow.runs.starting import make_plan

    workflow = loading.read_workflow(arguments.workflow)
    params = common.read_params(arguments, workflow)
    federation = common.read_federation(arguments, workflow)
    with show.while_waiting(federation):
        access = reach_for(workflow, federation)
    try:
        plan = make_plan(workflow, params, access, folder=Path(arguments.workflow).absolute().parent)
        misfits = access.misfits(plan) if access is not None else []
    finally:
        if access is not None:
            access.close()
    steps = list(preview(plan))
    warnings = [*soundness.warnings(workflow, plan.directory), *misfits]
    if arguments.output == "json":
        directory, file = plan.directory, federation.file if federation is not None else None
        where = documents.PlannedFederation(file, tuple(directory.organizations), tuple(directory.offline))
        told = tuple(map(documents.problem, warnings))
        show.write(documents.PlanDocument(workflow.name, params, where, tuple(steps), told).as_json())
        return 0
    show.data("".join(_text(workflow.name, params, plan.directory, steps)))
    show.problems(warnings)
    return 0


def _text(name: str, params: Any, directory: Any, steps: list[Preview]) -> list[str]:
    from v6flow.core.views.known import spell
    from v6flow.reporters.terminal import plain

    given = ", ".join(f"{key}={spell(value)}" for key, value in params.items())
    told = [f"workflow {name}" + (f" with {given}" if given else "") + "\n"]
    if directory.organizations:
        told.append(f"organizations: {', '.join(directory.organizations)}\n")
    if directory.offline:
        told.append(f"offline: {', '.join(directory.offline)}\n")
    number = 0
    for step in steps:
        depth = step.step.count(".")
        number += not depth
        short = [name.rpartition(".")[2] for name in (step.step, *step.needs)]
        after = f" after {', '.join(short[1:])}" if step.needs else ""
        margin = "   " if not depth else " " * (3 + 2 * depth)
        begin = f"\n{number}." if not depth else f"{margin[:-2]}-"
        last = ", after all other steps" if step.final and not depth else ""
        told.append(f"{begin} {short[0]} ({step.kind_in_words}{last}){after}\n")
        told += [f"{margin}{line}\n" for line in step.lines()]
    return [plain(line, keep_newlines=True) for line in told]
