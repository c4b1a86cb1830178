"""Which organizations a task step has: those that it asked, or those that a central function asked in turn.

A task run that dispatched subtasks stands for the organizations of these. Whether it did is seen, and follows from no
flag of the step. All that reports who was asked, responded, failed or is missing, and whose data a value was computed
from, goes by this module; the quorum of a step is about the organizations that the step itself asked.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from v6flow.core.execution.events import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from v6flow.core.execution.events import Subtask
    from v6flow.core.execution.standing import Cohort, OrganizationState

UNDECLARED = "central_undeclared"
"""The kind of failure of a task run that dispatched subtasks in a step that does not say `central: true`."""

COMPLETED = "completed"
OPEN = frozenset({"pending", "initializing", "active"})
"""vantage6's words for a task run that has not ended."""

Standing: TypeAlias = Literal["answered", "failed", "open"]

_KINDS = {
    "crashed": "crashed",
    "start failed": "start_failed",
    "unknown error": "unknown",
    "not allowed": "not_allowed",
    "non-existing Docker image": "no_image",
    "killed by user": "killed",
}
_WORDS = {
    "pending": "did not answer",
    "initializing": "did not end",
    "active": "did not end",
    "start failed": "did not start",
    "unknown error": "failed",
    "not allowed": "was not allowed",
    "non-existing Docker image": "found no image",
    "killed by user": "was killed",
}


class AskingStep(Protocol):
    """A step that has asked organizations; `central`: it says that they may ask others."""

    name: str
    organizations: dict[str, OrganizationState]
    central: bool


class CohortPart(Struct, frozen=True):
    """The standing of one organization in a step, and why it failed if it did; `working`: a node has begun."""

    organization: str
    standing: Standing
    failure: Failure | None = None
    working: bool = False


class _Node(Struct, frozen=True):
    """A subtask's run with the runs that it dispatched itself; a leaf has none."""

    subtask: Subtask
    inner: tuple[_Node, ...]


def has_dispatched(asked: OrganizationState) -> bool:
    """Whether what counts of a task run is whom it asked in turn: not where the step does not allow that it asks."""
    return bool(asked.subtasks) and not (asked.failure is not None and asked.failure.kind == UNDECLARED)


def parts(step: AskingStep) -> dict[str, CohortPart]:
    """The standing of each organization of a step, in the order in which they were asked."""
    found: dict[str, CohortPart] = {}
    for asked in step.organizations.values():
        mine = _leaves(asked) if has_dispatched(asked) else iter((_itself(asked),))
        for part in mine:
            before = found.get(part.organization)
            found[part.organization] = part if before is None else _worse(before, part)
    return found


def coordinator(step: AskingStep) -> str | None:
    """The organization that runs the central function of a step; None for a step that has none."""
    central = [each.name for each in step.organizations.values() if has_dispatched(each)]
    if not central and step.central:
        central = list(step.organizations)
    return central[0] if central else None


def hides(step: AskingStep) -> bool:
    """Whether whom the central function of a step asked may not be seen."""
    return any(each.hidden for each in step.organizations.values())


def cohorts(step: AskingStep) -> tuple[Cohort, ...]:
    """Whose data the value of a step was computed from, by itself: more than one is a mixture.

    For a central function these are the cohorts of its batches of subtasks: several subtasks of one organization each
    are one batch, until an organization comes a second time.
    """
    name = step.name
    if hides(step):  # equal to no other
        return ((name, (f"whom the central function of {name} asked, which this user may not see",)),)
    own: list[str] = []
    found: dict[frozenset[str], Cohort] = {}
    for asked in step.organizations.values():
        if not has_dispatched(asked):
            if asked.status == "answered":
                own.append(asked.name)
            continue
        for members in _rounds(_trees(asked.subtasks)):
            found.setdefault(frozenset(members), (name, members))
    if own or not found:
        found.setdefault(frozenset(own), (name, tuple(own)))
    return tuple(found.values())


def statuses(step: AskingStep) -> dict[str, str]:
    """vantage6's word for each organization in all that was dispatched; of several, the first that is not completed."""
    found: dict[str, str] = {}
    for asked in step.organizations.values():
        for each in asked.subtasks:
            if found.get(each.organization, COMPLETED) == COMPLETED:
                found[each.organization] = each.status
    return found


def still_open(step: AskingStep) -> list[str]:
    """The organizations of subtasks that had not ended when they were last seen."""
    names = [each.organization for asked in step.organizations.values() for each in asked.subtasks if is_open(each)]
    return list(dict.fromkeys(names))


