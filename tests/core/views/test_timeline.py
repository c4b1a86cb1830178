"""Who waited, worked, computed and decided when is told from the events alone."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from driver import Driver, drive
from hypothesis import given, settings
from hypothesis import strategies as st
from random_workflows import Files, load, sound
from random_workflows import make as made
from world import World

from v6flow.core.execution import events as ev
from v6flow.core.views.timeline import Span, TimedStep, Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASK = "steps: {a: {task: {method: m}, quorum: 2, timeout: 1h}, b: {needs: [a], local: {function: 'f:f'}}}"
TRIED = "steps: {a: {task: {method: m, organization: alpha}, retry: {attempts: 2, delay: 10s, on: [crashed]}}}"
GATE = "steps: {ask: {gate: {message: go?}}, b: {needs: [ask], local: {function: 'f:f'}}}"

Row = tuple[str, "str | None", float, float]


def rows(run: Driver, status: str | None = None) -> list[Row]:
    """Who was at what, where on the axis, and for how long."""
    return [
        (span.phase, span.organization, span.time.offset, span.time.length)
        for step in told(run, status).steps
        for span in step.every_span()
    ]


def told(run: Driver, status: str | None = None) -> Timeline:
    return timeline(run.events, run.now, status)


def begins(run: Driver, step: str, name: str, at: float | None = None) -> None:
    run.write(ev.TaskStarted(run.now, step, name, run.requests[step, name].attempt, at))
    run.go()


def test_waiting_and_working_apart() -> None:
    run = drive(TASK)
    run.wait(2)
    begins(run, "a", "alpha")
    run.wait(3)
    begins(run, "a", "beta", at=4.0)
    run.wait(1)
    run.answer("a", "alpha", "beta")
    assert rows(run) == [
        ("waiting", "alpha", 0.0, 2.0),
        ("waiting", "beta", 0.0, 4.0),
        ("waiting", "gamma", 0.0, 6.0),
        ("working", "alpha", 2.0, 4.0),
        ("working", "beta", 4.0, 2.0),
    ]
    run.answer("a", "gamma")
    run.wait(7)
    assert rows(run)[2:] == [
        ("requested", "gamma", 0.0, 6.0),
        ("working", "alpha", 2.0, 4.0),
        ("working", "beta", 4.0, 2.0),
        ("computing", None, 6.0, 7.0),
    ]
    (open_,) = (span for step in told(run).steps for span in step.spans if span.time.ended is None)
    assert (open_.phase, open_.time.seconds) == ("computing", 7.0)


@pytest.mark.parametrize(("at", "waited"), [(-60.0, 0.0), (60.0, 5.0)])
def test_the_clock_of_a_federation_leads_nowhere_else(at: float, waited: float) -> None:
    run = drive(TASK)
    run.wait(5)
    begins(run, "a", "alpha", at=at)
    run.answer("a", "alpha")
    assert rows(run)[0] == ("waiting", "alpha", 0.0, waited)


def test_who_never_answered_waited_until_its_step_no_longer_did() -> None:
    run = drive(TASK)
    run.answer("a", "alpha", "beta")
    run.wait(3600)
    run.wait(50)
    assert ("waiting", "gamma", 0.0, 3600.0) in rows(run)


def test_each_attempt() -> None:
    run = drive(TRIED)
    run.wait(1)
    begins(run, "a", "alpha")
    run.wait(1)
    run.fail("a", "alpha")
    run.wait(10)
    run.wait(2)
    run.answer("a", "alpha")
    (step,) = told(run).steps
    assert [(span.phase, span.attempt, span.time.offset) for span in step.spans] == [
        ("waiting", 1, 0.0), ("working", 1, 1.0), ("requested", 2, 12.0),
    ]  # fmt: skip


def test_a_person_decides_while_nobody_holds_the_run() -> None:
    run = drive(GATE)
    run.wait(4)
    run.write(ev.RunPaused(4.0, ("ask",)), ev.GateDecided(1004.0, "ask", "approved", "anna"))
    run = run.resume(down=2000)
    run.wait(3)
    found = told(run)
    ((reason, pause),) = ((each.reason, each.time) for each in found.pauses)
    assert (reason, pause.seconds, pause.offset, pause.length) == ("waiting", 2000.0, 4.0, 0.0)
    assert (found.time.seconds, found.time.length) == (2007.0, 7.0)
    assert rows(run) == [("deciding", None, 0.0, 4.0), ("computing", None, 4.0, 3.0)]
    assert found.steps[0].spans[0].time.seconds == 1004.0


def test_a_process_dies_and_what_a_hospital_does_goes_on() -> None:
    run = drive("steps: {a: {task: {method: m, organization: alpha}}, b: {local: {function: 'f:f'}}}")
    run.wait(5)
    begins(run, "a", "alpha")
    run.wait(60)
    assert rows(run, "interrupted") == [
        ("waiting", "alpha", 0.0, 5.0), ("working", "alpha", 5.0, 0.0), ("computing", None, 0.0, 5.0),
    ]  # fmt: skip
    (pause,) = told(run, "interrupted").pauses
    assert (pause.reason, pause.time.ended, pause.time.seconds) == ("interrupted", None, 60.0)
    run = run.resume(now=5.0, down=100)
    run.wait(1)
    begins(run, "a", "alpha")  # told again, by a federation that does not record when
    run.answer("a", "alpha")
    assert rows(run) == [
        ("waiting", "alpha", 0.0, 5.0), ("working", "alpha", 5.0, 1.0),
        ("computing", None, 0.0, 5.0), ("computing", None, 5.0, 1.0),
    ]  # fmt: skip


def test_a_run_that_was_let_go_of_and_cancelled() -> None:
    run = drive(TASK)
    run.write(ev.RunInterrupted(10.0, ev.Failure("interrupted", "a signal"), 130))
    run.write(ev.CancelRequested(50.0), ev.RunCancelled(51.0))
    run.now = 1000.0
    found = told(run)
    assert [(each.reason, each.time.seconds) for each in found.pauses] == [("interrupted", 40.0)]
    assert (found.status, found.time.length) == ("cancelled", 11.0)
    assert {row[2:] for row in rows(run)} == {(0.0, 11.0)}
    assert found.steps[0].status == "cancelled"


def test_a_failed_run_that_is_tried_again() -> None:
    run = drive("steps: {a: {task: {method: m, organization: alpha}}}")
    run.wait(2)
    run.fail("a", "alpha")
    run = run.resume(down=60, retry=("a",))
    run.wait(3)
    run.answer("a", "alpha")
    assert [(each.reason, each.time.seconds, each.time.offset) for each in told(run).pauses] == [("failed", 60.0, 2.0)]
    assert rows(run) == [("requested", "alpha", 0.0, 2.0), ("requested", "alpha", 2.0, 3.0)]


def test_iterations_and_items_stand_in_their_step() -> None:
    run = drive(
        """
