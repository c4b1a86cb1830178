"""Starting runs and taking them up again: where the concrete parts are picked and put together."""

from __future__ import annotations

import functools
import os
import secrets
import shlex
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow import actor, loading, paths
from v6flow.backends.base import Noted
from v6flow.clock import LaterClock, SystemClock
from v6flow.core import json
from v6flow.core.checks import soundness
from v6flow.core.execution import events, reuse
from v6flow.core.execution.events import CancelRequested, GateDecided, RunCancelled, RunResumed, RunStarted
from v6flow.core.execution.pinned import Pinned, encode
from v6flow.core.execution.state import RunState, apply, replay
from v6flow.core.federation import Directory, EmbeddedFederation
from v6flow.core.kinds import LocalPlan, TaskStep, local
from v6flow.core.language.messages import choice
from v6flow.core.language.problem import InvalidError
from v6flow.core.language.words import suggestion
from v6flow.core.planning import disclosure, ids, policy
from v6flow.core.planning import plan as planning
from v6flow.core.planning.policy import NO_LIMITS, Policy
from v6flow.core.server import ServerFederation
from v6flow.errors import (
    AccessError,
    FederationError,
    InterruptedRunError,
    ResumeError,
    UnreachableError,
    UsageError,
    V6flowError,
)
from v6flow.stores.folder.lock import CANCEL_SIGNAL
from v6flow.stores.folder.store import CancelRequest, RunFolder, Store, run_id
from v6flow.version import __version__

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from v6flow.actor import Actor
    from v6flow.backends.base import Access, Report
    from v6flow.clock import Clock
    from v6flow.core.execution.events import Event
    from v6flow.core.federation import Federation
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow
    from v6flow.core.planning.plan import Plan
    from v6flow.engine import Engine, Results
    from v6flow.reporters.base import Reporter
    from v6flow.stores.base import Journal
    from v6flow.stores.folder.lock import RunLock

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


@dataclass
class Held:
    """A run that this process holds: nobody else can work on it. Close it when done."""

    folder: RunFolder
    lock: RunLock
    journal: Journal
    state: RunState

    def close(self) -> None:
        """Let go of the run."""
        try:
            self.journal.close()
        finally:
            self.lock.release()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Run:
    """A run that is ready to go on."""

    held: Held
    plan: Plan
    access: Access | None
    jobs: int | None
    clock: Clock
    notes: Sequence[str] = ()
    """What a person should know before it goes on."""
    kill_on_interrupt: bool = False
    """Whether what it has open is killed when a person lets go of it."""
    exit_on_second: bool = False
    """Whether a second signal ends the process at once; else it does what it did before the run."""
    signalled: int | None = None
    """The first signal that asked for the end of the work; the run may have been over by then."""

    def carry_on(self, reporter: Reporter) -> RunState:
        """Go on until the run is over or must be let go of; the state says how it ended.

        Raises KeyboardInterrupt for a Ctrl-C that the engine could not take in; that is journalled too.
        """
        try:
            return self._carry_on(reporter)
        except KeyboardInterrupt:
            with suppress(V6flowError):  # a run that nobody holds counts as interrupted anyway
                self._keep_interrupt()
            raise
        finally:
            self.close()

    def _keep_interrupt(self) -> None:
        if self.held.state.status != "running":
            return
        failure = events.Failure(InterruptedRunError.kind, InterruptedRunError.kind)
        event = events.RunInterrupted(self.clock.now(), failure, InterruptedRunError.exit_code)
        self.held.journal.append([event], durable=True)
        apply(self.held.state, event)

    def keep_notes(self) -> None:
        """Write the notes down, where another process goes on with the run."""
        noted = [events.Noted(self.clock.now(), note) for note in self.notes]
        if noted:
            self.held.journal.append(noted, durable=True)
        for event in noted:
            apply(self.held.state, event)

    def close(self) -> None:
        """Let go of the federation; the run itself is still held."""
        if self.access is not None:
            self.access.close()

    def _carry_on(self, reporter: Reporter) -> RunState:
        from v6flow.engine import Engine
        from v6flow.local.runner import ChildRunner

        local_jobs = self.jobs or os.cpu_count() or 1
        folder = self.held.folder
        engine = Engine(
            self.plan,
            self.held.state,
            self.held.journal,
            backend=self.access.backend(folder.path, jobs=self.jobs) if self.access is not None else None,
            local=ChildRunner(jobs=local_jobs),
            clock=self.clock,
            reporter=reporter,
            jobs=local_jobs,
            results=_earlier_results(folder, self.plan, self.access, self.held.state.pinned),
        )
        for note in self.notes:
            engine.note(note)
        with _signals(engine, self):
            if self.held.state.ending is None:
                _hear_cancel(engine, folder)
            _hear_decisions(engine, folder)
            engine.run()
        waiting = {gate.name for gate in self.held.state.gates}
        for request in folder.decisions():
            if request.step not in waiting:  # one that came too late to be heard is heard by who goes on
                folder.forget_decision(request.step)
        if self.held.state.over:
            folder.mark_over(True)
        return self.held.state


