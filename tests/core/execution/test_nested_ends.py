"""Steps under `finally` and gates, where steps have steps in them."""

from __future__ import annotations

import pytest
from driver import Driver, drive, make

from v6flow.core import reading
from v6flow.core.checks import soundness
from v6flow.core.execution import events as ev
from v6flow.core.language import document
from v6flow.core.planning import dependencies, planner
from v6flow.core.views.preview import preview
from v6flow.core.views.summary import of_run
from v6flow.reporters import prose
from v6flow.runs.resume import what_to_do_again

ALL = ("alpha", "beta", "gamma")

ENDS = """
steps:
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {part: {task: {method: m, kwargs: {x: "{{ loop.state }}"}}}}
      update: "{{ sum(steps.part.results) }}"
finally:
  tell:
    foreach:
      over: [alpha, beta]
      as: who
      max_parallel: 1
      steps:
        sent: {task: {method: t, organization: alpha, kwargs: {who: "{{ each.who }}", how: "{{ run.status }}"}}}
      result: "{{ steps.sent.result }} {{ steps.fit.status }}"
  count:
    repeat:
      state: "{{ steps.tell.results | length }}"
      max: 2
      steps: {next: {local: {value: "{{ loop.state + 1 }}"}}}
      update: "{{ steps.next.result }}"
      until: "{{ loop.next > 2 }}"
outputs: {o: "{{ steps.fit.result }}"}
"""


def fitted() -> Driver:
    run = drive(ENDS)
    run.answer("fit[1].part", *ALL)
    run.answer("fit[2].part", *ALL, value=2)
    return run


def told(run: Driver) -> Driver:
    for number in (1, 2):
        run.answer(f"tell[{number}].sent", "alpha", value="ok")
    return run


def test_steps_with_steps_in_them_run_at_the_end() -> None:
    run = fitted()
    assert (run.state.status, run.status("tell"), run.status("count")) == ("running", "running", "pending")
    assert run.requests["tell[1].sent", "alpha"].kwargs["alpha"] == {"who": "alpha", "how": "completed"}
    told(run)
    assert run.state.step("tell").items is not None
    assert [each.value for each in run.state.step("tell").items or ()] == ["ok completed"] * 2
    assert (run.state.step("count").history, run.state.outputs) == ([2, 3], {"o": 6})
    assert run.state.status == "completed"


def test_a_run_that_fails_inside_a_step_ends_with_them() -> None:
    run = drive(ENDS)
    run.answer("fit[1].part", "alpha")
    run.fail("fit[1].part", "beta", "gamma")
    assert (run.status("fit"), run.state.status) == ("failed", "running")
    assert run.requests["tell[1].sent", "alpha"].kwargs["alpha"]["how"] == "failed"
    told(run)
    assert (run.state.status, run.failure().step, run.status("count")) == ("failed", "fit[1].part", "completed")


def test_what_goes_on_inside_is_cut_off_when_the_run_is_cancelled() -> None:
    run = drive(ENDS)
    run.answer("fit[1].part", "alpha")
    run.cancel()
    assert run.killed() == [("beta",), ("gamma",)]
    run.answer("fit[1].part", "beta")
    assert run.state.step("fit[1].part").responded == ["alpha"]
    told(run)
    assert [each.value for each in run.state.step("tell").items or ()] == ["ok cancelled"] * 2
    assert run.state.status == "cancelled"


def test_a_run_goes_on_in_the_middle_of_its_end() -> None:
    whole = told(fitted())
    ending = [type(event) for event in whole.events].index(ev.RunEnding)
    for keep in range(ending, len(whole.events)):
        again = whole.resume(keep=keep)
        assert not any(step.startswith("fit") for step, _ in again.requests)
        for number in (1, 2):
            if (f"tell[{number}].sent", "alpha") in again.requests:
                again.answer(f"tell[{number}].sent", "alpha", value="ok")
        assert (again.state.status, again.state.step("count").history) == ("completed", [2, 3])


