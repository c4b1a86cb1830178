"""What to do next in a run: decided from its plan and its state, by asking the kinds of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.execution import completion, events, requests
from v6flow.core.execution.commands import Keep, Kill, KillLocal, Record
from v6flow.core.execution.context import Execution
from v6flow.core.execution.evaluation import DependencyFailed, StepInvalid
from v6flow.core.execution.state import SETTLED
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.planning import ids
from v6flow.errors import ResumeError

if TYPE_CHECKING:
    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.events import Event, Failure, Time
    from v6flow.core.execution.reuse import Basis, Kept
    from v6flow.core.execution.state import RunState
    from v6flow.core.execution.steps import StepExecution
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan


class Scheduler:
    """Decides what a run does next.

    `decide` reads the state and returns commands; the caller writes down their events, applies them to the state,
    reports them by `observe`, and carries the commands out. Nothing here has an effect or looks at a clock.

    What is at work is in `_run`, made from the state and made again when the run begins to end: then the steps under
    `finally` have their turn, and nothing else continues.
    """

    def __init__(self, plan: Plan, state: RunState, *, jobs: int = 4, basis: Basis | None = None) -> None:
        """Without a `basis` no step reuses a result; `jobs` is how many child processes run at once."""
        self._plan = plan
        self._state = state
        self._jobs = jobs
        self._basis = basis
        self._first: list[Command] = []  # what comes before all that is decided
        self._continued: list[str] = []  # steps that may have to ask again for what they had asked
        self._out_of_time = False  # the run's own deadline has made us look
        for step in state.steps.values():  # whoever held the run may have been killed before it could kill these
            if step.status in SETTLED or (state.ending is not None and not self._is_final(step.name)):
                self._first += requests.kills(step)
        self._enter_part()

    def decide(self, now: Time) -> list[Command]:
        """The commands that follow from the state at a time; an empty list if there is nothing to do but wait."""
        run, state = self._run, self._state
        if state.status != "running":
            return []
        if self._first:
            first, self._first = self._first, []
            return first
        continued, self._continued = self._continued, []
        if adopted := [
            each for name in continued for each in self._kind(name).readopt(run, self._plan.step(name), name)
        ]:
            return adopted
        run.asked.clear()
        if state.cancelling:
            return [*self._kill_all(), Record(self._end(events.RunEnding(now, "cancelled", {})))]
        if state.ending is None and self._plan.deadline is not None and now >= self._plan.deadline:
            return self._run_out_of_time(now)
        run.frontier.expire(now)
        commands = self._advance(now)
        while run.frontier.queued and len(run.frontier.placed) < self._jobs:
            name = next(iter(run.frontier.queued))
            del run.frontier.queued[name]
            run.frontier.placed.add(name)
            commands.append(self._kind(name).start(run, self._plan.step(name), name, now))
        if not commands and not run.frontier.levels[""].open:
            return [Record(self._finish(now))]
        return commands or self._pause(now)

    def observe(self, event: Event) -> None:
        """Take note of an event that was applied to the state."""
        run, name = self._run, getattr(event, "step", None)
        match event:
            case events.RunEnding():
                self._enter_part()
            case events.StepCompleted() | events.StepFailed() | events.StepSkipped():
                if isinstance(event, events.StepCompleted):
                    key = self._kind(event.step).kept(run, self._plan.step(event.step), event.step)
                    if key is not None:
                        self._first.append(Keep(event.step, key, event.at))
                run.work.pop(event.step, None)
                run.unseen.pop(event.step, None)
                run.frontier.settle(event.step)
            case _ if name in run.frontier.waiting:
                self._kind(name).observe(run, event)
        if self._run.frontier.continued:
            self._continue()

    def looked(self, step: str, token: str) -> None:
        """Take note that all which is there under a token has been reported."""
        self._run.looked(step, token)

    def recalled(self, step: str, found: Kept | str) -> None:
        """Take note of what an earlier run has of a step, or why it has nothing to reuse."""
        if self._run.recalls.get(step, found) is None:
            self._run.recalls[step] = found
            self._run.frontier.begin(step)

    def withdraw(self, failure: Failure, exit_code: int, now: Time) -> list[Command]:
        """Release the run, and kill what it has open; who is killed for it is asked again when it is resumed."""
        tasks = [kill for _, kill in self._kills() if isinstance(kill, Kill)]
        return [*self._withdraw(now), Record(events.RunInterrupted(now, failure, exit_code)), *tasks]

    def wake(self) -> Time | None:
        """When there may be something to do though nothing happens; None if never."""
        if self._out_of_time:
            return None
        timers = self._run.frontier.timers
        times = [timers[0][0]] if timers else []
        if self._plan.deadline is not None and self._state.ending is None:
            times.append(self._plan.deadline)
        return min(times, default=None)

    def waits_for(self, step: str, organization: str, token: str) -> bool:
        """Whether an answer to this token would still be used: late and doubled ones are not."""
        state = self._state.step(step)
        asked = state.organizations.get(organization)
        if state.status != "running" or state.closed is not None or asked is None or step not in self._run.work:
            return False
        return asked.status == "requested" and asked.token == token

    def computed(self, step: str, value: Json, log: str | None, now: Time) -> Event:
        """The event of a step whose child process answered."""
        return self._kind(step).computed(self._run, self._plan.step(step), step, value, log, now)

    # -- steps

    def _enter_part(self) -> None:
        """Take up the steps whose turn it is: all but those under `finally`, or these once the run ends."""
        self._run = Execution(self._plan, self._state, self._basis)
        self._out_of_time = False
        self._continued = []
        self._continue()

    def _continue(self) -> None:
        """Have the kinds compute again what they remember of steps that were running when the run was released."""
        continued = self._run.frontier.continued
        name = ""
        try:
            for name in continued:
                self._kind(name).resume(self._run, self._plan.step(name), name)
        except (DependencyFailed, StepInvalid) as error:
            raise ResumeError(f"step {name} was running, and now cannot: {error}") from error
        self._continued += continued
        continued.clear()

    def _kind(self, name: str) -> StepExecution:
        found: StepExecution = STEP_KINDS[self._plan.step(name).kind].execution
        return found

    def _is_final(self, name: str) -> bool:
        """Whether a step is under `finally`, or is nested in one that does; not if the file has it no more."""
        step = self._plan.steps.get(ids.definition(name))
        return step is not None and step.common.final

    def _advance(self, now: Time) -> list[Command]:
        """What follows for the steps that were touched, and for those that can begin."""
        run, frontier = self._run, self._run.frontier
        commands: list[Command] = []
        touched, frontier.touched = frontier.touched, {}
        for name in touched:
            if name in frontier.waiting and self._state.step(name).status in ("running", "waiting"):
                commands += self._kind(name).advance(run, self._plan.step(name), name, now)
        while frontier.ready:
            commands += self._begin(frontier.ready.popleft(), now)
        return commands

    def _begin(self, name: str, now: Time) -> list[Command]:
        run, step, prefix = self._run, self._plan.step(name), ids.prefix(name)
        try:
            if step.common.when is not None and not run.holds(step.common.when, prefix):
                return [Record(events.StepSkipped(now, name, name, "when"))]
            for short in step.common.needs:
                needed = self._plan.find(prefix, short) or short
                if self._state.step(needed).status != "completed":
                    raise DependencyFailed(needed)
            return [*STEP_KINDS[step.kind].execution.begin(run, step, name, now)]
        except DependencyFailed as error:
            return [Record(run.skipped(name, error.step, now))]
        except StepInvalid as error:
            return [Record(events.StepFailed(now, name, error.failure(name)))]

    # -- ending

    def _kills(self) -> list[tuple[str, Kill | KillLocal]]:
        """What would end what each step at work has open."""
        return [(name, kill) for name in self._run.work for kill in requests.kills(self._state.step(name))]

    def _withdraw(self, now: Time) -> list[Command]:
        """Take note of what is killed though the run does not end by it, so that it can be asked again."""
        return [
            Record(events.TaskWithdrawn(now, name, kill.token))
            for name, kill in self._kills()
            if isinstance(kill, Kill)
        ]

    def _kill_all(self) -> list[Command]:
        kills = [kill for _, kill in self._kills()]
        return sorted(kills, key=lambda kill: isinstance(kill, KillLocal))  # child processes last

    def _pause(self, now: Time) -> list[Command]:
        """Release the run if nothing can continue but what waits for people; nothing if something can."""
        run = self._run
        if run.work or run.frontier.queued or run.recalls or not self._state.gates:
            return []
        return [Record(events.RunPaused(now, tuple(gate.name for gate in self._state.gates)))]

    def _run_out_of_time(self, now: Time) -> list[Command]:
        """The run's own deadline has passed: what has been answered by now is still collected."""
        run = self._run
        if not self._out_of_time:
            self._out_of_time = True
            looks = [look for name in run.work for look in run.look(name, requests.kills(self._state.step(name)))]
            if looks:
                return looks
        if any(run.unseen.values()):
            return []
        if last := self._without_asking(now) or self._pause(now):
            return last  # what waits for a person only is not out of time
        hint = "to give it more time, resume the run with --retry-failed and --deadline"
        failure = events.Failure("deadline", "the run's own deadline passed", hint=hint)
        ending = self._end(events.RunEnding(now, "failed", {}, failure, 124))
        return [*self._withdraw(now), *self._kill_all(), Record(ending)]

    def _without_asking(self, now: Time) -> list[Command]:
        """What follows from what has been answered; nothing if that does not end the run, or somebody were asked."""
        commands = self._advance(now)
        if self._run.frontier.queued or not all(isinstance(each, Record) for each in commands):
            return []
        return commands or ([] if self._run.frontier.levels[""].open else [Record(self._finish(now))])

    def _end(self, ending: events.RunEnding) -> Event:
        """What ends the run, or begins to where there are steps under `finally`. What is known stays so."""
        known = self._state.ending
        if known is None and any(step.common.final for step in self._plan.steps.values()):
            return ending
        return (known or ending).outcome(ending.at)

    def _finish(self, now: Time) -> Event:
        """The end of a run in which nothing is left to do."""
        ending = self._state.ending
        return self._end(completion.outcome(self._run, now)) if ending is None else ending.outcome(now)