def _earlier_results(folder: RunFolder, plan: Plan, access: Access | None, pinned: Pinned) -> Results | None:
    """The results of earlier runs, for a plan of which a step may reuse one."""
    if not reuse.wanted(plan):
        return None
    from v6flow.stores.results import EarlierResults

    def still(name: str, key: reuse.Key) -> bool:
        step = plan.step(name)
        if isinstance(step, LocalPlan):
            return key.parts["source"] == (_source_digest(step, plan) or "")
        return access is None or key.parts["data"] == access.contents()

    basis = reuse.Basis(pinned.sources, access.contents() if access is not None else "")
    return EarlierResults(folder, plan.workflow.name, basis, still=still, reads=pinned.cache)


def reach(federation: Federation) -> Access:
    """Reach a federation, to be closed by the caller. Raises FederationError, AccessError, UnreachableError."""
    match federation:
        case EmbeddedFederation():
            from v6flow.backends.embedded.access import EmbeddedAccess

            return EmbeddedAccess(federation)
        case ServerFederation():
            from v6flow.backends.vantage6.access import ServerAccess

            return ServerAccess(federation)
        case _:
            assert_never(federation)


def reach_for(workflow: Workflow, federation: Federation | None) -> Access | None:
    """Reach the federation that a workflow needs; None if it needs none. Raises what `reach` does."""
    if not soundness.needs_federation(workflow):
        return None
    if federation is None:
        raise FederationError(
            "this workflow asks organizations, and no federation is named",
            hint="say federation: FILE in the workflow, or --federation FILE, or set V6FLOW_FEDERATION",
        )
    return reach(federation)


def start(
    workflow: Workflow,
    params: Mapping[str, Json],
    federation: Federation | None,
    store: Store,
    *,
    folder: Path,
    access: Access | None = None,
    deadline: float | None = None,
    jobs: int | None = None,
    preflight: bool = True,
    cache: bool = True,
    by: Actor | None = None,
    clock: Clock | None = None,
) -> Run:
    """A new run of a workflow whose file stands in `folder`; `deadline` is in seconds from now.

    `by` is who starts it (default: the user of this program). Without `cache` no result of an earlier run is reused;
    those of this one are kept for later runs all the same.
    `access` is that of the federation if it was reached before, and closed by the run. Without `preflight` nothing is
    asked of the federation before the first task is sent.
    Raises InvalidError if the workflow does not fit the params or the federation; nothing has been kept then.
    """
    access = access or reach_for(workflow, federation)
    try:
        return _start(
            workflow,
            params,
            federation,
            store,
            folder=folder,
            access=access,
            deadline=deadline,
            jobs=jobs,
            preflight=preflight,
            cache=cache,
            by=by or actor.here(),
            clock=clock or SystemClock(),
        )
    except BaseException:
        if access is not None:
            access.close()
        raise


