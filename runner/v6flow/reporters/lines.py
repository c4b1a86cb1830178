"""The reporter for pipes, cron and CI: one line for each event, with its time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from v6flow.core import json
from v6flow.core.execution import dispatched
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import SETTLED
from v6flow.core.language.units import spell
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso
from v6flow.core.views import incomplete
from v6flow.core.views.by_kind import view_of
from v6flow.core.views.summary import skipped
from v6flow.reporters import prose, terminal
from v6flow.reporters.prose import named
from v6flow.reporters.terminal import plain

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from typing import TextIO

    from v6flow.core.execution.events import Event, Failure
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.kinds import StepPlan
    from v6flow.core.kinds.settings import Retry
    from v6flow.core.planning.plan import Plan

LARGE = 200  # steps: in a larger run, value steps and skipped steps are only counted
COUNTED = 1000  # the most such steps in one line

_DAY = 86400


class Lines:
    """Reports each event as one line of plain text. `kept` is the folder or file that holds the run.

    Value steps in iterations and items are not reported. If there are more than 200 items, completed items are counted.
    In a run of more than 200 steps, value steps and skipped steps are counted. The counts are reported in one line for
    each second or each thousand.
    """

    def __init__(self, stream: TextIO, *, kept: str = "", store: str = "") -> None:
        self._stream = stream
        self._store = store
        self._kept = kept
        self._plan: Plan | None = None
        self._values: frozenset[str] = frozenset()
        self._counted: frozenset[str] = frozenset()  # the value steps that are counted
        self._completed = 0
        self._skipped = 0
        self._items: dict[str, int] = {}  # completed items of large foreach steps since the last report
        self._ended: dict[str, int] = {}
        self._second = 0
        self._day = 0

    def begin(self, plan: Plan, state: RunState) -> None:
        self._plan = plan
        self._values = frozenset(name for name, step in plan.steps.items() if _is_value(step))
        self._counted = self._values if len(plan.steps) > LARGE else frozenset()
        now = state.last or plan.started
        self._day = int(now) // _DAY
        self._second = int(now)
        for line in beginning(plan, state, now, self._kept):
            self._tell(now, line)

    def event(self, event: Event, state: RunState) -> None:
        if type(event) is ev.StepCompleted and event.step in self._counted:
            self._count(event.at)
            self._completed += 1
        elif type(event) is ev.StepSkipped and self._counts:
            self._count(event.at)
            self._skipped += 1
        elif type(event) is ev.StepCompleted and "." in event.step and ids.definition(event.step) in self._values:
            pass  # its iteration or item is reported
        elif type(event) is ev.ItemEnded and len(state.step(event.step).items or ()) > LARGE:
            self._end_item(event, state)
        elif self._plan is not None:
            line = sentence(event, state, self._plan)
            if line is not None:
                self._tell_counted()
                self._tell(event.at, line)

    def end(self, state: RunState) -> None:
        self._tell_counted()
        if state.status == "running":
            again = prose.resume_command(state.run, self._store)
            self._tell(state.last, f"run released while still running; to resume: {again}")
        lines = prose.failure_text(state, self._store)
        if state.status == "interrupted":
            lines = prose.what_next(state, self._store)  # the cause was already reported, the next command was not
        if state.status in ("failed", "interrupted"):
            for line in lines:
                terminal.write(self._stream, f"{line}\n")
        self.less(state)
        for line in prose.waiting_text(state, self._store):
            terminal.write(self._stream, f"{line}\n")

    def less(self, state: RunState) -> None:
        """Report the incomplete parts of the results of the run."""
        for line in prose.incomplete_text(state, self._store):
            terminal.write(self._stream, f"{line}\n")

    @property
    def _counts(self) -> bool:
        return self._plan is not None and len(self._plan.steps) > LARGE

    def _count(self, at: float) -> None:
        """Prepare the counts for one more step: report them if a second has passed or the limit is reached."""
        second = int(at)
        if second != self._second or self._completed + self._skipped + sum(self._items.values()) >= COUNTED:
            self._tell_counted()
            self._second = second

    def _end_item(self, event: ev.ItemEnded, state: RunState) -> None:
        """Count a completed item of a large foreach step; report a failed one."""
        items = state.step(event.step).items or []
        if event.step not in self._ended:  # those that ended before this one: the run may have been resumed
            self._ended[event.step] = sum(each.status != "open" for each in items) - 1
        if event.failure is None:
            self._count(event.at)
            self._items[event.step] = self._items.get(event.step, 0) + 1
        else:
            self._tell_counted()
        self._ended[event.step] += 1
        if event.failure is None:
            return
        self._tell(event.at, f"{event.step}: item {plain(items[event.item - 1].key)} FAILED: {_why(event.failure)}")

    def _tell_counted(self) -> None:
        for name, count in self._items.items():
            self._tell(self._second, f"{name}: {_many(count, 'item')} completed ({self._ended[name]} have ended)")
        self._items = {}
        if self._completed:
            self._tell(self._second, f"{self._completed} value steps completed")
        if self._skipped:
            self._tell(self._second, f"{self._skipped} steps skipped")
        self._completed = self._skipped = 0

    def _tell(self, at: float, line: str) -> None:
        day = int(at) // _DAY
        if day != self._day:
            self._day = day
            line = f"{clock(at)} it is {iso(at)[:10]}\n{clock(at)} {line}"
        else:
            line = f"{clock(at)} {line}"
        terminal.write(self._stream, f"{line}\n")


def clock(at: float) -> str:
    """The time of day, UTC: `05:23:01Z`."""
    minutes, seconds = divmod(int(at) % _DAY, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"


def beginning(plan: Plan, state: RunState, now: float, kept: str) -> list[str]:
    """The first lines: which run, where it is kept, which organizations are offline."""
    # nested steps are settled together with their container step
    settled = sum(state.step(name.partition(".")[0]).status in SETTLED for name in plan.steps)
    resumed = bool(state.steps)
    lines = [
        f"run {plain(state.run or plan.run)} of workflow {plain(plan.workflow.name)} "
        f"{'resumed' if resumed else 'started'}, {iso(now)[:10]}, {_many(len(plan.steps), 'step')}"
        + (f", {settled} of them already settled" if settled else "")
    ]
    if kept:
        lines.append(f"kept in {plain(kept)}")
    if plan.directory.offline:
        lines.append(f"offline: {named(plan.directory.offline)}")
    return lines


def sentence(event: Event, state: RunState, plan: Plan) -> str | None:  # noqa: C901, PLR0912 - one case for each event
    """The line for an event, given the state after it; None for an event that people need not see."""
    match event:
        case ev.StepStarted():
            return _started(event, state.step(event.step))
        case ev.TaskRequested():
            return _requested(event, state.step(event.step), plan)
        case ev.SubtasksSeen():
            return _dispatched(event)
        case ev.TaskAnswered():
            return _answered(event, state.step(event.step))
        case ev.TaskFailed():
            return _failed(event, state, plan)
        case ev.TaskLate():
            return f"{event.step}: {plain(event.organization)} answered too late; its answer is not used"
        case ev.StepReused():
            return f"{event.step}: {prose.reused(event)}"
        case ev.StepNotReused():
            return f"{event.step}: nothing to reuse: {plain(event.reason)}"
        case ev.StepClosed():
            return f"{event.step}: stopped waiting: {_closed(event, state.step(event.step))}"
        case ev.LocalRequested():
            tried = event.attempt - state.step(event.step).spared
            again = f" again (attempt {tried} of {_attempts(plan, event.step)})" if tried > 1 else ""
            return f"{event.step}: computes here{again}"
        case ev.LocalFailed():
            return _local_failed(event, state.step(event.step), plan)
        case ev.StepCompleted():
            return _completed(event, state.step(event.step), plan)
        case ev.StepFailed():
            return f"{event.step}: FAILED{_after(state.step(event.step))}: {_why(event.failure)}"
        case ev.StepSkipped():
            return f"{event.step}: skipped, {plain(skipped(event.reason, event.cause))}"
        case ev.RunResumed() if not state.steps:
            return None  # it had not begun, for example because it was handed to a background process
        case ev.RunResumed():
            return f"resumed; no process had worked on the run for {spell(event.down)}"
        case ev.TaskWithdrawn():
            step = state.step(event.step)
            names = named([each.name for each in step.organizations.values() if each.token == event.token])
            return f"{event.step}: killed the tasks of {names}; they are submitted again when the run resumes"
        case ev.Noted():
            return f"note: {plain(event.message)}"
        case ev.CancelRequested():
            return "cancellation requested"
        case ev.RunInterrupted():
            why = "" if event.failure.kind == "interrupted" else f": {_why(event.failure)}"
            return f"run INTERRUPTED{why}"
        case ev.GateAsked():
            who = named(event.approvers) if event.approvers else "a person"
            return f"{event.step}: waits for {who}: {plain(event.message)}"
        case ev.GateDecided():
            comment = f": {plain(event.comment)}" if event.comment else ""
            return f"{event.step}: {plain(event.decision)} by {plain(event.by)}{comment}"
        case ev.RunPaused():
            return f"run WAITS for a decision at {named(event.gates)}"
        case ev.RunEnding():
            failed = f": {_why(event.failure)}" if event.failure is not None else ""
            return f"run {event.status}{failed}; now running the `finally` steps"
        case ev.RunCompleted():
            return f"run completed in {spell(event.at - state.started)}"
        case ev.RunFailed():
            return f"run FAILED after {spell(event.at - state.started)}"
        case ev.RunCancelled():
            return f"run CANCELLED after {spell(event.at - state.started)}"
        case ev.RoundEnded():
            if not event.round:
                return f"{event.step}: begins its iterations"
            return f"{event.step}: iteration {event.round} ended{', converged' if event.converged else ''}"
        case ev.ItemsListed():
            return f"{event.step}: {_many(len(event.value), 'item')}"
        case ev.ParamsGiven():
            given = ", ".join(f"{name}={json.dumps(value)}" for name, value in event.value.items())
            return f"{event.step}: begins" + (f" with {plain(given[:200])}" if given else "")
        case ev.ItemEnded():
            return _item_ended(event, state.step(event.step))
        case ev.RunStarted() | ev.TaskAccepted() | ev.TaskStarted() | ev.Progressed():  # its answer follows soon
            return None
        case _:
            assert_never(event)


def _item_ended(event: ev.ItemEnded, step: StepState) -> str:
    assert step.items is not None
    ended = sum(each.status != "open" for each in step.items)
    what = f"FAILED: {_why(event.failure)}" if event.failure is not None else "completed"
    return f"{event.step}: item {plain(step.items[event.item - 1].key)} ({ended} of {len(step.items)}) {what}"


def _started(event: ev.StepStarted, step: StepState) -> str | None:
    if not event.asked:
        return None  # its iterations or items are reported
    asked = [each.name for each in step.organizations.values() if each.status != "answered"]
    known = len(step.organizations) - len(asked)
    line = f"{event.step}: asks {named(asked) or 'nobody'}"
    if known:
        line += f" ({known} of {len(step.organizations)} have already answered)"
    return line if event.deadline is None else f"{line}, for at most {spell(event.deadline - event.at)}"


def _requested(event: ev.TaskRequested, step: StepState, plan: Plan) -> str | None:
    first = step.organizations[event.organizations[0]]
    tried = event.attempt - first.spared
    if tried <= 1:
        return None
    attempt = f"attempt {tried} of {_attempts(plan, event.step)}"
    return f"{event.step}: asks {named(event.organizations)} again ({attempt})"


def _dispatched(event: ev.SubtasksSeen) -> str | None:
    """The open and failed subtasks of a central function; its completed ones are counted at the end."""
    at = plain(event.organization)
    asked = [each.organization for each in event.subtasks if dispatched.is_open(each)]
    lost = [each for each in event.subtasks if each.status != dispatched.COMPLETED and not dispatched.is_open(each)]
    told = [f"the central function at {at} asks {named(list(dict.fromkeys(asked)))}"] if asked else []
    told += [plain(dispatched.tell(each)) for each in lost]
    return f"{event.step}: {'; '.join(told)}" if told else None


def _answered(event: ev.TaskAnswered, step: StepState) -> str:
    asked = step.organizations[event.organization]
    count = f"{len(step.answered)} of {len(step.organizations)}"
    if not asked.subtasks:
        return f"{event.step}: {plain(event.organization)} answered ({count})"
    lost = [plain(dispatched.tell(each)) for each in asked.subtasks if each.status != dispatched.COMPLETED]
    but = f", but {'; '.join(lost)}" if lost else ""
    count = f"{len(step.responded)} of {len(step.asked)} organizations that it asked"
    return f"{event.step}: the central function at {plain(event.organization)} answered{but} ({count})"


def _failed(event: ev.TaskFailed, state: RunState, plan: Plan) -> str:
    step, policy = state.step(event.step), plan.directory.policy
    asked = step.organizations[event.organization]
    if asked.withdrawn and asked.status == "waiting":
        return f"{event.step}: {plain(event.organization)} : its task was killed, as requested"
    tried = event.attempt - asked.spared
    again = _again(plan, event.step, event.failure, tried, event.at, step.deadline)
    if again is not None and not policy.may_ask(state.queries.get(event.organization, 0)):
        again = f" (not again: the federation's policy allows a run {policy.max_queries} each)"
    return f"{event.step}: {plain(event.organization)} FAILED: {_why(event.failure)}{again or ''}"


def _local_failed(event: ev.LocalFailed, step: StepState, plan: Plan) -> str | None:
    """The line for a failed attempt; None after the last one, because the step's own failure follows."""
    again = _again(plan, event.step, event.failure, event.attempt - step.spared, event.at, step.deadline)
    return None if again is None else f"{event.step}: {_why(event.failure)}{again}"


