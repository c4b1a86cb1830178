"""The state of a run: the replay of its events."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

from v6flow.core.execution import events as ev
from v6flow.core.execution.pinned import Pinned
from v6flow.core.execution.state import RunState, StepState, apply, replay

FAILURE = ev.Failure("crashed", "it broke", "a", "alpha")
START: list[ev.Event] = [ev.RunStarted(1.0, "w-1", "w", {"params": {}})]
ASKED: list[ev.Event] = [
    *START,
    ev.StepStarted(2.0, "a", ("alpha", "beta", "gamma"), 100.0),
    ev.TaskRequested(2.0, "a", ("alpha",), 1, "t-alpha", "d"),
    ev.TaskRequested(2.0, "a", ("beta",), 1, "t-beta", "d"),
]


def test_a_new_run() -> None:
    state = replay(START)
    assert (state.run, state.workflow, state.pinned, state.status, state.started, state.last) == (
        "w-1", "w", Pinned(), "running", 1.0, 1.0)  # fmt: skip
    assert not state.over
    assert state.step("unheard") == StepState("unheard")
    assert "unheard" not in state.steps


def test_how_organizations_fare() -> None:
    state = replay([
        *ASKED,
        ev.TaskAccepted(3.0, "a", "t-beta", "task 7"),
        ev.TaskFailed(4.0, "a", "alpha", 1, FAILURE, "log"),
        ev.TaskAnswered(5.0, "a", "beta", 1, {"n": 1}, "log2", (ev.Subtask("gamma", "completed"),)),
    ])  # fmt: skip
    step = state.step("a")
    alpha, beta, gamma = step.organizations.values()
    assert (alpha.status, alpha.failure, alpha.since, alpha.log, alpha.accepted) == (
        "failed",
        FAILURE,
        4.0,
        "log",
        None,
    )
    assert (beta.status, beta.value, beta.accepted, beta.subtasks[0].organization) == (
        "answered",
        {"n": 1},
        "task 7",
        "gamma",
    )
    assert (gamma.status, gamma.attempt) == ("waiting", 0)
    assert (step.asked, step.responded, step.failed) == (["alpha", "gamma"], [], ["alpha"])
    assert step.answered == ["beta"]  # whose central function asked gamma, which has yet to be asked itself
    assert step.missing == []  # not yet: it still runs
    apply(state, ev.StepCompleted(9.0, "a"))
    assert step.missing == ["gamma"]
    assert (step.started, step.ended, step.status) == (2.0, 9.0, "completed")


def test_asking_again_is_another_attempt() -> None:
    state = replay([*ASKED, ev.TaskFailed(4.0, "a", "alpha", 1, FAILURE), ev.TaskAccepted(4.0, "a", "t-alpha", "task 1"),
                    ev.TaskRequested(5.0, "a", ("alpha",), 2, "t2", "d2")])  # fmt: skip
    alpha = state.step("a").organizations["alpha"]
    assert (alpha.status, alpha.attempt, alpha.token, alpha.digest, alpha.accepted) == (
        "requested",
        2,
        "t2",
        "d2",
        None,
    )
    assert state.step("a").attempts == 2


def test_closing_and_failing() -> None:
    state = replay([*ASKED, ev.StepClosed(6.0, "a", "timeout"), ev.StepFailed(6.0, "a", FAILURE)])
    step = state.step("a")
    assert (step.closed, step.status, step.failure, step.missing) == (
        "timeout",
        "failed",
        FAILURE,
        ["alpha", "beta", "gamma"],
    )


def test_steps_that_never_started_have_begun_when_they_ended() -> None:
    state = replay(
        [
            *START,
            ev.StepFailed(6.0, "a", FAILURE),
            ev.StepCompleted(7.0, "b", 1),
            ev.StepSkipped(8.0, "c", "a"),
        ]
    )
    assert (state.step("a").started, state.step("b").started, state.step("c").started) == (6.0, 7.0, None)
    assert (state.step("c").cause, state.step("c").ended, state.step("b").value) == ("a", 8.0, 1)


def test_ends() -> None:
    assert replay([*START, ev.RunCompleted(9.0, {"o": 1})]).outputs == {"o": 1}
    for event, status, code in (
        (ev.RunCompleted(9.0, {}), "completed", 0),
        (ev.RunFailed(9.0, FAILURE), "failed", 1),
        (ev.RunFailed(9.0, FAILURE, 124), "failed", 124),
        (ev.RunCancelled(9.0), "cancelled", 1),
    ):
        state = replay([*START, event])
        assert (state.status, state.exit_code, state.ended, state.over) == (status, code, 9.0, True)
    interrupted = replay([*START, ev.RunInterrupted(9.0, FAILURE, 130)])
    assert (interrupted.status, interrupted.exit_code, interrupted.over, interrupted.failure) == (
        "interrupted",
        130,
        False,
        FAILURE,
    )
    assert replay([*START, ev.CancelRequested(2.0)]).cancelling


def test_resuming() -> None:
    events: list[ev.Event] = [*ASKED, ev.RunInterrupted(9.0, FAILURE, 130)]
    state = replay([*events, ev.RunResumed(20.0, 11.0), ev.RunInterrupted(21.0, FAILURE, 130),
                    ev.RunResumed(26.0, 5.0, {"jobs": 1}, ("b",))])  # fmt: skip
    assert (state.status, state.failure, state.exit_code, state.ended, state.down) == (
        "running",
        None,
        None,
        None,
        16.0,
    )
    assert state.pinned == Pinned(jobs=1)
    assert state.step("a").deadline == 100.0  # it had asked: its time went on
    unsent = replay([*ASKED[:2], ev.RunResumed(20.0, 11.0)])
    assert unsent.step("a").deadline == 111.0


def test_an_interrupted_local_attempt_counts_for_nothing() -> None:
    state = replay([*START, ev.LocalRequested(2.0, "l", 1, 60.0), ev.LocalFailed(3.0, "l", 1, FAILURE, "log"),
                    ev.LocalRequested(4.0, "l", 2, 60.0)])  # fmt: skip
    step = state.step("l")
    assert (step.status, step.requested, step.attempt, step.started, step.spared) == (
        "running",
        True,
        2,
        2.0,
        0,
    )
    apply(state, ev.RunResumed(10.0, 5.0))
    assert (step.requested, step.spared, step.failure, step.deadline) == (False, 1, None, 65.0)


def test_retrying_keeps_answers_and_counts_attempts_on() -> None:
    events: list[ev.Event] = [
        *ASKED,
        ev.TaskAnswered(3.0, "a", "alpha", 1, 7),
        ev.TaskFailed(4.0, "a", "beta", 1, FAILURE),
        ev.StepFailed(5.0, "a", FAILURE),
        ev.StepSkipped(5.0, "b", "a"),
        ev.StepStarted(5.0, "c", ("alpha",)),
        ev.TaskRequested(5.0, "c", ("alpha",), 3, "t-c", "d"),
        ev.TaskAnswered(6.0, "c", "alpha", 3, 8),
        ev.StepCompleted(6.0, "c"),
        ev.RunFailed(6.0, FAILURE),
        ev.RunResumed(20.0, 14.0, None, (), ("a",), ("b", "c")),
    ]
    state = replay(events)
    a, b, c = (state.step(name) for name in "abc")
    assert (a.status, a.failure, a.ended, a.deadline, a.responded) == ("pending", None, None, None, ["alpha"])
    assert [(each.status, each.attempt, each.spared) for each in a.organizations.values()] == [
        ("answered", 1, 0), ("waiting", 1, 1), ("waiting", 0, 0)]  # fmt: skip
    assert (b.status, b.cause, c.status, c.organizations) == ("pending", None, "pending", {})
    apply(state, ev.StepStarted(21.0, "c", ("alpha", "beta")))
    assert [(each.attempt, each.spared, each.value) for each in c.organizations.values()] == [
        (3, 3, None),
        (3, 3, None),
    ]
    apply(state, ev.StepStarted(21.0, "a", ("alpha", "beta", "gamma"), 90.0))
    assert (a.status, a.deadline, a.organizations["alpha"].value, a.started) == ("running", 90.0, 7, 2.0)


def test_everything_that_happens_moves_the_clock() -> None:
    assert replay([*START, ev.CancelRequested(5.5)]).last == 5.5
    assert replay([]) == RunState()


def test_when_an_organization_began_is_known_until_it_is_asked_again() -> None:
    state = replay([*ASKED, ev.TaskStarted(4.0, "a", "alpha", 1, 3.5), ev.TaskStarted(4.5, "a", "beta", 1)])
    alpha, beta, gamma = state.step("a").organizations.values()
    assert (alpha.began, beta.began, gamma.began) == (3.5, 4.5, None)
    apply(state, ev.TaskRequested(5.0, "a", ("alpha",), 2, "t-again", "d"))
    assert (alpha.attempt, alpha.began) == (2, None)
    apply(state, ev.TaskStarted(6.0, "a", "alpha", 1, 3.5))  # of the attempt before
    assert alpha.began is None


def test_what_an_answer_is_made_of_stays_with_it() -> None:
    origin = {"database": "d1"}
    answered = ev.TaskAnswered(4.0, "a", "alpha", 1, 7, None, (), 12, "sha256:5", origin)
    alpha = replay([*ASKED, answered]).step("a").organizations["alpha"]
    assert (alpha.size, alpha.image, alpha.origin) == (12, "sha256:5", origin)


def test_who_began_and_what_people_accepted_since() -> None:
    begun = ev.RunStarted(1.0, "w-1", "w", {"a": 1}, "anna", "terminal", "k", comment="again", labels={"team": "c"})
    state = replay([begun, ev.RunResumed(2.0, 1.0, change_accepted="a typo"), ev.RunResumed(3.0, 1.0)])
    assert state.begun is not None
    assert (state.begun.by, state.begun.via, state.begun.key) == ("anna", "terminal", "k")
    assert (state.begun.comment, state.begun.labels, state.begun.value) == ("again", {"team": "c"}, {})
    assert state.changes_accepted == ["a typo"]


def test_a_late_answer_counts_for_its_attempt_alone() -> None:
    state = replay([*ASKED, ev.StepClosed(4.0, "a", "quorum"), ev.TaskLate(5.0, "a", "beta", 1)])
    beta = state.step("a").organizations["beta"]
    assert (beta.status, beta.late, beta.value) == ("requested", True, None)
    apply(state, ev.TaskRequested(6.0, "a", ("beta",), 2, "t9", "d"))
    assert not beta.late
