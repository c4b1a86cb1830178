from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from story import (
    BEGUN,
    BETA_BEGAN,
    COMPLETED,
    FAILED,
    INTERRUPTED,
    MOMENTS,
    NASTY,
    RETRIED,
    RUN,
    START,
    STEPS,
    make,
    many,
    tell,
)

from v6flow.core.execution import events as ev
from v6flow.core.execution.state import apply, replay
from v6flow.core.policy import Policy
from v6flow.reporters.final import ending, final_table
from v6flow.reporters.live import Board, Live, heading, screen, shown_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from v6flow.core.execution.events import Event
    from v6flow.core.planning.plan import Plan


def drawn(what: RenderableType, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False, highlight=False, emoji=False).print(what)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def look(
    events: list[Event],
    now: float,
    *,
    plan: Plan | None = None,
    width: int = 80,
    room: int = 20,
    unicode: bool = True,
) -> list[str]:
    """What stands on the screen after these events."""
    plan = plan or make()
    state = replay(events)
    view = shown_of(plan, state, Board(list(plan.steps), state), room=room)
    return drawn(screen(view, now, width=width, unicode=unicode), width)


def test_each_step_has_a_line_with_its_organizations() -> None:
    assert look([*BEGUN, BETA_BEGAN], START + 3) == [
        "⠼ moments      2.0s  alpha answered  beta working  gamma asked",
        "· pooled             pending",
        "· deviations         pending",
        "· report             pending",
        "4 steps, 1 running, 3 pending; 3.0s",
    ]


def test_time_goes_on_while_nothing_happens() -> None:
    before, after = look(BEGUN, START + 3), look(BEGUN, START + 63.25)
    assert before[0][0] != after[0][0]
    assert " 1m02s " in after[0]
    assert after[-1].endswith("; 1m03s")


@pytest.mark.parametrize(
    ("events", "word"),
    [
        (RETRIED, "beta retrying 2/3"),
        ([*RETRIED, ev.TaskRequested(START + 34, "moments", ("beta",), 2, "b2", "d")], "beta retrying 2/3"),
        (COMPLETED, "gamma missing"),
        (FAILED, "beta failed"),
    ],
)
def test_an_organization_that_is_not_well_says_so(events: list[Event], word: str) -> None:
    assert any(word in line for line in look(events, START + 9999))


def test_an_organization_waits_until_it_is_asked() -> None:
    assert "gamma waiting" in look(BEGUN[:4], START + 2)[0]


def test_a_failed_attempt_of_the_last_is_a_failure() -> None:
    crashed = ev.TaskFailed(START + 4, "moments", "beta", 1, ev.Failure("crashed", "KeyError"))
    assert "beta failed" in look([*BEGUN, crashed], START + 5)[0]


def test_whom_the_policy_does_not_let_us_ask_again_has_failed() -> None:
    for most, word in ((1, "beta failed"), (2, "beta retrying 2/3")):
        assert word in look(RETRIED, START + 5, plan=make(policy=Policy(max_queries=most)))[0]


def test_what_became_of_each_step_stays() -> None:
    assert look(FAILED, START + 9999) == [
        "✓ moments     2h00m  alpha answered  beta answered  gamma missing",
        "✓ pooled       2.0s",
        "✗ deviations   2.0s  alpha answered  beta failed",
        "» report             since deviations failed",
        "4 steps, 2 completed, 1 failed, 1 skipped; 2h46m",
    ]


def test_many_organizations_are_counted_and_those_amiss_named() -> None:
    names = tuple(f"hospital_{number}" for number in range(50))
    events: list[Event] = [ev.RunStarted(START, RUN, "w", {}), ev.StepStarted(START, "moments", names)]
    events += [ev.TaskRequested(START, "moments", (name,), 1, name, "d") for name in names]
    events += [ev.TaskAnswered(START + 1, "moments", name, 1, 1) for name in names[:47]]
    events += [ev.TaskFailed(START + 1, "moments", names[47], 1, ev.Failure("crashed", "no"))]
    line = look(events, START + 2)[0]
    assert line.endswith("47/50 answered  failed: hospital_47  2 asked")


@pytest.mark.parametrize("width", [20, 44, 80])
@pytest.mark.parametrize("events", [BEGUN, RETRIED, FAILED])
def test_no_line_is_wider_than_the_terminal(events: list[Event], width: int) -> None:
    lines = look(events, START + 100_000, width=width)
    assert len(lines) == 5
    assert max(map(len, lines)) <= width


def test_a_terminal_without_unicode_gets_ascii() -> None:
    lines = look(FAILED, START + 9999, width=30, unicode=False)
    assert all(line.isascii() for line in lines)
    assert [line[0] for line in lines[:4]] == ["+", "+", "x", ">"]


