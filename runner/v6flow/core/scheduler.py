"""What to do next in a run: decided from its plan and its state alone."""

from __future__ import annotations

import heapq
import math
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from v6flow.core import answers, caching, cohorts, events, instances, json, judge, schema, scope
from v6flow.core.commands import (
    Ask,
    Keep,
    Kill,
    KillLocal,
    LocalRequest,
    Look,
    Recall,
    Record,
    StartLocal,
    TaskRequest,
)
from v6flow.core.expressions import ExpressionError, Template, kind
from v6flow.core.json import canonical
from v6flow.core.plan import digest, iso, token
from v6flow.core.state import SETTLED
from v6flow.core.steps import ForeachPlan, GatePlan, LocalPlan, RepeatPlan, TaskPlan, WorkflowPlan, foreach
from v6flow.core.steps.task import OrganizationError, check_required, parse_organizations
from v6flow.errors import ResumeError

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.commands import Command
    from v6flow.core.events import Event, Failure, Time
    from v6flow.core.json import Json
    from v6flow.core.plan import Plan
    from v6flow.core.state import Cohort, OrganizationState, RunState, StepState
    from v6flow.core.steps import StepPlan
    from v6flow.core.steps.base import Common


MAX_PROPERTIES = 10_000  # characters of JSON: facts that stand in every table and log, not results


@dataclass(slots=True)
class _Running:
    """What is remembered of a running step, and can be computed again: what it sends, and whom it needs."""

    kwargs: Mapping[str, Json]  # of a task: those of each organization
    uses: scope.Uses
    needed: int = 0
    command: tuple[str, ...] | None = None
    key: caching.Key | None = None  # under which its result is reused, if it may be


class _Lacking(Exception):  # noqa: N818 - a verdict, not an error
    """A step cannot run: what it uses failed or was skipped."""

    def __init__(self, step: str) -> None:
        super().__init__(f"it needs step {step}, which did not complete")
        self.step = step