def _start(
    workflow: Workflow,
    params: Mapping[str, Json],
    federation: Federation | None,
    store: Store,
    *,
    folder: Path,
    access: Access | None,
    deadline: float | None,
    jobs: int | None,
    preflight: bool,
    cache: bool,
    by: Actor,
    clock: Clock,
) -> Run:
    now = clock.now()
    run = run_id(workflow.name, now, "".join(secrets.choice(_LETTERS) for _ in range(4)))
    plan = make_plan(
        workflow,
        params,
        access,
        folder=folder,
        run=run,
        started=now,
        deadline=deadline and now + deadline,
    )
    notes = [str(each) for each in soundness.warnings(workflow, plan.directory)]
    notes += _preflight(access, plan, federation) if preflight and access is not None else []
    kept = pin(plan, federation, jobs, cache=cache)
    event = RunStarted(now, run, workflow.name, encode(kept), by=by.by, via=by.via)
    held = take(store.create(run))
    try:
        held.journal.append([event], durable=True)
    except BaseException:
        held.close()
        raise
    apply(held.state, event)
    return Run(held, plan, access, jobs, clock, notes)


def _preflight(access: Access, plan: Plan, federation: Federation | None) -> list[str]:
    """What a person should know before anybody is asked. Raises the error of what must be mended first."""
    from v6flow.core.checks import findings

    found = findings.ordered(findings.weigh(plan, access.preflight(plan)))
    problems = [each for each in found if each.status == "problem"]
    if problems:
        message = "nothing was sent, since this run cannot succeed:\n  " + "\n  ".join(map(str, problems))
        code = findings.exit_code(problems)
        kind = next((each for each in (AccessError, UnreachableError) if each.exit_code == code), FederationError)
        words = ["v6flow", "doctor", plan.workflow.document.name]
        words += ["--federation", federation.file] if federation is not None else []
        hint = f"`{shlex.join(words)}` shows it all; --skip-preflight runs it nonetheless"
        raise kind(message, hint=hint)
    # who is offline is told when the run begins
    return [str(each) for each in found if each.status == "warning" and each.organization not in plan.directory.offline]


def take(folder: RunFolder) -> Held:
    """Take hold of a run.

    Raises HeldError if another process has it, JournalError if its journal cannot be trusted.
    """
    lock = folder.lock()
    try:
        journal = folder.journal()
    except BaseException:
        lock.release()
        raise
    held = Held(folder, lock, journal, RunState())
    try:
        held.state = replay(journal.events())
    except BaseException:
        held.close()
        raise
    return held


def make_plan(
    workflow: Workflow,
    params: Mapping[str, Json],
    access: Access | None,
    *,
    folder: Path,
    run: str = "",
    started: float = 0.0,
    deadline: float | None = None,
    began_under: Policy = NO_LIMITS,
) -> Plan:
    """The plan of a workflow on a federation, None where it needs none. Raises InvalidError, FederationError.

    `began_under` is the policy of a run that is resumed: of it and the federation's own the stricter holds.
    """
    directory = _directory(workflow, access)
    return planning.make(
        workflow,
        params,
        replace(directory, policy=directory.policy.stricter(began_under)),
        folder=str(folder.absolute()),
        run=run,
        started=started,
        deadline=deadline,
    )


def _directory(workflow: Workflow, access: Access | None) -> Directory:
    if access is None:
        return Directory(())
    tasks = list(_tasks(workflow))
    return access.directory(
        studies=any(step.study is not None for step in tasks),
        stores=any("store" in step.settings for step in tasks),
    )


def _tasks(workflow: Workflow) -> Iterator[TaskStep]:
    """The task steps of a workflow and of the files that it names."""
    yield from (step for step in workflow.steps.values() if isinstance(step, TaskStep))
    for _, inner in workflow.called():
        yield from _tasks(inner)


