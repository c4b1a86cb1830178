"""What is less than the whole in a run: each kind, nested too, and nothing where the run is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from driver import Driver, drive, journalled, make
from hypothesis import given, settings
from hypothesis import strategies as st
from random_workflows import Files, load, sound
from random_workflows import make as made
from world import World

from v6flow.core.execution import events as ev
from v6flow.core.execution import reuse
from v6flow.core.execution.pinned import Pinned
from v6flow.core.execution.state import replay
from v6flow.core.views import incomplete
from v6flow.core.views.incomplete import KINDS, Incomplete, of_run, of_step

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.execution.state import RunState

ALL = ("alpha", "beta", "gamma")

QUORUM = """
steps:
  a: {task: {method: m}, quorum: {min: 2}, timeout: 1h}
outputs: {o: "{{ sum(steps.a.results) }}"}
"""


def found(run: Driver) -> list[str]:
    return [str(each) for each in of_run(run.state)]


def kinds(state: RunState) -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in of_run(state)]


# ------------------------------------------------------------------------------------------- organizations


def test_a_whole_run_has_nothing_incomplete() -> None:
    run = drive(QUORUM)
    run.answer("a", *ALL)
    assert run.state.status == "completed"
    assert of_run(run.state) == ()


def test_an_organization_that_failed_under_a_quorum() -> None:
    run = drive(QUORUM)
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma", message="KeyError:\n  'age'")
    assert of_run(run.state) == (
        Incomplete("partial", "a", None, ("a",), ("gamma",), "2 of 3 answered (gamma failed: KeyError: 'age')"),
    )


def test_an_organization_that_did_not_answer_in_time() -> None:
    run = drive(QUORUM)
    run.answer("a", "alpha", "beta")
    assert of_run(run.state) == ()  # it may still answer
    run.wait(3600)
    assert found(run) == ["a: 2 of 3 answered (gamma did not answer in time)"]


def test_an_organization_that_was_not_waited_for() -> None:
    run = drive(QUORUM.replace("{min: 2}", "{min: 2, wait: quorum}"))
    run.answer("a", "gamma", "beta")
    assert found(run) == ["a: 2 of 3 answered (alpha was not waited for)"]
    run.answer("a", "alpha")  # too late: the answer is not in the value, so it stays incomplete
    assert found(run) == ["a: 2 of 3 answered (alpha was not waited for)"]


def test_one_that_answered_when_asked_again_is_whole() -> None:
    run = drive(QUORUM.replace("timeout: 1h", "retry: 2"))
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma", kind="start_failed")
    run.answer("a", "gamma")
    assert of_run(run.state) == ()


def test_long_messages_and_many_organizations_are_cut() -> None:
    names = tuple(f"h{number}" for number in range(30))
    run = drive(QUORUM.replace("min: 2", "min: 1"), organizations=names)
    run.answer("a", "h0")
    run.fail("a", *names[1:], message="x" * 500)
    (each,) = of_run(run.state)
    assert each.organizations == names[1:]
    assert each.message.startswith("1 of 30 answered (h1 failed: xxx")
    assert each.message.endswith("…; 17 more)")
    assert len(each.message) < 2000


CENTRAL = """
steps:
  c: {task: {method: m, organization: alpha, central: true, subtasks: SUBTASKS}}
outputs: {o: "{{ steps.c.result }}"}
"""


def test_a_central_function_that_did_without_some_of_its_subtasks() -> None:
    run = drive(CENTRAL.replace("SUBTASKS", "partial"))
    subtasks = (ev.Subtask("beta", "completed"), ev.Subtask("gamma", "failed", "no such column"))
    run.answer("c", "alpha", subtasks=subtasks)
    (each,) = of_run(run.state)
    assert (each.kind, each.subject, each.organizations) == ("partial", "c", ("gamma",))
    assert "gamma" in each.message
    assert "no such column" in each.message
    assert each.message.startswith("1 of 2 answered")


# ------------------------------------------------------------------------------------------- loops and items

LOOP = """
steps:
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {part: {task: {method: m}}}
      update: "{{ sum(steps.part.results) }}"
      until: "{{ loop.next > 5 }}"
