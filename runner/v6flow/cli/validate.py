"""Report every problem of workflow, federation and test files at once, without running anything.

The federation of a workflow (--federation, V6FLOW_FEDERATION, or its own `federation:`) is checked too. A server is
contacted only with --federation: this checks that it has the named organizations, studies and stores, and that the
steps fit the store's description of the algorithm.

Use --root DIR for untrusted files: nothing outside DIR is read or inspected, after links are resolved. This holds for
the files on the command line and for the files that they name. References to secrets are not resolved, and no server
is contacted.
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
    """All problems of a file and, for a workflow, of its federation."""
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
    """The params with a default."""
    return {name: param.schema["default"] for name, param in workflow.params.items() if not param.required}


def _federation(file: str) -> list[Problem]:
    from v6flow import loading
    from v6flow.core.language.problem import InvalidError

    try:
        return loading.check_federation(file)
    except InvalidError as error:
        return list(error.problems)


def _fit(workflow: Workflow, federation: str, *, asked_for: bool) -> tuple[list[Problem], Directory | None]:
    """The problems of a workflow at a federation, as far as its params' defaults show; and the federation's directory.

    A server is contacted only if requested: an unreachable server or a failed log-in is then an error.
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
        return [], None  # it cannot be used here, for example without a secret, but may be valid
    finally:
        if access is not None:
            access.close()
