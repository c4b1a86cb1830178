"""What an explanation adds for a step of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core import json
from v6flow.core.execution import cohorts, dispatched, judge, scope
from v6flow.core.execution.state import SETTLED
from v6flow.core.expressions import ExpressionError, NotKnownYet, Template
from v6flow.core.language.messages import choice
from v6flow.core.planning import ids
from v6flow.core.planning.plan import iso
from v6flow.core.views.base import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds import TaskPlan
    from v6flow.core.planning.plan import Plan

_STATES = 6  # of a repeat step, the last ones: enough to see whether they come closer
_LONGEST = 200  # characters of a state


class Explained(View, frozen=True):
    """The part of an explanation that depends on the kind of its step, as JSON and in words."""

    @property
    def organizations(self) -> tuple[str, ...]:
        """Whom it asked."""
        return ()

    @property
    def closing(self) -> str | None:
        """Why it waited no longer."""
        return None

    def before(self) -> list[str]:
        """The lines before its attempts, with their heading."""
        return []

    def after(self, _time: Callable[[str], str], /) -> list[str]:
        """The lines after its attempts, with their heading; `_time` writes a moment."""
        return []

    def results(self) -> list[str]:
        """What came of it, in lines."""
        return []


class Reuse(View, frozen=True):
    """Whose result a step has, or why it was done again.

    run: the run whose result it has, or null
    step: the step of that run
    answered: when the result was computed
    reason: why it has no earlier result
    """

    run: str | None
    step: str | None
    answered: str | None
    reason: str | None

    def lines(self) -> list[str]:
        if self.run is None:
            return ["reuse:", f"  it was computed again: {self.reason}"]
        source = f"step {self.step} of run {self.run}, answered {self.answered}"
        return ["reuse:", f"  it was not computed again: it reuses the result of {source}"]


def reuse(step: StepState, reason: str | None) -> Reuse | None:
    """Which result was reused, or why none was; None for a step that was not to reuse any, or has not begun."""
    if step.reused is not None:
        return Reuse(step.reused.run, step.reused.source, iso(step.reused.answered), None)
    return None if reason is None else Reuse(None, None, None, reason)


class Judgement(View, frozen=True):
    """The rule of a quorum, how many it came to, and whether it is met.

    min: how many must answer, as the file says it
    required: who must be among them
    wait: `all` or `quorum`
    needed: how many that came to; null if not known yet
    responded: how many have answered
    met: whether it is met; null if not known yet
    """

    min: Json
    required: tuple[str, ...]
    wait: str
    needed: int | None
    responded: int
    met: bool | None


class ExplainedTask(Explained, frozen=True):
    """Whom a task asked, and how they were judged.

    asked: as in a run
    responded: as in a run
    failed: as in a run
    missing: as in a run
    coordinator: the organization that runs the central function
    subtasks: how many subtasks there are of each status
    quorum: the rule, and whether it is met
    closed: why it waited no longer: `timeout` or `quorum`
    reuse: whose result it has, or why it was done again
    """

    asked: tuple[str, ...]
    responded: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    coordinator: str | None
    subtasks: Mapping[str, Json] | None
    quorum: Judgement
    closed: str | None
    reuse: Reuse | None

    @property
    def organizations(self) -> tuple[str, ...]:
        return self.asked

    @property
    def closing(self) -> str | None:
        return {"timeout": "its timeout passed", "quorum": "enough had answered"}.get(self.closed or "")

    def before(self) -> list[str]:
        return self.reuse.lines() if self.reuse is not None else []

    def after(self, _time: Callable[[str], str], /) -> list[str]:
        return ["quorum:", f"  {self._judged()}"] if self.asked else []

    def _judged(self) -> str:
        asked, needed = len(self.asked), self.quorum.needed
        if self.coordinator is not None:
            return self._judged_central()
        if needed is None:
            rule = "how many must answer is not known"
        elif asked == 1:
            rule = f"{self.asked[0]} must answer"
        else:
            rule = f"all {asked} must answer" if needed == asked else f"{needed} of {asked} must answer"
        if self.quorum.required:
            rule += f", {choice(self.quorum.required, 'and')} among them"
        answered = choice(self.responded, "and") or "nobody"
        verdict = {True: ": enough", False: ": not enough", None: " so far"}[self.quorum.met]
        fates = {"failed": self.failed, "never answered": self.missing}
        others = [f"{choice(names, 'and')} {what}" for what, names in fates.items() if names]
        return "; ".join([rule, f"{answered} answered{verdict}", *others])

    def _judged_central(self) -> str:
        """What became of those whom a central function asked; it must answer itself in any case."""
        rule = f"the central function at {self.coordinator} must answer"
        verdict = {True: "it did", False: "it did not", None: "it has not so far"}[self.quorum.met]
        fates = {"answered it": self.responded, "failed": self.failed, "did not answer it": self.missing}
        parts = [f"{choice(names, 'and')} {what}" for what, names in fates.items() if names]
        return "; ".join([f"{rule}: {verdict}", *(parts if self.subtasks else ())])


def of_task(plan: Plan, state: RunState, step: StepState, planned: TaskPlan, reason: str | None) -> ExplainedTask:
    return ExplainedTask(
        asked=tuple(step.asked),
        responded=tuple(step.responded),
        failed=tuple(step.failed),
        missing=tuple(step.missing),
        coordinator=step.coordinator,
        subtasks=dispatched.statuses(step) if step.coordinator is not None else None,
        quorum=_judged(plan, state, planned, step),
        closed=step.closed,
        reuse=reuse(step, reason),
    )


def _judged(plan: Plan, state: RunState, planned: TaskPlan, step: StepState) -> Judgement:
    quorum = planned.quorum
    minimum: Any = quorum.minimum
    source: Json = minimum.source if isinstance(minimum, Template) else minimum
    wait = "all" if quorum.wait else "quorum"
    needed = met = None
    if step.organizations:
        try:
            if isinstance(minimum, Template):
                minimum = minimum.render(scope.names(plan, state, cohorts.Uses(), prefix=ids.prefix(step.name)))
            needed = quorum.needed(minimum, len(step.organizations))
        except (ValueError, ExpressionError, NotKnownYet):
            needed = None
    if needed is not None:
        is_met = judge.met(quorum, needed, step.answered)
        met = is_met if is_met or step.status in SETTLED else None
    return Judgement(source, tuple(quorum.required), wait, needed, len(step.answered), met)


class ExplainedLocal(Explained, frozen=True):
    """Whose result a local step has.

    reuse: whose result it has, or why it was done again
    """

    reuse: Reuse | None

    def before(self) -> list[str]:
        return self.reuse.lines() if self.reuse is not None else []


class ExplainedRepeat(Explained, frozen=True):
    """The iterations of a repeat step.

    iterations: how many have ended
    converged: whether `until` holds
    history: the state at the beginning and after each iteration
    """

    iterations: int
    converged: bool
    history: tuple[Json, ...]

    def results(self) -> list[str]:
        converged = ", and its condition held" if self.converged else ""
        lines = [f"  {self.iterations} iteration{'' if self.iterations == 1 else 's'} completed{converged}"]
        states = list(enumerate(self.history))[-_STATES:]
        return lines + [f"  state after iteration {number}: {_short(state)}" for number, state in states]


def _short(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = json.dumps(json.printable(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


class Item(View, frozen=True):
    """An item of a foreach step.

    key: its key
    status: `open`, `completed` or `failed`
    """

    key: str
    status: str


class ExplainedForeach(Explained, frozen=True):
    """The items of a foreach step.

    items: its items: `{key, status}`
    """

    items: tuple[Item, ...]

    def results(self) -> list[str]:
        return [f"  item {each.key}: {each.status}" for each in self.items]


class ExplainedDecision(View, frozen=True):
    """What a gate asked whom, and what was decided.

    message: what it asks
    approvers: whom
    asked: when
    decision (decided gate): `approved` or `rejected`
    by (decided gate): by whom
    at (decided gate): when
    comment (decided gate): why
    """

    OPTIONAL = ("decision", "by", "at", "comment")
    message: str
    approvers: tuple[str, ...]
    asked: str
    decision: str | None = None
    by: str | None = None
    at: str | None = None
    comment: str | None = None


class ExplainedGate(Explained, frozen=True):
    """What a gate asked, and what was decided.

    gate: what it asked whom, and what was decided
    """

    gate: ExplainedDecision

    def after(self, time: Callable[[str], str], /) -> list[str]:
        gate = self.gate
        asked = f"asked at {time(gate.asked)}: {gate.message}"
        if gate.decision is None or gate.at is None:
            return ["decision:", f"  {asked}; nobody has decided"]
        comment = f" ({gate.comment})" if gate.comment else ""
        return ["decision:", f"  {asked}; {gate.decision} by {gate.by} at {time(gate.at)}{comment}"]


def of_gate(step: StepState) -> ExplainedGate | None:
    """What a gate asked and what was decided; None if it has not asked."""
    asked, decided = step.question, step.decision
    if asked is None:
        return None
    told = asked.message, asked.approvers, iso(asked.at)
    if decided is None:
        return ExplainedGate(ExplainedDecision(*told))
    return ExplainedGate(ExplainedDecision(*told, decided.decision, decided.by, iso(decided.at), decided.comment))