def test_what_was_cut_off_inside_may_not_have_been_killed() -> None:
    run = drive(ENDS)
    run.answer("fit[1].part", "alpha")
    run.cancel()
    assert run.resume().killed() == [("beta",), ("gamma",)]


def test_a_failed_run_that_is_tried_again_ends_anew() -> None:
    run = drive(ENDS)
    run.answer("fit[1].part", "alpha", "beta")
    run.fail("fit[1].part", "gamma")
    told(run)
    retry, reset = what_to_do_again(run.state, run.plan)
    assert retry == ["fit", "fit[1].part"]
    assert {"tell", "count"} <= set(reset)
    again = run.resume(retry=tuple(retry), reset=tuple(reset))
    again.answer("fit[1].part", "gamma")
    again.answer("fit[2].part", *ALL)
    assert again.requests["tell[1].sent", "alpha"].kwargs["alpha"]["how"] == "completed"
    assert told(again).state.status == "completed"


def test_they_stand_last_in_the_plan_with_what_is_in_them() -> None:
    made = make(ENDS)
    final = [each.step for each in preview(made) if each.final]
    assert final == list(made.steps)[2:] == ["tell", "tell.sent", "count", "count.next"]
    assert dependencies.drawn(made.workflow)["tell"] == ["fit"]


GATED = """
steps:
  tables:
    foreach:
      over: [1, 2, 3]
      as: n
      max_parallel: 2
      steps:
        count: {task: {method: m, kwargs: {n: "{{ each.n }}"}}}
        agreed: {gate: {message: "{{ each.n }}: {{ sum(steps.count.results) }}?"}}
        more: {task: {method: m, kwargs: {n: "{{ each.n }}"}}, needs: [agreed]}
      result: "{{ steps.agreed.result.by }}"
  beside: {gate: {message: and all?}}
outputs: {o: "{{ steps.tables.results }}"}
"""


def asked_twice() -> Driver:
    """Two items wait for people, and the third has not begun."""
    run = drive(GATED)
    for number in (1, 2):
        run.answer(f"tables[{number}].count", *ALL)
    return run


def approve(run: Driver, *gates: str, decision: str = "approved") -> Driver:
    for gate in gates:
        run.write(ev.GateDecided(60.0, gate, decision, "anna"))
    return run.resume(down=60)


def test_a_gate_beside_items_waits_until_nothing_goes_on_in_any_of_them() -> None:
    run = drive(GATED)
    assert run.named(ev.GateAsked) == [ev.GateAsked(0.0, "beside", "and all?")]
    run.answer("tables[1].count", *ALL)
    assert run.named(ev.GateAsked)[-1] == ev.GateAsked(0.0, "tables[1].agreed", "1: 3?")
    assert run.named(ev.RunPaused) == []
    run.answer("tables[2].count", *ALL)
    assert run.named(ev.RunPaused) == [ev.RunPaused(0.0, ("beside", "tables[1].agreed", "tables[2].agreed"))]
    assert "  v6flow approve w-1 'tables[1].agreed'" in prose.waiting_text(run.state)
    steps = of_run(run.state, list(run.plan.steps)).as_json()["steps"]
    assert isinstance(steps, dict)
    assert (steps["tables[1].agreed"]["status"], steps["tables"]["status"]) == ("waiting", "waiting")


def test_a_decision_is_heard_while_other_items_go_on() -> None:
    run = drive(GATED)
    run.answer("tables[1].count", *ALL)
    run.write(ev.GateDecided(1.0, "tables[1].agreed", "approved", "anna"))
    run.go()
    assert (run.asked("tables[1].more"), run.named(ev.RunPaused)) == ([*ALL], [])


def test_items_go_on_one_by_one_as_people_decide() -> None:
    run = approve(asked_twice(), "tables[1].agreed")
    assert run.asked("tables[1].more") == [*ALL]
    assert run.asked("tables[1].count") == []
    run.answer("tables[1].more", *ALL)
    run.answer("tables[3].count", *ALL)  # its place is free now
    assert [gate.name for gate in run.state.gates] == ["beside", "tables[2].agreed", "tables[3].agreed"]
    run = approve(run, "beside", "tables[2].agreed", "tables[3].agreed")
    for number in (2, 3):
        run.answer(f"tables[{number}].more", *ALL)
    assert (run.state.status, run.state.outputs) == ("completed", {"o": ["anna"] * 3})


