"""Foreach steps: which items there are, how many are at work, what comes of them, and how a run is taken up."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from driver import Driver, drive

from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Ask

ALL = ("alpha", "beta", "gamma")
THREE = '["age", "bmi", "sbp"]'


def foreach(what: str = f"over: {THREE}", *, policy: str = "", task: str = "", beside: str = "quorum: all") -> str:
    """A foreach step of one task step that asks all, over columns."""
    return f"""
steps:
  table:
    foreach:
      {what}
      as: column
      {policy}
      steps:
        mean:
          task: {{method: m, kwargs: {{column: "{{{{ each.column }}}}"}}{task}}}
          {beside}
        total: {{local: {{value: "{{{{ sum(steps.mean.results) }}}}"}}}}
      result: "{{{{ steps.total.result }}}}"
outputs:
  by_key: "{{{{ steps.table.by_key }}}}"
  rest: "{{{{ [steps.table.results, steps.table.completed, steps.table.failed, steps.table.skipped] }}}}"
  summary: "{{{{ steps.table.summary }}}}"
"""


def values(what: str, *, key: str = "", result: str = "{{ [each.key, each.index, each.x] }}") -> Any:
    """What becomes of a foreach step of a value step: its `by_key`."""
    run = drive(f"""
steps:
  t:
    foreach:
      {what}
      as: x
      {f'key: "{key}"' if key else ""}
      steps: {{v: {{local: {{value: "{result}"}}}}}}
      result: "{{{{ steps.v.result }}}}"
outputs: {{o: "{{{{ steps.t.by_key }}}}"}}
""")
    assert run.state.status == "completed", run.state.failure
    return run.state.outputs["o"]


def answer(run: Driver, *numbers: int, names: tuple[str, ...] = ALL, value: Any = 1) -> Driver:
    for number in numbers:
        run.answer(f"table[{number}].mean", *names, value=value)
    return run


# -- which items


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("over: [a, b]", {"a": ["a", 1, "a"], "b": ["b", 2, "b"]}),
        ("over: [a, a]", {"1": ["1", 1, "a"], "2": ["2", 2, "a"]}),
        ("over: [7, {n: 1}]", {"1": ["1", 1, 7], "2": ["2", 2, {"n": 1}]}),
        ("over: {p: 1, q: [2]}", {"p": ["p", 1, 1], "q": ["q", 2, [2]]}),
        ('over: "{{ range(2) }}"', {"1": ["1", 1, 0], "2": ["2", 2, 1]}),
        (
            "matrix: {c: [age, bmi], n: [1]}",
            {"age,1": ["age,1", 1, {"c": "age", "n": 1}], "bmi,1": ["bmi,1", 2, {"c": "bmi", "n": 1}]},
        ),
        ('matrix: {c: [age], n: "{{ range(2) }}"}', {"age,0": ["age,0", 1, {"c": "age", "n": 0}],
                                                     "age,1": ["age,1", 2, {"c": "age", "n": 1}]}),
        ('matrix: {c: ["1", "1,2"], n: ["2,3", "3"]}', {
            str(at): [str(at), at, {"c": c, "n": n}]
            for at, (c, n) in enumerate([("1", "2,3"), ("1", "3"), ("1,2", "2,3"), ("1,2", "3")], start=1)
        }),
        ('matrix: {c: [1, "1"]}', {"1": ["1", 1, {"c": 1}], "2": ["2", 2, {"c": "1"}]}),
        ("over: []", {}),
        ("over: {}", {}),
        ("matrix: {c: [], n: [1]}", {}),
    ],
)  # fmt: skip
def test_items_and_their_keys(what: str, expected: Any) -> None:
    assert values(what) == expected


def test_items_have_the_keys_that_are_given() -> None:
    found = values("over: [{n: age}, {n: bmi}]", key="{{ each.x.n }}_{{ each.index }}".replace("}}_{{", "~ '_' ~"))
    assert list(found) == ["age_1", "bmi_2"]
    assert found["bmi_2"][0] == "bmi_2"


@pytest.mark.parametrize(
    ("what", "key", "message"),
    [
        ("over: [a, b]", "{{ 1 }}", "two items have the key 1"),
        ("over: [a, b]", "{{ each.x == 'a' }}", "a key is text or a whole number, not true"),
        ("over: [a, b]", "{{ each.x.n }}", "n"),
        ('over: "{{ 3 }}"', "", "over is a list or a mapping, not 3"),
        ('matrix: "{{ [1] }}"', "", "a matrix is a mapping of lists"),
        ('matrix: {a: "{{ 3 }}"}', "", "a matrix is a mapping of lists"),
        ('over: "{{ params.nothing | length }}"', "", "a list or a mapping"),
    ],
)
def test_items_that_cannot_be_had_fail_the_step(what: str, key: str, message: str) -> None:
    run = drive(f"""
