"""Draw the steps of a workflow and what each needs: in the terminal, as Mermaid, or as DOT."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.core.planning import dependencies

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow


def configure(parser: Parser) -> None:
    common.workflow(parser)
    parser.add_argument("--format", choices=["picture", "mermaid", "dot"], default="picture", help="built in: picture")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import loading
    from v6flow.cli import show
    from v6flow.core.views import drawing

    workflow = loading.read_workflow(arguments.workflow)
    if arguments.output == "json":
        show.write(_document(workflow))
        return 0
    needs = dependencies.drawn(workflow)
    match arguments.format:
        case "mermaid":
            text = drawing.mermaid(workflow, needs)
        case "dot":
            text = drawing.dot(workflow, needs)
        case _:
            text = drawing.picture(workflow, needs, shutil.get_terminal_size((100, 24)).columns, unicode=_draws_lines())
    show.data(text.rstrip("\n") + "\n")
    return 0


def _document(workflow: Workflow) -> dict[str, Json]:
    """The steps in the file's order: what each is, what it is nested in, and what it waits for by itself."""
    from v6flow.core.kinds import WorkflowStep

    needs = dependencies.needs(workflow)
    return {
        "workflow": workflow.name,
        "steps": [
            {
                "step": name,
                "kind": step.kind,
                "within": step.common.parent or None,
                "finally": step.common.final,
                "file": step.file if isinstance(step, WorkflowStep) else None,
                "needs": [*needs[name]],
            }
            for name, step in workflow.steps.items()
        ],
    }


def _draws_lines() -> bool:
    """Whether stdout's encoding has the characters that boxes are drawn with."""
    try:
        "┌─│▼".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
