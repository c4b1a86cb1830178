from __future__ import annotations

import io
from typing import TYPE_CHECKING

from msgspec.structs import replace
from story import (
    BEGUN,
    COMPLETED,
    FAILED,
    INTERRUPTED,
    MOMENTS,
    NASTY,
    RETRIED,
    RUN,
    START,
    WORKFLOW,
    make,
    many,
    tell,
)

from v6flow.core.execution import events as ev
from v6flow.core.execution.state import replay
from v6flow.core.policy import Policy
from v6flow.reporters.lines import Lines

if TYPE_CHECKING:
    from v6flow.core.execution.events import Event
    from v6flow.core.planning.plan import Plan


def told(events: list[Event], plan: Plan | None = None) -> list[str]:
    stream = io.StringIO()
    tell(Lines(stream, kept="/data/runs/x"), plan or make(), events)
    return stream.getvalue().splitlines()


def test_a_run_is_told_fact_by_fact() -> None:
    assert told(COMPLETED) == [
        f"05:23:00Z run {RUN} of workflow variance started, 2026-11-21, 4 steps",
        "05:23:00Z kept in /data/runs/x",
        "05:23:00Z offline: gamma",
        "05:23:01Z moments: asks alpha, beta, gamma, for at most 2h00m",
        "05:23:03Z moments: alpha answered (1 of 3)",
        "05:23:04Z moments: beta FAILED: no such image (again in 30s)",
        "05:23:34Z moments: asks beta again (attempt 2 of 3)",
        "05:23:36Z moments: beta answered (2 of 3)",
        "07:23:01Z moments: stopped waiting: its timeout has passed; not yet answered: gamma",
        "07:23:01Z moments: completed in 2h00m, 2 of 3 answered (gamma did not answer in time)",
        "07:23:01Z pooled: computes here",
        "07:23:03Z pooled: completed in 2.0s",
        "07:23:03Z deviations: asks alpha, beta",
        "07:23:04Z deviations: alpha answered (1 of 2)",
        "07:23:05Z deviations: beta answered (2 of 2)",
        "07:23:05Z deviations: completed in 2.0s, 2 of 2 answered",
        "07:23:05Z report: completed",
        "07:23:05Z run completed in 2h00m",
        "incomplete: moments: 2 of 3 answered (gamma did not answer in time)",
    ]


def test_a_failure_is_told_when_it_happens_and_at_the_end() -> None:
    lines = told(FAILED)
    assert "07:23:05Z deviations: beta FAILED: KeyError: 'age'" in lines
    why = "beta crashed: KeyError: 'age' (1 of 2 answered, all must)"
    assert f"07:23:05Z deviations: FAILED after 2.0s: {why}" in lines
    assert "07:23:05Z report: skipped, since deviations failed" in lines
    assert lines[lines.index("07:23:05Z run FAILED after 2h00m") + 1] == f"step deviations at beta: {why}"
    assert lines[-1].endswith(f"v6flow resume --retry-failed {RUN}")


def test_an_interrupted_run_says_how_to_go_on() -> None:
    assert told(INTERRUPTED)[-2:] == [
        "07:23:04Z run INTERRUPTED",
        f"to resume where it stopped: v6flow resume {RUN}",
    ]
    access = ev.RunInterrupted(START + 9, ev.Failure("access", "the log-in was refused"), 4)
    assert told([*BEGUN, access])[-2:] == [
        "05:23:09Z run INTERRUPTED: the log-in was refused",
        f"to resume where it stopped: v6flow resume {RUN}",
    ]


def test_a_run_that_is_let_go_of_without_an_event_says_how_to_go_on() -> None:
    assert told(BEGUN)[-1].endswith(f"run released while still running; to resume: v6flow resume {RUN}")


def test_a_retry_counts_from_the_resume_and_the_last_attempt_promises_none() -> None:
    failed = ev.Failure("start_failed", "no such image")
    events: list[Event] = [
        *BEGUN,
        ev.TaskFailed(START + 4, "moments", "beta", 1, failed),
        ev.TaskRequested(START + 34, "moments", ("beta",), 2, "b2", "d"),
        ev.TaskFailed(START + 35, "moments", "beta", 2, failed),
        ev.TaskRequested(START + 65, "moments", ("beta",), 3, "b3", "d"),
        ev.TaskFailed(START + 66, "moments", "beta", 3, failed),
    ]
    beta = [line[10:] for line in told(events) if "beta" in line][1:]
    assert beta == [
        "moments: beta FAILED: no such image (again in 30s)",
        "moments: asks beta again (attempt 2 of 3)",
        "moments: beta FAILED: no such image (again in 30s)",
        "moments: asks beta again (attempt 3 of 3)",
        "moments: beta FAILED: no such image",
    ]