def is_open(subtask: Subtask) -> bool:
    """Whether a subtask had not ended when it was last seen."""
    return subtask.status in OPEN


def first_lost(subtasks: Sequence[Subtask]) -> Subtask | None:
    """The subtask that did not complete first: a cause before what follows from it, a failure before silence."""
    failed_inside = {(each.parent, each.by) for each in subtasks if each.status != COMPLETED and not is_open(each)}

    def rank(each: Subtask) -> tuple[bool, bool, bool, float]:
        follows = (each.task, each.organization) in failed_inside and bool(each.task)
        return each.consequence, is_open(each), follows, math.inf if each.ended is None else each.ended

    return min((each for each in subtasks if each.status != COMPLETED), key=rank, default=None)


def tell(subtask: Subtask) -> str:
    """How a subtask ended, as `the subtask at beta crashed: KeyError: 'age'`."""
    told = f"the subtask at {subtask.organization} {_WORDS.get(subtask.status, subtask.status)}"
    return f"{told}: {subtask.message}" if subtask.message else told


def failure(subtask: Subtask, step: str) -> Failure:
    """The failure of a subtask as that of its organization."""
    kind = _KINDS.get(subtask.status, subtask.status.replace(" ", "_"))
    message = subtask.message or _WORDS.get(subtask.status, subtask.status)
    return Failure(kind, message, step, subtask.organization, subtask.hint, subtask.log_tail)


def of_cause(found: Failure, lost: Subtask, coordinator: str) -> Failure:
    """The failure of a central function that failed after a subtask was lost: that one is reported first.

    One that was merely still open may have had no part in it, and is reported last.
    """
    if is_open(lost):
        return replace(found, message=f"{found.message} (the subtask at {lost.organization} had not ended by then)")
    then = f"the central function at {coordinator} then failed: {found.message}"
    return replace(
        found,
        message=f"{tell(lost)}; {then}",
        organization=lost.organization,
        hint=lost.hint or found.hint,
        log_tail=lost.log_tail or found.log_tail,
    )


def tells_of_subtask(asked: OrganizationState) -> bool:
    """Whether the failure of a subtask explains that of a central function."""
    lost = first_lost(asked.subtasks)
    return lost is not None and asked.failure is not None and tell(lost) in asked.failure.message


def undeclared(step: str, method: str, organization: str, subtasks: Iterable[Subtask], then: str = "") -> Failure:
    """The failure of a task run that dispatched subtasks, of a step that does not say that it may."""
    names = ", ".join(dict.fromkeys(each.organization for each in subtasks if not each.parent))
    message = f"{method} sent subtasks to {names}, so it is a central function: the step must say `central: true`"
    hint = f"write `central: true` and `organization: {organization}` under `task` of step {step}, and start a new run"
    return Failure("central_undeclared", message + (f" ({then})" if then else ""), step, organization, hint)


def changed(before: Sequence[Subtask], now: Sequence[Subtask]) -> tuple[Subtask, ...]:
    """Those of some subtasks that are new, or that have ended since."""
    known = {_key(each): each for each in before}
    return tuple(each for each in now if (old := known.get(_key(each))) is None or (is_open(old) and not is_open(each)))


def merged(before: Sequence[Subtask], news: Sequence[Subtask]) -> tuple[Subtask, ...]:
    """What is known of subtasks after news of some of them."""
    found = {_key(each): each for each in before}
    found.update((_key(each), each) for each in news)
    return tuple(found.values())


def labels(subtasks: Sequence[Subtask]) -> list[tuple[str, Subtask]]:
    """Each subtask with a name for people: `beta, subtask 2`, where 2 is the number of the task in its order."""
    numbers: dict[str, int] = {}
    counted: Counter[str] = Counter()
    found = []
    for each in subtasks:
        counted[each.organization] += 1
        number = numbers.setdefault(each.task, len(numbers) + 1) if each.task else counted[each.organization]
        found.append((f"{each.organization}, subtask {number}", each))
    return found


def ended_note(step: str, of: str, organizations: Sequence[str]) -> str:
    """The message when subtasks that were still open were ended.

    `of` says whose they were, as `attempt 1`; `organizations` has a name for each subtask.
    """
    counted, names = _counted(organizations)
    verb = "was" if len(organizations) == 1 else "were"
    return f"{_place(step)}ended {counted} of {of} that {verb} still open: {names}"


