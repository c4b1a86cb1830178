from __future__ import annotations

import json

from msgspec.structs import replace
from story import BEGUN, COMPLETED, FAILED, INTERRUPTED, NASTY, RETRIED, RUN, SHORT, START, STEPS

from v6flow.core.execution import events as ev
from v6flow.core.execution.state import StepState, replay
from v6flow.core.views.summary import of_run, standing
from v6flow.reporters import prose


def test_the_document_of_a_completed_run() -> None:
    told = of_run(replay(COMPLETED), STEPS).as_json()
    assert told == {
        "run": RUN,
        "workflow": "variance",
        "status": "completed",
        "exit_code": 0,
        "started": "2026-11-21T05:23:00Z",
        "ended": "2026-11-21T07:23:05Z",
        "seconds": 7205.0,
        "by": None,
        "via": None,
        "key": None,
        "comment": None,
        "labels": None,
        "outputs": {"variance": 3.0},
        "incomplete": [
            {
                "kind": "partial",
                "step": "moments",
                "output": None,
                "instances": ["moments"],
                "organizations": ["gamma"],
                "message": "2 of 3 answered (gamma did not answer in time)",
            }
        ],
        "steps": {
            "moments": {
                "status": "completed",
                "asked": ["alpha", "beta", "gamma"],
                "responded": ["alpha", "beta"],
                "failed": [],
                "failures": {},
                "missing": ["gamma"],
                "seconds": 7200.0,
                "attempts": 2,
            },
            "pooled": _local(2.0),
            "deviations": {
                "status": "completed",
                "asked": ["alpha", "beta"],
                "responded": ["alpha", "beta"],
                "failed": [],
                "failures": {},
                "missing": [],
                "seconds": 2.0,
                "attempts": 1,
            },
            "report": _local(0.0),
        },
        "error": None,
    }
    json.dumps(told, allow_nan=False)


def test_the_document_of_a_failed_run_has_no_outputs_and_says_why() -> None:
    told = of_run(replay(FAILED), STEPS).as_json()
    assert (told["status"], told["exit_code"], told["outputs"]) == ("failed", 1, {})
    assert told["error"] == {
        "kind": "crashed",
        "message": SHORT.message,
        "step": "deviations",
        "organization": "beta",
        "hint": "mend the column",
    }
    steps = told["steps"]
    assert isinstance(steps, dict)
    assert steps["deviations"]["error"] == told["error"]
    assert "error" not in steps["moments"]
    assert steps["deviations"]["failures"] == {
        "beta": {
            "status": "crashed",
            "message": "KeyError: 'age'",
            "log_tail": "Traceback\n  line 3\nKeyError",
        }
    }
    assert steps["report"] | {"status": "skipped", "seconds": None, "attempts": 0} == steps["report"]


def test_outputs_of_an_earlier_try_do_not_stand_in_a_failed_run() -> None:
    state = replay([*FAILED])
    state.outputs = {"variance": 3.0}
    assert of_run(state, STEPS).as_json()["outputs"] == {}


def test_an_unfinished_run_has_no_exit_code_and_lists_steps_to_come() -> None:
    told = of_run(replay(BEGUN), STEPS).as_json()
    assert (told["status"], told["exit_code"], told["ended"], told["error"]) == ("running", None, None, None)
    steps = told["steps"]
    assert isinstance(steps, dict)
    assert list(steps) == STEPS
    assert steps["moments"]["missing"] == []
    assert steps["report"] == {**_local(None), "status": "pending", "attempts": 0}


def test_a_run_that_nobody_holds_is_interrupted() -> None:
    told = of_run(replay(BEGUN), STEPS, status="interrupted").as_json()
    assert (told["status"], told["exit_code"]) == ("interrupted", None)
    told = of_run(replay(INTERRUPTED), STEPS).as_json()
    assert (told["status"], told["exit_code"]) == ("interrupted", 130)
    assert told["error"] is not None


def test_the_first_cause_is_on_top_with_its_log_and_what_to_do() -> None:
    more = ev.StepFailed(START + 7206, "other", ev.Failure("quorum", "nobody answered", "other"))
    assert prose.failure_text(replay([*FAILED[:-2], more, *FAILED[-2:]])) == [
        "step deviations at beta: beta crashed: KeyError: 'age' (1 of 2 answered, all must)",
        "  the last lines of its log at beta:",
        "    Traceback",
        "      line 3",
        "    KeyError",
        "  what to do: mend the column",
        "also failed: step other: nobody answered",
        "1 step was skipped: report",
        f"to retry only what failed: v6flow resume --retry-failed {RUN}",
    ]


def test_a_long_log_is_told_by_its_last_lines() -> None:
    failure = replace(SHORT, log_tail="\n".join(f"line {number}" for number in range(99)))
    told = prose.failure_text(replay([*FAILED[:-1], ev.RunFailed(START + 7205, failure)]))
    assert [line for line in told if line.startswith("    ")] == [f"    line {number}" for number in range(87, 99)]


def test_an_interrupted_run_says_how_to_go_on() -> None:
    assert prose.failure_text(replay(INTERRUPTED))[-1] == f"to resume where it stopped: v6flow resume {RUN}"


def test_nothing_is_told_of_a_run_that_went_well() -> None:
    assert prose.failure_text(replay(COMPLETED)) == []


def test_nothing_in_a_failure_reaches_the_terminal_as_it_is() -> None:
    failure = ev.Failure("crashed", NASTY, "deviations", NASTY, NASTY, NASTY)
    told = prose.failure_text(replay([*FAILED[:-1], ev.RunFailed(START + 7205, failure)]))
    assert all(line.isprintable() for line in told)
    assert sum("\\x1b[2J" in line for line in told) == 4  # message with organization, log's owner, log, hint


def test_the_table() -> None:
    assert prose.table(replay(FAILED), STEPS).splitlines() == [
        "step        status     answered  seconds  attempts",
        "moments     completed  2/3       2h00m    2         missing: gamma",
        "pooled      completed            2.0s     1",
        "deviations  failed     1/2       2.0s     1         failed: beta",
        "report      skipped                                 since deviations failed",
    ]


def test_a_lost_subtask_of_a_central_function_is_told() -> None:
    lost = (ev.Subtask("alpha", "completed"), ev.Subtask("beta", "failed", "KeyError"))
    answered = ev.TaskAnswered(START + 5, "moments", "alpha", 1, 1, None, lost)
    assert prose.remark(replay([*BEGUN[:-1], answered]).step("moments")) == "failed: beta"


def test_a_failed_attempt_is_not_yet_a_failed_step() -> None:
    step = replay(RETRIED).step("moments")
    assert (step.status, prose.row(step, "running")[2]) == ("running", "1/3")


def test_many_names_are_cut_short() -> None:
    assert prose.named([f"o{number}" for number in range(20)]).endswith("o11 and 8 more")


def _local(seconds: float | None) -> dict[str, object]:
    return {
        "status": "completed",
        "asked": [],
        "responded": [],
        "failed": [],
        "failures": {},
        "missing": [],
        "seconds": seconds,
        "attempts": 1,
    }


def test_a_step_that_was_running_when_its_run_ended_does_not_run_for_ever() -> None:
    step = StepState("a", status="running")
    assert [standing(step, each) for each in ("running", "interrupted", "cancelled", "failed")] == [
        "running", "interrupted", "cancelled", "interrupted",
    ]  # fmt: skip