def test_many_steps_fit_the_screen_failed_and_running_ones_first() -> None:
    plan = many(1000)
    state = replay([ev.RunStarted(START, RUN, "many", {})])
    board = Board(list(plan.steps), state)
    events: list[Event] = [ev.StepCompleted(START, f"s{number}", 1) for number in range(500)]
    events += [
        ev.LocalRequested(START, "s700", 1),
        ev.StepFailed(START, "s600", ev.Failure("crashed", "1/0", "s600")),
    ]
    for event in events:
        apply(state, event)
        board.note(getattr(event, "step"))  # noqa: B009 - which kind of event it is does not matter here
    view = shown_of(plan, state, board, room=5)
    assert [step.name for step in view.steps] == ["s497", "s498", "s499", "s600", "s700"]
    assert view.counts == {"pending": 498, "completed": 500, "running": 1, "failed": 1}
    shown = drawn(screen(view, START + 1, width=80))
    assert shown[-1] == "1000 steps, 1 running, 500 completed, 1 failed, 498 pending; 1.0s"


def test_neither_failed_nor_running_steps_crowd_out_the_other() -> None:
    plan = many(100)
    events: list[Event] = [ev.RunStarted(START, RUN, "many", {})]
    events += [ev.StepFailed(START, f"s{number}", ev.Failure("crashed", "1/0")) for number in range(50)]
    events += [ev.LocalRequested(START, f"s{number}", 1) for number in range(50, 100)]
    state = replay(events)
    statuses = [step.status for step in Board(list(plan.steps), state).lines(10)]
    assert statuses == ["failed"] * 5 + ["running"] * 5


def test_a_step_that_is_done_no_longer_counts_as_running() -> None:
    plan = many(100)
    state = replay([ev.RunStarted(START, RUN, "many", {}), ev.LocalRequested(START, "s9", 1)])
    board = Board(list(plan.steps), state)
    done: list[ev.StepCompleted | ev.StepFailed] = [
        ev.StepCompleted(START + 1, "s9", 1),
        ev.StepFailed(START + 1, "s50", ev.Failure("crashed", "1/0")),
        ev.StepCompleted(START + 2, "s60", 1),
    ]
    for event in done:
        apply(state, event)
        board.note(event.step)
    assert [step.name for step in board.lines(2)] == ["s50", "s60"]


def test_the_heading_says_where_it_is_kept_and_who_is_offline() -> None:
    text = heading(make(), replay(BEGUN[:1]), "/data/runs/x").plain
    assert text == f"run {RUN} of variance\nkept in /data/runs/x\noffline: gamma"
    assert heading(make(offline=()), replay(MOMENTS), "").plain == f"run {RUN} of variance, resumed"


def test_the_final_table() -> None:
    assert drawn(final_table(replay(FAILED), STEPS, width=80)) == [
        "step         status      answered   seconds   attempts",
        "─" * 80,
        "moments      completed        2/3     2h00m          2   missing: gamma",
        "pooled       completed                 2.0s          1",
        "deviations   failed           1/2      2.0s          1   failed: beta",
        "report       skipped                                     since deviations failed",
    ]


def test_a_narrow_table_spares_what_matters_least() -> None:
    lines = drawn(final_table(replay(FAILED), STEPS, width=44), 44)
    assert lines[0].split() == ["step", "status", "answered"]
    assert "missing:" in lines[2]


def test_of_many_steps_the_table_has_those_worth_telling() -> None:
    plan = many(500)
    failed = ev.StepFailed(START, "s7", ev.Failure("crashed", "ZeroDivisionError", "s7"))
    done = [ev.StepCompleted(START, f"s{number}", 1) for number in range(100, 400)]
    lines = drawn(
        final_table(replay([ev.RunStarted(START, RUN, "many", {}), failed, *done]), list(plan.steps), width=80)
    )
    assert lines[2].split() == ["s7", "failed", "0.0s", "ZeroDivisionError"]
    assert lines[3:] == ["199 more pending", "300 more completed"]


def test_how_a_run_ended() -> None:
    assert ending(replay(COMPLETED)).plain.splitlines() == [
        f"run {RUN} completed in 2h00m",
        "incomplete: moments: 2 of 3 answered (gamma did not answer in time)",
    ]
    assert ending(replay(INTERRUPTED)).plain.splitlines() == [
        f"run {RUN} interrupted after 2h00m",
        f"to resume where it stopped: v6flow resume {RUN}",
    ]
    assert ending(replay(FAILED)).plain.splitlines()[:2] == [
        f"run {RUN} failed after 2h00m",
        "step deviations at beta: beta crashed: KeyError: 'age' (1 of 2 answered, all must)",
    ]
    assert ending(replay(BEGUN)).plain.splitlines()[-1] == f"to resume where it stopped: v6flow resume {RUN}"


