"""Sweeps (`v6flow run --sweep`): one ordinary run for each set of params, one after the other, and a table of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from v6flow import loading, params
from v6flow.cli import arguments as common
from v6flow.cli import show
from v6flow.cli.earlier import earlier, resumed, tell_unfinished, unfinished
from v6flow.cli.telling import reporter
from v6flow.core import json
from v6flow.core.execution.state import replay
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import planner
from v6flow.core.views import incomplete
from v6flow.core.views.summary import WITH_RESULTS, SetSummary
from v6flow.errors import HeldError, InterruptedRunError, UsageError, V6flowError
from v6flow.reporters import prose
from v6flow.reporters.terminal import plain
from v6flow.runs.pinning import done_before
from v6flow.runs.reach import reach_for
from v6flow.runs.signals import Signals
from v6flow.runs.starting import make_plan, start

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from v6flow.backends.base import Federation
    from v6flow.core.execution.state import RunState
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.incomplete import Incomplete
    from v6flow.runs.active import ActiveRun
    from v6flow.stores.base import StoredRun

MOST = 10_000  # the most sets of params in a sweep

_STOPPING = (70, 143, 130, 4, 5, 75)
"""Exit codes that end the sweep: the next set would fail alike, the user stopped it, or another process runs it."""

_WORST = (*_STOPPING, 6, 2, 124, 1, 0)
"""All exit codes, the worst first."""


class Set(Struct, frozen=True):
    """One set of params: its own values, and the plan of its run."""

    said: Mapping[str, Json]
    plan: Plan


class Outcome(Struct, frozen=True):
    """The outcome of a set; without an exit code, its run did not begin."""

    run: str | None = None
    status: str = "pending"
    exit_code: int | None = None
    outputs: Mapping[str, Json] = field(default_factory=dict)
    error: str | None = None
    before: bool = False  # the run had already completed
    incomplete: tuple[Incomplete, ...] = ()  # the incomplete parts of its results
    last: bool = False  # a signal came after its run was over: no further set begins


def run(arguments: argparse.Namespace, workflow: Workflow) -> int:
    """Run all sets, report them, and return the worst exit code."""
    if arguments.detach:
        hint = "leave out --detach, and run the whole command in the background: nohup v6flow run … &"
        raise UsageError("--detach works for a single run, and --sweep asks for several", hint=hint)
    federation = common.read_federation(arguments, workflow)
    deadline = common.duration("--deadline", arguments.deadline)
    every = _planned(arguments, workflow, federation)
    sweep = _Sweep(arguments, workflow, federation, deadline)
    if not arguments.go_on:
        sweep.tell_unfinished()
    outcomes: list[Outcome] = []
    for number, each in enumerate(every, start=1):
        if any(outcome.exit_code in _STOPPING or outcome.last for outcome in outcomes):
            outcomes.append(Outcome())
            continue
        if not arguments.quiet:
            show.lines([f"set {number} of {len(every)}: {_spell(each.said)}"])
        outcomes.append(sweep.outcome(each))
    codes = [each.exit_code for each in outcomes if each.exit_code is not None]
    if any(each.last for each in outcomes) and len(codes) < len(every):
        codes.append(InterruptedRunError.exit_code)
    code = min(codes, key=_rank)
    if arguments.output == "json":
        told = [_summary(each, outcome).as_json() for each, outcome in zip(every, outcomes, strict=True)]
        show.write({"workflow": workflow.name, "sweep": told, "exit_code": code})
    else:
        show.data("".join(_table(every, outcomes)))
    show.lines(_incomplete(every, outcomes, arguments.store or ""))
    return code


def _incomplete(every: Sequence[Set], outcomes: Sequence[Outcome], store: str) -> list[str]:
    """One line for each run with incomplete results; if there are many, the first few and a count of the rest."""
    found = [
        f"run {outcome.run} ({_spell(each.said)}): {outcome.incomplete[0]}"
        + (f"; {len(outcome.incomplete) - 1} more" if len(outcome.incomplete) > 1 else "")
        for each, outcome in zip(every, outcomes, strict=True)
        if _lacks(outcome)
    ]
    return prose.incomplete_lines(found, f" runs; {prose.status_command('RUN', store)} shows what each lacks")


def _rank(code: int) -> int:
    return _WORST.index(code) if code in _WORST else 0


def _sets_in(workflow: Workflow, file: str) -> list[dict[str, Any]]:
    """The sets of params in a file for this workflow. Raises UsageError, InvalidError."""
    found = loading.read_param_sets(file)
    params.check_file(workflow, file, {name: None for each in found for name in each})
    return found


def _planned(arguments: argparse.Namespace, workflow: Workflow, federation: Federation | None) -> list[Set]:
    """All sets, each checked before any run begins."""
    said = _sets(arguments, workflow)
    given = [common.read_params(arguments, workflow, (_spell(each), each)) for each in said]
    folder = Path(arguments.workflow).absolute().parent
    with show.while_waiting(federation):
        access = reach_for(workflow, federation)
    try:
        first = make_plan(workflow, given[0], access, folder=folder)
    finally:
        if access is not None:
            access.close()
    more = [_plan(first, each, values) for each, values in zip(said[1:], given[1:], strict=True)]
    return [Set(each, plan) for each, plan in zip(said, [first, *more], strict=True)]


def _plan(first: Plan, said: Mapping[str, Json], values: Mapping[str, Json]) -> Plan:
    """The plan of a set after the first. Raises InvalidError, which names the set."""
    try:
        return planner.make(first.workflow, values, first.directory, folder=first.folder)
    except InvalidError as error:
        named = [replace(problem, message=f"{_spell(said)}: {problem.message}") for problem in error.problems]
        raise InvalidError(named, what=first.workflow.document.name) from error


def _sets(arguments: argparse.Namespace, workflow: Workflow) -> list[dict[str, Json]]:
    sweeps: dict[str, list[Json]] = {}
    for word in arguments.sweep:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"--sweep takes NAME=VALUE,VALUE, not {word!r}")
        if name in sweeps:
            raise UsageError(f"--sweep {name} is given twice", hint="write all its values after one --sweep")
        try:
            sweeps[name] = params.read_several(workflow, name, text)
        except ValueError as error:
            raise UsageError(f"--sweep {name}: {error}") from error
    files = [each for file in arguments.sweep_file for each in _sets_in(workflow, file)]
    fixed = {word.partition("=")[0] for word in arguments.param}
    for name in {name for each in [sweeps, *files] for name in each}:
        if name in fixed or (name in sweeps and any(name in each for each in files)):
            where = "--param" if name in fixed else "--sweep-file"
            raise UsageError(f"{name} is given by {where} and swept", hint="leave one of them out")
    found = params.sets(files, sweeps)
    if len(found) > MOST:
        raise UsageError(f"these are {len(found):,} sets of params, and the limit is {MOST:,}")
    seen: set[str] = set()
    for each in found:
        key = json.canonical(each)
        if key in seen:
            raise UsageError(f"the set {_spell(each)} is given twice")
        seen.add(key)
    return found


class _Sweep:
    """The shared state of the runs of all sets."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        workflow: Workflow,
        federation: Federation | None,
        deadline: float | None,
    ) -> None:
        self._arguments = arguments
        self._workflow = workflow
        self._federation = federation
        self._deadline = deadline
        self._store = common.open_store(arguments)
        self._known: set[str] = set()
        self._earlier: dict[str, list[tuple[StoredRun, RunState]]] = {}
        self._incomplete: dict[str, tuple[Incomplete, ...]] = {}  # for the earlier runs, by id

    def tell_unfinished(self) -> None:
        """Report the unfinished runs of the workflow, which this sweep does not touch."""
        for folder, _ in unfinished(self._store, self._workflow.name):
            tell_unfinished(folder, self._arguments)

    def outcome(self, each: Set) -> Outcome:
        """The outcome of a set: its run is started or resumed unless it has completed."""
        try:
            for folder, state in self._before(each.plan) if self._arguments.go_on else ():
                if done_before(each.plan, state):
                    if not self._arguments.quiet:
                        show.lines([f"run {folder.id} has already completed this set"])
                    less = self._incomplete[folder.id]
                    return Outcome(folder.id, "completed", 0, state.outputs, before=True, incomplete=less)
                holder = None if state.over else folder.holder()
                if holder is not None:
                    show.lines([f"run {folder.id} is running in another process ({holder})"])
                    return Outcome(folder.id, "running", HeldError.exit_code, error="another process works on it")
                if not state.over and (run := resumed(folder, self._arguments)) is not None:
                    return self._carried_on(run)
            return self._carried_on(self._started(each))
        except V6flowError as error:
            show.error(error.message, error.hint)
            return Outcome(None, "failed", error.exit_code, error=error.message)
        except KeyboardInterrupt:
            return Outcome(None, "interrupted", InterruptedRunError.exit_code, error="interrupted")

    def _before(self, plan: Plan) -> list[tuple[StoredRun, RunState]]:
        """The completed and unfinished runs of the same file, params and federation, newest first."""
        text, identity = plan.workflow.document.text, plan.directory.identity
        new: dict[str, list[tuple[StoredRun, RunState]]] = {}
        for folder, state in earlier(self._store, self._workflow.name, over=True, known=self._known):
            self._known.add(folder.id)
            if (state.pinned.text, state.pinned.identity) == (text, identity):
                self._incomplete[folder.id] = incomplete.of_run(state)
                state.steps.clear()  # their results are no longer needed
                new.setdefault(json.canonical(dict(state.pinned.params)), []).append((folder, state))
        for key, runs in new.items():
            self._earlier[key] = [*runs, *self._earlier.get(key, ())]
        found = self._earlier.get(json.canonical(dict(plan.params)), [])
        return [(folder, state if state.over else replay(folder.events())) for folder, state in found]

    def _started(self, each: Set) -> ActiveRun:
        return start(
            self._workflow,
            each.plan.params,
            self._federation,
            self._store,
            folder=Path(each.plan.folder),
            deadline=self._deadline,
            jobs=self._arguments.jobs,
            preflight=not self._arguments.skip_preflight,
            cache=self._arguments.cache,
        )

    def _carried_on(self, run: ActiveRun) -> Outcome:
        run.signals = Signals(kill=self._arguments.on_interrupt == "kill", exit_on_second=True)
        name = run.opened.stored.id
        with run.opened:
            try:
                state = run.carry_on(reporter(run, self._arguments))
            except V6flowError as error:
                show.error(error.message, error.hint)
                return Outcome(name, "interrupted", error.exit_code, error=error.message)
            except KeyboardInterrupt:
                return Outcome(name, "interrupted", InterruptedRunError.exit_code, error="interrupted")
        if self._arguments.quiet and self._arguments.output == "text":
            store = self._arguments.store or ""
            show.lines([*prose.failure_text(state, store), *prose.waiting_text(state, store)])
        failure = state.failure.message if state.failure is not None else None
        outputs = dict(state.outputs) if state.status == "completed" else {}
        less = incomplete.of_run(state)
        last = run.signals.first is not None and state.status != "interrupted"
        return Outcome(name, state.status, state.exit_code, outputs, failure, incomplete=less, last=last)


def _summary(each: Set, outcome: Outcome) -> SetSummary:
    return SetSummary(
        dict(each.plan.params),
        outcome.run,
        outcome.status,
        outcome.exit_code,
        outcome.outputs,
        outcome.incomplete,
        outcome.error,
        outcome.before,
    )


def _table(every: Sequence[Set], outcomes: Sequence[Outcome]) -> list[str]:
    rows = [
        (_spell(each.said), outcome.run or "", _word(outcome), show.spell(outcome.outputs) if outcome.outputs else "")
        for each, outcome in zip(every, outcomes, strict=True)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip() + "\n"
        for row in rows
    ]


def _word(outcome: Outcome) -> str:
    """The status of a set's run, marked if its results are incomplete."""
    return f"{outcome.status} (incomplete)" if _lacks(outcome) else outcome.status


def _lacks(outcome: Outcome) -> bool:
    """Whether the results of a set's run are incomplete."""
    return bool(outcome.incomplete) and outcome.status in WITH_RESULTS


def _spell(said: Mapping[str, Json]) -> str:
    """A set as text: `column=age minimum=2`."""
    return " ".join(
        f"{name}={plain(value) if isinstance(value, str) and value else show.spell(value)}"
        for name, value in said.items()
    )