def left_note(step: str, of: str, organizations: Sequence[str], why: str) -> str:
    """The message when subtasks that are still open could not be ended (see `ended_note`)."""
    counted, names = _counted(organizations)
    verb = "is" if len(organizations) == 1 else "are"
    return f"{_place(step)}could not end {counted} of {of} that {verb} still open: {names} ({why})"


def _place(step: str) -> str:
    return f"step {step}: " if step else ""


def _counted(organizations: Sequence[str]) -> tuple[str, str]:
    counted = "1 subtask" if len(organizations) == 1 else f"{len(organizations)} subtasks"
    return counted, ", ".join(dict.fromkeys(organizations))


def _key(subtask: Subtask) -> tuple[str, str]:
    return subtask.task, subtask.organization


def _itself(asked: OrganizationState) -> CohortPart:
    standing: Standing = "open"
    if asked.status in ("answered", "failed"):
        standing = "answered" if asked.status == "answered" else "failed"
    return CohortPart(asked.name, standing, asked.failure)


def _leaves(asked: OrganizationState) -> Iterator[CohortPart]:
    for node in _trees(asked.subtasks):
        yield from _of_node(node, None, asked)


def _of_node(node: _Node, above: Subtask | None, asked: OrganizationState) -> Iterator[CohortPart]:
    """The standing of the leaves of a subtask; `above` is what did not complete of those that it was dispatched by."""
    subtask = node.subtask
    if above is None and subtask.status != COMPLETED:
        above = subtask
    if node.inner:
        for each in node.inner:
            yield from _of_node(each, above, asked)
        return
    name, step = subtask.organization, asked.failure.step if asked.failure is not None else None
    cause = subtask if subtask.status != COMPLETED else above
    if cause is None:
        yield CohortPart(name, "answered")
    elif is_open(cause):
        yield CohortPart(name, "open", working=cause.status != "pending")
    elif cause is subtask:
        yield CohortPart(name, "failed", failure(subtask, step or ""))
    else:
        yield CohortPart(
            name, "failed", replace(failure(cause, step or ""), message=f"{tell(cause)}, which had asked it")
        )


def _worse(one: CohortPart, other: CohortPart) -> CohortPart:
    """Of two parts of an organization the one that counts: the first failure, else silence."""
    order: Mapping[Standing, int] = {"failed": 0, "open": 1, "answered": 2}
    return min(one, other, key=lambda each: order[each.standing])


def _trees(subtasks: Sequence[Subtask]) -> tuple[_Node, ...]:
    """The subtasks that a step's own task run dispatched, with what is below them."""
    below: dict[tuple[str, str], list[Subtask]] = {}
    for each in subtasks:
        below.setdefault((each.parent, each.by if each.parent else ""), []).append(each)

    def node(each: Subtask) -> _Node:
        inner = below.get((each.task, each.organization), ()) if each.task else ()
        return _Node(each, tuple(map(node, inner)))

    return tuple(map(node, below.get(("", ""), ())))


def _rounds(nodes: Sequence[_Node]) -> list[tuple[str, ...]]:
    """The organizations of whom data entered in each batch that one task run dispatched.

    Where what is below one batch has batches that differ, these are used.
    """
    found: list[tuple[str, ...]] = []
    for together in _together(nodes):
        members: dict[str, None] = {}
        for each in together:
            if each.subtask.status != COMPLETED:
                continue
            if not each.inner:
                members[each.subtask.organization] = None
                continue
            inner = list({frozenset(names): names for names in _rounds(each.inner)}.values())
            if len(inner) > 1:
                found += inner
            members.update(dict.fromkeys(name for names in inner for name in names))
        found.append(tuple(members))
    return found


def _together(nodes: Sequence[_Node]) -> list[list[_Node]]:
    """Runs of subtasks by batches: those of one task, and those of tasks to one organization each."""
    tasks: dict[str, list[_Node]] = {}
    for number, each in enumerate(nodes):
        tasks.setdefault(each.subtask.task or _unnamed(nodes, number), []).append(each)
    found: list[list[_Node]] = []
    single = False  # whether the last batch is made of tasks to one organization each
    for task in tasks.values():
        names = {each.subtask.organization for each in task}
        known = {each.subtask.organization for each in found[-1]} if found else set()
        if len(task) == 1 and single and not names & known:
            found[-1] += task
        else:
            found.append([*task])
        single = len(task) == 1
    return found


def _unnamed(nodes: Sequence[_Node], number: int) -> str:
    """The batch of a subtask of which no task is known, as in older journals: the how manieth of its organization."""
    name = nodes[number].subtask.organization
    return f"round {sum(each.subtask.organization == name for each in nodes[:number])}"
