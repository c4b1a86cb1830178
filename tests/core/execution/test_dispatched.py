"""Whose data a step has by what its task runs dispatched."""

from __future__ import annotations

import pytest

from v6flow.core.execution import dispatched
from v6flow.core.execution.events import Failure, Subtask
from v6flow.core.execution.standing import OrganizationState
from v6flow.core.execution.state import StepState


def step(*subtasks: Subtask, status: str = "answered", failure: Failure | None = None) -> StepState:
    """A central step at alpha."""
    found = StepState("mean", status="completed", central=True)
    found.organizations["alpha"] = OrganizationState("alpha", subtasks=subtasks, failure=failure)
    found.organizations["alpha"].status = status  # type: ignore[assignment]  # one of its words
    return found


def task(number: int, names: str, *, parent: str = "", by: str = "", status: str = "completed") -> list[Subtask]:
    """The runs of a task; a name may say how it stands: `beta/crashed`."""
    found = []
    for name in names.split():
        organization, _, stands = name.partition("/")
        found.append(Subtask(organization, stands or status, task=str(number), parent=parent, by=by))
    return found


def test_a_step_that_dispatched_nothing_is_about_those_whom_it_asked() -> None:
    alone = step()
    assert (alone.asked, alone.responded, alone.coordinator) == (["alpha"], ["alpha"], "alpha")
    assert dispatched.cohorts(alone) == (("mean", ("alpha",)),)
    plain = step()
    plain.central = False
    assert plain.coordinator is None


def test_a_central_step_is_about_the_organizations_of_its_subtasks() -> None:
    failure = Failure("subtask_failed", "…", "mean", "gamma")
    asked = step(*task(1, "alpha beta gamma/crashed delta/pending"), status="failed", failure=failure)
    assert asked.asked == ["alpha", "beta", "gamma", "delta"]
    assert (asked.responded, asked.failed, asked.missing) == (["alpha", "beta"], ["gamma"], ["delta"])
    assert asked.failures["gamma"] == Failure("crashed", "crashed", "mean", "gamma")
    assert asked.coordinator == "alpha"
    assert dispatched.statuses(asked)["delta"] == "pending"
    assert dispatched.still_open(asked) == ["delta"]


def test_who_failed_in_one_of_several_rounds_has_not_responded() -> None:
    asked = step(*task(1, "beta gamma"), *task(2, "beta gamma/crashed"), *task(3, "beta gamma"))
    assert (asked.responded, asked.failed) == (["beta"], ["gamma"])


def test_those_who_only_passed_it_on_are_not_among_the_cohort() -> None:
    asked = step(*task(1, "beta"), *task(2, "gamma delta", parent="1", by="beta"))
    assert (asked.asked, asked.responded) == (["gamma", "delta"], ["gamma", "delta"])
    assert dispatched.cohorts(asked) == (("mean", ("gamma", "delta")),)


def test_what_is_below_one_that_failed_has_not_responded() -> None:
    lost = Subtask("beta", "crashed", "KeyError", "tail", task="1")
    asked = step(lost, *task(2, "gamma", parent="1", by="beta"), *task(3, "delta"))
    assert (asked.responded, asked.failed) == (["delta"], ["gamma"])
    why = asked.failures["gamma"]
    assert why is not None
    assert why.message == "the subtask at beta crashed: KeyError, which had asked it"


@pytest.mark.parametrize(
    ("tasks", "cohorts"),
    [
        (["alpha beta", "beta alpha"], ["alpha beta"]),
        (["alpha beta", "alpha"], ["alpha beta", "alpha"]),
        (["alpha", "beta", "gamma"], ["alpha beta gamma"]),  # one task for each, as each has an input of its own
        (["alpha", "beta", "alpha", "beta"], ["alpha beta"]),
        (["alpha", "beta", "alpha"], ["alpha beta", "alpha"]),
        (["alpha beta", "gamma"], ["alpha beta", "gamma"]),
        (["gamma", "alpha beta"], ["gamma", "alpha beta"]),
        (["alpha beta/crashed", "alpha beta"], ["alpha", "alpha beta"]),
        (["alpha/crashed", "beta/killed"], [""]),
    ],
)
def test_rounds(tasks: list[str], cohorts: list[str]) -> None:
    asked = step(*(each for number, names in enumerate(tasks) for each in task(number + 1, names)))
    found = [frozenset(names) for _, names in dispatched.cohorts(asked)]
    assert found == [frozenset(names.split()) for names in cohorts]