def test_no_attempt_is_promised_beyond_the_deadline() -> None:
    late = ev.TaskFailed(START + 7190, "moments", "beta", 1, ev.Failure("start_failed", "no such image"))
    assert told([*BEGUN, late])[-2].endswith("beta FAILED: no such image")


def test_who_has_answered_before_is_not_said_to_be_asked() -> None:
    events: list[Event] = [
        *FAILED,
        ev.RunResumed(START + 8000, 795.0, retry=("deviations",), reset=("report",)),
        ev.StepStarted(START + 8000, "deviations", ("alpha", "beta"), None),
        ev.TaskRequested(START + 8000, "deviations", ("beta",), 2, "b9", "d"),
    ]
    resumed = events[len(FAILED) :]
    stream = io.StringIO()
    reporter = Lines(stream)
    state = replay(events)
    reporter.begin(make(), state)
    for event in resumed:
        reporter.event(event, state)
    assert stream.getvalue().splitlines() == [
        f"07:36:20Z run {RUN} of workflow variance resumed, 2026-11-21, 4 steps, 2 of them already settled",
        "07:36:20Z offline: gamma",
        "07:36:20Z resumed; no process had worked on the run for 13m15s",
        "07:36:20Z deviations: asks beta (1 of 2 have already answered)",
    ]


def test_a_local_step_that_fails_for_good_is_told_once() -> None:
    failure = ev.Failure("crashed", "ZeroDivisionError", "pooled")
    at = START + 7202
    events: list[Event] = [
        *MOMENTS[:13],
        ev.LocalFailed(at, "pooled", 1, failure),
        ev.StepFailed(at, "pooled", failure),
    ]
    assert [line[10:] for line in told(events) if "Zero" in line] == ["pooled: FAILED after 1.0s: ZeroDivisionError"]


def test_whom_the_policy_does_not_let_us_ask_again_is_not_said_to_be_asked_again() -> None:
    retried = RETRIED[-1]
    for most, said in (
        (1, " (not again: the federation's policy allows a run 1 each)"),
        (2, " (again in 30s)"),
    ):
        line = told(RETRIED, make(policy=Policy(max_queries=most)))[-2]
        assert line == f"05:23:04Z moments: beta FAILED: no such image{said}"
    assert isinstance(retried, ev.TaskFailed)
    crashed = replace(retried, failure=ev.Failure("crashed", "KeyError"))
    assert told([*BEGUN, crashed], make(policy=Policy(max_queries=1)))[-2].endswith("beta FAILED: KeyError")


def test_a_local_step_that_is_tried_again_says_so() -> None:
    plan = make(WORKFLOW.replace('{local: {function: "pool', '{retry: 2, local: {function: "pool'))
    again = ev.LocalRequested(START + 7203, "pooled", 2)
    failed = ev.LocalFailed(START + 7202, "pooled", 1, ev.Failure("start_failed", "no memory", "pooled"))
    lines = [line[10:] for line in told([*MOMENTS[:13], failed, again], plan) if " pooled" in line]
    assert lines[1:] == ["pooled: no memory (again at once)", "pooled: computes here again (attempt 2 of 2)"]


def test_an_accepted_mixture_of_cohorts_is_reported_with_its_reason() -> None:
    done = ev.StepCompleted(START + 9000, "report", 1, (("moments", ("alpha",)),), accepted=True, mixed_cohorts="pilot")
    mixed = "answers of different cohorts are combined; accepted: pilot"
    lines = told([*MOMENTS, done, ev.RunCompleted(START + 9000, {})])
    assert lines[-4].endswith(f"report: completed, {mixed}")
    assert lines[-1] == f"incomplete: report: {mixed}"


def test_a_new_day_is_told_once() -> None:
    day: list[Event] = [*BEGUN, ev.CancelRequested(START + 86400), ev.RunCancelled(START + 86401)]
    assert told(day)[-3:] == [
        "05:23:00Z it is 2026-11-22",
        "05:23:00Z cancellation requested",
        "05:23:01Z run CANCELLED after 1d0h",
    ]


def test_many_values_are_counted() -> None:
    start: Event = ev.RunStarted(START, RUN, "many", {})
    events = [start, *(ev.StepCompleted(START + n / 4000, f"s{n}", n) for n in range(6000))]
    lines = told([*events, ev.RunCompleted(START + 2, {})], many(6000))
    assert lines[3:] == [
        *["05:23:00Z 1000 value steps completed"] * 4,
        *["05:23:01Z 1000 value steps completed"] * 2,
        "05:23:02Z run completed in 2.0s",
    ]


def test_what_was_counted_is_told_before_what_came_after() -> None:
    events: list[Event] = [ev.RunStarted(START, RUN, "many", {})]
    events += [ev.StepCompleted(START + n, f"s{n}", n) for n in (1, 1, 2)]
    events += [
        ev.StepFailed(START + 2, "s3", ev.Failure("expression", "1/0", "s3")),
        ev.StepSkipped(START + 3, "s4", "s3"),
    ]
    assert told(events, many(201))[3:7] == [
        "05:23:01Z 2 value steps completed",
        "05:23:02Z 1 value steps completed",
        "05:23:02Z s3: FAILED: 1/0",
        "05:23:03Z 1 steps skipped",
    ]