params: {{nothing: {{default: []}}}}
steps:
  t:
    foreach:
      {what}
      as: x
      {f'key: "{key}"' if key else ""}
      steps: {{v: {{local: {{value: 1}}}}}}
""")
    assert run.failure("t").kind == "expression"
    assert message in run.failure("t").message
    assert run.state.step("t").items is None


def test_too_many_items_are_a_mistake() -> None:
    run = drive("""
steps:
  t: {foreach: {matrix: {a: "{{ range(1000) }}", b: "{{ range(1000) }}"}, steps: {v: {local: {value: 1}}}}}
""")
    assert "1000000 items are more than 100000" in run.failure("t").message


def test_items_that_come_of_steps_wait_for_them() -> None:
    run = drive(
        foreach('over: "{{ steps.columns.result }}"').replace(
            "steps:", "steps:\n  columns: {local: {function: m:f}}", 1
        )
    )
    assert run.status("table") == "pending"
    run.finish("columns", ["age"])
    answer(run, 1)
    assert run.state.outputs["by_key"] == {"age": 3}


# -- what comes of them


def test_each_item_is_done_by_itself() -> None:
    run = drive(foreach())
    assert {run.requests[f"table[{n}].mean", "beta"].kwargs["beta"]["column"] for n in (1, 2, 3)} == {
        "age",
        "bmi",
        "sbp",
    }
    answer(run, 3, value=3)
    answer(run, 1, 2)
    assert run.state.outputs == {
        "by_key": {"age": 3, "bmi": 3, "sbp": 9},
        "rest": [[3, 3, 9], ["age", "bmi", "sbp"], [], []],
        "summary": {"total": 3, "completed": 3, "failed": 0, "skipped": 0},
    }


def test_without_result_nothing_comes_of_an_item() -> None:
    run = drive(
        "steps: {t: {foreach: {over: [a], steps: {v: {local: {value: 1}}}}}}\noutputs: {o: '{{ steps.t.items }}'}"
    )
    assert run.state.outputs["o"] == [
        {"key": "a", "item": "a", "status": "completed", "result": None, "error": None}
    ]  # fmt: skip


def test_the_item_has_a_name_though_none_is_given() -> None:
    run = drive("""