def test_markup_and_escapes_in_what_hospitals_say_are_only_text() -> None:
    failure = ev.Failure("crashed", NASTY, "deviations", NASTY, NASTY, NASTY)
    events: list[Event] = [*FAILED[:-3], ev.StepFailed(START + 7205, "deviations", failure)]
    state = replay([*events, ev.RunFailed(START + 7205, failure)])
    shown = [*drawn(ending(state), 300), *drawn(final_table(state, STEPS, width=300), 300)]
    assert all(line.isprintable() for line in shown)
    assert any("\\x1b[2J\\x1b]0;owned\\x07\\u202egnp.exe [bold]red[/bold]" in line for line in shown)


def test_a_whole_run_leaves_its_failures_and_its_table() -> None:
    stream = io.StringIO()
    tell(Live(stream, kept="/data/runs/x", now=lambda: START + 9999), make(), FAILED)
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"run {RUN} of variance"
    assert "deviations: beta FAILED: KeyError: 'age'" in lines
    assert any(line.startswith("deviations") and "failed: beta" in line for line in lines)
    assert lines[-1].endswith(f"v6flow resume --retry-failed {RUN}")


def test_only_the_first_failures_are_told_at_once() -> None:
    stream = io.StringIO()
    failed = ev.TaskFailed(START + 4, "moments", "beta", 1, ev.Failure("crashed", "no"))
    tell(Live(stream, now=lambda: START + 9), make(), [*BEGUN, *[failed] * 30])
    assert stream.getvalue().count("beta FAILED") == 20


def test_who_is_asked_again_does_not_work_yet() -> None:
    reporter = Live(io.StringIO(), now=lambda: START + 9)
    state = replay(BEGUN[:1])
    reporter.begin(make(), state)
    for event in BEGUN[1:]:
        apply(state, event)
        reporter.event(event, state)
    apply(state, BETA_BEGAN)
    reporter.event(BETA_BEGAN, state)
    assert _organizations(reporter) == "alpha answered  beta working  gamma asked"
    again = ev.TaskRequested(START + 9, "moments", ("beta",), 1, "b4", "d")
    apply(state, again)
    reporter.event(again, state)
    assert _organizations(reporter) == "alpha answered  beta asked  gamma asked"
    reporter.end(state)


def test_a_stream_without_unicode_does_not_stop_it() -> None:
    binary = io.BytesIO()
    stream = io.TextIOWrapper(binary, encoding="ascii")
    tell(Live(stream, now=lambda: START + 9), make(offline=("Zürich",)), FAILED)
    stream.flush()
    assert b"offline: Z\\xfcrich" in binary.getvalue()


def _organizations(reporter: Live) -> str:
    return drawn(reporter._draw())[0].split(".0s  ")[1]


def test_a_step_that_reuses_a_result_says_whose() -> None:
    events = [
        BEGUN[0],
        ev.StepReused(START, "moments", "variance-20261120-0523-abcd", "moments", START - 60, {"alpha": 1, "beta": 2}),
        ev.StepCompleted(START, "moments"),
    ]
    (line,) = [line for line in look(events, START, width=110) if "moments" in line]
    assert line.endswith("reused from run variance-20261120-0523-abcd, answered 2026-11-21T05:22:00Z (1m00s old)")


def test_a_central_step_shows_those_whom_it_asked() -> None:
    fates = {"beta": "completed", "gamma": "active", "delta": "pending", "alpha": "crashed"}
    subtasks = tuple(ev.Subtask(name, status, task="1") for name, status in fates.items())
    begun: list[Event] = [
        ev.RunStarted(START, RUN, "w", {}), ev.StepStarted(START, "moments", ("alpha",), central=True),
        ev.TaskRequested(START, "moments", ("alpha",), 1, "t", "d"),
    ]  # fmt: skip
    seen = ev.SubtasksSeen(START + 1, "moments", "alpha", 1, subtasks)
    assert look(begun, START + 2)[0].endswith("alpha asked")
    assert look([*begun, seen], START + 2)[0].endswith("1/4 answered  failed: alpha  1 working  1 asked")
    assert look([*begun, seen], START + 2, width=200)[0].endswith(
        "alpha (central) asked  beta answered  gamma working  delta asked  alpha failed"
    )
    failed = ev.StepFailed(START + 3, "moments", ev.Failure("timeout", "late"))
    line = look([*begun, seen, failed], START + 4, width=200)[0]
    assert line.endswith("alpha (central) missing  beta answered  gamma missing  delta missing  alpha failed")
