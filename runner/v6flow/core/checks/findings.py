"""Findings about a federation: what is well, what a person should know, and which steps of a plan cannot succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from v6flow.core.expressions import Template
from v6flow.core.language.messages import choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from v6flow.core.kinds.settings import Quorum
    from v6flow.core.kinds.task import TaskPlan
    from v6flow.core.language.problem import InvalidError
    from v6flow.core.planning.plan import Plan
    from v6flow.errors import V6flowError

Status: TypeAlias = Literal["ok", "warning", "problem"]

_ORDER: tuple[Status, ...] = ("problem", "warning", "ok")
MOST_NAMED = 12  # names that a sentence lists

_WRONG = 2  # the exit code of what is wrong in a workflow or a federation


class Finding(Struct, frozen=True):
    """One thing that was looked at: what (`subject`), its status, and what to do about it.

    With an `organization`, `message` continues after its name, as in "is offline". A problem of an organization is one
    for all tasks there, or only for those of an `image` or with a database `label`, by the names that workflows use;
    a problem of an image alone is one everywhere.
    """

    subject: str
    status: Status
    message: str
    remedy: str | None = None
    exit_code: int = 0  # of the program, for a problem
    organization: str | None = None
    image: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        """All of it on one line."""
        told = f"{self.subject}{' ' if self.organization is not None else ': '}{self.message}"
        return told if self.remedy is None else f"{told} ({self.remedy})"


class Need(Struct, frozen=True):
    """What a task step needs of each of some organizations; where it is known only later whom it asks: of all."""

    step: str
    image: str
    labels: tuple[str, ...]
    organizations: tuple[str, ...]
    store: bool = False  # the image is looked up in an algorithm store


def ok(subject: str, message: str, *, organization: str | None = None) -> Finding:
    """Something that is well."""
    return Finding(subject, "ok", message, organization=organization)


def warning(subject: str, message: str, remedy: str | None = None, *, organization: str | None = None) -> Finding:
    """Something that a person should know, and that stops nothing."""
    return Finding(subject, "warning", message, remedy, organization=organization)


def of_error(subject: str, error: V6flowError) -> Finding:
    """The problem that an error describes."""
    # an error that would fail a run says here that a federation is not what its file says
    return Finding(subject, "problem", error.message, error.hint, _WRONG if error.exit_code == 1 else error.exit_code)


def of_problems(subject: str, error: InvalidError) -> list[Finding]:
    """A problem for each that an error lists, with its place."""
    listed = [each for each in error.problems if each.severity == "error"]
    return [Finding(subject, "problem", str(each), exit_code=error.exit_code) for each in listed]


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Problems first, then warnings, then what is well; else as they came."""
    return sorted(findings, key=lambda each: _ORDER.index(each.status))


def exit_code(findings: Iterable[Finding]) -> int:
    """0 without problems, else what the program ends with: unreachable before denied before wrong."""
    return max((each.exit_code for each in findings if each.status == "problem"), default=0)


def needs(plan: Plan | None) -> tuple[Need, ...]:
    """What the task steps of a plan need; nothing without a plan."""
    return tuple(
        Need(
            step.common.name,
            step.image,
            tuple(each.label for each in step.databases),
            step.members if isinstance(step.organizations, Template) else step.organizations,
            step.store is not None,
        )
        for step in (plan.tasks() if plan is not None else ())
    )


def blocked(plan: Plan, findings: Sequence[Finding]) -> list[Finding]:
    """For each task step that cannot succeed as planned, a finding that says why.

    Only problems count: who is offline may come back. Of a step that asks somebody who is known only later, nothing
    is said. Where the run continues without the step, it is a warning.
    """
    return [found for found, _ in _blocked(plan, findings)]


def weigh(plan: Plan, findings: Sequence[Finding]) -> list[Finding]:
    """Findings in the light of a plan, with the steps that cannot succeed.

    A problem of an organization or of an image is only a warning as long as no step fails of it.
    """
    found = list(_blocked(plan, findings))
    fatal = [cause for each, causes in found for cause in causes if each.status == "problem"]
    told = [each for each, _ in found]
    if not told and not any(each.status == "problem" and each.subject.startswith("step ") for each in findings):
        told.append(ok("workflow", "every step can reach its quorum"))
    for each in findings:
        partial = each.organization is not None or each.image is not None
        harmless = each.status == "problem" and partial and each not in fatal
        told.append(replace(each, status="warning", exit_code=0) if harmless else each)
    return told


def _blocked(plan: Plan, findings: Sequence[Finding]) -> Iterator[tuple[Finding, list[Finding]]]:
    problems = [each for each in findings if each.status == "problem"]
    for step in plan.tasks():
        if isinstance(step.organizations, Template):
            continue
        asked = step.organizations
        lost = {name: causes for name in asked if (causes := [x for x in problems if _hinders(x, step, name)])}
        able = [name for name in asked if name not in lost]
        needed = _needed(step.quorum, len(asked))
        required = [name for name in step.quorum.required if name in lost]
        if len(able) >= needed and not required:
            continue
        causes = [cause for each in lost.values() for cause in each]
        fatal = step.common.on_failure == "fail"
        found = Finding(
            f"step {step.common.name}",
            "problem" if fatal else "warning",
            f"it cannot succeed, since {_rule(asked, needed, able, required)}, and {_why(lost)}",
            _remedy(step, able, list(lost), required),
            max(cause.exit_code for cause in causes) if fatal else 0,
        )
        yield found, causes


def _hinders(finding: Finding, step: TaskPlan, organization: str) -> bool:
    """Whether a problem keeps an organization from answering a step."""
    if finding.organization is None and finding.image is None:
        return False
    return (
        finding.organization in (None, organization)
        and finding.image in (None, step.image)
        and (finding.label is None or any(each.label == finding.label for each in step.databases))
    )


def _needed(quorum: Quorum, asked: int) -> int:
    """How many must answer; where another step decides, at least one."""
    return 1 if isinstance(quorum.minimum, Template) else quorum.needed(quorum.minimum, asked)


def _rule(asked: Sequence[str], needed: int, able: Sequence[str], required: Sequence[str]) -> str:
    if len(asked) == 1:
        return f"it asks {asked[0]} alone"
    if len(able) >= needed:
        return f"{choice(required, 'and')} must answer"
    if needed == len(asked):
        return f"all {needed} must answer"
    return f"{needed} of {len(asked)} must answer"


def _why(lost: dict[str, list[Finding]]) -> str:
    """Who cannot answer and why; those with the same reason together."""
    alike: dict[str, list[str]] = {}
    for name, causes in lost.items():
        first = causes[0]
        reason = first.message if first.organization is not None else f"cannot do it: {first.message}"
        alike.setdefault(reason, []).append(name)
    return "; ".join(
        f"{names[0] if len(names) == 1 else f'each of {_named(names)}'} {reason}" for reason, names in alike.items()
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")


def _named(names: Sequence[str]) -> str:
    if len(names) <= MOST_NAMED:
        return choice(names, "and")
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


def _remedy(step: TaskPlan, able: Sequence[str], lost: Sequence[str], required: Sequence[str]) -> str:
    if not able:
        return "fix that first" if len(lost) > 1 else "fix that first, or ask another organization"
    ask = f"ask only {_named(able)} (organizations: [{_listed(able)}])"
    if required:
        return f"fix that first, or {ask} and take {choice(required, 'and')} out of `required`"
    if step.isolation == "task":  # which goes with all only
        return f"fix that first, or {ask}"
    return f"fix that first, or {ask}, or do without {_named(lost)} (quorum: {len(able)})"
