"""A timeline as bars."""

from __future__ import annotations

from story import RUN

from v6flow.core.execution import events as ev
from v6flow.core.views.timeline import timeline
from v6flow.reporters.bars import ROWS, bars

START = ev.RunStarted(0.0, RUN, "w", {})


def test_waiting_is_dotted_and_what_was_down_is_left_out() -> None:
    events: list[ev.Event] = [
        START,
        ev.StepStarted(0.0, "a", ("alpha", "beta")),
        ev.TaskRequested(0.0, "a", ("alpha", "beta"), 1, "t", "d"),
        ev.TaskStarted(10.0, "a", "alpha", 1),
        ev.RunInterrupted(20.0, ev.Failure("interrupted", "a signal"), 130),
        ev.RunResumed(3620.0, 3600.0),
        ev.TaskAnswered(3640.0, "a", "alpha", 1, 1),
        ev.TaskAnswered(3640.0, "a", "beta", 1, 1),
        ev.StepCompleted(3640.0, "a"),
        ev.RunCompleted(3640.0, {}),
    ]
    assert bars(timeline(events, 9000.0)) == [
        "timeline of 40s: . waiting, ~ waiting or working, # working",
        "  left out: 1h00m in which nobody held the run, where ^ is",
        "                               ^",
        "  a alpha  ..........##############################  waiting 10s, working 30s",
        "  a beta   ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~  waiting or working 40s",
    ]


def test_of_many_organizations_the_longest_are_shown() -> None:
    names = tuple(f"o{number}" for number in range(60))
    answered = (ev.TaskAnswered(1.0 + number, "a", name, 1, 1) for number, name in enumerate(names))
    asked = ev.TaskRequested(0.0, "a", names, 1, "t", "d")
    told = bars(timeline([START, ev.StepStarted(0.0, "a", names), asked, *answered], 60.0))
    assert [line.split()[1] for line in told[1:-1]] == list(names[-ROWS:])
    assert told[-1] == "  and 45 of a that took less time"


def test_a_run_in_which_nothing_took_time_yet() -> None:
    assert bars(timeline([START], 0.0)) == ["timeline of 0.0s: nothing took time"]
