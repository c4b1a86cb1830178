"""Say everything that is wrong with workflow and federation files, all at once, without running anything.

A workflow's federation (--federation, V6FLOW_FEDERATION, or its own `federation:`) is checked as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.problem import Problem


def configure(parser: Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="workflow or federation files").complete = {  # type: ignore[attr-defined]
        "bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f",
    }  # fmt: skip
    common.federation(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.reporters.terminal import plain

    found: list[Problem] = []
    files: dict[str, list[Problem]] = {}
    for file in [*arguments.files, *([arguments.federation] if arguments.federation else [])]:
        files[file] = check(file, with_federation=not arguments.federation)
        found += files[file]
    valid = not any(problem.severity == "error" for problem in found)
    if arguments.output == "json":
        problems = [show.problem_document(problem) for problem in found]
        show.write({"valid": valid, "exit_code": 0 if valid else 2, "problems": problems})
        return 0 if valid else 2
    show.problems(found)
    for file, problems_ in files.items():
        if not any(problem.severity == "error" for problem in problems_):
            show.data(f"{plain(file)}: valid\n")
    return 0 if valid else 2


def check(file: str, *, with_federation: bool) -> list[Problem]:
    """All problems of a file and, for a workflow, of the federation that it would run on."""
    from v6flow import loading
    from v6flow.core.problem import Problem
    from v6flow.errors import InvalidError, UsageError

    text = loading.read_bytes(file, "workflow")
    if b"v6flow_federation" in text:
        return _federation(file)
    try:
        workflow = loading.parse_workflow(text, file)
    except InvalidError as error:
        return list(error.problems)
    path = loading.federation_file(workflow, None)
    if path is None or not with_federation:
        return []
    try:
        return _federation(path)
    except UsageError as error:
        where = workflow.document.position(("federation",) if workflow.federation is not None else ())
        return [Problem(error.message, "federation", file, where, error.hint)]


def _federation(file: str) -> list[Problem]:
    from v6flow import loading
    from v6flow.errors import InvalidError

    try:
        return loading.check_federation(file)
    except InvalidError as error:
        return list(error.problems)