outputs: {o: "{{ steps.fit.result }}"}
"""


def looped(text: str, value: int = 1) -> Driver:
    run = drive(text)
    for number in (1, 2):
        if run.state.status == "running":
            run.answer(f"fit[{number}].part", *ALL, value=value)
    return run


def test_a_loop_that_did_not_converge() -> None:
    run = looped(LOOP)
    assert of_run(run.state) == (
        Incomplete("max", "fit", None, ("fit",), (), "not converged after 2 iterations, the most allowed"),
    )
    assert of_run(looped(LOOP, value=2).state) == ()


def test_a_loop_without_a_condition_does_what_it_is_to_do() -> None:
    run = looped(LOOP.replace('      until: "{{ loop.next > 5 }}"\n', ""))
    assert run.state.status == "completed"
    assert of_run(run.state) == ()


def test_the_failure_of_a_loop_at_max_leads_to_its_states_and_does_not_hide_it() -> None:
    failure = looped(LOOP.replace("      on_max: continue\n", "")).failure("fit")
    assert failure.hint is not None
    assert failure.hint.startswith("look at the state after each iteration: raise max if")
    assert "on_max" not in failure.hint


ROUNDS = """
steps:
  fit:
    repeat:
      state: 0
      max: 3
      cohort: COHORT
      steps: {part: {task: {method: m}, quorum: {min: 2}}}
      update: "{{ loop.state + sum(steps.part.results) }}"
      until: "{{ loop.index == 3 }}"
  after: {local: {value: "{{ steps.fit.result }}"}}
outputs: {o: "{{ steps.after.result }}"}
"""


def test_what_several_iterations_lack_is_one_entry() -> None:
    run = drive(ROUNDS.replace("COHORT", "any"))
    run.answer("fit[1].part", *ALL)
    for number, lost in ((2, "gamma"), (3, "beta")):
        run.answer(f"fit[{number}].part", *(name for name in ALL if name != lost))
        run.fail(f"fit[{number}].part", lost)
    assert run.state.status == "completed"
    partial, mixed = of_run(run.state)
    assert (partial.subject, partial.instances) == ("fit.part", ("fit[2].part", "fit[3].part"))
    assert partial.organizations == ("gamma", "beta")
    assert partial.message == (
        "2 times of 3, in all without gamma; beta; first at fit[2].part: 2 of 3 answered (gamma failed: it broke)"
    )
    assert (mixed.kind, mixed.subject) == ("mixed_cohorts", "fit")
    assert mixed.message == "answers of different cohorts are combined; accepted: cohort: any"
    assert [each.message for each in of_step(run.state, "fit[3].part")] == ["2 of 3 answered (beta failed: it broke)"]
    assert [each.kind for each in of_step(run.state, "fit")] == ["partial", "mixed_cohorts"]
    assert of_step(run.state, "fit[1].part") == ()


def test_one_that_drops_out_of_a_loop_that_shrinks() -> None:
    run = drive(ROUNDS.replace("COHORT", "shrink"))
    run.answer("fit[1].part", *ALL)
    run.answer("fit[2].part", "alpha", "beta")
    run.fail("fit[2].part", "gamma")
    run.answer("fit[3].part", "alpha", "beta")
    assert kinds(run.state) == [("partial", "fit[2].part"), ("mixed_cohorts", "fit")]


ITEMS = """
steps:
  t:
    mixed_cohorts: rows of a table
    foreach:
      over: [age, bmi]
      on_item_failure: continue
      steps:
        p: {task: {method: m}, quorum: {min: 1}}
        q: {local: {value: "{{ 1 / steps.p.results[0] }}"}, on_failure: continue}
        r: {local: {value: "{{ steps.q.result }}"}}
      result: "{{ steps.p.results[0] }}"
outputs: {o: "{{ steps.t.by_key }}"}
"""


def test_an_item_that_failed_and_nothing_of_what_happened_inside_it() -> None:
    run = drive(ITEMS)
    run.answer("t[1].p", *ALL)
    run.fail("t[2].p", *ALL, message="no such column")
    why = "alpha, beta, gamma crashed: no such column (0 of 3 answered, 1 must)"
    assert found(run) == [f"t: 1 of 2 items completed (item bmi failed: {why})"]


def test_what_is_incomplete_inside_an_item_that_completed() -> None:
    run = drive(ITEMS)
    run.answer("t[1].p", "alpha", value=0)
    run.fail("t[1].p", "beta", "gamma")
    run.answer("t[2].p", *ALL)
    assert run.state.status == "completed"
    assert kinds(run.state) == [
        ("partial", "t[1].p"),
        ("failed", "t[1].q"),
        ("skipped", "t[1].r"),
        ("mixed_cohorts", "t"),
    ]
    assert found(run)[1:3] == ["t[1].q: failed: division by zero", "t[1].r: skipped, since t[1].q failed"]


def test_who_is_missing_inside_an_item_that_failed_is_in_no_value() -> None:
    run = drive(ITEMS.replace(", on_failure: continue", ""))
    run.answer("t[1].p", "alpha", value=0)
    run.fail("t[1].p", "beta", "gamma")
    run.answer("t[2].p", *ALL)
    assert run.state.status == "completed"
    assert found(run) == ["t: 1 of 2 items completed (item age failed: division by zero)"]


INNER = """
params: {x: {type: integer, default: 0}}
steps:
  p: {task: {method: m}, quorum: {min: 2}}