steps:
  r:
    repeat:
      {state: 0, max: 2, on_max: continue, steps: {v: {local: {function: "f:f"}}}, update: "{{ steps.v.result }}"}
  f: {foreach: {over: [x, y], steps: {w: {local: {function: "f:f"}}}}}
"""
    )
    run.finish("r[1].v", 1)
    parts = {step.step: step.parts for step in told(run).steps}
    assert [(part.number, part.item, part.steps[0].step) for part in (*parts["r"], *parts["f"])] == [
        (1, None, "r[1].v"), (2, None, "r[2].v"), (1, "x", "f[1].w"), (2, "y", "f[2].w"),
    ]  # fmt: skip


def every_step(steps: tuple[TimedStep, ...]) -> Iterator[TimedStep]:
    for step in steps:
        yield step
        for part in step.parts:
            yield from every_step(part.steps)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=60)
@given(files=sound(), seed=st.integers(0, 1000), kill=st.floats(0, 1), down=st.integers(0, 500))
def test_whatever_happens_each_answer_ends_a_span(
    folder: Path, files: Files, seed: int, kill: float, down: int
) -> None:
    whole = World(seed).play(Driver(made(load(folder, files), folder)))
    keep = 1 + int(kill * (len(whole.events) - 1))
    run = World(seed).play(whole.resume(keep=keep, now=whole.events[keep - 1].at, down=down))
    found = told(run)
    spans: dict[tuple[str, str | None], list[Span]] = {}
    for step in every_step(found.steps):
        assert step.time.ended is not None, "the run is over"
        for span in step.spans:
            spans.setdefault((step.step, span.organization), []).append(span)
            assert span.time.ended is not None
            assert 0 <= span.time.offset <= span.time.offset + span.time.length <= found.time.length + 0.002
    for each in spans.values():
        for before, after in itertools.pairwise(each):
            assert before.time.offset + before.time.length <= after.time.offset + 0.002
    for answered in run.named(ev.TaskAnswered):
        of = spans[answered.step, answered.organization]
        assert any(span.attempt == answered.attempt and span.phase in ("working", "requested") for span in of)
