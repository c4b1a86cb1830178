"""Run a workflow.

Outputs go to stdout, one `name: <JSON>` line each; progress goes to stderr. The run is kept in the store
and can be resumed with `v6flow resume`. With --detach, the run continues in the background, and stdout is its id.
With --sweep, each set of params is one run, one after the other, and stdout is a table of the runs.
A run that waits for a person at a gate exits with 6: see `v6flow approve` and `v6flow reject`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.cli.earlier import resumed, tell_unfinished, unfinished
from v6flow.cli.telling import reporter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from v6flow.backends.base import Access
    from v6flow.cli.arguments import Parser
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow
    from v6flow.runs.active import ActiveRun
    from v6flow.stores.base import RunStore, StoredRun


def configure(parser: Parser) -> None:
    common.workflow(parser)
    common.params(parser)
    parser.add_argument(
        "--sweep",
        metavar="NAME=VALUE,VALUE",
        action="append",
        default=[],
        help="one run for each value; if repeated, for each combination of values; VALUE,VALUE may be a JSON list",
    )
    parser.add_argument(
        "--sweep-file",
        metavar="FILE",
        action="append",
        default=[],
        help="one run for each set of params in a YAML file, which is a list of mappings",
    )
    parser.add_argument("--help-params", action="store_true", help="show the workflow's params and exit without a run")
    common.federation(parser)
    parser.add_argument(
        "--deadline", metavar="DURATION", help="time limit for the whole run, like 6h; exit with 124 when it passes"
    )
    parser.add_argument(
        "--continue",
        dest="go_on",
        action="store_true",
        help="resume the unfinished run of the same file, params and federation, if there is one; "
        "in a sweep, also skip the sets whose runs have completed",
    )
    parser.add_argument(
        "--skip-preflight",
        action="store_true",
        help="do not check before the first task that the federation has what the workflow needs",
    )
    parser.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="do not reuse results of earlier runs: ask and compute everything again",
    )
    parser.add_argument(
        "--detach", action="store_true", help="print the run's id and continue in the background (see wait, logs)"
    )
    common.on_interrupt(parser)
    common.store(parser)
    common.output(parser)
    common.progress(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import loading
    from v6flow.cli import show
    from v6flow.runs.reach import reach_for
    from v6flow.runs.starting import start

    workflow = loading.read_workflow(arguments.workflow)
    if arguments.help_params:
        from v6flow.cli import help_params

        help_params.tell(workflow, arguments.output)
        return 0
    if arguments.sweep or arguments.sweep_file:
        from v6flow.cli import sweep

        return sweep.run(arguments, workflow)
    params = common.read_params(arguments, workflow)
    federation = common.read_federation(arguments, workflow)
    deadline = common.duration("--deadline", arguments.deadline)
    store = common.open_store(arguments)
    with show.while_waiting(federation):
        access = reach_for(workflow, federation)
    try:
        run = _continued(workflow, params, access, store, arguments)
    except BaseException:
        if access is not None:
            access.close()
        raise
    if run is None:
        run = start(
            workflow,
            params,
            federation,
            store,
            folder=Path(arguments.workflow).absolute().parent,
            access=access,
            deadline=deadline,
            jobs=arguments.jobs,
            preflight=not arguments.skip_preflight,
            cache=arguments.cache,
        )
    elif access is not None:
        access.close()
    if arguments.detach:
        from v6flow.reporters.terminal import plain
        from v6flow.runs.detach import detach

        words = [
            f"--on-interrupt={arguments.on_interrupt}",
            *(["--jobs", str(arguments.jobs)] if arguments.jobs else []),
        ]
        run.keep_notes()
        show.lines([plain(f"note: {note}", keep_newlines=True) for note in run.notes])
        run.close()
        variables = run.access.handed_on() if run.access is not None else {}
        return detached(run.opened.stored, detach(run.opened, words, variables), arguments)
    return carry_on(run, arguments)


def _continued(
    workflow: Workflow,
    params: Mapping[str, Json],
    access: Access | None,
    store: RunStore,
    arguments: argparse.Namespace,
) -> ActiveRun | None:
    """The unfinished run that --continue selects, ready to continue; the other unfinished runs are reported."""
    from v6flow.runs.starting import same_run

    for folder, state in unfinished(store, workflow.name):
        if not (arguments.go_on and same_run(workflow, params, access, state)):
            tell_unfinished(folder, arguments)
        elif (run := resumed(folder, arguments)) is not None:
            return run
    return None


def detached(folder: StoredRun, code: int | None, arguments: argparse.Namespace) -> int:
    """Report a run that continues in the background or has already ended there; returns the exit code."""
    from v6flow.cli import show
    from v6flow.cli.status import current
    from v6flow.core.execution.state import replay
    from v6flow.core.views import incomplete
    from v6flow.core.views.summary import Detached
    from v6flow.reporters import prose
    from v6flow.reporters.terminal import plain
    from v6flow.runs import detach

    if code:
        show.lines(plain(detach.said(folder), keep_newlines=True).rstrip().split("\n"))
    state = replay(folder.events() if code is not None else ())
    if code == 0:
        show.lines(prose.incomplete_text(state, arguments.store or ""))
    if arguments.output == "json":
        status = current(folder, state) if code is not None else "running"
        show.write(Detached(folder.id, status, code, incomplete.of_run(state)).as_json())
    else:
        show.data(f"{folder.id}\n")
        if code is None:
            wait = prose.command("wait", folder.id, store=arguments.store or "")
            show.lines([f"the run continues in the background; {wait} waits for it"])
    return code or 0


def carry_on(run: ActiveRun, arguments: argparse.Namespace) -> int:
    """Work on a run to its end, report it, and return its exit code."""
    from msgspec.structs import replace

    from v6flow.cli import show
    from v6flow.core.views.summary import of_run
    from v6flow.errors import InterruptedRunError, NoSpaceError
    from v6flow.reporters import prose
    from v6flow.runs.signals import Signals

    run.signals = Signals(kill=arguments.on_interrupt == "kill", exit_on_second=True)
    with run.opened:
        try:
            state = run.carry_on(reporter(run, arguments))
        except KeyboardInterrupt as interrupt:
            hint = prose.resume_command(run.plan.run, arguments.store or "")
            raise InterruptedRunError(f"run {run.plan.run} was interrupted", hint=hint) from interrupt
        except NoSpaceError as error:
            hint = f"free disk space, then run: {prose.resume_command(run.plan.run, arguments.store or '')}"
            if arguments.output == "json":
                summary = of_run(run.opened.state, status="interrupted")
                show.write(replace(summary, exit_code=error.exit_code, error=show.why(error)).as_json())
            show.error(error.message, hint)
            return error.exit_code
        if arguments.quiet:
            conclude(state, arguments)
        return finish(state, arguments)


def conclude(state: RunState, arguments: argparse.Namespace) -> None:
    """Report on stderr what no reporter has reported: why a run failed, what is incomplete, what it waits for.

    Incomplete results are reported even beside a JSON document, because the exit code does not show them.
    """
    from v6flow.cli import show
    from v6flow.reporters import prose

    store = arguments.store or ""
    text = arguments.output == "text"
    show.lines(prose.failure_text(state, store) if text else [])
    show.lines(prose.incomplete_text(state, store))
    show.lines(prose.waiting_text(state, store) if text else [])


def finish(state: RunState, arguments: argparse.Namespace) -> int:
    """Print the outputs or the JSON document of a run; returns its exit code."""
    from v6flow.cli import show
    from v6flow.core.views.summary import of_run

    if arguments.output == "json":
        show.write(of_run(state).as_json())
    elif state.status == "completed":
        show.outputs(state.outputs)
    return state.exit_code if state.exit_code is not None else 0