def _again(plan: Plan, name: str, failure: Failure, tried: int, at: float, deadline: float | None) -> str | None:
    retry = _retry(plan, name)
    wait = retry.wait(tried)
    if not prose.asked_again(retry, failure.kind, tried) or (deadline is not None and at + wait >= deadline):
        return None
    return f" (again in {spell(wait)})" if wait else " (again at once)"


def _closed(event: ev.StepClosed, step: StepState) -> str:
    silent = [each.organization for each in dispatched.parts(step).values() if each.standing == "open"]
    why = {"timeout": "its timeout has passed", "quorum": "its quorum is met"}.get(event.reason, plain(event.reason))
    return f"{why}; not yet answered: {named(silent)}" if silent else why


def _completed(event: ev.StepCompleted, step: StepState, plan: Plan) -> str:
    line = f"{event.step}: completed"
    if not _is_value(plan.step(event.step)):
        line += f" in {_took(step)}"
    less = [each for each in incomplete.of_value(step) if each.kind != "reused"]  # an earlier line reported it
    if step.organizations and not any(each.kind == "partial" for each in less):
        line += f", {len(step.responded)} of {len(step.asked)} answered"
    line += "".join(f", {plain(each.message)}" for each in less)
    facts = "; ".join(prose.facts(step.properties))
    return f"{line} ({facts})" if facts else line


def _is_value(step: StepPlan) -> bool:
    return view_of(step.kind).is_value(step)


def _attempts(plan: Plan, name: str) -> int:
    return _retry(plan, name).attempts


def _retry(plan: Plan, name: str) -> Retry:
    step = plan.step(name)
    retry = view_of(step.kind).retry(step)
    assert retry is not None  # it has had an attempt
    return retry


def _why(failure: Failure) -> str:
    return plain(failure.message) or plain(failure.kind)


def _after(step: StepState) -> str:
    return f" after {_took(step)}" if step.organizations or step.attempt else ""


def _took(step: StepState) -> str:
    return spell(max((step.ended or 0.0) - (step.started or 0.0), 0.0))


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
