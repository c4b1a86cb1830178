"""How a `repeat` step is executed: iteration after iteration, each with the state that the one before left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from v6flow.core.execution import cohorts, events, nesting
from v6flow.core.execution.commands import Record
from v6flow.core.execution.evaluation import DependencyFailed, StepInvalid, short
from v6flow.core.execution.steps import NOTHING, StepExecution
from v6flow.core.expressions import NotKnownYet, Undefined
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Event, Time
    from v6flow.core.execution.frontier import Inside
    from v6flow.core.execution.state import StepState
    from v6flow.core.kinds.repeat import RepeatPlan
    from v6flow.core.planning.plan import Plan


class LoopView:
    """`loop` in an expression: the iterations of the innermost repeat step, and of those around it by their `as`.

    `loose`: who answers may differ from round to round. `following` is the state after the round, where it is known
    already.
    """

    __slots__ = ("_following", "_loose", "_number", "_step", "_uses", "named")

    def __init__(
        self,
        step: StepState,
        number: int,
        uses: cohorts.Uses,
        named: dict[str, LoopView],
        following: object,
        *,
        loose: bool,
    ) -> None:
        self._step = step
        self._number = number
        self._uses = uses
        self.named = named
        self._following = following
        self._loose = loose

    def attribute(self, name: str) -> object:
        if name == "index":
            return self._number
        if name == "state":
            if self._number > len(self._step.history):
                raise NotKnownYet("loop.state")
            self._uses.carrying[self._step.name] = self._step
            if self._loose and self._number > 1:
                self._uses.loose.add(self._step.name)
            return self._step.history[self._number - 1]
        if name == "next" and self._following is not NOTHING:
            return self._following
        return self.named.get(name, Undefined(f"loop has no {name!r}"))

    def names(self) -> Iterable[str]:
        return ("index", "state", *self.named)


class RepeatExecution(StepExecution):
    """The kind `repeat`, as it is executed."""

    nests = True

    def begin(self, run: Execution, step: RepeatPlan, name: str, now: Time) -> list[Command]:
        uses = cohorts.Uses()
        first = run.render(step.state, uses, ids.prefix(name))
        mixed = run.mixture(step, uses)
        began = events.RoundEnded(now, name, 0, first, cohorts.distinct(uses.cohorts()), mixed)
        return nesting.begun(name, uses, began)

    def advance(self, run: Execution, step: RepeatPlan, name: str, now: Time) -> list[Command]:
        state = run.state.step(name)
        if not state.history:
            return []
        if state.converged or state.rounds >= step.max:
            return [Record(self._end(run, step, state, now))]
        return [Record(self._end_iteration(run, step, name, each, now)) for each in run.frontier.settled_inside(name)]

    def observe(self, run: Execution, event: Any) -> None:
        if isinstance(event, events.RoundEnded):
            run.frontier.close(event.step, event.round)
        run.frontier.advance(event.step)

    def resume(self, run: Execution, _step: RepeatPlan, name: str) -> None:
        if not run.state.step(name).history:  # it was interrupted before it had a state
            run.frontier.begin(name)

    def next_level(self, step: RepeatPlan, state: StepState, inside: Inside) -> int | None:
        over = not state.history or state.converged or state.rounds >= step.max
        return None if over or state.rounds + 1 in inside.numbers else state.rounds + 1

    def cohort_of(self, step: RepeatPlan, number: int) -> tuple[str, int] | None:
        if step.cohort == "any" or number == 1:
            return None
        return step.cohort, 1 if step.cohort == "fixed" else number - 1

    def attributes(self, plan: Plan, step: RepeatPlan, state: StepState) -> Mapping[str, Callable[[], object]]:
        return {
            "result": lambda: state.history[-1],
            "iterations": lambda: state.rounds,
            "converged": lambda: state.converged,
            "history": lambda: list(state.history),
            "responded": lambda: nesting.everybody(plan, state, shrinks=step.cohort == "shrink"),
        }

    def add_names(self, names: dict[str, object], step: RepeatPlan, state: StepState, number: int, uses: cohorts.Uses,
                  following: object) -> None:  # fmt: skip
        outer = names.get("loop")
        named = dict(outer.named) if isinstance(outer, LoopView) else {}
        view = names["loop"] = LoopView(state, number, uses, named, following, loose=step.cohort != "fixed")
        if step.alias is not None:
            named[step.alias] = view

    def _end_iteration(self, run: Execution, step: RepeatPlan, name: str, number: int, now: Time) -> Event:
        """The event of an iteration of which nothing is open: the state that it leaves, or how the step fails by it."""
        failure = nesting.failure_inside(run, name, number)
        if failure is not None:
            return events.StepFailed(now, name, failure)
        try:
            return self._iteration(run, step, name, number, now)
        except DependencyFailed as error:
            if nesting.is_outside(run, name, error.step):
                return run.skipped(name, error.step, now)
            failure = events.Failure("skipped", f"round {number}: {error}", name)
        except StepInvalid as error:
            failure = events.Failure(error.kind, f"round {number}: {error.message}", name, hint=error.hint)
        return events.StepFailed(now, name, failure)

    def _iteration(self, run: Execution, step: RepeatPlan, name: str, number: int, now: Time) -> Event:
        prefix = ids.inside(name, number)
        uses = cohorts.Uses()
        following = run.render(step.update, uses, prefix)
        mixed = run.mixture(step, uses)
        converged = False
        if step.until is not None:
            found = run.render(step.until, cohorts.Uses(), prefix, following=following)
            if not isinstance(found, bool):
                raise StepInvalid("expression", f"until is true or false, not {short(found)}")
            converged = found
        return events.RoundEnded(now, name, number, following, cohorts.distinct(uses.cohorts()), mixed, converged)

    def _end(self, run: Execution, step: RepeatPlan, state: StepState, now: Time) -> Event:
        """The event of a step that has no more iterations."""
        name = state.name
        if state.converged or step.on_max == "continue":
            completed = events.StepCompleted(now, name, None, state.carried, state.accepted)
            if step.cohort != "fixed" and cohorts.difference(state.carried) is not None:
                completed = replace(completed, mixed_cohorts=f"cohort: {step.cohort}")
            if step.until is not None and not state.converged:
                completed = replace(completed, exhausted=state.rounds)
            return run.approved(completed)
        counted = "1 round" if state.rounds == 1 else f"{state.rounds} rounds"
        message = f"after {counted}, the most there may be, it has not converged"
        hint = (
            "look at the state after each iteration: raise max if it still comes closer; if it does not, correct the "
            "steps, the update or until"
        )
        return events.StepFailed(now, name, events.Failure("max", message, name, hint=hint))


EXECUTION = RepeatExecution()