steps: {t: {foreach: {over: [a], steps: {v: {local: {value: "{{ each.item }}"}}}, result: "{{ steps.v.result }}"}}}
outputs: {o: "{{ steps.t.results }}"}
""")
    assert run.state.outputs["o"] == ["a"]


def test_an_item_that_fails_fails_the_step_when_those_at_work_have_ended() -> None:
    run = drive(foreach(policy="max_parallel: 2"))
    run.fail("table[1].mean", *ALL)
    assert run.status("table") == "running"
    answer(run, 2)
    assert run.status("table") == "failed"
    assert ("table[3].mean", "alpha") not in run.requests  # no item begins after a failure
    failure = run.failure("table")
    assert failure.message.startswith("item age: ")
    assert failure.message.endswith("(1 of 3 failed)")
    assert (failure.step, failure.organization, failure.kind) == ("table[1].mean", "alpha", "crashed")


def test_an_item_may_fail() -> None:
    run = drive(foreach(policy="{max_parallel: 1, on_item_failure: continue}".strip("{}").replace(", ", "\n      ")))
    answer(run, 1)
    run.fail("table[2].mean", "beta")
    run.answer("table[2].mean", "alpha", "gamma")
    answer(run, 3)
    assert run.state.outputs == {
        "by_key": {"age": 3, "sbp": 3},
        "rest": [[3, 3], ["age", "sbp"], ["bmi"], []],
        "summary": {"total": 3, "completed": 2, "failed": 1, "skipped": 0},
    }


def test_what_became_of_each_item_can_be_read() -> None:
    text = foreach(policy="on_item_failure: continue").partition("outputs:")[0]
    run = drive(text + "outputs: {o: '{{ steps.table.items }}'}")
    run.fail("table[2].mean", *ALL)
    answer(run, 1, 3)
    told: Any = run.state.outputs["o"]
    first, second, _ = told
    assert first == {"key": "age", "item": "age", "status": "completed", "result": 3, "error": None}
    assert (second["status"], second["result"], second["error"]["step"]) == ("failed", None, "table[2].mean")


def test_all_items_may_fail() -> None:
    run = drive(foreach(policy="on_item_failure: continue"))
    for number in (1, 2, 3):
        run.fail(f"table[{number}].mean", *ALL)
    assert run.state.outputs["by_key"] == {}


def test_a_result_that_cannot_be_had_fails_the_item() -> None:
    run = drive(foreach().replace("{{ steps.total.result }}", "{{ steps.total.result.x }}"))
    answer(run, 1, 2, 3)
    assert run.failure("table").message.startswith("item age: ")
    assert run.failure("table").message.endswith("(3 of 3 failed)")
    assert run.failure("table").step == "table"


def test_what_a_step_offers_that_never_began_is_undefined() -> None:
    text = foreach('over: "{{ steps.columns.result }}"').partition("outputs:")[0]
    text = text.replace("steps:", "steps:\n  columns: {local: {function: m:f}, on_failure: continue}", 1)
    run = drive(text + "outputs: {o: \"{{ [steps.table.status, steps.table.failed | default('none')] }}\"}")
    run.crash("columns")
    assert run.state.outputs["o"] == ["skipped", "none"]


def test_no_more_are_at_work_than_may_be() -> None:
    run = drive(foreach("over: '{{ range(6) }}'", policy="max_parallel: 2"))

    def begun() -> set[str]:
        return {step for step, _ in run.requests}

    assert begun() == {"table[1].mean", "table[2].mean"}
    answer(run, 2)
    assert begun() == {"table[1].mean", "table[2].mean", "table[3].mean"}
    answer(run, 1, 3)
    assert begun() == {f"table[{number}].mean" for number in range(1, 6)}
    answer(run, 4, 5, 6)
    assert run.state.status == "completed"


def test_twenty_are_at_work_unless_it_says_otherwise() -> None:
    run = drive(foreach("over: '{{ range(30) }}'"))
    assert len({step for step, _ in run.requests}) == 20


def test_many_items_take_no_work_by_their_square() -> None:
    def calls(count: int) -> int:
        seen = 0

        def note(_frame: object, what: str, _argument: object) -> None:
            nonlocal seen
            seen += what == "call"

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            run = drive(f"""
steps:
  t: {{foreach: {{over: "{{{{ range({count}) }}}}", steps: {{v: {{local: {{value: "{{{{ each.item }}}}"}}}}}}}}}}
""")
        finally:
            sys.setprofile(before)
        assert run.state.status == "completed"
        return seen

    calls(1)  # what is made once is made
    assert calls(1000) < 12 * calls(100)


# -- cohorts


def test_items_answered_by_others_are_not_put_together() -> None:
    run = drive(foreach(beside="quorum: 1"))
    answer(run, 1, 3)
    run.fail("table[2].mean", "gamma")
    run.answer("table[2].mean", "alpha", "beta")
    assert run.failure("table").kind == "cohorts"
    assert "table[2].mean by alpha, beta (without gamma)" in run.failure("table").message


def test_items_answered_by_others_are_put_together_if_that_is_meant() -> None:
    run = drive(foreach(beside="quorum: 1").replace("  table:\n", "  table:\n    mixed_cohorts: so\n"))
    answer(run, 1, 3)
    run.fail("table[2].mean", "gamma")
    run.answer("table[2].mean", "alpha", "beta")
    assert run.state.outputs["by_key"] == {"age": 3, "bmi": 2, "sbp": 3}
    assert run.state.step("table").accepted


def test_an_item_does_not_carry_who_answered_for_another() -> None:
    text = foreach(policy="max_parallel: 1", beside="quorum: 1")
    run = drive(text.replace("  table:\n", "  table:\n    mixed_cohorts: so\n"))
    run.fail("table[1].mean", "gamma")
    run.answer("table[1].mean", "alpha", "beta")
    answer(run, 2)
    assert run.state.step("table[2].mean").carried == (("table[2].mean", ALL),)


def test_an_item_carries_who_gave_the_list() -> None:
    text = foreach('over: "{{ steps.columns.results }}"', beside="quorum: 1")
    text = text.replace("  table:\n", "  table:\n    allow_cross_site: these are names of columns\n")
    run = drive(text.replace("steps:", "steps:\n  columns: {task: {method: c}, quorum: 1}", 1))
    run.fail("columns", "gamma")
    run.answer("columns", "alpha", "beta", value="age")
    answer(run, 1)
    assert run.failure("table[1].mean").kind == "cohorts"


# -- within one another


def test_items_within_items() -> None:
    run = drive("""
