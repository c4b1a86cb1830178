"""Check a federation: report each check, its result, and the remedy for each problem.

With a workflow, also check what its steps need: databases, images, and enough organizations to answer.
Nothing is submitted to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from v6flow.backends.base import Federation, Planner
    from v6flow.cli.arguments import Parser
    from v6flow.core.checks.findings import Finding
    from v6flow.core.directory import Directory
    from v6flow.core.planning.plan import Plan

WIDEST = 24  # characters: a longer subject does not widen its column


def configure(parser: Parser) -> None:
    parser.add_argument(
        "workflow", metavar="WORKFLOW", nargs="?", help="the YAML file of a workflow to check against the federation"
    ).complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]
    common.params(parser)
    common.federation(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.core.checks import findings
    from v6flow.core.views import documents

    federation, plan = _meant(arguments)
    found = findings.ordered(federation.access().examine(plan))
    code = findings.exit_code(found)
    if arguments.output == "json":
        show.write(documents.Examined(code == 0, code, tuple(map(documents.finding, found))).as_json())
        return code
    show.data("".join(f"{line}\n" for line in table(found, width=_width())))
    show.lines([_summary(found)])
    return code


def _meant(arguments: argparse.Namespace) -> tuple[Federation, Planner | None]:
    """The requested federation, and a function that plans the workflow there if one was given."""
    import os
    from pathlib import Path

    from v6flow import loading
    from v6flow.core.planning import planner
    from v6flow.core.planning.dependencies import look_ups
    from v6flow.errors import UsageError

    if arguments.workflow is None:
        file = arguments.federation or os.environ.get("V6FLOW_FEDERATION")
        if not file:
            raise UsageError(
                "nothing to check", hint="name a workflow, or a federation: v6flow doctor --federation FILE"
            )
        return loading.read_federation(file), None
    workflow = loading.read_workflow(arguments.workflow)
    params = common.read_params(arguments, workflow)
    federation = common.read_federation(arguments, workflow)
    if federation is None:
        raise UsageError(
            f"{arguments.workflow} names no federation",
            hint="say federation: FILE in the workflow, or --federation FILE, or set V6FLOW_FEDERATION",
        )

    def make(look: Callable[..., Directory]) -> Plan:
        directory = look(**look_ups(workflow))
        folder = str(Path(arguments.workflow).absolute().parent)
        return planner.make(workflow, params, directory, folder=folder)

    return federation, make


def table(found: Sequence[Finding], *, width: int | None = None) -> Iterator[str]:
    """The checks as plain text: status, subject and message, with the remedy below; wrapped at `width`."""
    from v6flow.reporters.terminal import plain

    rows = [(each.status, plain(each.subject), plain(each.message), each.remedy) for each in found]
    status = max((len(row[0]) for row in rows), default=0)
    subject = max((len(row[1]) for row in rows if len(row[1]) <= WIDEST), default=0)
    indent = " " * (status + subject + 4)
    for how, what, message, remedy in rows:
        yield from _wrapped(f"{how:<{status}}  {what:<{subject}}  {message}", indent, width)
        if remedy is not None:
            yield from _wrapped(f"{indent}→ {plain(remedy)}", f"{indent}  ", width)


def _wrapped(text: str, indent: str, width: int | None) -> Iterable[str]:
    import textwrap

    if width is None or len(text) <= width:
        return [text]
    room = max(width, len(indent) + 40)  # on a narrow terminal long lines are easier to read than a narrow column
    return textwrap.wrap(text, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _width() -> int | None:
    """The width of the terminal; None if there is no terminal."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _summary(found: Sequence[Finding]) -> str:
    counts = {status: sum(each.status == status for each in found) for status in ("problem", "warning")}
    parts = [f"{count} {status}{'s' if count > 1 else ''}" for status, count in counts.items() if count]
    return ", ".join(parts) or "no problems found"
