"""Say everything that is wrong with workflow, federation and test files, all at once, without running anything.

A workflow's federation (--federation, V6FLOW_FEDERATION, or its own `federation:`) is checked as well. A server is
asked only with --federation: whether it has the organizations, studies and stores that are named, and whether the
store's description of the algorithm fits what the steps call.

With --root DIR, for files that somebody else has written, nothing outside of DIR is read or looked at, links followed:
not by the files that are named here, nor by those that they name. No reference to a secret is resolved, and no server
is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.directory import Directory
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow
    from v6flow.core.language.problem import Problem


def configure(parser: Parser) -> None:
    common.files(parser, "workflow, federation or test files")
    common.federation(parser)
    parser.add_argument("--root", metavar="DIR", help="read nothing outside of this folder (default: no bound)")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import paths
    from v6flow.cli import show
    from v6flow.core.views import documents
    from v6flow.reporters.terminal import plain

    given = arguments.federation
    with paths.within(arguments.root):
        files = {file: check(file, given) for file in [*arguments.files, *([given] if given else [])]}
    found = list(dict.fromkeys(problem for problems in files.values() for problem in problems))
    valid = not any(problem.severity == "error" for problem in found)
    if arguments.output == "json":
        problems = tuple(map(documents.problem, found))
        show.write(documents.Validated(valid, 0 if valid else 2, problems).as_json())
        return 0 if valid else 2
    show.problems(found)
    for file, problems_ in files.items():
        if not any(problem.severity == "error" for problem in problems_):
            show.data(f"{plain(file)}: valid\n")
    return 0 if valid else 2


def check(file: str, given: str | None) -> list[Problem]:
    """All problems of a file and, for a workflow, of the federation that it would run on."""
    from v6flow import loading
    from v6flow.core.checks.soundness import warnings
    from v6flow.core.language import redaction
    from v6flow.core.language.problem import InvalidError, Problem
    from v6flow.core.planning import preconditions
    from v6flow.errors import AccessError, UnreachableError, UsageError

    text = loading.read_bytes(file, "workflow")
    if redaction.kind_of(text) == "test":
        from v6flow.testing import suites

        return suites.problems(file)
    if redaction.kind_of(text) == "federation" or b"v6flow_federation" in text:
        return _federation(file)
    try:
        workflow = loading.parse_workflow(text, file)
    except InvalidError as error:
        return list(error.problems)
    unmet = preconditions.problems(workflow, _defaults(workflow))
    known = [*warnings(workflow), *unmet]
    try:
        path = loading.federation_file(workflow, given)
        if path is None or unmet:
            return known
        if wrong := _federation(path):
            return known + wrong
        misfits, directory = _fit(workflow, path, asked_for=given is not None)
        return [*warnings(workflow, directory), *misfits]
    except (AccessError, UnreachableError):
        raise
    except UsageError as error:
        where = workflow.document.position(("federation",) if workflow.federation is not None else ())
        return [*known, Problem(error.message, "federation", file, where, error.hint)]


def _defaults(workflow: Workflow) -> dict[str, Json]:
    """The params that have a value without anybody giving one."""
    return {name: param.schema["default"] for name, param in workflow.params.items() if not param.required}


def _federation(file: str) -> list[Problem]:
    from v6flow import loading
    from v6flow.core.language.problem import InvalidError

    try:
        return loading.check_federation(file)
    except InvalidError as error:
        return list(error.problems)


def _fit(workflow: Workflow, federation: str, *, asked_for: bool) -> tuple[list[Problem], Directory | None]:
    """What of a workflow does not fit a federation, as far as the defaults of its params tell; and who there is.

    A server is asked if that is wanted: what cannot be reached, or not be logged in to, is then an error.
    """
    from pathlib import Path

    from v6flow import loading, params, paths
    from v6flow.core.language.problem import InvalidError
    from v6flow.errors import FederationError
    from v6flow.runs.reach import reach_for
    from v6flow.runs.starting import make_plan

    if any(param.required for param in workflow.params.values()):
        return [], None
    access = None
    try:
        known = loading.read_federation(federation)
        if known.directory() is None and (not asked_for or paths.bounded()):
            return [], None
        access = reach_for(workflow, known)
        folder = Path(workflow.document.name).absolute().parent
        plan = make_plan(workflow, params.resolve(workflow), access, folder=folder)
        return (access.misfits(plan) if access is not None else []), plan.directory
    except InvalidError as error:
        return list(error.problems), None
    except FederationError:
        if asked_for:
            raise
        return [], None  # it cannot be used from here, for want of a secret say, and may be sound all the same
    finally:
        if access is not None:
            access.close()