def test_few_values_are_told_one_by_one() -> None:
    events: list[Event] = [ev.RunStarted(START, RUN, "many", {}), ev.StepCompleted(START, "s1", 1)]
    assert "05:23:00Z s1: completed" in told(events, many(200))
    assert "05:23:00Z 1 value steps completed" in told(events, many(201))


def test_hostile_texts_stay_on_their_line() -> None:
    failure = ev.Failure("crashed", f"{NASTY}\n05:23:09Z run completed", "moments", "beta")
    lines = told([*RETRIED[:-1], ev.TaskFailed(START + 4, "moments", "beta", 1, failure)])
    assert len(lines) == len(told(RETRIED))
    assert all(line.isprintable() for line in lines)


def test_a_stream_without_unicode_does_not_stop_it() -> None:
    binary = io.BytesIO()
    plan = make(offline=("Zürich",))
    stream = io.TextIOWrapper(binary, encoding="ascii")
    tell(Lines(stream), plan, BEGUN)
    assert b"offline: Z\\xfcrich\n" in binary.getvalue()


def test_a_result_that_is_reused_is_told_once() -> None:
    events = [
        BEGUN[0],
        ev.StepNotReused(START, "pooled", "no earlier run has a result of it"),
        ev.StepReused(START, "moments", "variance-20261120-0523-abcd", "moments", START - 60, {"alpha": 1, "beta": 2}),
        ev.StepCompleted(START, "moments"),
    ]
    assert told(events)[3:6] == [
        "05:23:00Z pooled: nothing to reuse: no earlier run has a result of it",
        "05:23:00Z moments: reused from run variance-20261120-0523-abcd, answered 2026-11-21T05:22:00Z (1m00s old)",
        "05:23:00Z moments: completed in 0.0s, 2 of 2 answered",
    ]


def test_what_was_done_for_items_does_not_count_as_settled_steps() -> None:
    plan = make(
        "v6flow: 1\nsteps:\n  t: {foreach: {over: [1, 2], steps: {v: {local: {value: 1}}}}}\n  u: {gate: {message: m}}"
    )
    events: list[Event] = [
        BEGUN[0],
        ev.ItemsListed(START, "t", [["1", 1], ["2", 2]]),
        ev.StepCompleted(START, "t[1].v", 1),
        ev.StepCompleted(START, "t[2].v", 1),
        ev.StepCompleted(START, "t"),
        ev.RunResumed(START + 1, 1.0),
    ]
    stream = io.StringIO()
    Lines(stream).begin(plan, replay(events))
    assert stream.getvalue().splitlines()[0].endswith(", 3 steps, 2 of them already settled")


def test_a_late_answer_is_reported_and_why_it_is_missing() -> None:
    late = ev.TaskLate(START + 7202, "moments", "gamma", 1)
    lines = told([*MOMENTS, late, ev.RunCompleted(START + 7210, {})])
    assert "07:23:02Z moments: gamma answered too late; its answer is not used" in lines
    assert lines[-1] == "incomplete: moments: 2 of 3 answered (gamma answered too late)"


def test_whom_a_central_function_asks_and_how_they_fare_is_told() -> None:
    planned = make("steps: {moments: {task: {image: i, method: m, central: true, organization: alpha}}}")
    done, lost = ev.Subtask("beta", "completed", task="1"), ev.Subtask("gamma", "crashed", "KeyError", task="1")
    open_ = tuple(ev.Subtask(name, "pending", task="1") for name in ("beta", "gamma"))
    events: list[Event] = [
        BEGUN[0], ev.StepStarted(START, "moments", ("alpha",), central=True),
        ev.TaskRequested(START, "moments", ("alpha",), 1, "t", "d"),
        ev.SubtasksSeen(START + 1, "moments", "alpha", 1, open_),
        ev.SubtasksSeen(START + 2, "moments", "alpha", 1, (done,)),
        ev.SubtasksSeen(START + 3, "moments", "alpha", 1, (lost,)),
        ev.TaskAnswered(START + 4, "moments", "alpha", 1, 1, None, (done, lost)),
    ]  # fmt: skip
    end = "but the subtask at gamma crashed: KeyError (1 of 2 organizations that it asked)"
    assert told(events, planned)[3:-1] == [
        "05:23:00Z moments: asks alpha",
        "05:23:01Z moments: the central function at alpha asks beta, gamma",
        "05:23:03Z moments: the subtask at gamma crashed: KeyError",
        f"05:23:04Z moments: the central function at alpha answered, {end}",
    ]