def test_a_gate_that_is_rejected_inside_fails_its_step() -> None:
    run = approve(asked_twice(), "tables[1].agreed", decision="rejected")
    assert run.state.status == "waiting", "the other item and the gate beside it still wait"
    run = approve(run, "tables[2].agreed", "beside")
    run.answer("tables[2].more", *ALL)
    assert (run.state.status, run.failure().kind) == ("failed", "rejected")
    retry, reset = what_to_do_again(run.state, run.plan)
    again = run.resume(retry=tuple(retry), reset=tuple(reset))
    again.answer("tables[3].count", *ALL)
    assert [gate.name for gate in again.state.gates] == ["tables[1].agreed", "tables[3].agreed"]


def test_a_run_with_gates_inside_goes_on_from_anywhere() -> None:
    whole = asked_twice()
    for keep in range(1, len(whole.events) + 1):
        again = whole.resume(keep=keep)
        for step, name in [*again.requests]:
            again.answer(step, name)
        assert again.state.status == "waiting"
        assert [gate.name for gate in again.state.gates] == ["beside", "tables[1].agreed", "tables[2].agreed"]
        assert len(again.named(ev.GateAsked)) == 3


def test_each_round_asks_by_itself() -> None:
    run = drive("""
steps:
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {agreed: {gate: {message: "round {{ loop.index }}?"}}}
      update: "{{ loop.index if steps.agreed.result.decision == 'approved' else 0 }}"
""")
    for number in (1, 2):
        assert [(gate.name, gate.question and gate.question.message) for gate in run.state.gates] == [
            (f"fit[{number}].agreed", f"round {number}?")
        ]
        run = approve(run, f"fit[{number}].agreed")
    assert run.state.step("fit").history == [0, 1, 2]


INNER = """v6flow: 1
steps:
  a: {local: {value: 1}}
  g: {gate: {message: go?}}
"""


CALLS = "{w: {workflow: {file: i.yaml}}}"
ONE = "{a: {local: {value: 1}}}"


@pytest.mark.parametrize(
    ("inner", "steps", "last", "told"),
    [
        (INNER, CALLS, "", None),
        (INNER, ONE, CALLS, "i.yaml has a gate: "),
        (
            INNER + "finally: {f: {local: {value: 1}}}",
            CALLS,
            "",
            "i.yaml has steps under `finally`: they are for a file that is run by itself",
        ),
        (
            INNER,
            ONE,
            "{l: {foreach: {over: [1], steps: {g: {gate: {message: go?}}}}}}",
            "a run that ends waits for nobody: a gate cannot stand under `finally`",
        ),
        (
            INNER,
            "{a: {foreach: {over: [1], steps: {b: {local: {value: '{{ steps.f.result }}'}}}}}}",
            "{f: {local: {value: 1}}}",
            "step f is under `finally`: it runs after all other steps",
        ),
        (
            INNER,
            ONE,
            "{f: {foreach: {over: [1], steps: {a: {local: {value: 2}}}}}}",
            "a is the name of a step outside, too (line 2)",
        ),
    ],
)
def test_what_may_stand_where(inner: str, steps: str, last: str, told: str | None) -> None:
    files = {"i.yaml": reading.parse(document.parse(inner, "i.yaml"))}
    text = f"v6flow: 1\nsteps: {steps}\n" + (f"finally: {last}\n" if last else "")
    found = soundness.check(reading.parse(document.parse(text, "w.yaml"), files=files))
    assert [each.message.startswith(told or "") for each in found] == ([True] if told is not None else [])