class _Unfit(Exception):  # noqa: N818 - a verdict, not an error
    """A step fails before it asks anybody."""

    def __init__(self, kind: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


@dataclass(slots=True)
class _Level:
    """Steps that stand together: those of the file, or those of one round or item. `open` are not yet settled."""

    steps: tuple[str, ...]
    open: int = 0


@dataclass(slots=True)
class _Items:
    """How far a foreach step has come: can be computed again from its state."""

    open: int  # items that have not ended
    failed: int
    begun: int = 0  # the last item that was begun, or that has ended
    at_work: set[int] = field(default_factory=set)
    settled: list[int] = field(default_factory=list)  # those at work of which nothing is open


class Scheduler:
    """Decides what a run does next.

    `decide` reads the state and returns commands; the caller writes down their events, applies them to the state,
    tells them by `observe`, and carries the commands out. Nothing here has an effect or looks at a clock.
    """

    def __init__(self, plan: Plan, state: RunState, *, jobs: int = 4, basis: caching.Basis | None = None) -> None:
        """Without a `basis` no step reuses a result."""
        self._plan = plan
        self._state = state
        self._jobs = jobs  # local child processes at once
        self._basis = basis
        self._recalling: set[str] = set()  # steps of which it is looked up what an earlier run has
        self._recalled: dict[str, caching.Kept | str] = {}  # what was found, or why nothing was
        self._to_keep: list[Keep] = []
        self._known: Mapping[str, Json] = {}
        self._open: dict[str, int] = {}
        self._ready: deque[str] = deque()
        self._queued: deque[str] = deque()  # local steps that wait for a free place
        self._running: dict[str, _Running] = {}
        self._touched: dict[str, None] = {}
        self._timers: list[tuple[Time, str]] = []
        self._locals: set[str] = set()
        self._levels: dict[str, _Level] = {}  # by the prefix of their steps
        self._items: dict[str, _Items] = {}  # of each foreach step that runs
        self._readopt: list[str] = []
        self._left: list[Kill] = []  # what was closed before, and perhaps not killed
        self._unseen: dict[str, set[str]] = {}  # tokens of each step of which it is not known what is there
        self._queries = dict(state.queries)  # with those that were decided and are still to be written down
        self._last_looks: set[str | None] = set()  # steps, and None for the run, whose deadline made us look
        for step in state.steps.values():  # whoever held the run may have been killed before it could kill these
            if step.status in SETTLED or (state.ending is not None and not self._is_final(step.name)):
                self._left += _kills(step)
        self._enter_part()

    def decide(self, now: Time) -> list[Command]:
        """The commands that follow from the state at a time; an empty list if there is nothing to do but wait."""
        state = self._state
        if state.status != "running":
            return []
        if self._left:
            left, self._left = self._left, []
            return [*left]
        if self._to_keep:
            to_keep, self._to_keep = self._to_keep, []
            return [*to_keep]
        if self._readopt and (adopted := self._adopt()):
            return adopted
        if state.cancelling:
            return [*self._kill_all(), Record(self._end(events.RunEnding(now, "cancelled", {})))]
        if state.ending is None and self._plan.deadline is not None and now >= self._plan.deadline:
            return self._run_out_of_time(now)
        commands: list[Command] = []
        while self._timers and self._timers[0][0] <= now:
            self._touched[heapq.heappop(self._timers)[1]] = None
        touched, self._touched = self._touched, {}
        for name in touched:
            if self._state.step(name).status == "running":
                commands += self._go_on(name, now)
        while self._ready:
            commands += self._begin(self._ready.popleft(), now)
        while self._queued and len(self._locals) < self._jobs:
            commands.append(self._start_local(self._queued.popleft(), now))
        if not commands and not self._levels[""].open:
            return [Record(self._finish(now))]
        return commands or self._pause(now)

    def _pause(self, now: Time) -> list[Command]:
        """Let go of the run if nothing can go on but what waits for people; nothing if something can."""
        if self._running or self._queued or self._recalling or not self._state.gates:
            return []
        return [Record(events.RunPaused(now, tuple(gate.name for gate in self._state.gates)))]

    def observe(self, event: Event) -> None:
        """Take note of an event that was applied to the state."""
        match event:
            case events.StepCompleted() | events.StepFailed() | events.StepSkipped():
                if isinstance(event, events.StepCompleted):
                    self._note_result(event.step)
                self._settle(event.step)
            case events.TaskAnswered() | events.TaskFailed() | events.LocalFailed():
                if isinstance(event, events.LocalFailed):
                    self._locals.discard(event.step)
                self._touched[event.step] = None
            case events.TaskAccepted():
                self.looked(event.step, event.token)
            case events.RoundEnded():
                self._next_round(event.step, event.round)
            case events.ItemsListed():
                self._open_items(event.step)
            case events.ParamsGiven():
                self._open_level(instances.inside(event.step, 0))
            case events.ItemEnded():
                self._close_level(instances.inside(event.step, event.item))
                self._note_item(event)
            case events.GateDecided():
                if event.step not in self._ready:  # a gate of a run that was taken up just now is looked at anyway
                    self._ready.append(event.step)
            case events.RunEnding():
                self._leave_part()
                self._enter_part()
            case _:
                pass

    def looked(self, step: str, token: str) -> None:
        """Take note that all which is there under a token has been reported."""
        if token in self._unseen.get(step, ()):
            self._unseen[step].discard(token)
            self._touched[step] = None

    def recalled(self, step: str, found: caching.Kept | str) -> None:
        """Take note of what an earlier run has of a step, or why it has nothing to reuse."""
        if step in self._recalling:
            self._recalling.discard(step)
            self._recalled[step] = found
            self._ready.append(step)

    def withdraw(self, failure: Failure, exit_code: int, now: Time) -> list[Command]:
        """Let go of the run, and kill what it has open; who is killed for it is asked anew when it goes on."""
        open_ = [(name, kill) for name, kills in self._open_tasks() for kill in kills]
        return [
            *(Record(events.TaskWithdrawn(now, name, kill.token)) for name, kill in open_),
            Record(events.RunInterrupted(now, failure, exit_code)),
            *(kill for _, kill in open_),
        ]

    def wake(self) -> Time | None:
        """When there may be something to do though nothing happens; None if never."""
        if None in self._last_looks:
            return None
        times = [self._timers[0][0]] if self._timers else []
        if self._plan.deadline is not None and self._state.ending is None:
            times.append(self._plan.deadline)
        return min(times, default=None)

    def waits_for(self, step: str, organization: str, token: str) -> bool:
        """Whether an answer to this token would still enter: late and doubled ones do not."""
        state = self._state.step(step)
        asked = state.organizations.get(organization)
        if state.status != "running" or state.closed is not None or asked is None or step not in self._running:
            return False
        return asked.status == "requested" and asked.token == token

    def local_completed(self, step: str, value: Json, log: str | None, now: Time) -> Event:
        """The event of a local step whose child process answered."""
        event = self._complete(step, value, self._running[step].uses, log, now)
        if isinstance(event, events.StepFailed):  # the attempt is told of, so that its log is kept
            return events.LocalFailed(now, step, self._state.step(step).attempt, event.failure, log)
        return event

    # -- which steps can begin

    def _enter_part(self) -> None:
        """Take up the steps whose turn it is: all but those under `finally`, or these once the run ends."""
        self._known = scope.known(self._plan, self._state.ending)
        self._open_level("")

    def _leave_part(self) -> None:
        """Forget what was going on: nothing of it goes on."""
        for memory in (self._open, self._ready, self._queued, self._running, self._touched, self._timers, self._locals,
                       self._levels, self._items, self._readopt, self._unseen, self._last_looks, self._recalling,
                       self._recalled):  # fmt: skip
            memory.clear()
        self._queries = dict(self._state.queries)

    def _is_final(self, name: str) -> bool:
        """Whether a step stands under `finally`, or is nested in one that does; not if the file has it no more."""
        step = self._plan.steps.get(instances.definition(name))
        return step is not None and step.common.final

    def _open_level(self, prefix: str) -> None:
        """Begin with steps that stand together, or go on with them."""
        within = instances.definition(prefix[:-1]) if prefix else ""
        final = self._state.ending is not None
        inside = (each for each in self._plan.nested(within) if self._plan.steps[each].common.final is final)
        names = tuple(prefix + instances.short(each) for each in inside)
        level = self._levels[prefix] = _Level(names)
        for name in names:
            if self._state.step(name).status not in SETTLED:
                level.open += 1
                self._enter(name, prefix)
        if not level.open:
            self._level_settled(prefix)

    def _level_settled(self, prefix: str) -> None:
        """Have the step look at the round, or the item, of which nothing is open any more."""
        if not prefix:
            return
        name, number = instances.around(prefix)
        self._touched[name] = None
        if name in self._items:
            self._items[name].settled.append(number)

    def _close_level(self, prefix: str) -> None:
        level = self._levels.pop(prefix, None)
        for name in level.steps if level is not None else ():
            self._open.pop(name, None)
            self._last_looks.discard(name)

    def _enter(self, name: str, prefix: str) -> None:
        state = self._state.step(name)
        final = self._state.ending is not None
        self._open[name] = sum(
            self._state.step(prefix + instances.short(other)).status not in SETTLED
            for other in self._plan.needs[instances.definition(name)]
            if self._plan.steps[other].common.final is final  # those that the end of the run has cut off settle no more
        )
        if state.status == "running":
            self._resume(name, state)
        elif not self._open[name]:
            self._ready.append(name)

    # -- rounds and items

    def _next_round(self, name: str, ended: int) -> None:
        """Begin the round after one that has ended, unless it was the last."""
        step, state = self._plan.step(name), self._state.step(name)
        assert isinstance(step, RepeatPlan)
        if ended:
            self._close_level(instances.inside(name, ended))
        if state.converged or ended >= step.max:
            self._touched[name] = None
        else:
            self._open_level(instances.inside(name, ended + 1))

    def _open_items(self, name: str) -> None:
        """Begin with the items of a step, or go on with those that were at work when the run was let go of."""
        listed = self._state.step(name).items or []
        failed = sum(each.status == "failed" for each in listed)
        items = self._items[name] = _Items(sum(each.status == "open" for each in listed), failed)
        for number, each in enumerate(listed, start=1):
            if each.status == "open" and instances.inside(name, number) in self._state.inside:
                items.at_work.add(number)
        for number in sorted(items.at_work):
            self._open_level(instances.inside(name, number))
        self._next_items(name)

    def _note_item(self, event: events.ItemEnded) -> None:
        items = self._items[event.step]
        items.at_work.discard(event.item)
        items.open -= 1
        items.failed += event.failure is not None
        self._next_items(event.step)

    def _next_items(self, name: str) -> None:
        """Begin as many items as may be at work at once; none after one has failed, where that fails the step."""
        step, listed, items = self._plan.step(name), self._state.step(name).items or [], self._items[name]
        assert isinstance(step, ForeachPlan)
        self._touched[name] = None
        if items.failed and step.on_item_failure == "fail":
            return
        while items.begun < len(listed) and len(items.at_work) < step.max_parallel:
            items.begun += 1
            if listed[items.begun - 1].status == "open" and items.begun not in items.at_work:
                items.at_work.add(items.begun)
                self._open_level(instances.inside(name, items.begun))

    def _go_on_rounds(self, name: str, step: RepeatPlan, state: StepState, now: Time) -> list[Command]:
        ended = state.rounds
        if not state.history:
            return []
        if state.converged or ended >= step.max:
            if state.converged or step.on_max == "continue":
                return [Record(self._approved(events.StepCompleted(now, name, None, state.carried, state.accepted)))]
            counted = "1 round" if ended == 1 else f"{ended} rounds"
            message = f"after {counted}, the most there may be, it has not converged"
            hint = "raise max, or write on_max: continue if the last state will do"
            return [Record(events.StepFailed(now, name, events.Failure("max", message, name, hint=hint)))]
        prefix = instances.inside(name, ended + 1)
        level = self._levels.get(prefix)
        if level is None or level.open:
            return []
        failure = self._failure_inside(level)
        if failure is not None:
            return [Record(events.StepFailed(now, name, failure))]
        try:
            return self._end_round(name, step, prefix, now)
        except (_Lacking, _Unfit) as error:
            if isinstance(error, _Lacking) and self._is_outside(name, error.step):
                return [Record(self._skip(name, error.step, now))]
            told = error if isinstance(error, _Unfit) else _Unfit("skipped", str(error))
            message = f"round {ended + 1}: {told.message}"
            return [Record(events.StepFailed(now, name, events.Failure(told.kind, message, name, hint=told.hint)))]

    def _end_round(self, name: str, step: RepeatPlan, prefix: str, now: Time) -> list[Command]:
        number = instances.around(prefix)[1]
        uses = scope.Uses()
        following = self._render(step.update, uses, prefix)
        mixed = self._mixture(step, uses)
        converged = False
        if step.until is not None:
            found = self._render(step.until, scope.Uses(), prefix, following=following)
            if not isinstance(found, bool):
                raise _Unfit("expression", f"until is true or false, not {_short(found)}")
            converged = found
        carried = cohorts.distinct(uses.cohorts())
        return [Record(events.RoundEnded(now, name, number, following, carried, mixed, converged))]

    def _go_on_items(self, name: str, step: ForeachPlan, state: StepState, now: Time) -> list[Command]:
        items = self._items[name]
        settled, items.settled = items.settled, []
        if settled:
            return [Record(self._end_item(name, step, instances.inside(name, number), now)) for number in settled]
        if items.at_work or (items.open and not items.failed):
            return []
        listed = state.items or []
        if items.failed and step.on_item_failure == "fail":
            first = next(each for each in listed if each.status == "failed")
            assert first.failure is not None
            if first.failure.kind == "skipped" and self._is_outside(name, first.failure.step or name):
                return [Record(self._skip(name, first.failure.step or name, now))]
            counted = f"{items.failed} of {len(listed)} failed"
            failure = replace(first.failure, message=f"item {first.key}: {first.failure.message} ({counted})")
            return [Record(events.StepFailed(now, name, failure))]
        made = [(state.carried, state.accepted), *((each.carried, each.accepted) for each in listed)]
        carried = cohorts.distinct(each for some, _ in made for each in some)
        accepted = [{frozenset(names) for _, names in some} for some, accepted in made if accepted]
        mixed = cohorts.difference(carried, accepted)
        if mixed and step.common.mixed_cohorts is None:
            failure = events.Failure("cohorts", mixed, step=name, hint=judge.MIXED_HINT)
            return [Record(events.StepFailed(now, name, failure))]
        whole = mixed is not None or bool(accepted)
        return [Record(self._approved(events.StepCompleted(now, name, None, carried, whole)))]

    def _end_item(self, name: str, step: ForeachPlan, prefix: str, now: Time) -> Event:
        number = instances.around(prefix)[1]
        failure = self._failure_inside(self._levels[prefix])
        if failure is not None:
            return events.ItemEnded(now, name, number, failure=failure)
        uses = scope.Uses()
        value: Json = None
        try:
            if step.result is not None:
                value = self._render(step.result, uses, prefix)
            mixed = self._mixture(step, uses)
        except (_Lacking, _Unfit) as error:
            told = error if isinstance(error, _Unfit) else _Unfit("skipped", str(error))
            lacked = error.step if isinstance(error, _Lacking) and self._is_outside(name, error.step) else name
            failure = events.Failure(told.kind, told.message, lacked, hint=told.hint)
            return events.ItemEnded(now, name, number, failure=failure)
        return events.ItemEnded(now, name, number, value, cohorts.distinct(uses.cohorts()), mixed)

    def _go_on_file(self, name: str, step: WorkflowPlan, now: Time) -> list[Command]:
        prefix = instances.inside(name, 0)
        level = self._levels.get(prefix)
        if level is None or level.open:
            return []
        failure = self._failure_inside(level)
        if failure is not None:
            return [Record(events.StepFailed(now, name, failure))]
        values: dict[str, Json] = {}
        carried: dict[Cohort, None] = {}
        accepted: list[set[frozenset[str]]] = []
        try:
            for output in step.inner.outputs.values():
                uses = scope.Uses()
                values[output.name] = self._render(output.value, uses, prefix)
                mixed = cohorts.difference(uses.cohorts(), uses.accepted())
                if mixed and output.mixed_cohorts is None:
                    raise _Unfit("cohorts", f"output {output.name}: {mixed}", judge.MIXED_HINT)
                carried.update(dict.fromkeys(uses.cohorts()))
                accepted += uses.accepted()
                if mixed:
                    accepted.append({frozenset(names) for _, names in uses.cohorts()})
        except (_Lacking, _Unfit) as error:
            told = error if isinstance(error, _Unfit) else _Unfit("skipped", str(error))
            failure = events.Failure(told.kind, f"{step.file}: {told.message}", name, hint=told.hint)
            return [Record(events.StepFailed(now, name, failure))]
        mixed = cohorts.difference(carried, accepted)
        if mixed and step.common.mixed_cohorts is None:
            failure = events.Failure("cohorts", mixed, step=name, hint=judge.MIXED_HINT)
            return [Record(events.StepFailed(now, name, failure))]
        whole = mixed is not None or any(accepted)
        return [Record(self._approved(events.StepCompleted(now, name, values, tuple(carried), whole)))]

    def _failure_inside(self, level: _Level) -> Failure | None:
        """The first failure of steps that stand together, of those that may not fail."""
        failed = [
            state
            for state in map(self._state.step, level.steps)
            if state.status == "failed" and self._plan.step(state.name).common.on_failure == "fail"
        ]
        first = min(failed, key=lambda each: each.ended or 0.0, default=None)
        return first.failure if first is not None else None

    def _resume(self, name: str, state: StepState) -> None:
        """Go on with a step that was running when the run was let go of."""
        step = self._plan.step(name)
        if isinstance(step, RepeatPlan):
            self._touched[name] = None
            if not state.history:
                self._ready.append(name)  # it was let go of before it had a state
            elif not state.converged and state.rounds < step.max:
                self._open_level(instances.inside(name, state.rounds + 1))
            return
        if isinstance(step, ForeachPlan):
            if state.items is None:
                self._ready.append(name)
            else:
                self._open_items(name)
            return
        if isinstance(step, WorkflowPlan):
            if state.params is None:
                self._ready.append(name)
            else:
                self._open_level(instances.inside(name, 0))
            return
        try:
            if isinstance(step, TaskPlan):
                self._running[name] = self._prepare_task(name, step, tuple(state.organizations), check=False)
                if state.closed is None:
                    self._readopt.append(name)
                else:
                    self._touched[name] = None
            else:
                assert isinstance(step, LocalPlan)  # a gate waits, and does not run
                self._running[name] = self._prepare_local(name, step)
                self._touched[name] = None
        except (_Lacking, _Unfit) as error:
            raise ResumeError(f"step {name} was running, and now cannot: {error}") from error
        if state.deadline is not None:
            heapq.heappush(self._timers, (state.deadline, name))

    def _settle(self, name: str) -> None:
        prefix = instances.prefix(name)
        level = self._levels[prefix]
        level.open -= 1
        self._running.pop(name, None)
        self._locals.discard(name)
        self._items.pop(name, None)
        for dependent in self._plan.graph.dependents(instances.definition(name)):
            other = prefix + instances.short(dependent)
            if other in self._open:
                self._open[other] -= 1
                if not self._open[other] and self._state.step(other).status == "pending":
                    self._ready.append(other)
        if not level.open:
            self._level_settled(prefix)

    # -- beginning a step

    def _begin(self, name: str, now: Time) -> list[Command]:
        step = self._plan.step(name)
        prefix = instances.prefix(name)
        if isinstance(step, GatePlan) and self._state.step(name).status == "waiting":
            return self._decided(name, now)
        try:
            if step.common.when is not None and not self._holds(step.common.when, prefix):
                return [Record(events.StepSkipped(now, name, name, "when"))]
            for short in step.common.needs:
                needed = self._plan.find(prefix, short) or short
                if self._state.step(needed).status != "completed":
                    raise _Lacking(needed)
            if isinstance(step, TaskPlan):
                return self._begin_task(name, step, now)
            if isinstance(step, RepeatPlan):
                return self._begin_rounds(name, step, now)
            if isinstance(step, ForeachPlan):
                return self._begin_items(name, step, now)
            if isinstance(step, WorkflowPlan):
                return self._begin_file(name, step, now)
            if isinstance(step, GatePlan):
                return self._ask_person(name, step, now)
            if step.value is not None:
                uses = scope.Uses()
                value = self._render(step.value, uses, prefix)
                return [Record(self._complete(name, value, uses, None, now))]
            return self._begin_local(name, step, now)
        except _Lacking as error:
            return [Record(self._skip(name, error.step, now))]
        except _Unfit as error:
            failure = events.Failure(error.kind, error.message, step=name, hint=error.hint)
            return [Record(events.StepFailed(now, name, failure))]

    def _begin_local(self, name: str, step: LocalPlan, now: Time) -> list[Command]:
        running = self._prepare_local(name, step)
        found = self._recall(name, step, running)
        if isinstance(found, Recall):
            return [found]
        self._running[name] = running
        if isinstance(found, caching.Kept):
            completed = self._complete(name, found.value, running.uses, None, now)
            return [Record(_reused(name, found, now)), Record(completed)]
        self._queued.append(name)
        return [Record(events.StepNotReused(now, name, found))] if found is not None else []

    def _recall(self, name: str, step: TaskPlan | LocalPlan, running: _Running) -> Recall | caching.Kept | str | None:
        """What an earlier run has of a step: first the command to look, then what was found or why nothing was.

        None for a step that may reuse nothing, and for one that has asked before.
        """
        state = self._state.step(name)
        if running.key is None or step.cache is None or state.organizations or state.attempt > state.spared:
            return None
        if name not in self._recalled:
            self._recalling.add(name)
            return Recall(name, running.key, step.cache)
        return self._recalled.pop(name)

    def _note_result(self, name: str) -> None:
        """Have later runs find what a step has completed with, if they may."""
        running = self._running.get(name)
        if running is None or running.key is None:
            return
        step = self._plan.step(name)
        assert isinstance(step, (TaskPlan, LocalPlan))
        state = self._state.step(name)
        if caching.whole(step, state) and state.ended is not None:
            self._to_keep.append(Keep(name, running.key, state.ended))

    def _ask_person(self, name: str, step: GatePlan, now: Time) -> list[Command]:
        message = self._render(step.message, scope.Uses(), instances.prefix(name))
        text = message if isinstance(message, str) else canonical(message)
        return [Record(events.GateAsked(now, name, text, step.approvers))]

    def _decided(self, name: str, now: Time) -> list[Command]:
        """What follows from what a person has decided at a gate; nothing as long as nobody has."""
        decided = self._state.step(name).decision
        if decided is None:
            return []
        if decided.decision != "approved":
            why = f": {decided.comment}" if decided.comment else ""
            failure = events.Failure("rejected", f"{decided.by} rejected it{why}", step=name)
            return [Record(events.StepFailed(now, name, failure))]
        value: Json = {
            "decision": decided.decision,
            "by": decided.by,
            "at": iso(decided.at),
            "comment": decided.comment,
        }
        return [Record(self._approved(events.StepCompleted(now, name, value)))]

    def _holds(self, condition: Template, prefix: str) -> bool:
        """Whether the condition of a step holds."""
        found = self._render(condition, scope.Uses(), prefix)
        if not isinstance(found, bool):
            hint = "compare it with something, as in {{ params.x == 'full' }}"
            raise _Unfit("expression", f"`when` must be true or false, and is {kind(found)}", hint)
        return found

    def _is_outside(self, name: str, lacked: str) -> bool:
        """Whether what a step's rounds or items lack is what the step itself lacks: nothing in it came to nothing."""
        cause = self._state.step(lacked).cause or lacked
        return cause != name and not cause.startswith((f"{name}[", f"{name}."))

    def _skip(self, name: str, lacked: str, now: Time) -> Event:
        """The event of a step that cannot run, since one that it needs has not completed."""
        cause = self._state.step(lacked).cause or lacked
        reason = "failed" if self._state.step(cause).status == "failed" else "skipped"
        return events.StepSkipped(now, name, cause, reason)

    def _begin_rounds(self, name: str, step: RepeatPlan, now: Time) -> list[Command]:
        uses = scope.Uses()
        first = self._render(step.state, uses, instances.prefix(name))
        mixed = self._mixture(step, uses)
        return [
            Record(events.StepStarted(now, name, (), None, uses.cohorts())),
            Record(events.RoundEnded(now, name, 0, first, cohorts.distinct(uses.cohorts()), mixed)),
        ]

    def _begin_items(self, name: str, step: ForeachPlan, now: Time) -> list[Command]:
        uses = scope.Uses()
        prefix = instances.prefix(name)
        over = self._render(step.over, uses, prefix) if step.over is not None else None
        matrix = self._render(step.matrix, uses, prefix) if step.matrix is not None else None
        mixed = self._mixture(step, uses)
        try:
            listed = foreach.items(over, matrix)
        except ValueError as error:
            raise _Unfit("expression", str(error)) from error
        if step.key is not None:
            listed = self._keyed(name, step, listed)
        value: list[list[Json]] = [[key, item] for key, item in listed]
        return [
            Record(events.StepStarted(now, name, (), None, uses.cohorts())),
            Record(events.ItemsListed(now, name, value, cohorts.distinct(uses.cohorts()), mixed)),
        ]

    def _begin_file(self, name: str, step: WorkflowPlan, now: Time) -> list[Command]:
        uses = scope.Uses()
        given = dict(_mapping(self._render(step.params, uses, instances.prefix(name))))
        mixed = self._mixture(step, uses)
        for param in step.inner.params.values():
            if param.name not in given:
                given[param.name] = param.schema.get("default")
            problems = schema.param_problems(param.name, param.schema, given[param.name])
            if problems:
                raise _Unfit("param", f"{step.file}: {problems[0]}")
        return [
            Record(events.StepStarted(now, name, (), None, uses.cohorts())),
            Record(events.ParamsGiven(now, name, given, cohorts.distinct(uses.cohorts()), mixed)),
        ]

    def _keyed(self, name: str, step: ForeachPlan, listed: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
        """The items by the keys that the step gives them."""
        assert step.key is not None
        found: dict[str, Json] = {}
        for number, (key, item) in enumerate(listed, start=1):
            around = scope.names(self._plan, self._state, scope.Uses(), self._known, instances.prefix(name))
            try:
                given = step.key.render(scope.of_item(around, key, number, step.alias, item))
            except ExpressionError as error:
                raise _Unfit("expression", error.message, error.hint) from error
            if not isinstance(given, (str, int)) or isinstance(given, bool):
                raise _Unfit("expression", f"a key is text or a whole number, not {_short(given)}")
            if str(given) in found:
                raise _Unfit("expression", f"two items have the key {given}")
            found[str(given)] = item
        return list(found.items())

    def _mixture(self, step: StepPlan, uses: scope.Uses, *own: Cohort) -> bool:
        """Whether a value of what was used, and of a step's own answers, mixes cohorts. Raises _Unfit if it may not."""
        mixed = cohorts.difference((*uses.compared(), *own), uses.accepted())
        if mixed and step.common.mixed_cohorts is None:
            raise _Unfit("cohorts", mixed, judge.MIXED_HINT)
        if mixed or any(uses.accepted()):
            return True
        return bool(uses.loose) and cohorts.difference((*uses.cohorts(), *own)) is not None

    def _begin_task(self, name: str, step: TaskPlan, now: Time) -> list[Command]:
        asked = self._organizations(name, step)
        running = self._prepare_task(name, step, asked, check=True)
        found = self._recall(name, step, running)
        if isinstance(found, Recall):
            return [found]
        self._running[name] = running
        if isinstance(found, caching.Kept):
            params = scope.params(self._plan, self._state, name)
            refused = caching.refused(self._plan, step, name, asked, found, params)
            if refused is None:
                self._touched[name] = None
                return [Record(_reused(name, found, now))]
            found = refused
        state = self._state.step(name)
        waiting = [
            each for each in asked if each not in state.organizations or state.organizations[each].status != "answered"
        ]
        self._check_queries(waiting)
        deadline = now + step.timeout if step.timeout is not None else None
        if deadline is not None:
            heapq.heappush(self._timers, (deadline, name))
        self._touched[name] = None  # those who have answered before may be all
        commands: list[Command] = [Record(events.StepNotReused(now, name, found))] if found is not None else []
        commands.append(Record(events.StepStarted(now, name, asked, deadline, running.uses.cohorts())))
        return commands + self._ask(name, step, waiting, now)

    def _check_queries(self, names: list[str]) -> None:
        """Refuse to ask whom the federation's policy does not let us ask again."""
        too_much = [name for name in names if not self._may_be_asked(name)]
        if too_much:
            most = self._plan.directory.policy.max_queries
            told = f"{', '.join(too_much)} may not be asked again: the federation's policy allows a run {most} each"
            raise _Unfit("policy", told, "do with fewer task steps, or attempts")

    def _may_be_asked(self, name: str) -> bool:
        return self._plan.directory.policy.may_ask(self._queries.get(name, 0))

    def _organizations(self, name: str, step: TaskPlan) -> tuple[str, ...]:
        if not isinstance(step.organizations, Template):
            names: Json = list(step.organizations)
        else:
            names = self._render(step.organizations, scope.Uses(), instances.prefix(name))
        if step.single and isinstance(names, list) and len(names) != 1:
            raise _Unfit("organizations", f"this step asks one organization, not {len(names)}")
        try:
            asked = parse_organizations(names, step.members, step.study)
        except OrganizationError as error:
            raise _Unfit("organizations", str(error), error.hint) from error
        before = self._round_before(name)
        return asked if before is None else self._as_before(name, asked, *before)

    def _round_before(self, name: str) -> tuple[str, tuple[str, ...]] | None:
        """The policy of the innermost repeat step that has had a round, and who answered this step in that round."""
        for inner in instances.outward(instances.prefix(name))[:-1]:
            path, number = instances.around(inner)
            step = self._plan.step(path)
            if not isinstance(step, RepeatPlan) or step.cohort == "any" or number == 1:
                continue
            earlier = 1 if step.cohort == "fixed" else number - 1
            then = self._state.step(instances.inside(path, earlier) + name[len(inner) :])
            if then.status == "completed":
                return step.cohort, tuple(then.responded)
        return None

    def _as_before(self, name: str, asked: tuple[str, ...], cohort: str, before: tuple[str, ...]) -> tuple[str, ...]:
        """Whom to ask in a later round. Raises _Unfit if those who must be asked are not all among those meant."""
        lost = [each for each in before if each not in asked]
        if cohort == "fixed" and lost:
            message = f"{', '.join(lost)} answered in the first round, and would not be asked in this one"
            raise _Unfit(
                "cohorts", message, "cohort: shrink goes on with those who answered last; cohort: any with all"
            )
        left = tuple(each for each in asked if each in before)
        if not left:
            raise _Unfit("cohorts", f"nobody is left of those who answered {instances.short(name)} in the round before")
        return left

    def _prepare_task(self, name: str, step: TaskPlan, asked: tuple[str, ...], *, check: bool) -> _Running:
        uses = scope.Uses()
        prefix = instances.prefix(name)
        minimum = step.quorum.minimum
        before = self._round_before(name)
        try:
            needed = step.quorum.needed(
                self._render(minimum, uses, prefix) if isinstance(minimum, Template) else minimum, len(asked)
            )
            if before is not None and before[0] == "fixed":
                needed = len(asked)  # those who answered in the first round, and all of them
            check_required(step.quorum, asked)
        except ValueError as error:
            raise _Unfit("quorum", str(error)) from error
        uses = scope.Uses()
        kwargs: dict[str, Json] = {}
        each_its_own = any(reference.root == "organization" for reference in step.kwargs.references)
        shared: Json = None
        for each in asked:
            if each_its_own or not kwargs:
                shared = self._render(step.kwargs, uses, prefix, organization=each)
            kwargs[each] = shared
        if check and step.common.mixed_cohorts is None:
            self._mixture(step, uses)
            if not step.central and not any(uses.accepted()):
                mixed = cohorts.unreachable(uses.compared(), asked, needed, step.quorum.required)
                if mixed:
                    raise _Unfit("cohorts", mixed, judge.MIXED_HINT)
        key = None
        if step.cache is not None and self._basis is not None:
            key = caching.of_task(self._plan, step, asked, kwargs, self._basis)
        return _Running(kwargs, uses, max(needed, 1), key=key)

    def _prepare_local(self, name: str, step: LocalPlan) -> _Running:
        uses = scope.Uses()
        prefix = instances.prefix(name)
        kwargs = _mapping(self._render(step.kwargs, uses, prefix))
        command: tuple[str, ...] | None = None
        if step.command is not None:
            command = _command(self._render(step.command, uses, prefix))
        self._mixture(step, uses)
        key = None
        if step.cache is not None and self._basis is not None:
            key = caching.of_local(step, command, kwargs, self._basis)
        return _Running(kwargs, uses, command=command, key=key)

    def _render(
        self,
        template: Template,
        uses: scope.Uses,
        prefix: str,
        *,
        organization: str | None = None,
        following: object = scope.NOTHING,
    ) -> Json:
        if template.literal:
            return template.source
        names = scope.names(self._plan, self._state, uses, self._known, prefix, following)
        if organization is not None:
            names["organization"] = organization
        return _evaluate(template, names, uses)

    # -- going on with a step

    def _go_on(self, name: str, now: Time) -> list[Command]:
        step = self._plan.step(name)
        state = self._state.step(name)
        match step:
            case TaskPlan():
                return self._go_on_task(name, step, state, now)
            case RepeatPlan():
                return self._go_on_rounds(name, step, state, now)
            case ForeachPlan():
                return self._go_on_items(name, step, state, now)
            case WorkflowPlan():
                return self._go_on_file(name, step, now)
            case LocalPlan():
                return self._go_on_local(name, step, state, now)
            case GatePlan():
                return []  # a gate waits, and does not run
            case _:
                assert_never(step)

    def _go_on_task(self, name: str, step: TaskPlan, state: StepState, now: Time) -> list[Command]:
        running = self._running[name]
        organizations = state.organizations.values()
        due = self._due(step, state)
        open_ = [each for each in organizations if each.status in ("waiting", "requested") or each.name in due]
        reason = state.closed
        if open_ and reason is None:
            if state.deadline is not None and now >= state.deadline:
                if name not in self._last_looks:
                    self._last_looks.add(name)
                    if looks := self._look(name, _kills(state)):
                        return looks
                if self._unseen.get(name):
                    return []  # what was answered in time may be there
                reason = "timeout"
            elif not step.quorum.wait and judge.met(step.quorum, running.needed, state.responded):
                reason = "quorum"
        if open_ and reason is None:
            again = [each.name for each in open_ if each.status == "waiting" or due.get(each.name, math.inf) <= now]
            if step.isolation == "task" and any(each.status == "requested" for each in open_):
                again = []  # all are asked in one task: who is to be asked anew waits until the end of all is known
            later = [time for time in due.values() if time > now]
            if later:
                heapq.heappush(self._timers, (min(later), name))
            return self._ask(name, step, again, now)
        commands: list[Command] = []
        if open_ and state.closed is None and reason is not None:
            commands.append(Record(events.StepClosed(now, name, reason)))
        if open_:
            commands += _kills(state)
        return [*commands, Record(self._judge(step, state, running, now))]

    def _look(self, name: str, kills: list[Kill]) -> list[Command]:
        """See what is there of what would be killed, since a deadline has passed."""
        self._unseen.setdefault(name, set()).update(kill.token for kill in kills)
        return [Look(kill.token) for kill in kills]

    def _due(self, step: TaskPlan, state: StepState) -> dict[str, Time]:
        """When each organization that failed is asked again; not who would be asked after the deadline."""
        due = {each.name: each.since + step.retry.wait(each.attempt - each.spared)
               for each in state.organizations.values() if self._may_retry(step, each)}  # fmt: skip
        end = state.deadline if state.deadline is not None else math.inf
        return {name: time for name, time in due.items() if time < end}

    def _may_retry(self, step: TaskPlan, asked: OrganizationState) -> bool:
        return (
            asked.status == "failed"
            and asked.failure is not None
            and asked.failure.kind in step.retry.on
            and asked.attempt - asked.spared < step.retry.attempts
            and self._may_be_asked(asked.name)
        )

    def _judge(self, step: TaskPlan, state: StepState, running: _Running, now: Time) -> Event:
        name = state.name
        failure = judge.quorum(step, state, running.needed)
        if failure is not None:
            return events.StepFailed(now, name, failure)
        own = judge.own_cohort(step, state)
        try:
            mixed = self._mixture(step, running.uses, own)
        except _Unfit as error:
            failure = events.Failure(error.kind, error.message, step=name, hint=error.hint)
            return events.StepFailed(now, name, failure)
        carried = tuple(dict.fromkeys((*running.uses.cohorts(), own)))
        return self._approved(events.StepCompleted(now, name, None, carried, mixed))

    def _go_on_local(self, name: str, step: LocalPlan, state: StepState, now: Time) -> list[Command]:
        if state.requested:
            return []
        failure = state.failure
        tried = state.attempt - state.spared
        if failure is None or not tried:
            self._queue_local(name)
            return []
        due = state.since + step.retry.wait(tried)
        late = state.deadline is not None and due >= state.deadline
        if failure.kind not in step.retry.on or tried >= step.retry.attempts or late:
            return [Record(events.StepFailed(now, name, failure))]
        if due <= now:
            self._queue_local(name)
        else:
            heapq.heappush(self._timers, (due, name))
        return []

    def _queue_local(self, name: str) -> None:
        if name not in self._locals and name not in self._queued:
            self._queued.append(name)

    def _start_local(self, name: str, now: Time) -> StartLocal:
        step = self._plan.step(name)
        assert isinstance(step, LocalPlan)
        state = self._state.step(name)
        deadline = state.deadline
        if deadline is None and step.timeout is not None:
            deadline = now + step.timeout
        self._locals.add(name)
        running = self._running[name]
        attempt = state.attempt + 1
        request = LocalRequest(
            name,
            attempt,
            step.folder or self._plan.folder,
            function=step.function,
            command=running.command,
            kwargs=running.kwargs,
            timeout=max(deadline - now, 0.001) if deadline is not None else None,
            memory=step.memory,
        )
        return StartLocal(request, events.LocalRequested(now, name, attempt, deadline))

    # -- asking

    def _ask(self, name: str, step: TaskPlan, names: list[str], now: Time) -> list[Command]:
        if not names:
            return []
        together = [tuple(names)] if step.isolation == "task" else [(each,) for each in names]
        state = self._state.step(name)
        commands: list[Command] = []
        for each in names:
            self._queries[each] = self._queries.get(each, 0) + 1
        for organizations in together:
            tried = [state.organizations[each].attempt for each in organizations if each in state.organizations]
            attempt = 1 + max(tried, default=state.spared)
            request = self._request(name, step, organizations, attempt)
            event = events.TaskRequested(now, name, organizations, attempt, request.token, _digest(request))
            commands.append(Ask(request, event))
        return commands

    def _request(self, name: str, step: TaskPlan, organizations: tuple[str, ...], attempt: int) -> TaskRequest:
        kwargs = self._running[name].kwargs
        alone = len(organizations) == 1 and step.isolation == "organization"
        label = step.label or f"{self._plan.workflow.name}/{name}"
        return TaskRequest(
            token(self._plan.run, name, organizations, attempt),
            name,
            attempt,
            step.image,
            step.method,
            {each: _mapping(kwargs[each]) for each in organizations},
            step.databases,
            name=f"{label}/{organizations[0]}" if alone else label,
            description=step.description,
            central=step.central,
            study=step.study,
            store=step.store,
        )

    def _adopt(self) -> list[Command]:
        """Ask again, under the same tokens, for what was asked before the run was let go of."""
        commands: list[Command] = []
        for name in self._readopt:
            step = self._plan.step(name)
            assert isinstance(step, TaskPlan)
            self._touched[name] = None
            together: dict[tuple[str, int, str], list[OrganizationState]] = {}
            for asked in self._state.step(name).organizations.values():
                together.setdefault((asked.token, asked.attempt, asked.digest), []).append(asked)
            for (sent_as, attempt, sent), asked_together in together.items():
                if not any(asked.status == "requested" for asked in asked_together):
                    continue
                organizations = tuple(asked.name for asked in asked_together)
                request = self._request(name, step, organizations, attempt)
                if request.token != sent_as or _digest(request) != sent:
                    raise ResumeError(
                        f"step {name} would now send something else to {', '.join(organizations)} than it has sent",
                        hint="start a new run",
                    )
                unsubmitted = any(asked.unsubmitted for asked in asked_together)
                commands.append(Ask(request, None, again=not unsubmitted))
                self._unseen.setdefault(name, set()).add(request.token)
        self._readopt = []
        return commands

    def _open_tasks(self) -> list[tuple[str, list[Kill]]]:
        """For each task step that runs, what would end what it has asked."""
        return [
            (name, _kills(self._state.step(name)))
            for name in self._running
            if isinstance(self._plan.step(name), TaskPlan)
        ]

    def _kill_all(self) -> list[Command]:
        commands: list[Command] = [kill for _, kills in self._open_tasks() for kill in kills]
        commands += [
            KillLocal(name)
            for name in self._running
            if isinstance(self._plan.step(name), LocalPlan) and self._state.step(name).requested
        ]
        return commands

    # -- ending

    def _run_out_of_time(self, now: Time) -> list[Command]:
        """The run's own deadline has passed: what has been answered by now is still collected."""
        if None not in self._last_looks:
            looks = [look for name, kills in self._open_tasks() for look in self._look(name, kills)]
            self._last_looks.add(None)
            if looks:
                return looks
        if any(self._unseen.values()):
            return []
        if last := self._without_asking(now) or self._pause(now):
            return last  # what waits for a person only is not out of time
        hint = "v6flow resume --retry-failed --deadline DURATION goes on with it"
        failure = events.Failure("deadline", "the run's own deadline passed", hint=hint)
        withdrawn = [
            Record(events.TaskWithdrawn(now, name, kill.token)) for name, kills in self._open_tasks() for kill in kills
        ]
        return [*withdrawn, *self._kill_all(), Record(self._end(events.RunEnding(now, "failed", {}, failure, 124)))]

    def _without_asking(self, now: Time) -> list[Command]:
        """What follows from what has been answered; nothing if that does not end the run, or somebody were asked."""
        commands: list[Command] = []
        touched, self._touched = self._touched, {}
        for name in touched:
            if self._state.step(name).status == "running":
                commands += self._go_on(name, now)
        while self._ready:
            commands += self._begin(self._ready.popleft(), now)
        if self._queued or not all(isinstance(each, Record) for each in commands):
            return []
        return commands or ([] if self._levels[""].open else [Record(self._finish(now))])

    def _complete(self, name: str, value: Json, uses: scope.Uses, log: str | None, now: Time) -> Event:
        step = self._plan.step(name)
        carried = uses.cohorts()
        if not carried:
            return self._approved(events.StepCompleted(now, name, value, (), accepted=False, log=log))
        try:
            mixed = self._mixture(step, uses)
        except _Unfit as error:
            return events.StepFailed(now, name, events.Failure(error.kind, error.message, step=name, hint=error.hint))
        return self._approved(events.StepCompleted(now, name, value, carried, mixed, log))

    def _approved(self, completed: events.StepCompleted) -> Event:
        """The event of a step that has all it needs to complete: that one, or its failure by what the file demands."""
        name = completed.step
        step = self._plan.step(name)
        if isinstance(step, LocalPlan) and step.common.output_schema is not None:
            wrong = answers.misfit(step.common.output_schema, completed.value)
            if wrong is not None:
                failure = events.Failure("output_schema", wrong, step=name)
                return events.StepFailed(completed.at, name, failure)
        for check in step.common.checks:
            if not check.each:
                wrong = answers.unmet(check, self._names_of(completed, scope.Uses()))
                if wrong is not None:
                    return events.StepFailed(completed.at, name, events.Failure("check", wrong, step=name))
        if step.common.properties is None:
            return completed
        try:
            return self._published(completed, step.common, step.common.properties)
        except (_Lacking, _Unfit) as error:
            hint = error.hint if isinstance(error, _Unfit) else "write default(…) around what may be missing"
            failure = events.Failure("properties", f"its properties: {error}", step=name, hint=hint)
            return events.StepFailed(completed.at, name, failure)

    def _published(self, completed: events.StepCompleted, common: Common, properties: Template) -> Event:
        """The event of a step that has completed, with its properties, which mix no cohorts either."""
        uses = scope.Uses()
        facts = _mapping(_evaluate(properties, self._names_of(completed, uses), uses))
        size = len(canonical(dict(facts)))
        if size > MAX_PROPERTIES:
            told = f"they are {size} characters of JSON, and {MAX_PROPERTIES} are allowed"
            raise _Unfit("properties", told, "publish facts here, and results as outputs")
        own = [{frozenset(names) for _, names in completed.carried}] if completed.accepted else []
        mixed = cohorts.difference((*completed.carried, *uses.cohorts()), [*uses.accepted(), *own])
        if mixed and common.mixed_cohorts is None:
            raise _Unfit("cohorts", mixed, judge.MIXED_HINT)
        return replace(completed, properties=facts)

    def _names_of(self, completed: events.StepCompleted, uses: scope.Uses) -> dict[str, object]:
        """The names in what is said of a step that is about to complete."""
        this = scope.this(self._plan, completed, self._state.step(completed.step), uses)
        prefix = instances.prefix(completed.step)
        return {**scope.names(self._plan, self._state, uses, self._known, prefix), "this": this}

    def _end(self, ending: events.RunEnding) -> Event:
        """What ends the run, or begins to where there are steps under `finally`. What is known stays so."""
        known = self._state.ending
        if known is None and any(step.common.final for step in self._plan.steps.values()):
            return ending
        return (known or ending).outcome(ending.at)

    def _finish(self, now: Time) -> Event:
        """The end of a run in which nothing is left to do."""
        ending = self._state.ending
        return self._end(self._outcome(now)) if ending is None else ending.outcome(now)

    def _outcome(self, now: Time) -> events.RunEnding:
        def failed(failure: Failure) -> events.RunEnding:
            return events.RunEnding(now, "failed", {}, failure, 1)

        failure = judge.first_failure(self._plan, self._state)
        if failure is not None:
            return failed(failure)
        outputs: dict[str, Json] = {}
        for output in self._plan.workflow.outputs.values():
            uses = scope.Uses()
            try:
                outputs[output.name] = self._render(output.value, uses, "")
            except _Lacking as error:
                return failed(self._lacking_output(output.name, error.step))
            except _Unfit as error:
                message = f"output {output.name}: {error.message}"
                return failed(events.Failure(error.kind, message, hint=error.hint))
            mixed = cohorts.difference(uses.cohorts(), uses.accepted())
            if mixed and output.mixed_cohorts is None:
                hint = "write the output as {value: …, mixed_cohorts: <reason>} if that is meant"
                return failed(events.Failure("cohorts", f"output {output.name}: {mixed}", hint=hint))
        return events.RunEnding(now, "completed", outputs)

    def _lacking_output(self, output: str, step: str) -> Failure:
        cause = self._state.step(step).cause or step
        failure = self._state.step(cause).failure
        if failure is None:
            why = f"step {cause} was left out, since its `when` does not hold"
            message = f"output {output} needs step {step}: {why}"
            hint = "write default(…) around what may be missing"
            return events.Failure("skipped", message, step, hint=hint)
        message = f"output {output} needs step {step}: {failure.message}"
        return events.Failure(failure.kind, message, cause, failure.organization, failure.hint, failure.log_tail)


def _evaluate(template: Template, names: Mapping[str, object], uses: scope.Uses) -> Json:
    try:
        return template.render(names)
    except ExpressionError as error:
        if error.message in uses.lacked:
            raise _Lacking(uses.lacked[error.message]) from error
        raise _Unfit("expression", error.message, error.hint) from error


def _mapping(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, dict)  # the schema has kwargs as a mapping, and rendering keeps the shape
    return value


def _command(value: Json) -> tuple[str, ...]:
    """A rendered command: numbers as text; anything else that is not text is refused."""
    words: list[str] = []
    for word in value if isinstance(value, list) else []:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)):
            raise _Unfit("expression", f"a word of a command is text or a number, not {word!r}", "use | json or | join")
        words.append(word if isinstance(word, str) else repr(word))
    return tuple(words)


def _short(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _reused(name: str, kept: caching.Kept, now: Time) -> Event:
    value: Json = {each: answer.value for each, answer in kept.answers.items()} or None
    subtasks = tuple(subtask for answer in kept.answers.values() for subtask in answer.subtasks)
    return events.StepReused(now, name, kept.run, kept.step, kept.answered, value, subtasks)


def _kills(state: StepState) -> list[Kill]:
    tokens: dict[str, list[str]] = {}
    for asked in state.organizations.values():
        if asked.status == "requested":
            tokens.setdefault(asked.token, []).append(asked.name)
    return [Kill(token, tuple(names)) for token, names in tokens.items()]


def _digest(request: TaskRequest) -> str:
    return digest(
        [
            request.image,
            request.method,
            {name: dict(kwargs) for name, kwargs in request.kwargs.items()},
            [
                [
                    each.label,
                    each.query,
                    each.sheet_name,
                    [dict(item) for item in each.preprocessing],
                    dict(each.arguments),
                ]
                for each in request.databases
            ],
            request.central,
            request.study,
            request.store,
        ]
    )
