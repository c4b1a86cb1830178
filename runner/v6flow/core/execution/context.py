"""What a kind of step may see and use of a run while it is executed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from v6flow.core import expressions
from v6flow.core.execution import answers, cohorts, events, scope
from v6flow.core.execution.commands import Kill, Look, Recall
from v6flow.core.execution.evaluation import DependencyFailed, StepInvalid, evaluate, mapping
from v6flow.core.execution.frontier import Frontier
from v6flow.core.json import canonical
from v6flow.core.kinds import STEP_KINDS
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.execution.commands import Command, KillLocal
    from v6flow.core.execution.events import Event, Time
    from v6flow.core.execution.reuse import Basis, Kept, Key
    from v6flow.core.execution.standing import Cohort
    from v6flow.core.execution.state import RunState
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds import StepPlan
    from v6flow.core.language.model import Common
    from v6flow.core.planning.plan import Plan

MAX_PROPERTIES = 10_000  # characters of JSON: facts that are in every table and log, not results


class Execution:
    """The part of a run that is being executed: its steps, or those under `finally` once it is known how it ends.

    `plan` and `state` are to be read; `frontier` takes requests to advance. `work` has, for each step at work, what its
    kind remembers of it: nothing that cannot be computed again from the state. A run in which nothing is at work waits
    for people only. `basis` is what results depend on besides the plan; None: no step reuses any.
    """

    def __init__(self, plan: Plan, state: RunState, basis: Basis | None) -> None:
        self.plan = plan
        self.state = state
        self.basis = basis
        self.frontier = Frontier(plan, state)
        self.work: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()  # organizations, as often as was decided and is not in the state yet
        self.unseen: dict[str, set[str]] = {}  # tokens of each step of which it is not known what is there
        self.recalls: dict[str, Kept | str | None] = {}  # what an earlier run has, or why nothing; None: looked up
        self._known = scope.known(plan, state.ending)

    # -- expressions

    def render(
        self,
        template: Template,
        uses: cohorts.Uses,
        prefix: str,
        *,
        organization: str | None = None,
        following: object = scope.NOTHING,
    ) -> Json:
        """The value of a template for the steps with a prefix. Raises DependencyFailed, StepInvalid."""
        if template.literal:
            return template.source
        names = self.names(uses, prefix, following)
        if organization is not None:
            names["organization"] = organization
        return evaluate(template, names, uses)

    def names(self, uses: cohorts.Uses, prefix: str, following: object = scope.NOTHING) -> dict[str, object]:
        """The names in the expressions of the steps with a prefix; `following` is the state after an iteration."""
        return scope.names(self.plan, self.state, uses, self._known, prefix, following)

    def holds(self, condition: Template, prefix: str) -> bool:
        """Whether the condition of a step holds. Raises DependencyFailed, StepInvalid."""
        found = self.render(condition, cohorts.Uses(), prefix)
        if not isinstance(found, bool):
            hint = "compare it with something, as in {{ params.x == 'full' }}"
            raise StepInvalid("expression", f"`when` must be true or false, and is {expressions.kind(found)}", hint)
        return found

    def mixture(self, step: StepPlan, uses: cohorts.Uses, *own: Cohort) -> bool:
        """Whether a value of what was used, and of a step's own answers, mixes cohorts.

        Raises StepInvalid if it may not.
        """
        mixed = cohorts.difference((*uses.compared(), *own), uses.accepted())
        if mixed and step.common.mixed_cohorts is None:
            raise StepInvalid("cohorts", mixed, cohorts.MIXED_HINT)
        if mixed or any(uses.accepted()):
            return True
        return bool(uses.loose) and cohorts.difference((*uses.cohorts(), *own)) is not None

    def params(self, name: str) -> Mapping[str, Json]:
        """The params of the file that a step is in."""
        return scope.params(self.plan, self.state, name)

    def kind(self, name: str) -> Any:
        """How a step is executed, a `StepExecution`."""
        return STEP_KINDS[self.plan.step(name).kind].execution

    # -- asking

    def may_ask(self, organization: str) -> bool:
        """Whether the federation's policy lets the run ask an organization again."""
        asked = self.state.queries.get(organization, 0) + self.asked[organization]
        return self.plan.directory.policy.may_ask(asked)

    def look(self, name: str, kills: Iterable[Kill | KillLocal]) -> list[Command]:
        """The commands that see what is there of what would be killed, since a deadline has passed."""
        tokens = [kill.token for kill in kills if isinstance(kill, Kill)]
        self.unseen.setdefault(name, set()).update(tokens)
        return [Look(token) for token in tokens]

    def looked(self, name: str, token: str) -> None:
        """Take note that all which is there under a token has been reported."""
        if token in self.unseen.get(name, ()):
            self.unseen[name].discard(token)
            self.frontier.touch(name)

    def recall(self, name: str, key: Key | None, longest: float | None) -> Recall | Kept | str | None:
        """What an earlier run has of a step: first the command to look, then what was found or why nothing was.

        `longest` is how many seconds old it may be. None for a step that may reuse nothing.
        """
        if key is None or longest is None:
            return None
        found = self.recalls.pop(name, None)
        if found is None:
            self.recalls[name] = None
            return Recall(name, key, longest)
        return found

    # -- ending a step

    def skipped(self, name: str, lacked: str, now: Time) -> Event:
        """The event of a step that cannot run, since one that it needs has not completed."""
        cause = self.state.step(lacked).cause or lacked
        reason = "failed" if self.state.step(cause).status == "failed" else "skipped"
        return events.StepSkipped(now, name, cause, reason)

    def completed(self, name: str, value: Json, uses: cohorts.Uses, log: str | None, now: Time,
                  own: tuple[Cohort, ...] = ()) -> Event:  # fmt: skip
        """The event of a step whose value was computed of what was used and of its `own` answers."""
        carried = tuple(dict.fromkeys((*uses.cohorts(), *own)))
        mixed = False
        if carried:
            try:
                mixed = self.mixture(self.plan.step(name), uses, *own)
            except StepInvalid as error:
                return events.StepFailed(now, name, error.failure(name))
        return self.approved(events.StepCompleted(now, name, value, carried, mixed, log))

    def approved(self, completed: events.StepCompleted) -> Event:
        """The event of a step that has all it needs to complete: that one, or its failure by what the file demands."""
        name = completed.step
        step = self.plan.step(name)
        common = step.common

        def failed(kind: str, message: str, hint: str | None = None) -> Event:
            return events.StepFailed(completed.at, name, events.Failure(kind, message, step=name, hint=hint))

        if completed.accepted and common.mixed_cohorts is not None:
            completed = replace(completed, mixed_cohorts=common.mixed_cohorts)
        if common.output_schema is not None and self.kind(name).checks_value:
            wrong = answers.misfit(common.output_schema, completed.value)
            if wrong is not None:
                return failed("output_schema", wrong)
        for check in common.checks:
            if not check.each:
                wrong = check.unmet(self._names_of(completed, cohorts.Uses()))
                if wrong is not None:
                    return failed("check", wrong)
        if common.properties is None:
            return completed
        try:
            return self._published(completed, common, common.properties)
        except (DependencyFailed, StepInvalid) as error:
            hint = error.hint if isinstance(error, StepInvalid) else "write default(…) around what may be missing"
            return failed("properties", f"its properties: {error}", hint)

    def _published(self, completed: events.StepCompleted, common: Common, properties: Template) -> Event:
        """The event of a step that has completed, with its properties, which mix no cohorts either."""
        uses = cohorts.Uses()
        facts = mapping(evaluate(properties, self._names_of(completed, uses), uses))
        size = len(canonical(dict(facts)))
        if size > MAX_PROPERTIES:
            told = f"they are {size} characters of JSON, and {MAX_PROPERTIES} are allowed"
            raise StepInvalid("properties", told, "publish facts here, and results as outputs")
        own = [{frozenset(names) for _, names in completed.carried}] if completed.accepted else []
        mixed = cohorts.difference((*completed.carried, *uses.cohorts()), [*uses.accepted(), *own])
        if mixed and common.mixed_cohorts is None:
            raise StepInvalid("cohorts", mixed, cohorts.MIXED_HINT)
        reason = common.mixed_cohorts if mixed else completed.mixed_cohorts
        return replace(completed, properties=facts, mixed_cohorts=reason)

    def _names_of(self, completed: events.StepCompleted, uses: cohorts.Uses) -> dict[str, object]:
        """The names in the messages on a step that is about to complete."""
        this = scope.this(self.plan, completed, self.state.step(completed.step), uses)
        return {**self.names(uses, ids.prefix(completed.step)), "this": this}