outputs: {o: "{{ sum(steps.p.results) }}"}
"""
CALLS = """
steps:
  one: {workflow: {file: inner.yaml}}
outputs: {o: "{{ steps.one.result.o }}"}
"""


def test_what_is_incomplete_in_a_called_workflow() -> None:
    run = drive(CALLS, files={"inner.yaml": INNER})
    run.answer("one.p", "alpha", "beta")
    run.fail("one.p", "gamma")
    assert run.state.status == "completed"
    assert found(run) == ["one.p: 2 of 3 answered (gamma failed: it broke)"]


DEEP = """
steps:
  t:
    foreach:
      over: [1, 2]
      steps:
        fit:
          repeat:
            state: 0
            max: 2
            on_max: continue
            steps: {part: {task: {method: m}, quorum: {min: 2}}}
            update: "{{ loop.state + 1 }}"
            until: "{{ loop.state > 9 }}"
            cohort: any
      result: "{{ steps.fit.result }}"
outputs: {o: "{{ steps.t.results }}"}
"""


def test_what_is_incomplete_in_loops_inside_items_after_their_values_are_forgotten() -> None:
    run = drive(DEEP)
    for item in (1, 2):
        for number in (1, 2):
            name = f"t[{item}].fit[{number}].part"
            run.answer(name, "alpha", "beta", *(["gamma"] if item == 1 else []))
            if item == 2:
                run.fail(name, "gamma")
    assert run.state.status == "completed"
    assert kinds(run.state) == [("partial", "t.fit.part"), ("max", "t.fit")]
    partial, ends = of_run(run.state)
    assert partial.instances == ("t[2].fit[1].part", "t[2].fit[2].part")
    assert ends.instances == ("t[1].fit", "t[2].fit")
    assert ends.message.startswith("2 times of 2; first at t[1].fit: not converged after 2 iterations")


# ------------------------------------------------------------------------------------------- steps

FAILING = """
params: {zero: {type: integer, default: 0}}
steps:
  a: {local: {value: "{{ 1 / params.zero }}"}, on_failure: continue}
  b: {local: {value: "{{ steps.a.result }}"}}
  c: {local: {value: 1}, when: "{{ params.zero > 0 }}"}
  d: {local: {value: "{{ steps.c.result }}"}}
outputs: {o: "{{ steps.b.result | default(3) }}"}
"""


def test_a_step_that_failed_and_those_skipped_for_it_but_not_those_a_condition_left_out() -> None:
    run = drive(FAILING)
    assert run.state.status == "completed"
    assert (run.status("c"), run.status("d")) == ("skipped", "skipped")
    assert found(run) == ["a: failed: division by zero", "b: skipped, since a failed"]


def test_the_failure_of_a_run_is_not_incomplete() -> None:
    run = drive(FAILING.replace(", on_failure: continue", ""))
    assert run.state.status == "failed"
    assert of_run(run.state) == ()


FINALLY = """
steps:
  a: {local: {value: 1}}
finally:
  last: {task: {method: m, organization: alpha}}
  after: {local: {value: "{{ steps.last.result }}"}}
outputs: {o: "{{ steps.a.result }}"}
"""


@pytest.mark.parametrize("cancel", [False, True])
def test_a_step_at_the_end_that_failed(cancel: bool) -> None:
    run = drive(FINALLY)
    run.state.pinned = Pinned(final=("last", "after"))
    if cancel:
        assert run.state.ending is not None
        run.state.ending = ev.RunEnding(0.0, "cancelled", {})
    run.fail("last", "alpha")
    assert run.state.status == ("cancelled" if cancel else "completed")
    assert found(run) == ["last: failed: alpha crashed: it broke", "after: skipped, since last failed"]


# ------------------------------------------------------------------------------------------- mixtures, reuse

MIXED = """
steps:
  a: {task: {method: m, organizations: [alpha, beta]}}
  b: {task: {method: m, organizations: [beta, gamma]}}
  c:
    mixed_cohorts: two countries
    local: {value: "{{ sum(steps.a.results) - sum(steps.b.results) }}"}
  d: {local: {value: "{{ steps.c.result }}"}}