steps:
  outer:
    foreach:
      over: [a, b]
      as: site
      steps:
        inner:
          foreach:
            over: {x: 1, y: 2}
            as: n
            key: "{{ each.site ~ each.key }}"
            steps: {v: {local: {value: "{{ [each.site, each.n, each.key, each.index] }}"}}}
            result: "{{ steps.v.result }}"
      result: "{{ steps.inner.by_key }}"
outputs: {o: "{{ steps.outer.by_key }}"}
""")
    assert run.state.outputs["o"] == {
        "a": {"ax": ["a", 1, "ax", 1], "ay": ["a", 2, "ay", 2]},
        "b": {"bx": ["b", 1, "bx", 1], "by": ["b", 2, "by", 2]},
    }


def test_items_within_rounds_and_rounds_within_items() -> None:
    run = drive("""
steps:
  fit:
    repeat:
      as: step
      state: {a: 1, b: 10}
      max: 2
      on_max: continue
      steps:
        each_one:
          foreach:
            over: "{{ loop.state }}"
            as: start
            steps:
              grow:
                repeat:
                  state: "{{ each.start }}"
                  max: 3
                  on_max: continue
                  steps: {add: {local: {value: "{{ loop.state + loop.step.index }}"}}}
                  update: "{{ steps.add.result }}"
            result: "{{ steps.grow.result }}"
      update: "{{ steps.each_one.by_key }}"
outputs: {o: "{{ steps.fit.history }}"}
""")
    assert run.state.outputs["o"] == [{"a": 1, "b": 10}, {"a": 4, "b": 13}, {"a": 10, "b": 19}]


def test_the_cohort_of_rounds_holds_for_each_item_in_them() -> None:
    run = drive("""
steps:
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps:
        table:
          foreach:
            over: [a, b]
            steps: {mean: {task: {method: m, kwargs: {x: "{{ loop.state }}"}}, quorum: 2}}
            result: "{{ sum(steps.mean.results) }}"
      update: "{{ sum(steps.table.results) }}"