def pin(plan: Plan, federation: Federation | None, jobs: int | None, *, cache: bool = True) -> Pinned:
    """What is kept of a run at its start, so that every resume can go by it."""
    document, directory = plan.workflow.document, plan.directory
    return Pinned(
        version=__version__,
        file=os.path.abspath(document.name),  # noqa: PTH100 - resolve() follows links
        text=document.text,
        files=dict(_texts(plan.workflow)),
        folder=plan.folder,
        params=dict(plan.params),
        federation=federation.file if federation is not None else None,
        backend=federation.backend if federation is not None else None,
        identity=directory.identity,
        organizations=directory.organizations,
        ids=dict(directory.ids),
        defaults=dict(directory.defaults),
        policy=directory.policy.raw(),
        studies=dict(directory.studies),
        sources=source_digests(plan),
        steps=tuple(plan.steps),
        final=tuple(name for name in plan.nested("") if plan.steps[name].common.final),
        deadline=plan.deadline,
        jobs=jobs,
        cache=cache,
    )


def _is_of(pinned: Pinned, workflow: Workflow) -> bool:
    """Whether a run was started or last resumed with exactly these files."""
    return (pinned.text, dict(pinned.files)) == (workflow.document.text, dict(_texts(workflow)))


def _texts(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """The texts of the other files that make it up, by their paths."""
    for other in workflow.included:
        yield other.name, other.text
    for _, inner in workflow.called():
        yield inner.document.name, inner.document.text
        yield from _texts(inner)


def source_digests(plan: Plan) -> dict[str, str]:
    """For each local step with a function, a script or files, a digest of their contents."""
    found = {name: _source_digest(step, plan) for name, step in plan.steps.items() if isinstance(step, LocalPlan)}
    return {name: each for name, each in found.items() if each is not None}


def _source_digest(step: LocalPlan, plan: Plan) -> str | None:
    """A digest of what a local step is written in, None if that is the workflow alone."""
    words = local.words(step)
    if not (step.function or step.files or words):
        return None
    from v6flow.local import sources

    return sources.digest(step.function, Path(step.folder or plan.folder), step.files, words)


def resume(
    held: Held,
    *,
    retry_failed: bool = False,
    resubmit: Sequence[str] = (),
    federation_file: str | None = None,
    deadline: float | None = None,
    jobs: int | None = None,
    by: Actor | None = None,
    clock: Clock | None = None,
) -> Run:
    """An unfinished run, or with `retry_failed` a failed one, ready to go on.

    `deadline` is in seconds from now, and takes the place of the run's own. `resubmit` names steps, or
    STEP/ORGANIZATION, of which a person says that nothing came of sending them their task.
    Raises ResumeError, with the difference, if what has been run is no longer what the files say.
    """
    state = held.state
    if not state.run:
        raise ResumeError(f"run {held.folder.id} ended before anything was written of it", hint="start a new run")
    tokens = [token for place in resubmit for token in _tokens(state, place)]
    federation = pinned_federation(state.pinned, federation_file)
    workflow = _current_workflow(state)
    access = reach_for(workflow, federation)
    try:
        return _resume(
            held,
            workflow,
            federation,
            access,
            retry_failed=retry_failed,
            resubmit=tuple(tokens),
            seconds=deadline,
            jobs=jobs,
            by=by or actor.here(),
            clock=clock,
        )
    except BaseException:
        if access is not None:
            access.close()
        raise


def _resume(
    held: Held,
    workflow: Workflow,
    federation: Federation | None,
    access: Access | None,
    *,
    retry_failed: bool,
    resubmit: tuple[str, ...],
    seconds: float | None,
    jobs: int | None,
    by: Actor,
    clock: Clock | None,
) -> Run:
    state = held.state
    pinned = state.pinned
    clock = LaterClock(clock or SystemClock(), state.last)
    now = clock.now()
    down = now - state.held_until
    pinned_deadline = pinned.deadline if seconds is None else now + seconds - state.down - down
    deadline = pinned_deadline and pinned_deadline + state.down + down
    plan = _current_plan(state, workflow, access, deadline)
    old = pinned_plan(state, plan.workflow)
    changed, refused = _differences(state, old, plan)
    if refused:
        raise ResumeError(
            f"run {state.run} cannot go on: what it has done is no longer what the files say:\n  "
            + "\n  ".join(refused),
            hint="undo the change, or start a new run",
        )
    retry, reset = what_to_do_again(state, plan) if retry_failed else ([], [])
    value = None
    if (
        changed
        or seconds is not None
        or plan.directory.policy != old.directory.policy
        or not _is_of(pinned, plan.workflow)
    ):
        value = encode(replace(pin(plan, federation, pinned.jobs, cache=pinned.cache), deadline=pinned_deadline))
    event = RunResumed(now, down, value, tuple(changed), tuple(retry), tuple(reset), resubmit, by=by.by, via=by.via)
    held.folder.mark_over(False)
    if state.status == "failed":
        held.folder.forget_cancel()  # it was meant for what has failed since
    held.journal.append([event], durable=True)
    apply(state, event)
    return Run(held, plan, access, jobs or pinned.jobs, clock, _stricter_before(plan, access, federation))


def _stricter_before(plan: Plan, access: Access | None, federation: Federation | None) -> list[str]:
    """A note of each limit that a resumed run keeps to and its federation file no longer has."""
    if access is None or federation is None:
        return []
    now, held = access.directory().policy.raw(), plan.directory.policy.raw()
    lifted = [key for key in held if held[key] != now.get(key)]
    if not lifted:
        return []
    limits = choice([f"{key}: {_short(held[key])}" for key in lifted], "and")
    return [f"the policy that this run began with is stricter than {federation.file} is now, and still holds: {limits}"]


def what_to_do_again(state: RunState, plan: Plan) -> tuple[list[str], list[str]]:
    """The steps that are to ask again whom they lack, and those that are to be done wholly anew."""
    open_ = {name: step for name, step in state.steps.items() if is_open(state, name)}
    retry = [name for name, step in open_.items() if step.status == "failed" and _is_tried_again(name, plan)]
    after = {
        ids.prefix(name) + ids.short(other) for name in retry for other in plan.graph.after([ids.definition(name)])
    }
    if retry or state.status == "failed":  # the run ends anew
        after.update(name for name, step in plan.steps.items() if step.common.final)
    return retry, [
        name
        for name, step in open_.items()
        # what a condition left out stays so, unless the condition may now be another
        if name in after or (step.status == "skipped" and step.reason not in ("when", "skipped"))
    ]


def _is_tried_again(name: str, plan: Plan) -> bool:
    """Whether a failed step is tried again: those under `finally` are done wholly anew, if the run ends anew."""
    step = plan.steps.get(ids.definition(name))
    return step is not None and not step.common.final


def is_open(state: RunState, name: str) -> bool:
    """Whether what becomes of a step can still change something: not if its round has ended, or its item completed."""
    for inner in ids.outward(ids.prefix(name))[:-1]:
        path, number = ids.around(inner)
        step = state.step(path)
        if step.status == "completed":
            return False
        if step.items is not None:
            if step.items[number - 1].status == "completed":
                return False
        elif number and number <= step.rounds:
            return False
    return True


def _tokens(state: RunState, place: str) -> list[str]:
    """The tokens of what a step has asked (STEP, or STEP/ORGANIZATION) and nobody has answered. Raises UsageError."""
    name, _, organization = place.partition("/")
    step = state.steps.get(name)
    if step is None:
        raise UsageError(f"step {name} has asked nobody", hint=suggestion(name, state.steps))
    asked = [each for each in step.organizations.values() if organization in ("", each.name)]
    tokens = [each.token for each in asked if each.status == "requested"]
    if not tokens:
        whom = organization or "anybody"
        raise UsageError(f"step {name} waits for no answer of {whom}, so there is nothing to submit again")
    return tokens


def cancel(held: Held, federation_file: str | None = None, clock: Clock | None = None) -> list[str]:
    """Cancel a run that nobody works on, with what it has open at a server; returns what could not be killed there.

    What an embedded federation did for it ended with its process. If a server cannot be reached, the run is not
    cancelled yet, but will be when it is resumed. Raises UnreachableError, AccessError, FederationError.
    """
    now = LaterClock(clock or SystemClock(), held.state.last).now()
    notes: list[str] = []
    if held.state.pinned.final and held.state.ending is None:
        try:
            return _cancel_and_finish(held, federation_file, now)
        except ResumeError as error:
            notes.append(f"what stands under `finally` was not run: {error.message}")

    def write(event: Event) -> None:
        held.journal.append([event], durable=True)
        apply(held.state, event)

    who = actor.here()
    held.folder.request_cancel(CancelRequest(who.by, now, who.via))
    write(CancelRequested(now, who.by, who.via))
    notes += _kill_open(held, federation_file)
    for note in notes:
        write(events.Noted(now, note))
    write(RunCancelled(now) if held.state.ending is None else held.state.ending.outcome(now))
    held.folder.mark_over(True)
    return notes


def check_decision(run: str, state: RunState, step: str, by: str) -> float:
    """When the gate asked at which somebody wants to decide.

    Raises UsageError where nothing waits there, AccessError for who may not decide.
    """
    waiting = [gate.name for gate in state.gates]
    if state.over or step not in waiting:
        decided = state.step(step).decision
        what = f"was {decided.decision} by {decided.by}" if decided is not None else "waits for nobody"
        steps = {*state.steps, *state.pinned.steps}
        if step not in steps and ids.definition(step) not in steps:
            raise UsageError(f"run {run} has no step {step!r}", hint=suggestion(step, [*waiting, *sorted(steps)]))
        hint = "no gate of this run waits; its status says how it stands"
        if waiting and not state.over:
            hint = suggestion(step, waiting) or f"those that wait: {', '.join(waiting)}"
        raise UsageError(f"step {step} of run {run} {what}", hint=hint)
    asked = state.step(step).question
    if asked is not None and asked.approvers and by not in asked.approvers:
        raise AccessError(f"{by} may not decide at step {step}: it asks {', '.join(asked.approvers)}")
    return asked.at if asked is not None else 0.0


def decide_gate(
    held: Held, step: str, decision: str, *, by: Actor, comment: str, clock: Clock | None = None
) -> GateDecided:
    """Write down what a person decides (`approved` or `rejected`) at a gate that waits; the run goes on when resumed.

    Raises UsageError where nothing waits there, AccessError for who may not decide.
    """
    state = held.state
    check_decision(held.folder.id, state, step, by.by)
    now = LaterClock(clock or SystemClock(), state.last).now()
    event = GateDecided(now, step, decision, by.by, comment, via=by.via)
    held.journal.append([event], durable=True)
    apply(state, event)
    return event


def _cancel_and_finish(held: Held, federation_file: str | None, now: float) -> list[str]:
    """Cancel a run that has steps under `finally`, and run these."""
    from v6flow.reporters.base import Silent

    run = resume(held, federation_file=federation_file)
    who = actor.here()
    held.folder.request_cancel(CancelRequest(who.by, now, who.via))
    run.carry_on(Silent())
    return []


def _kill_open(held: Held, federation_file: str | None) -> list[str]:
    open_ = {
        each.token: tuple(other.name for other in step.organizations.values() if other.token == each.token)
        for step in held.state.steps.values()
        for each in step.organizations.values()
        if each.status == "requested"
    }
    if not open_:
        return []
    federation = pinned_federation(held.state.pinned, federation_file)
    if not isinstance(federation, ServerFederation):
        _forget_withheld(held, federation)
        return []
    access = reach(federation)
    try:
        if access.directory().identity != held.state.pinned.identity:
            raise ResumeError(f"{federation.file} is no longer the federation that run {held.state.run} asked")
        notes: list[Noted] = []

        def hear(report: Report) -> None:
            if isinstance(report, Noted):
                notes.append(report)

        backend = access.backend(held.folder.path)
        backend.open(hear)
        try:
            for token, organizations in open_.items():
                backend.kill(token, organizations)
        finally:
            backend.close()
    finally:
        access.close()
    away = next((note.error for note in notes if isinstance(note.error, UnreachableError)), None)
    if away is not None:
        raise away
    return [note.message for note in notes]


def _forget_withheld(held: Held, federation: Federation | None) -> None:
    """Remove what task runs whose logs are withheld have left in the run's folder, where nobody works on the run."""
    if federation is None:
        return
    plan = pinned_plan(held.state)
    access = reach(federation)
    try:
        backend = access.backend(held.folder.path)
        for name, step in held.state.steps.items():
            definition = plan.steps.get(ids.definition(name))
            if disclosure.why_withheld(plan.directory.policy, definition) is not None:
                for each in step.organizations.values():
                    backend.forget(each.token, each.name)
        backend.close()
    finally:
        access.close()


def same_run(workflow: Workflow, params: Mapping[str, Json], access: Access | None, state: RunState) -> bool:
    """Whether an unfinished run is of the same workflow, params and federation as a new one would be."""
    pinned = state.pinned
    return bool(
        _is_of(pinned, workflow)
        and dict(pinned.params) == dict(params)
        and pinned.identity == _directory(workflow, access).identity
    )


def done_before(plan: Plan, state: RunState) -> bool:
    """Whether a run has completed that a new one by this plan would only repeat, by what is pinned of both."""
    return state.status == "completed" and _deciding(state.pinned) == _deciding(pin(plan, None, None))


def _deciding(pinned: Pinned) -> Pinned:
    """What decides results; of the federation its identity does."""
    return replace(pinned, version="", federation=None, backend=None, deadline=None, jobs=None, cache=True)


def pinned_federation(pinned: Pinned, file: str | None = None) -> Federation | None:
    """The federation of a run, by the file that it names or another. Raises ResumeError."""
    file = file or pinned.federation
    if file is None:
        return None
    try:
        return loading.read_federation(file)
    except UsageError as error:
        raise ResumeError(f"the federation of this run cannot be read: {error.message}", hint=error.hint) from error


def _current_workflow(state: RunState) -> Workflow:
    """The workflow by its file as it is now; one that is gone is taken as it was."""
    pinned = state.pinned
    text: bytes | str = pinned.text
    if paths.is_file(pinned.file):
        text = loading.read_bytes(pinned.file, "workflow")
    return loading.parse_workflow(text, pinned.file, folder=Path(pinned.folder))


def _current_plan(state: RunState, workflow: Workflow, access: Access | None, deadline: float | None) -> Plan:
    """The plan by the files as they are now."""
    pinned = state.pinned
    folder = Path(pinned.folder)
    new = [name for name, param in workflow.params.items() if param.required and name not in pinned.params]
    if new:
        raise ResumeError(
            f"run {state.run} cannot go on: it has no value for the new param {new[0]}",
            hint="give the param a default, or start a new run",
        )
    params = {name: pinned.params.get(name, param.schema.get("default")) for name, param in workflow.params.items()}
    make = functools.partial(
        make_plan, workflow, params, access, folder=folder, run=state.run, started=state.started, deadline=deadline
    )
    began_under = policy.parse(pinned.policy)
    try:
        return make(began_under=began_under)
    except InvalidError as error:
        make()  # what is wrong under the file's own policy is told as it is
        raise ResumeError(
            f"run {state.run} cannot go on under the policy that it began with, which is stricter than the federation "
            "file is now:\n  " + "\n  ".join(each.message for each in error.problems),
            hint="start a new run",
        ) from error


def pinned_plan(state: RunState, current: Workflow | None = None) -> Plan:
    """The plan as it was when the run was started or last resumed; `current` is the workflow as it is now."""
    pinned = state.pinned
    workflow = current
    if workflow is None or not _is_of(pinned, workflow):
        workflow = loading.parse_kept(pinned.text, pinned.file, pinned.files)
    directory = Directory(
        pinned.organizations,
        ids=pinned.ids,
        identity=pinned.identity,
        defaults=pinned.defaults,
        policy=policy.parse(pinned.policy),
        studies=pinned.studies,
    )
    return planning.make(workflow, pinned.params, directory, folder=pinned.folder, run=state.run, started=state.started)


def log_withheld(state: RunState, name: str) -> tuple[str, str] | None:
    """Why the logs of a step's task runs are withheld, and what a person can do; None if they are not."""
    plan = pinned_plan(state)
    limits = plan.directory.policy
    why = disclosure.why_withheld(limits, plan.steps.get(ids.definition(name)))
    return (why, disclosure.who_can_see(limits)) if why is not None else None


def _differences(state: RunState, old: Plan, new: Plan) -> tuple[list[str], list[str]]:
    """The steps that differ, and for those that have completed or asked somebody, how."""
    before = planning.parts(old, state.pinned.sources)
    after = planning.parts(new, source_digests(new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    refused: list[str] = []
    for name in changed:
        done = [step for each, step in state.steps.items() if ids.definition(each) == name]
        early = any(
            before.get(name, {}).get(key) != after.get(name, {}).get(key)
            for key in {**before.get(name, {}), **after.get(name, {})}
            if key not in planning.JUDGED_LAST
        )
        asked = early and any(each.attempt for step in done for each in step.organizations.values())
        begun = early and any(step.history or step.items is not None or step.params is not None for step in done)
        completed = any(step.status == "completed" for step in done)
        left_out = any(step.status == "skipped" and step.reason == "when" for step in done)
        if completed or asked or begun or left_out:
            what = "was left out" if left_out else "has completed" if completed else _ASKED if asked else "has begun"
            refused.append(f"step {name} {what}, and {_difference(before.get(name), after.get(name))}")
    return changed, refused


_ASKED = "has asked organizations"


def _difference(before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> str:
    if after is None:
        return "is gone from the file"
    assert before is not None  # a step that was run stood in the file
    told = []
    for key in {**before, **after}:
        was, is_ = before.get(key), after.get(key)
        if was == is_:
            continue
        if key == "source":
            told.append("its function's source, or its files, changed")
        elif key == "federation":
            told.append("the federation (its databases, environment or algorithms) changed")
        else:
            told.append(f"its {key} was {_short(was)}, and is {_short(is_)}")
    return "; ".join(told)


def _short(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "…"


def _show_cursor() -> None:
    """Give the terminal back its cursor, which a reporter that is not closed may have hidden."""
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, b"\x1b[?25h")


def _hear_cancel(engine: Engine, folder: RunFolder) -> None:
    """Have a run cancelled, if somebody has asked for that."""
    from v6flow.engine import Cancel

    asked = folder.cancel_requested()
    if asked is not None:
        engine.cancel(Cancel(asked.by, asked.via))


def _hear_decisions(engine: Engine, folder: RunFolder) -> None:
    """Have gates hear what people have decided while a process worked on the run."""
    from v6flow.engine import Decide

    for each in folder.decisions():
        engine.decide(Decide(each.step, each.asked, each.decision, each.by, each.comment, each.via))


@contextmanager
def _signals(engine: Engine, run: Run) -> Iterator[None]:
    """While a run goes on, hear requests to cancel it; Ctrl-C and SIGTERM let go of it, a second one at once.

    What was ignored before stays so: `nohup` means that nothing happens when the terminal goes. Python hands signals
    to the main thread only, so a run in another thread leaves them to the program.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    folder = run.held.folder
    before: dict[int, Any] = {}

    def stop(number: int, frame: object) -> None:
        if run.signalled is None:
            run.signalled = number
            engine.interrupt(terminate=number != signal.SIGINT, kill=run.kill_on_interrupt)
            return
        handler = before.get(number)
        if callable(handler) and not run.exit_on_second:
            handler(number, frame)
            return
        _show_cursor()
        os._exit(128 + number)

    def look(_number: int, _frame: object) -> None:
        _hear_cancel(engine, folder)
        _hear_decisions(engine, folder)

    wanted = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: stop, CANCEL_SIGNAL: look}
    heeded = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]
    for each in heeded:
        before[each] = signal.signal(each, wanted[each])
    try:
        yield
    finally:
        for known, handler in before.items():
            signal.signal(known, handler if handler is not None else signal.SIG_DFL)
