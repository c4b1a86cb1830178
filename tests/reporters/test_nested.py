"""How rounds and items look while they go on."""

from __future__ import annotations

import io

from v6flow.core import reading
from v6flow.core.directory import Directory
from v6flow.core.execution import events as ev
from v6flow.core.execution.state import RunState, apply
from v6flow.core.language import document
from v6flow.core.planning import planner
from v6flow.reporters import prose
from v6flow.reporters.lines import Lines
from v6flow.reporters.live import Board, screen, shown_of

WORKFLOW = """
v6flow: 1
name: nested
defaults: {image: demo}
steps:
  fit:
    repeat:
      state: 0
      max: 9
      on_max: continue
      steps: {part: {task: {method: m}}}
      update: 1
  table: {foreach: {over: "{{ range(500) }}", steps: {look: {local: {function: "m:f"}}, v: {local: {value: 1}}}}}
"""
PLAN = planner.make(reading.parse(document.parse(WORKFLOW, "w.yaml")), {}, Directory(("alpha", "beta")), run="r")
BEGUN: list[ev.Event] = [
    ev.RunStarted(0, "r", "nested", {}),
    ev.StepStarted(0, "fit"),
    ev.RoundEnded(0, "fit", 0, 0),
    ev.StepStarted(1, "fit[1].part", ("alpha", "beta")),
    ev.TaskRequested(1, "fit[1].part", ("alpha",), 1, "a", "d"),
    ev.TaskRequested(1, "fit[1].part", ("beta",), 1, "b", "d"),
    ev.TaskAnswered(2, "fit[1].part", "alpha", 1, 3),
    ev.StepStarted(2, "table"),
    ev.ItemsListed(2, "table", [[str(number), number] for number in range(1, 501)]),
    ev.LocalRequested(2, "table[1].look", 1),
]


def state(events: list[ev.Event]) -> RunState:
    found = RunState()
    for event in events:
        apply(found, event)
    return found


def test_the_live_table_shows_what_is_at_work_inside() -> None:
    now = state(BEGUN)
    view = shown_of(PLAN, now, Board(PLAN.nested(""), now), room=10)
    lines = screen(view, 3.0, width=100).plain.splitlines()
    assert len(lines) == 3
    assert "in iteration 1  part 1/2" in lines[0]
    assert "0 of 500 items  [1].look" in lines[1]


def test_a_table_of_a_run_has_those_at_work_inside() -> None:
    rows = prose.table(state(BEGUN), list(PLAN.steps)).splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["fit", "fit[1].part", "table", "table[1].look"]


def test_of_many_that_failed_inside_a_few_are_shown() -> None:
    failed = [
        ev.StepFailed(3, f"table[{number}].look", ev.Failure("crashed", "it broke", f"table[{number}].look"))
        for number in range(1, 401)
    ]
    now = state([*BEGUN, *failed])
    assert len(prose.table(now, list(PLAN.steps)).splitlines()) < 20
    told = prose.failure_text(now)
    assert len(told) < 20
    assert "and 387 more failed" in told


def test_many_items_are_counted() -> None:
    stream, now = io.StringIO(), RunState()
    reporter = Lines(stream)
    ended = [ev.ItemEnded(3 + number / 1000, "table", number) for number in range(1, 500)]
    broke = ev.ItemEnded(4, "table", 500, failure=ev.Failure("crashed", "it broke"))
    values = [ev.StepCompleted(3, f"table[{number}].v", 1) for number in range(1, 500)]
    for number, event in enumerate([*BEGUN, *values, *ended, broke]):
        apply(now, event)
        if number:
            reporter.event(event, now)
        else:
            reporter.begin(PLAN, now)
    reporter.end(now)
    lines = stream.getvalue().splitlines()
    assert "00:00:03Z table: 499 items completed (499 have ended)" in lines
    assert "00:00:04Z table: item 500 FAILED: it broke" in lines
    assert len(lines) < 15
