"""Starting runs and taking them up again: where the concrete parts are picked and put together."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow import loading
from v6flow.clock import LaterClock, SystemClock
from v6flow.core import json
from v6flow.core import plan as planning
from v6flow.core.events import CancelRequested, RunCancelled, RunResumed, RunStarted
from v6flow.core.federation import Directory
from v6flow.core.state import RunState, apply, replay
from v6flow.core.steps import LocalStep
from v6flow.errors import FederationError, ResumeError, UsageError
from v6flow.journals.lock import CANCEL_SIGNAL
from v6flow.journals.store import RunFolder, Store, run_id
from v6flow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.backends.base import Backend
    from v6flow.clock import Clock
    from v6flow.core.federation import Federation
    from v6flow.core.json import Json
    from v6flow.core.model import Workflow
    from v6flow.core.plan import Plan
    from v6flow.engine import Engine
    from v6flow.journals.base import Journal
    from v6flow.journals.lock import RunLock
    from v6flow.reporters.base import Reporter

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
    federation: Federation | None
    jobs: int | None
    clock: Clock

    def carry_on(self, reporter: Reporter) -> RunState:
        """Go on until the run is over or must be let go of; the state says how it ended."""
        from v6flow.engine import Engine
        from v6flow.local.runner import ChildRunner

        local_jobs = self.jobs or os.cpu_count() or 1
        folder = self.held.folder
        engine = Engine(
            self.plan,
            self.held.state,
            self.held.journal,
            backend=_backend(self.federation, folder, self.jobs) if self.plan.workflow.uses_federation() else None,
            local=ChildRunner(jobs=local_jobs),
            clock=self.clock,
            reporter=reporter,
            jobs=local_jobs,
        )
        with _signals(engine, folder):
            if folder.cancel_requested() is not None:
                engine.cancel()
            engine.run()
        if self.held.state.over:
            folder.mark_over(True)
        return self.held.state


def start(
    workflow: Workflow,
    params: Mapping[str, Json],
    federation: Federation | None,
    store: Store,
    *,
    folder: Path,
    deadline: float | None = None,
    jobs: int | None = None,
    clock: Clock | None = None,
) -> Run:
    """A new run of a workflow whose file stands in `folder`; `deadline` is in seconds from now.

    Raises InvalidError if the workflow does not fit the params or the federation; nothing has been kept then.
    """
    clock = clock or SystemClock()
    now = clock.now()
    run = run_id(workflow.name, now, "".join(secrets.choice(_LETTERS) for _ in range(4)))
    plan = make_plan(
        workflow,
        params,
        federation,
        folder=folder,
        run=run,
        started=now,
        deadline=deadline and now + deadline,
    )
    event = RunStarted(now, run, workflow.name, pin(plan, federation, jobs))
    held = take(store.create(run))
    try:
        held.journal.append([event], durable=True)
    except BaseException:
        held.close()
        raise
    apply(held.state, event)
    return Run(held, plan, federation, jobs, clock)


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
    federation: Federation | None,
    *,
    folder: Path,
    run: str = "",
    started: float = 0.0,
    deadline: float | None = None,
) -> Plan:
    """The plan of a workflow on a federation. Raises InvalidError, FederationError."""
    if federation is None and workflow.uses_federation():
        raise FederationError(
            "this workflow asks organizations, and no federation is named",
            hint="say federation: FILE in the workflow, or --federation FILE, or set V6FLOW_FEDERATION",
        )
    directory = federation.directory() if federation is not None else Directory(())
    return planning.make(
        workflow,
        params,
        directory,
        folder=str(folder.absolute()),
        run=run,
        started=started,
        deadline=deadline,
    )


def pin(plan: Plan, federation: Federation | None, jobs: int | None) -> dict[str, Json]:
    """What is kept of a run at its start, so that every resume can go by it."""
    document = plan.workflow.document
    return {
        "version": __version__,
        "file": os.path.abspath(document.name),  # noqa: PTH100 - resolve() follows links
        "text": document.text,
        "folder": plan.folder,
        "params": dict(plan.params),
        "federation": federation.file if federation is not None else None,
        "identity": plan.directory.identity,
        "organizations": list(plan.directory.organizations),
        "ids": dict(plan.directory.ids),
        "defaults": dict(plan.directory.defaults),
        "sources": dict(source_digests(plan)),
        "steps": list(plan.steps),
        "deadline": plan.deadline,
        "jobs": jobs,
    }


def source_digests(plan: Plan) -> dict[str, str]:
    """For each local step with a function or files, a digest of their contents."""
    steps = [
        step for step in plan.workflow.steps.values() if isinstance(step, LocalStep) and (step.function or step.files)
    ]
    if not steps:
        return {}
    from v6flow.local import sources

    return {step.common.name: sources.digest(step.function, Path(plan.folder), step.files) for step in steps}


def resume(
    held: Held,
    *,
    retry_failed: bool = False,
    federation_file: str | None = None,
    jobs: int | None = None,
    clock: Clock | None = None,
) -> Run:
    """An unfinished run, or with `retry_failed` a failed one, ready to go on.

    Raises ResumeError, with the difference, if what has been run is no longer what the files say.
    """
    state = held.state
    if not state.run:
        raise ResumeError(f"run {held.folder.id} ended before anything was written of it", hint="start a new run")
    pinned = state.pinned
    federation = _federation(pinned, federation_file)
    clock = LaterClock(clock or SystemClock(), state.last)
    now = clock.now()
    down = now - state.last
    deadline = pinned["deadline"] and pinned["deadline"] + state.down + down
    plan = _current_plan(state, federation, deadline)
    old = _pinned_plan(state, plan.workflow)
    changed, refused = _differences(state, old, plan)
    if refused:
        raise ResumeError(
            f"run {state.run} cannot go on: what it has done is no longer what the files say:\n  "
            + "\n  ".join(refused),
            hint="undo the change, or start a new run",
        )
    failed = [name for name, step in state.steps.items() if step.status == "failed" and name in plan.steps]
    retry = failed if retry_failed else []
    after = plan.graph.after(retry)
    reset = [name for name, step in state.steps.items() if step.status == "skipped" or name in after]
    value = None
    if changed or plan.workflow.document.text != pinned["text"]:
        value = {**pin(plan, federation, pinned["jobs"]), "deadline": pinned["deadline"]}
    event = RunResumed(now, down, value, tuple(changed), tuple(retry), tuple(reset) if retry_failed else ())
    held.folder.mark_over(False)
    if state.status == "failed":
        held.folder.forget_cancel()  # it was meant for what has failed since
    held.journal.append([event], durable=True)
    apply(state, event)
    return Run(held, plan, federation, jobs or pinned["jobs"], clock)


def cancel(held: Held, clock: Clock | None = None) -> None:
    """Cancel a run that nobody works on; what an embedded federation did for it ended with its process."""
    now = LaterClock(clock or SystemClock(), held.state.last).now()
    for event in (CancelRequested(now), RunCancelled(now)):
        held.journal.append([event], durable=True)
        apply(held.state, event)
    held.folder.mark_over(True)


def same_run(workflow: Workflow, params: Mapping[str, Json], federation: Federation | None, state: RunState) -> bool:
    """Whether an unfinished run is of the same workflow, params and federation as a new one would be."""
    pinned = state.pinned
    return bool(
        pinned.get("text") == workflow.document.text
        and pinned.get("params") == dict(params)
        and pinned.get("identity") == (federation.directory().identity if federation is not None else "")
    )


def _federation(pinned: Mapping[str, Any], file: str | None) -> Federation | None:
    file = file or pinned["federation"]
    if file is None:
        return None
    try:
        return loading.read_federation(file)
    except UsageError as error:
        raise ResumeError(f"the federation of this run cannot be read: {error.message}", hint=error.hint) from error


def _current_plan(state: RunState, federation: Federation | None, deadline: float | None) -> Plan:
    """The plan by the files as they are now; a workflow file that is gone is taken as it was."""
    pinned = state.pinned
    folder = Path(pinned["folder"])
    text: bytes | str = pinned["text"]
    if Path(pinned["file"]).is_file():
        text = loading.read_bytes(pinned["file"], "workflow")
    workflow = loading.parse_workflow(text, pinned["file"], folder=folder)
    new = [name for name, param in workflow.params.items() if param.required and name not in pinned["params"]]
    if new:
        raise ResumeError(
            f"run {state.run} cannot go on: it has no value for the new param {new[0]}",
            hint="give the param a default, or start a new run",
        )
    params = {name: pinned["params"].get(name, param.schema.get("default")) for name, param in workflow.params.items()}
    return make_plan(
        workflow, params, federation, folder=folder, run=state.run, started=state.started, deadline=deadline
    )


def _pinned_plan(state: RunState, current: Workflow) -> Plan:
    """The plan as it was when the run was started or last resumed; `current` is the workflow as it is now."""
    pinned = state.pinned
    workflow = current
    if pinned["text"] != current.document.text:
        workflow = loading.parse_kept(pinned["text"], pinned["file"])
    directory = Directory(
        tuple(pinned["organizations"]),
        ids=pinned["ids"],
        identity=pinned["identity"],
        defaults=pinned["defaults"],
    )
    return planning.make(
        workflow, pinned["params"], directory, folder=pinned["folder"], run=state.run, started=state.started
    )


def _differences(state: RunState, old: Plan, new: Plan) -> tuple[list[str], list[str]]:
    """The steps that differ, and for those that have completed or asked somebody, how."""
    before = planning.parts(old, state.pinned["sources"])
    after = planning.parts(new, source_digests(new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    refused: list[str] = []
    for name in changed:
        step = state.step(name)
        asked = any(each.attempt for each in step.organizations.values())
        if step.status == "completed" or asked:
            what = "has completed" if step.status == "completed" else "has asked organizations"
            refused.append(f"step {name} {what}, and {_difference(before.get(name), after.get(name))}")
    return changed, refused


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


def _backend(federation: Federation | None, folder: RunFolder, jobs: int | None) -> Backend:
    from v6flow.backends.embedded import EmbeddedBackend

    assert federation is not None  # a workflow that asks organizations was planned with one
    return EmbeddedBackend(federation, folder.path, jobs=jobs)


def _show_cursor() -> None:
    """Give the terminal back its cursor, which a reporter that is not closed may have hidden."""
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, b"\x1b[?25h")


@contextmanager
def _signals(engine: Engine, folder: RunFolder) -> Iterator[None]:
    """While a run goes on, hear requests to cancel it; Ctrl-C and SIGTERM let go of it, a second one at once.

    What was ignored before stays so: `nohup` means that nothing happens when the terminal goes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = 0

    def stop(number: int, _frame: object) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            _show_cursor()
            os._exit(128 + number)
        engine.interrupt(terminate=number != signal.SIGINT)

    def look(_number: int, _frame: object) -> None:
        if folder.cancel_requested() is not None:
            engine.cancel()

    wanted = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: stop, CANCEL_SIGNAL: look}
    heeded = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, wanted[number]) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
