"""Judging a task step that nobody will answer any more."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

import pytest
from driver import drive, make

from v6flow.core.execution import completion, judge
from v6flow.core.execution import events as ev
from v6flow.core.execution.events import Failure, Subtask
from v6flow.core.execution.standing import OrganizationState
from v6flow.core.execution.state import RunState, StepState
from v6flow.core.kinds import TaskPlan
from v6flow.core.kinds.settings import Quorum, Retry, parse_retry
from v6flow.core.language import units


def planned(settings: str = "timeout: 1h", task: str = "method: m") -> TaskPlan:
    step = make(f"steps:\n  a:\n    task: {{{task}}}\n    {settings}\n").steps["a"]
    assert isinstance(step, TaskPlan)
    return step


def state(**organizations: str) -> StepState:
    """A step with organizations that have answered, failed (`failed 3`: at 3 seconds) or are silent."""
    found = StepState("a", status="running")
    for name, said in organizations.items():
        each = found.organizations[name] = OrganizationState(name, status="requested", attempt=1)
        if said == "answered":
            each.status = "answered"
        elif said != "silent":
            kind, _, at = said.partition(" ")
            each.status, each.since = "failed", float(at or 0)
            each.failure = Failure(kind, f"trouble at {name}", "a", name, "look there", f"log of {name}")
    return found


def test_a_met_quorum_is_no_failure() -> None:
    assert judge.quorum(planned(), state(alpha="answered", beta="answered"), 2) is None
    assert judge.quorum(planned("quorum: 1"), state(alpha="answered", beta="crashed"), 1) is None


def test_the_first_cause_comes_first() -> None:
    failure = judge.quorum(planned(), state(alpha="unknown 5", beta="crashed 2", gamma="answered"), 3)
    assert failure == Failure(
        "crashed",
        "beta crashed: trouble at beta; alpha failed: trouble at alpha (1 of 3 answered, all must)",
        "a", "beta", "look there", "log of beta",
    )  # fmt: skip


def test_silence() -> None:
    failure = judge.quorum(planned(), state(alpha="answered", beta="silent", gamma="silent"), 3)
    assert failure is not None
    assert failure.kind == "timeout"
    assert failure.message == "beta, gamma did not answer within 1h00m (1 of 3 answered, all must)"
    assert failure.organization == "beta"
    assert "resume the run with --retry-failed" in (failure.hint or "")


@pytest.mark.parametrize(
    ("step", "organizations", "needed", "told"),
    [
        (planned("quorum: 2"), {"alpha": "answered", "beta": "garbage", "gamma": "start_failed"}, 2,
         "beta answered with garbage: trouble at beta; gamma did not start: trouble at gamma (1 of 3 answered, 2 must)"),
        (planned("quorum: {min: 1, required: [beta]}"), {"alpha": "answered", "beta": "crashed"}, 1,
         "beta crashed: trouble at beta (1 of 2 answered, beta must)"),
        (planned("timeout: none", "method: m, organization: alpha"), {"alpha": "crashed"}, 1, "alpha crashed: trouble at alpha"),
        (planned("timeout: 2h", "method: m, organization: alpha"), {"alpha": "silent"}, 1, "alpha did not answer within 2h00m"),
    ],
)  # fmt: skip
def test_sentences(step: TaskPlan, organizations: dict[str, str], needed: int, told: str) -> None:
    failure = judge.quorum(step, state(**organizations), needed)
    assert failure is not None
    assert failure.message == told


def test_a_lost_subtask_is_told_in_place_of_who_waits_for_it() -> None:
    step = planned("timeout: 2h", "method: m, organization: alpha, central: true")
    lost = Subtask("beta", "crashed", "KeyError", "tail", task="1", ended=5.0)
    waits = state(alpha="silent")
    waits.organizations["alpha"].subtasks = (lost, Subtask("gamma", "active", task="1"))
    failure = judge.quorum(step, waits, 1)
    assert failure is not None
    assert failure.message == (
        "the subtask at beta crashed: KeyError; the central function at alpha did not end within 2h00m"
    )
    assert (failure.organization, failure.log_tail) == ("beta", "tail")

    failed = state(alpha="crashed")
    failed.organizations["alpha"].subtasks = (lost,)
    told = "the subtask at beta crashed: KeyError; so"
    failed.organizations["alpha"].failure = Failure("crashed", told, "a", "beta")
    failure = judge.quorum(step, failed, 1)
    assert failure is not None
    assert (failure.message, failure.organization) == (told, "beta")


@pytest.mark.parametrize(
    ("minimum", "asked", "needed"),
    [("all", 5, 5), (3, 5, 3), ("100%", 7, 7), ("50%", 5, 3), ("20%", 5, 1), ("60%", 5, 3), ("33.3%", 3, 1), ("1%", 3, 1),
     ("70%", 10, 7), ("58%", 100, 58), ("43.2%", 375, 162)],
)  # fmt: skip
def test_how_many_are_needed(minimum: int | str, asked: int, needed: int) -> None:
    assert Quorum().needed(minimum, asked) == needed


@pytest.mark.parametrize("minimum", [0, -1, True, None, 1.5, "0%", "101%", "x%", "nan%", "some", [], {"min": 1}, 6])
def test_no_quorum(minimum: object) -> None:
    with pytest.raises(ValueError, match=r"quorum|percentage"):
        Quorum().needed(minimum, 5)  # type: ignore[arg-type]  # what an expression may yield


def test_waits_between_attempts() -> None:
    assert [Retry(9, 10.0, 2.0, 60.0).wait(n) for n in (1, 2, 3, 4, 9)] == [10, 20, 40, 60, 60]
    assert Retry(9999, 1.0, 10.0, 60.0).wait(5000) == 60
    assert Retry(9999, 0.0, 10.0).wait(5000) == 0
    assert Retry(9999, 1.0, 10.0).wait(5000) == units.LONGEST, "a wait has an end, whatever it grows by"


@pytest.mark.parametrize("backoff", [10**400, 1e308, 1_000_001])
def test_a_wait_that_grows_too_fast_is_refused(backoff: float) -> None:
    with pytest.raises(ValueError, match="backoff is at most 1000000"):
        parse_retry({"attempts": 2, "backoff": backoff})


def test_the_runs_failure_is_the_earliest_of_those_that_may_not_fail() -> None:
    plan = make("""
steps:
  a: {local: {value: 1}}
  b: {local: {value: 1}, on_failure: continue}
  c: {local: {value: 1}}
""")
    run = RunState()
    assert completion.first_failure(plan, run) is None
    for name, at in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        run.steps[name] = StepState(name, status="failed", ended=at, failure=ev.Failure("crashed", name))
    first = completion.first_failure(plan, run)
    assert first is not None
    assert first.message == "c"
    run.steps["gone"] = StepState("gone", status="failed", ended=0.0, failure=ev.Failure("crashed", "gone"))
    assert completion.first_failure(plan, run) == first  # what is no longer in the file fails nothing


def test_a_consequence_is_never_the_first_cause_though_it_was_heard_of_first() -> None:
    run = drive("steps:\n  a:\n    task: {method: m, isolation: task}\n")
    run.fail("a", "alpha", kind="consequence", message="beta failed first")
    run.fail("a", "beta", kind="crashed", message="ZeroDivisionError")
    run.answer("a", "gamma")
    assert (run.failure().kind, run.failure().organization) == ("crashed", "beta")
    assert run.failure().message.startswith("beta crashed: ZeroDivisionError; alpha failed: beta failed first")