def test_steps_of_another_file_that_runs_at_the_end_are_last_too() -> None:
    inner = reading.parse(document.parse(INNER.replace("  g: {gate: {message: go?}}\n", ""), "i.yaml"))
    text = "v6flow: 1\nsteps: {b: {local: {value: 1}}}\nfinally: {w: {workflow: {file: i.yaml}}}"
    workflow = reading.parse(document.parse(text, "w.yaml"), files={"i.yaml": inner})
    assert soundness.check(workflow) == []
    run = Driver(planner.make(workflow, {}))
    assert [name for name, step in run.plan.steps.items() if step.common.final] == ["w", "w.a"]
    assert (run.state.status, run.status("w.a"), run.named(ev.RunEnding)[0].status) == (
        "completed",
        "completed",
        "completed",
    )


@pytest.mark.parametrize(("value", "refused"), [("run.error", True), ("run.error.kind", False), ("run.status", False)])
def test_why_a_run_failed_is_not_sent_to_others(value: str, refused: bool) -> None:
    text = f"""v6flow: 1
steps: {{a: {{task: {{method: m}}}}}}
finally: {{f: {{task: {{method: m, organization: alpha, kwargs: {{x: "{{{{ {value} }}}}"}}}}}}}}
"""
    found = soundness.check(reading.parse(document.parse(text, "w.yaml")))
    assert [each.rule for each in found] == (["cross-site"] if refused else [])


LACKING = """
steps:
  a: {local: {function: "m:f"}, on_failure: continue}
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {x: {local: {value: "{{ steps.a.result }}"}}}
      update: "{{ steps.x.result }}"
  table:
    foreach:
      over: [1, 2]
      steps: {y: {local: {value: "{{ steps.a.result }}"}}}
      result: "{{ steps.y.result }}"
  both:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {inner: {foreach: {over: [1], steps: {z: {local: {value: 1}}}, result: "{{ steps.a.result }}"}}}
      update: "{{ steps.inner.results }}"
outputs: {o: "{{ steps.fit.result | default('none') }}"}
"""


def test_a_step_whose_inside_needs_what_failed_outside_is_skipped() -> None:
    run = drive(LACKING)
    run.crash("a")
    for name in ("fit", "table", "both"):
        assert (run.status(name), run.state.step(name).cause, run.state.step(name).reason) == ("skipped", "a", "failed")
    assert (run.state.status, run.state.outputs) == ("completed", {"o": "none"})
    for keep in range(1, len(run.events)):
        again = run.resume(keep=keep)
        if again.children:
            again.crash("a")
        assert (again.state.status, again.status("table")) == ("completed", "skipped")


def test_a_step_whose_inside_needs_what_a_condition_left_out_is_skipped() -> None:
    run = drive(LACKING.replace('local: {function: "m:f"}', 'local: {value: 1}, when: "{{ 1 > 2 }}"'))
    assert [run.status(name) for name in ("fit", "table", "both")] == ["skipped"] * 3
    assert run.state.status == "completed"


def test_what_was_skipped_for_want_of_a_step_is_done_when_that_is_tried_again() -> None:
    run = drive(LACKING.replace(", on_failure: continue", ""))
    run.crash("a")
    assert (run.state.status, run.failure().step) == ("failed", "a")
    retry, reset = what_to_do_again(run.state, run.plan)
    again = run.resume(retry=tuple(retry), reset=tuple(reset))
    again.finish("a", 5)
    assert (again.state.status, again.state.outputs) == ("completed", {"o": 5})


def test_a_step_that_runs_another_file_goes_on_though_its_params_were_not_kept_yet() -> None:
    inner = reading.parse(
        document.parse("v6flow: 1\nparams: {p: {}}\nsteps: {a: {local: {value: '{{ params.p }}'}}}", "i")
    )
    text = "v6flow: 1\nsteps: {w: {workflow: {file: i, params: {p: 3}}}}"
    run = Driver(planner.make(reading.parse(document.parse(text, "w.yaml"), files={"i": inner}), {}))
    begun = [type(event) for event in run.events].index(ev.ParamsGiven)
    again = run.resume(keep=begun)
    assert (again.state.status, again.state.step("w.a").value) == ("completed", 3)
