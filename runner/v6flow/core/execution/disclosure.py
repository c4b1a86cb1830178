"""Smallest counts: whether a result may be known, and what is withheld of a task run where they are demanded."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.core import expressions
from v6flow.core.expressions import ExpressionError
from v6flow.core.kinds.settings import COUNT
from v6flow.core.language.model import bare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.execution.events import Subtask
    from v6flow.core.expressions import Template
    from v6flow.core.kinds import StepPlan
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.policy import Policy


def least(policy: Policy, step: TaskPlan) -> int | None:
    """The smallest count that results of a step must have; None if nobody demands one."""
    return policy.least(step.disclosure.min_count)


def counts(policy: Policy, step: TaskPlan) -> tuple[Template, ...]:
    """The counts that must all be large enough: those of the policy first, then that of the step itself.

    Where the policy demands a count and declares none for this method, that is `result.count`, whatever the step says.
    Where a run began before it was declared, results that have a `count` must pass by that as well.
    """
    declared = policy.counted_by(step.image, step.method)
    sources = [source for each in declared for source in each]
    own = step.disclosure.count
    if not sources and (policy.min_count is not None or own is None):
        sources = [str(COUNT.source)]
    elif sources and not all(declared):
        sources.append(f"{{{{ {bare(COUNT)} | default(({bare(_compiled(sources[0]))})) }}}}")
    found = {source: _compiled(source) for source in sources}
    if own is not None:
        found.setdefault(str(own.source), own)
    return tuple(found.values())


def refusal(policy: Policy, step: TaskPlan, names: Mapping[str, object]) -> tuple[str, str | None] | None:
    """Why a result must not be known, without anything of it, and what to do; None if it may be.

    `names` are those that its counts use: `result`, `organization`, and for the step's own `params`.
    """
    wanted = least(policy, step)
    if wanted is None:
        return None
    for count in counts(policy, step):
        found = _number(count, names)
        if found is None:
            own = count is step.disclosure.count or policy.min_count is None
            hint = _HINT if own else _POLICY_HINT.format(image=step.image, method=step.method)
            return f"its result is refused unseen: it does not say how many it is about, at {bare(count)}", hint
        if not found >= wanted:  # so for NaN as well
            return f"its result is refused unseen: it is about fewer than {wanted}", None
    return None


def _number(count: Template, names: Mapping[str, object]) -> float | None:
    """The number that a count gives; None for anything that is no count."""
    try:
        found = count.render(names)
    except ExpressionError:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found in _ENDLESS:
        return None
    return found


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    return expressions.compile(source)


# ---------------------------------------------------------------------------------------------------- withholding


def why_withheld(policy: Policy, step: StepPlan | None) -> str | None:
    """Why logs and messages of a step's task runs are neither kept nor shown; None if they are, or if it has none."""
    task = step.task if step is not None else None
    if task is None:
        return None
    if policy.min_count is not None:
        return "the federation's policy sets min_count"
    return None if least(policy, task) is None else "the step's disclosure sets min_count"


def who_can_see(policy: Policy) -> str:
    """What a person can do who needs what is withheld."""
    if policy.min_count is not None:
        here = "on an embedded federation, run with a federation file whose policy has no min_count"
    else:
        here = "or run without min_count in the step's disclosure"
    return f"the administrator of the organization's node can read the log there; {here}"


def sentence(kind: str, why: str, image: str) -> str:
    """The message on a failed task run in place of its own; `kind` as in `backends.base.Failed`."""
    what = _SENTENCES.get(kind, "it failed").format(image=image)
    return f"{what} (the details are withheld, because {why})"


def withheld(subtasks: Iterable[Subtask]) -> tuple[Subtask, ...]:
    """Subtasks without anything that their algorithms printed or raised."""
    told = "the details are withheld"
    return tuple(
        replace(each, message=told if each.message else "", log_tail="", log=None, hint=None) for each in subtasks
    )


_ENDLESS = (math.inf, -math.inf)
_HINT = "say where it does: disclosure: {count: …}"
_POLICY_HINT = (
    "declare where it does, under `policy` in the federation file: "
    'counts: {{"{image}": {{"{method}": "{{{{ result.KEY }}}}"}}}}'
)
_SENTENCES = {
    "crashed": "the algorithm ended with an error",
    "garbage": "its result is refused: it is not a valid result",
    "start_failed": "the algorithm did not start",
    "unknown": "the task run ended, and it is not known how",
    "no_image": "the image {image} cannot be run there",
    "no_database": "a database that the step names is not there",
    "killed": "the task run was killed",
    "consequence": "the server ended the task run because another organization failed",
}