def test_rounds_below_a_subtask_that_differ_are_a_mixture_too() -> None:
    inner = [*task(2, "beta gamma", parent="1", by="alpha"), *task(3, "beta", parent="1", by="alpha")]
    mixed = step(*task(1, "alpha"), *inner)
    assert len(dispatched.cohorts(mixed)) == 2
    # two that each ask others, in one round, have one cohort
    both = [*task(2, "beta", parent="1", by="alpha"), *task(3, "gamma", parent="1", by="delta")]
    assert dispatched.cohorts(step(*task(1, "alpha delta"), *both)) == (("mean", ("beta", "gamma")),)


def test_rounds_without_tasks_are_told_apart_as_in_older_journals() -> None:
    asked = step(Subtask("alpha", "completed"), Subtask("beta", "completed"), Subtask("alpha", "completed"),
                 Subtask("beta", "completed"))  # fmt: skip
    assert dispatched.cohorts(asked) == (("mean", ("alpha", "beta")),)


def test_whom_it_asked_without_saying_so_counts_for_nothing() -> None:
    found = task(1, "beta gamma")
    failure = dispatched.undeclared("mean", "central_average", "alpha", found)
    asked = step(*found, status="failed", failure=failure)
    assert (asked.asked, asked.failed, asked.coordinator) == (["alpha"], ["alpha"], "alpha")
    assert failure.message == (
        "central_average sent subtasks to beta, gamma, so it is a central function: the step must say `central: true`"
    )
    assert failure.hint == (
        "write `central: true` and `organization: alpha` under `task` of step mean, and start a new run"
    )


def test_the_first_lost_subtask_is_a_cause_and_no_consequence() -> None:
    late = Subtask("alpha", "crashed", task="1", ended=9.0)
    early = Subtask("beta", "crashed", task="1", ended=5.0)
    follows = Subtask("gamma", "failed", task="1", ended=1.0, consequence=True)
    silent = Subtask("delta", "pending", task="1")
    assert dispatched.first_lost((follows, late, silent, early)) is early
    assert dispatched.first_lost((follows, silent)) is silent
    assert dispatched.first_lost((Subtask("alpha", "completed"),)) is None
    # clocks of nodes differ: what one asked that crashed comes before it
    outer = Subtask("alpha", "crashed", task="1", ended=5.0)
    inner = Subtask("beta", "crashed", task="2", parent="1", by="alpha", ended=6.0)
    assert dispatched.first_lost((outer, inner)) is inner


def test_news_are_what_was_asked_and_what_has_ended() -> None:
    before = (Subtask("alpha", "pending", task="1"), Subtask("beta", "active", task="1"))
    now = (Subtask("alpha", "active", task="1"), Subtask("beta", "completed", task="1"),
           Subtask("beta", "pending", task="2"))  # fmt: skip
    assert dispatched.changed(before, now) == now[1:]
    assert dispatched.merged(before, now[1:]) == (before[0], *now[1:])
    assert dispatched.changed(now, now) == ()


def test_each_subtask_has_a_name() -> None:
    found = [*task(7, "alpha beta"), *task(9, "beta")]
    assert [name for name, _ in dispatched.labels(found)] == ["alpha, subtask 1", "beta, subtask 1", "beta, subtask 2"]


def test_what_a_person_is_told_of_subtasks_that_were_left_open() -> None:
    assert dispatched.ended_note("mean", "attempt 1", ["alpha", "gamma", "alpha", "gamma"]) == (
        "step mean: ended 4 subtasks of attempt 1 that were still open: alpha, gamma"
    )
    assert dispatched.left_note("", "task 7", ["alpha"], "denied") == (
        "could not end 1 subtask of task 7 that is still open: alpha (denied)"
    )
