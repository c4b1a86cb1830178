"""What to do next in a run: decided from its plan and its state alone."""

from __future__ import annotations

import heapq
import math
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from v6flow.core.execution import dispatched, events, judge, nested, requests, reuse, scope
from v6flow.core.execution.commands import Ask, Keep, Kill, KillLocal, LocalRequest, Look, Recall, Record, StartLocal
from v6flow.core.execution.completion import Completion
from v6flow.core.execution.preparation import Preparation
from v6flow.core.execution.rendering import Lacking, Renderer, Unfit
from v6flow.core.execution.state import SETTLED
from v6flow.core.json import canonical
from v6flow.core.kinds import ForeachPlan, GatePlan, LocalPlan, RepeatPlan, TaskPlan, WorkflowPlan
from v6flow.core.planning import ids
from v6flow.errors import ResumeError

if sys.version_info >= (3, 11):
    from typing import assert_never
else:
    from typing_extensions import assert_never

if TYPE_CHECKING:
    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.events import Event, Failure, Time
    from v6flow.core.execution.preparation import Prepared
    from v6flow.core.execution.state import OrganizationState, RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds import StepPlan
    from v6flow.core.planning.plan import Plan


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

    def __init__(self, plan: Plan, state: RunState, *, jobs: int = 4, basis: reuse.Basis | None = None) -> None:
        """Without a `basis` no step reuses a result."""
        self._plan = plan
        self._state = state
        self._jobs = jobs  # local child processes at once
        self._renderer = Renderer(plan, state)
        self._preparation = Preparation(plan, state, self._renderer, basis)
        self._completion = Completion(plan, state, self._renderer)
        self._nesting = nested.Nesting(plan, state, self._renderer, self._completion)
        self._recalling: set[str] = set()  # steps of which it is looked up what an earlier run has
        self._recalled: dict[str, reuse.Kept | str] = {}  # what was found, or why nothing was
        self._to_keep: list[Keep] = []
        self._open: dict[str, int] = {}
        self._ready: deque[str] = deque()
        self._queued: deque[str] = deque()  # local steps that wait for a free place
        self._running: dict[str, Prepared] = {}
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
                self._left += requests.kills(step)
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
            case events.SubtasksSeen():
                self._touched[event.step] = None
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
                self._open_level(ids.inside(event.step, 0))
            case events.ItemEnded():
                self._close_level(ids.inside(event.step, event.item))
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

    def recalled(self, step: str, found: reuse.Kept | str) -> None:
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
        event = self._completion.complete(step, value, self._running[step].uses, log, now)
        if isinstance(event, events.StepFailed):  # the attempt is told of, so that its log is kept
            return events.LocalFailed(now, step, self._state.step(step).attempt, event.failure, log)
        return event

    # -- which steps can begin

    def _enter_part(self) -> None:
        """Take up the steps whose turn it is: all but those under `finally`, or these once the run ends."""
        self._renderer.enter_part()
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
        step = self._plan.steps.get(ids.definition(name))
        return step is not None and step.common.final

    def _open_level(self, prefix: str) -> None:
        """Begin with steps that stand together, or go on with them."""
        within = ids.definition(prefix[:-1]) if prefix else ""
        final = self._state.ending is not None
        inside = (each for each in self._plan.nested(within) if self._plan.steps[each].common.final is final)
        names = tuple(prefix + ids.short(each) for each in inside)
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
        name, number = ids.around(prefix)
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
            self._state.step(prefix + ids.short(other)).status not in SETTLED
            for other in self._plan.needs[ids.definition(name)]
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
            self._close_level(ids.inside(name, ended))
        if state.converged or ended >= step.max:
            self._touched[name] = None
        else:
            self._open_level(ids.inside(name, ended + 1))

    def _open_items(self, name: str) -> None:
        """Begin with the items of a step, or go on with those that were at work when the run was let go of."""
        listed = self._state.step(name).items or []
        failed = sum(each.status == "failed" for each in listed)
        items = self._items[name] = _Items(sum(each.status == "open" for each in listed), failed)
        for number, each in enumerate(listed, start=1):
            if each.status == "open" and ids.inside(name, number) in self._state.inside:
                items.at_work.add(number)
        for number in sorted(items.at_work):
            self._open_level(ids.inside(name, number))
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
                self._open_level(ids.inside(name, items.begun))

    def _go_on_rounds(self, name: str, step: RepeatPlan, state: StepState, now: Time) -> list[Command]:
        if not state.history:
            return []
        if state.converged or state.rounds >= step.max:
            return [Record(self._nesting.end_rounds(name, step, state, now))]
        number = state.rounds + 1
        level = self._levels.get(ids.inside(name, number))
        if level is None or level.open:
            return []
        return [Record(self._nesting.end_round(name, step, number, level.steps, now))]

    def _go_on_items(self, name: str, step: ForeachPlan, state: StepState, now: Time) -> list[Command]:
        items = self._items[name]
        settled, items.settled = items.settled, []
        if settled:
            levels = {number: self._levels[ids.inside(name, number)] for number in settled}
            return [
                Record(self._nesting.end_item(name, step, number, level.steps, now)) for number, level in levels.items()
            ]
        if items.at_work or (items.open and not items.failed):
            return []
        return [Record(self._nesting.end_items(name, step, state, now))]

    def _go_on_file(self, name: str, step: WorkflowPlan, now: Time) -> list[Command]:
        level = self._levels.get(ids.inside(name, 0))
        if level is None or level.open:
            return []
        return [Record(self._nesting.end_file(name, step, level.steps, now))]

    def _resume(self, name: str, state: StepState) -> None:
        """Go on with a step that was running when the run was let go of."""
        step = self._plan.step(name)
        if isinstance(step, RepeatPlan):
            self._touched[name] = None
            if not state.history:
                self._ready.append(name)  # it was let go of before it had a state
            elif not state.converged and state.rounds < step.max:
                self._open_level(ids.inside(name, state.rounds + 1))
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
                self._open_level(ids.inside(name, 0))
            return
        try:
            if isinstance(step, TaskPlan):
                self._running[name] = self._preparation.task(name, step, tuple(state.organizations), check=False)
                if state.closed is None:
                    self._readopt.append(name)
                else:
                    self._touched[name] = None
            else:
                assert isinstance(step, LocalPlan)  # a gate waits, and does not run
                self._running[name] = self._preparation.local(name, step)
                self._touched[name] = None
        except (Lacking, Unfit) as error:
            raise ResumeError(f"step {name} was running, and now cannot: {error}") from error
        if state.deadline is not None:
            heapq.heappush(self._timers, (state.deadline, name))

    def _settle(self, name: str) -> None:
        prefix = ids.prefix(name)
        level = self._levels[prefix]
        level.open -= 1
        self._running.pop(name, None)
        self._locals.discard(name)
        self._items.pop(name, None)
        for dependent in self._plan.graph.dependents(ids.definition(name)):
            other = prefix + ids.short(dependent)
            if other in self._open:
                self._open[other] -= 1
                if not self._open[other] and self._state.step(other).status == "pending":
                    self._ready.append(other)
        if not level.open:
            self._level_settled(prefix)

    # -- beginning a step

    def _begin(self, name: str, now: Time) -> list[Command]:
        step = self._plan.step(name)
        prefix = ids.prefix(name)
        if isinstance(step, GatePlan) and self._state.step(name).status == "waiting":
            decided = self._completion.decided(name, now)
            return [Record(decided)] if decided is not None else []
        try:
            if step.common.when is not None and not self._renderer.holds(step.common.when, prefix):
                return [Record(events.StepSkipped(now, name, name, "when"))]
            for short in step.common.needs:
                needed = self._plan.find(prefix, short) or short
                if self._state.step(needed).status != "completed":
                    raise Lacking(needed)
            return self._begin_sound(name, step, now)
        except Lacking as error:
            return [Record(nested.skipped(self._state, name, error.step, now))]
        except Unfit as error:
            return [Record(events.StepFailed(now, name, error.failure(name)))]

    def _begin_sound(self, name: str, step: StepPlan, now: Time) -> list[Command]:
        """Begin a step that has all it waits for. Raises Lacking, Unfit."""
        match step:
            case TaskPlan():
                return self._begin_task(name, step, now)
            case RepeatPlan():
                return [*map(Record, self._nesting.begin_rounds(name, step, now))]
            case ForeachPlan():
                return [*map(Record, self._nesting.begin_items(name, step, now))]
            case WorkflowPlan():
                return [*map(Record, self._nesting.begin_file(name, step, now))]
            case GatePlan():
                return self._ask_person(name, step, now)
            case LocalPlan():
                return self._begin_local(name, step, now)
            case _:
                assert_never(step)

    def _begin_local(self, name: str, step: LocalPlan, now: Time) -> list[Command]:
        if step.value is not None:
            uses = scope.Uses()
            value = self._renderer.render(step.value, uses, ids.prefix(name))
            return [Record(self._completion.complete(name, value, uses, None, now))]
        prepared = self._preparation.local(name, step)
        found = self._recall(name, step, prepared)
        if isinstance(found, Recall):
            return [found]
        self._running[name] = prepared
        if isinstance(found, reuse.Kept):
            completed = self._completion.complete(name, found.value, prepared.uses, None, now)
            return [Record(_reused(name, found, now)), Record(completed)]
        self._queued.append(name)
        notes: list[Command] = [Record(events.Noted(now, note)) for note in prepared.notes]
        return [*notes, Record(events.StepNotReused(now, name, found))] if found is not None else notes

    def _recall(self, name: str, step: TaskPlan | LocalPlan, prepared: Prepared) -> Recall | reuse.Kept | str | None:
        """What an earlier run has of a step: first the command to look, then what was found or why nothing was.

        None for a step that may reuse nothing, and for one that has asked before.
        """
        state = self._state.step(name)
        if prepared.key is None or step.cache is None or state.organizations or state.attempt > state.spared:
            return None
        if name not in self._recalled:
            self._recalling.add(name)
            return Recall(name, prepared.key, step.cache)
        return self._recalled.pop(name)

    def _note_result(self, name: str) -> None:
        """Have later runs find what a step has completed with, if they may."""
        prepared = self._running.get(name)
        if prepared is None or prepared.key is None:
            return
        step = self._plan.step(name)
        assert isinstance(step, (TaskPlan, LocalPlan))
        state = self._state.step(name)
        if reuse.whole(step, state) and state.ended is not None:
            self._to_keep.append(Keep(name, prepared.key, state.ended))

    def _ask_person(self, name: str, step: GatePlan, now: Time) -> list[Command]:
        message = self._renderer.render(step.message, scope.Uses(), ids.prefix(name))
        text = message if isinstance(message, str) else canonical(message)
        return [Record(events.GateAsked(now, name, text, step.approvers))]

    def _begin_task(self, name: str, step: TaskPlan, now: Time) -> list[Command]:
        asked = self._preparation.organizations(name, step)
        prepared = self._preparation.task(name, step, asked, check=True)
        found = self._recall(name, step, prepared)
        if isinstance(found, Recall):
            return [found]
        self._running[name] = prepared
        if isinstance(found, reuse.Kept):
            params = scope.params(self._plan, self._state, name)
            refused = reuse.refused(self._plan, step, name, asked, prepared.kwargs, found, params)
            if refused is None:
                self._touched[name] = None
                return [Record(_reused(name, found, now, central=step.central))]
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
        carried = prepared.uses.cohorts()
        commands.append(Record(events.StepStarted(now, name, asked, deadline, carried, step.central)))
        return commands + self._ask(name, step, waiting, now)

    def _check_queries(self, names: list[str]) -> None:
        """Refuse to ask whom the federation's policy does not let us ask again."""
        too_much = [name for name in names if not self._may_be_asked(name)]
        if too_much:
            most = self._plan.directory.policy.max_queries
            told = f"{', '.join(too_much)} may not be asked again: the federation's policy allows a run {most} each"
            raise Unfit("policy", told, "do with fewer task steps, or attempts")

    def _may_be_asked(self, name: str) -> bool:
        return self._plan.directory.policy.may_ask(self._queries.get(name, 0))

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
        prepared = self._running[name]
        if refused := self._refuse_undeclared(name, step, state, now):
            return refused
        organizations = state.organizations.values()
        due = self._due(step, state)
        open_ = [each for each in organizations if each.status in ("waiting", "requested") or each.name in due]
        reason = state.closed
        if open_ and reason is None:
            if state.deadline is not None and now >= state.deadline:
                if name not in self._last_looks:
                    self._last_looks.add(name)
                    if looks := self._look(name, requests.kills(state)):
                        return looks
                if self._unseen.get(name):
                    return []  # what was answered in time may be there
                reason = "timeout"
            elif not step.quorum.wait and judge.met(step.quorum, prepared.needed, state.answered):
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
            commands += requests.kills(state)
        return [*commands, Record(self._completion.judge(step, state, prepared, now))]

    def _refuse_undeclared(self, name: str, step: TaskPlan, state: StepState, now: Time) -> list[Command]:
        """Fail, and end, those who were seen to dispatch subtasks though the step does not say so."""
        if step.central:
            return []
        commands: list[Command] = []
        for each in state.organizations.values():
            if not each.subtasks or each.status not in ("requested", "answered"):
                continue
            failure = dispatched.undeclared(name, step.method, each.name, each.subtasks)
            commands.append(
                Record(events.TaskFailed(now, name, each.name, each.attempt, failure, each.log, each.subtasks))
            )
            if each.status == "requested":
                commands.append(Kill(each.token, (each.name,)))
        return commands

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
        prepared = self._running[name]
        attempt = state.attempt + 1
        request = LocalRequest(
            name,
            attempt,
            step.folder or self._plan.folder,
            function=step.function,
            command=prepared.command,
            kwargs=prepared.kwargs,
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
            request = requests.request(self._plan, name, self._running[name].kwargs, organizations, attempt)
            event = events.TaskRequested(now, name, organizations, attempt, request.token, requests.sent(request))
            commands.append(Ask(request, event))
        return commands

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
                request = requests.request(self._plan, name, self._running[name].kwargs, organizations, attempt)
                if request.token != sent_as or requests.sent(request) != sent:
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
            (name, requests.kills(self._state.step(name)))
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
        hint = "to give it more time, resume the run with --retry-failed and --deadline"
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

    def _end(self, ending: events.RunEnding) -> Event:
        """What ends the run, or begins to where there are steps under `finally`. What is known stays so."""
        known = self._state.ending
        if known is None and any(step.common.final for step in self._plan.steps.values()):
            return ending
        return (known or ending).outcome(ending.at)

    def _finish(self, now: Time) -> Event:
        """The end of a run in which nothing is left to do."""
        ending = self._state.ending
        return self._end(self._completion.outcome(now)) if ending is None else ending.outcome(now)


def _reused(name: str, kept: reuse.Kept, now: Time, *, central: bool = False) -> Event:
    value: Json = {each: answer.value for each, answer in kept.answers.items()} or None
    # their logs are those of the earlier run
    subtasks = tuple(replace(each, log=None) for answer in kept.answers.values() for each in answer.subtasks)
    return events.StepReused(now, name, kept.run, kept.step, kept.answered, value, subtasks, central)