""")
    for number in (1, 2):
        run.fail(f"fit[1].table[{number}].mean", "alpha")
        run.answer(f"fit[1].table[{number}].mean", "beta", "gamma")
    assert run.asked("fit[2].table[2].mean") == ["beta", "gamma"]


def test_organizations_may_come_of_the_item() -> None:
    run = drive(foreach(f"over: {json.dumps([list(ALL[:2]), ['gamma']])}", task=', organizations: "{{ each.column }}"'))
    assert (run.asked("table[1].mean"), run.asked("table[2].mean")) == (["alpha", "beta"], ["gamma"])


# -- taking up


def asked_anew(run: Driver) -> list[tuple[str, ...]]:
    return [(each.request.step, *each.request.kwargs) for each in run.commands if isinstance(each, Ask) and each.event]


def test_a_run_goes_on_in_the_middle_of_item_3() -> None:
    run = drive(foreach(policy="max_parallel: 1"))
    answer(run, 1, 2)
    run.answer("table[3].mean", "beta")
    again = run.resume(down=60)
    assert asked_anew(again) == []
    sent = {(each.request.step, *each.request.kwargs) for each in again.commands if isinstance(each, Ask)}
    assert sent == {("table[3].mean", "alpha"), ("table[3].mean", "gamma")}
    assert again.requests["table[3].mean", "alpha"].token == run.requests["table[3].mean", "alpha"].token
    again.answer("table[3].mean", "alpha", "gamma")
    assert again.state.outputs["by_key"] == {"age": 3, "bmi": 3, "sbp": 3}


def test_items_at_work_beside_one_that_failed_are_gone_on_with() -> None:
    run = drive(foreach())
    run.fail("table[1].mean", *ALL)
    again = run.resume()
    assert again.status("table") == "running"
    answer(again, 2, 3)
    assert again.failure("table").message.endswith("(1 of 3 failed)")


@pytest.mark.parametrize("kept", range(1, 16))
def test_it_goes_on_wherever_it_was_killed(kept: int) -> None:
    whole = answer(drive(foreach(policy="max_parallel: 2")), 1, 2, 3)
    run = whole.resume(keep=kept)
    for number in (1, 2, 3):
        open_ = [name for name in ALL if (f"table[{number}].mean", name) in run.requests]
        run.answer(f"table[{number}].mean", *open_)
    assert run.state.outputs == whole.state.outputs


def test_retrying_does_the_failed_item_again_and_asks_only_who_lacks() -> None:
    run = drive(foreach(policy="max_parallel: 1"))
    answer(run, 1, value=2)
    run.answer("table[2].mean", "alpha", "gamma", value=5)
    run.fail("table[2].mean", "beta")
    assert run.state.status == "failed"
    again = run.resume(retry=("table[2].mean", "table"), reset=("table[2].total",))
    assert asked_anew(again) == [("table[2].mean", "beta")]
    again.answer("table[2].mean", "beta", value=5)
    answer(again, 3)
    assert again.state.outputs["by_key"] == {"age": 6, "bmi": 15, "sbp": 3}


def test_a_failed_item_keeps_what_was_answered_in_it() -> None:
    """A step of it that completed is used when what failed is tried again."""
    more = "        again: {task: {method: n, kwargs: {m: '{{ steps.mean.results }}'}}, allow_cross_site: so}\n"
    text = foreach().replace("        total:", f"{more}        total:")
    run = drive(text)
    answer(run, 1, 2, 3)
    run.answer("table[1].again", *ALL)
    run.fail("table[2].again", *ALL)
    run.answer("table[3].again", *ALL)
    again = run.resume(retry=("table[2].again", "table"))
    assert again.requests["table[2].again", "alpha"].kwargs["alpha"] == {"m": [1, 1, 1]}
    again.answer("table[2].again", *ALL)
    assert again.state.outputs["by_key"] == {"age": 3, "bmi": 3, "sbp": 3}


def test_a_local_step_of_an_item_is_done_again_after_a_kill() -> None:
    run = drive("""
steps:
  t: {foreach: {over: [a, b], steps: {f: {local: {function: "m:f", kwargs: {x: "{{ each.item }}"}}}},
      result: "{{ steps.f.result }}"}}
outputs: {o: "{{ steps.t.by_key }}"}
""")
    assert set(run.children) == {"t[1].f", "t[2].f"}
    run.finish("t[1].f", 1)
    again = run.resume()
    assert set(again.children) == {"t[2].f"}
    again.finish("t[2].f", 2)
    assert again.state.outputs["o"] == {"a": 1, "b": 2}


def test_cancelling_ends_all_items() -> None:
    run = drive(foreach(policy="max_parallel: 2"))
    answer(run, 1, names=("alpha",))
    run.cancel()
    assert run.state.status == "cancelled"
    assert len(run.killed()) == 5


def test_a_nested_deadline_fails_its_item_only() -> None:
    run = drive(foreach(policy="on_item_failure: continue", beside="timeout: 1h"))
    answer(run, 1, 3)
    run.wait(3600)
    rest: Any = run.state.outputs["rest"]
    assert rest[2] == ["bmi"]


def test_an_item_is_told_as_it_ends() -> None:
    run = answer(drive(foreach()), 2, 1, 3)
    assert [event.item for event in run.named(ev.ItemEnded)] == [2, 1, 3]