outputs:
  o: "{{ steps.d.result }}"
  p: {value: "{{ [steps.a.results, steps.b.results] }}", mixed_cohorts: side by side}
"""


@pytest.mark.parametrize("final", ["", "finally: {e: {local: {value: 1}}}\n"])
def test_mixtures_that_a_step_or_an_output_accepts_with_their_reasons(final: str) -> None:
    run = drive(MIXED + final)
    run.answer("a", "alpha", "beta")
    run.answer("b", "beta", "gamma")
    assert run.state.status == "completed"
    assert found(run) == [
        "c: answers of different cohorts are combined; accepted: two countries",
        "outputs.p: answers of different cohorts are combined; accepted: side by side",
    ]


def test_a_reason_without_a_mixture_is_nothing() -> None:
    run = drive(MIXED.replace("[beta, gamma]", "[alpha, beta]"))
    run.answer("a", "alpha", "beta")
    run.answer("b", "alpha", "beta")
    assert of_run(run.state) == ()


def test_a_mixture_that_an_output_of_a_called_workflow_accepts() -> None:
    inner = """
steps:
  a: {task: {method: m, organizations: [alpha, beta]}}
  b: {task: {method: m, organizations: [beta, gamma]}}
outputs:
  o: {value: "{{ [steps.a.results, steps.b.results] }}", mixed_cohorts: a table}
"""
    run = drive(CALLS, files={"inner.yaml": inner})
    run.answer("one.a", "alpha", "beta")
    run.answer("one.b", "beta", "gamma")
    assert run.state.status == "completed"
    assert found(run) == ["one: answers of different cohorts are combined; accepted: output o: a table"]


CACHED = """
steps:
  a: {task: {method: m}, cache: 7d}
outputs: {o: "{{ steps.a.results }}"}
"""


def test_a_result_of_an_earlier_run_with_its_age() -> None:
    made = make(CACHED)
    first = Driver(made, now=1000.0, earlier={})
    first.answer("a", *ALL)
    (keep,) = first.kept
    kept = reuse.results("w-0", first.events)["a"]
    run = Driver(made, now=8200.0, earlier={keep.key.digest: kept})
    assert run.state.status == "completed"
    assert found(run) == ["a: reused from run w-0, answered 1970-01-01T00:16:40Z (2h00m old)"]


def test_a_change_that_a_person_accepted() -> None:
    run = drive(QUORUM)
    run.answer("a", "alpha")
    changed = ev.RunResumed(0.0, 5.0, change_accepted="beta corrected a date")
    run = Driver(run.plan, [*run.events, changed])
    run.answer("a", "beta", "gamma")
    assert found(run) == ["run: resumed although data or code had changed; accepted: beta corrected a date"]
    assert [each.as_json()["step"] for each in of_run(run.state)] == [None]


# ------------------------------------------------------------------------------------------- all together


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=100)
@given(files=sound(), seed=st.integers(0, 1000))
def test_a_journal_says_the_same_as_the_run_and_whoever_is_missing_from_a_value_is_named(
    folder: Path, files: Files, seed: int
) -> None:
    run = World(seed).play(Driver(made(load(folder, files), folder)))
    found = of_run(run.state)
    assert of_run(replay(journalled(run.events))) == found
    assert all(each.kind in KINDS and each.message for each in found)
    if run.state.status == "completed":
        named = {(each.kind, name) for each in found for name in each.instances}
        for step in run.state.steps.values():
            if "." not in step.name and step.status == "completed" and (step.failed or step.missing):
                assert ("partial", step.name) in named
            if "." not in step.name and step.status == "failed":
                assert ("failed", step.name) in named


@settings(max_examples=100)
@given(files=sound(), seed=st.integers(0, 1000))
def test_where_nothing_fails_nothing_is_lacking(folder: Path, files: Files, seed: int) -> None:
    run = World(seed, calm=True).play(Driver(made(load(folder, files), folder)))
    if run.state.status == "completed" and not run.named(ev.StepFailed) and not run.named(ev.StepClosed):
        lacking = {"partial", "failed", "skipped"}
        assert not [each for each in of_run(run.state) if each.kind in lacking]


def test_the_keys_of_a_document() -> None:
    each = Incomplete("partial", "a", None, ("a",), ("beta",), "m")
    assert each.as_json() == {
        "kind": "partial",
        "step": "a",
        "output": None,
        "instances": ["a"],
        "organizations": ["beta"],
        "message": "m",
    }
    assert incomplete.reused(ev.StepReused(4000.0, "a", "w-0", "a", 400.0)).endswith("(1h00m old)")
