"""Draw the steps of a workflow and their dependencies: in the terminal, as Mermaid, or as DOT."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.core.planning import dependencies

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    common.workflow(parser)
    parser.add_argument("--format", choices=["picture", "mermaid", "dot"], default="picture", help="default: picture")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import loading
    from v6flow.cli import show
    from v6flow.core.views import drawing

    workflow = loading.read_workflow(arguments.workflow)
    graph = drawing.graph_of(workflow, dependencies.needs(workflow), dependencies.drawn(workflow))
    if arguments.output == "json":
        show.write(graph.as_json())
        return 0
    match arguments.format:
        case "mermaid":
            text = drawing.mermaid(graph)
        case "dot":
            text = drawing.dot(graph)
        case _:
            from v6flow.core.views.picture import picture

            text = picture(graph, shutil.get_terminal_size((100, 24)).columns, unicode=_draws_lines())
    show.data(text.rstrip("\n") + "\n")
    return 0


def _draws_lines() -> bool:
    """Whether the encoding of stdout has box-drawing characters."""
    try:
        "┌─│▼".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
