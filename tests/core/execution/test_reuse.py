"""Reuse of earlier results: what is the same question, what may be kept, and that nothing else is reused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from driver import Driver, make
from msgspec.structs import replace

from v6flow.core.execution import events as ev
from v6flow.core.execution import reuse
from v6flow.core.execution.reuse import Basis, Kept, Key, ReusableAnswer
from v6flow.core.kinds import LocalPlan, TaskPlan
from v6flow.core.language.problem import InvalidError
from v6flow.core.policy import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

ASK = 's: {task: {method: m, kwargs: {column: "{{ params.column }}"}}, cache: 7d}'
TEXT = f"""\
params: {{column: {{type: string, default: age}}}}
steps:
  {ASK}
outputs: {{s: "{{{{ steps.s.results }}}}"}}
"""
FUNCTION = """\
steps:
  s: {local: {function: "f.py:f", kwargs: {a: 1}}, cache: 1h}
outputs: {s: "{{ steps.s.result }}"}
"""
BOTH = ("alpha", "beta")
EVERYBODY = ("alpha", "beta", "gamma")


def key_of(text: str = TEXT, *, basis: Basis | None = None, params: Mapping[str, Any] | None = None) -> Key:
    """The key of the step `s`, as the first process would look for it."""
    plan = make(text, params=params)
    step = plan.step("s")
    if isinstance(step, LocalPlan):
        run = Driver(plan, earlier={})
        return run.recalled[0].key if basis is None else reuse.of_local(step, None, {"a": 1}, basis)
    assert isinstance(step, TaskPlan)
    if basis is not None:
        return reuse.of_task(plan, step, EVERYBODY, {name: {"column": "age"} for name in EVERYBODY}, basis)
    return Driver(plan, earlier={}).recalled[0].key


def kept(values: Mapping[str, Any] | None = None, *, value: Any = None, answered: float = -100.0) -> Kept:
    answers = {name: ReusableAnswer(each) for name, each in (values or {}).items()}
    return Kept("w-0", "then", answered, answered, value, answers)


def earlier(text: str = TEXT, values: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Kept]:
    values = {"alpha": 1, "beta": 2, "gamma": 3} if values is None and "value" not in options else values
    return {key_of(text).digest: kept(values, **options)}


# ------------------------------------------------------------------------------------------------------- the key


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("image", ("{method: m", "{image: other, method: m")),
        ("method", ("method: m", "method: n")),
        ("kwargs", ("kwargs: {column: ", "kwargs: {more: 1, column: ")),
        ("organizations", ("{method: m", "{organizations: [beta, alpha], method: m")),
        ("databases", ("{method: m", "{databases: [omop], method: m")),
        ("databases", ("{method: m", "{databases: [{label: default, query: select 1}], method: m")),
        ("settings", ("{method: m", "{isolation: task, method: m")),
        ("settings", ("cache: 7d", "allow_nonfinite: true, cache: 7d")),
    ],
)
def test_what_is_asked_is_in_the_key(part: str, change: tuple[str, str]) -> None:
    before, after = key_of(), key_of(TEXT.replace(*change))
    assert part in reuse.changed(before.parts, after.parts)
    assert before.digest != after.digest


@pytest.mark.parametrize(
    "change",
    [
        ("cache: 7d", "cache: 1h"),
        ("cache: 7d", "timeout: 3h, retry: 3, cache: 7d"),
        ("cache: 7d", "quorum: {min: 2}, cache: 7d"),
        ("cache: 7d", "output_schema: {type: integer}, cache: 7d"),
        ("  s:", "  other: {local: {value: 1}}\n  s:"),
        ("{method: m", "{name: spelled otherwise, description: why, method: m"),
    ],
)
def test_how_it_is_waited_for_and_judged_is_not(change: tuple[str, str]) -> None:
    assert key_of(TEXT.replace(*change)) == key_of()


def test_params_count_by_what_they_lead_to() -> None:
    assert reuse.changed(key_of().parts, key_of(params={"column": "bmi"}).parts) == ["kwargs"]


def test_what_no_plan_says_is_in_it_too() -> None:
    assert reuse.changed(key_of(basis=Basis(data="a")).parts, key_of(basis=Basis(data="b")).parts) == ["data"]
    sources = [Basis({"s": each}) for each in ("a", "b")]
    one, other = (key_of(FUNCTION, basis=basis) for basis in sources)
    assert reuse.changed(one.parts, other.parts) == ["source"]


def test_another_federation_is_another_question() -> None:
    plan = make(TEXT)
    step = plan.step("s")
    assert isinstance(step, TaskPlan)
    elsewhere = replace(plan, directory=replace(plan.directory, identity="elsewhere"))
    one, other = (reuse.of_task(each, step, BOTH, {key: {} for key in BOTH}, Basis()) for each in (plan, elsewhere))
    assert reuse.changed(one.parts, other.parts) == ["federation"]


def test_a_command_counts_by_its_words() -> None:
    plan = make("steps: {s: {local: {command: [a, b]}, cache: 1h}}")
    step = plan.step("s")
    assert isinstance(step, LocalPlan)
    one, other = (reuse.of_local(step, words, {}, Basis()) for words in (("a", "b"), ("a", "c")))
    assert reuse.changed(one.parts, other.parts) == ["command"]


@pytest.mark.parametrize(("said", "seconds"), [("7d", 604800.0), ("none", None), ('"{{ params.column }}"', 3600.0)])
def test_how_long_a_result_may_be_reused(said: str, seconds: float | None) -> None:
    step = make(TEXT.replace("cache: 7d", f"cache: {said}"), params={"column": "1h"}).step("s")
    assert isinstance(step, TaskPlan)
    assert step.cache == seconds


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(InvalidError, match="nothing is as new as 0s: write none, or a longer duration"):
        make(TEXT.replace("7d", "0s"))


# ---------------------------------------------------------------------------------------------------- being reused


def test_nobody_is_asked_for_what_is_known() -> None:
    run = Driver(make(TEXT), earlier=earlier())
    assert run.asked("s") == []
    assert run.state.status == "completed"
    assert run.state.outputs == {"s": [1, 2, 3]}
    assert run.state.step("s").carried == (("s", EVERYBODY),)
    assert run.state.queries == {}
    found = run.state.step("s").reused
    assert found is not None
    assert (found.run, found.source, found.answered) == ("w-0", "then", -100.0)


def test_where_nothing_is_known_it_is_asked_and_kept() -> None:
    run = Driver(make(TEXT), earlier={})
    assert run.asked("s") == [*EVERYBODY]
    assert [event.reason for event in run.named(ev.StepNotReused)] == ["there is none"]
    run.answer("s", *EVERYBODY)
    assert [(each.step, each.key, each.ended) for each in run.kept] == [("s", run.recalled[0].key, 0.0)]
    assert run.state.status == "completed"


def test_what_is_reused_is_not_kept_again() -> None:
    assert Driver(make(TEXT), earlier=earlier()).kept == []


def test_without_the_word_nothing_is_looked_for_or_kept() -> None:
    run = Driver(make(TEXT.replace(", cache: 7d", "")), earlier=earlier())
    run.answer("s", *EVERYBODY)
    assert (run.recalled, run.kept) == ([], [])


def test_without_earlier_results_nothing_is_looked_for() -> None:
    run = Driver(make(TEXT))
    run.answer("s", *EVERYBODY)
    assert (run.recalled, run.kept) == ([], [])


def test_a_partial_cohort_is_not_kept() -> None:
    run = Driver(make(TEXT.replace("cache:", "quorum: 2, cache:")), earlier={})
    run.answer("s", *BOTH)
    run.fail("s", "gamma")
    assert run.status("s") == "completed"
    assert run.kept == []


def test_a_failure_is_not_kept() -> None:
    run = Driver(make(TEXT), earlier={})
    run.answer("s", *BOTH)
    run.fail("s", "gamma")
    assert run.status("s") == "failed"
    assert run.kept == []


def test_a_check_that_fails_keeps_it_from_being_kept() -> None:
    run = Driver(make(TEXT.replace("cache:", 'checks: [{that: "{{ false }}", message: no}], cache:')), earlier={})
    run.answer("s", *EVERYBODY)
    assert run.status("s") == "failed"
    assert run.kept == []


@pytest.mark.parametrize(
    ("said", "subtasks", "is_kept"),
    [
        ("fail", (ev.Subtask("beta", "completed"),), True),
        ("fail", (), True),
        ("partial", (ev.Subtask("beta", "completed"),), True),
        ("partial", (ev.Subtask("beta", "completed"), ev.Subtask("gamma", "failed")), False),
        ("partial", (), False),
    ],
)
def test_a_central_function_is_kept_if_all_its_subtasks_completed(
    said: str, subtasks: tuple[ev.Subtask, ...], is_kept: bool
) -> None:
    central = "{organization: alpha, central: true, subtasks: " + said + ", method: m"
    text = TEXT.replace("{method: m", central).replace(".results", ".result")
    run = Driver(make(text), earlier={})
    run.answer("s", "alpha", subtasks=subtasks)
    assert run.status("s") == "completed"
    assert bool(run.kept) is is_kept


def test_answers_are_judged_by_what_is_demanded_now() -> None:
    text = TEXT.replace("cache:", 'checks: [{each: "{{ result > 1 }}", message: too few}], cache:')
    run = Driver(make(text), earlier=earlier())
    assert run.asked("s") == [*EVERYBODY]
    (told,) = run.named(ev.StepNotReused)
    assert told.reason == "what alpha answered in run w-0 would be refused now: too few"


def test_a_refusal_for_smallness_tells_nothing_of_the_answer() -> None:
    text = TEXT.replace("cache:", 'disclosure: {min_count: 10, count: "{{ result }}"}, cache:')
    run = Driver(make(text), earlier=earlier(values={"alpha": 12, "beta": 7, "gamma": 12}))
    assert run.asked("s") == [*EVERYBODY]
    (told,) = run.named(ev.StepNotReused)
    assert told.reason.endswith("its result is refused unseen: it is about fewer than 10")


def test_answers_of_others_are_no_answers() -> None:
    run = Driver(make(TEXT), earlier=earlier(values={"alpha": 1, "beta": 2}))
    assert run.asked("s") == [*EVERYBODY]
    assert run.named(ev.StepNotReused)[0].reason == "run w-0 does not have an answer of each"


def test_answers_to_another_question_are_no_answers() -> None:
    asked = Driver(make(TEXT), earlier={})
    asked.answer("s", *EVERYBODY, value=1)
    same = reuse.results("w-0", asked.events)["s"]
    run = Driver(make(TEXT), earlier={key_of().digest: same})
    assert run.state.step("s").reused is not None
    other = replace(same, sent={**same.sent, "beta": "of another question"})
    run = Driver(make(TEXT), earlier={key_of().digest: other})
    assert run.asked("s") == [*EVERYBODY]
    assert run.named(ev.StepNotReused)[0].reason == "beta was asked something else in run w-0"


def test_a_value_computed_here_is_reused_too() -> None:
    run = Driver(make(FUNCTION), earlier=earlier(FUNCTION, value=[4]))
    assert run.children == {}
    assert run.state.outputs == {"s": [4]}
    assert run.state.step("s").reused is not None


def test_a_value_computed_here_is_kept() -> None:
    run = Driver(make(FUNCTION), earlier={})
    run.finish("s", 4)
    assert [each.step for each in run.kept] == ["s"]


def test_a_value_is_held_against_todays_schema() -> None:
    text = FUNCTION.replace("cache:", "output_schema: {type: string}, cache:")
    run = Driver(make(text), earlier=earlier(FUNCTION, value=4))
    assert run.failure("s").kind == "output_schema"


def test_cohorts_of_reused_answers_count() -> None:
    text = """\
steps:
  one: {task: {method: m, organizations: [alpha, beta]}}
  s: {task: {method: n}, cache: 7d}
outputs: {all: "{{ [steps.one.results, steps.s.results] }}"}
"""
    first = Driver(make(text), earlier={})
    run = Driver(make(text), earlier={first.recalled[0].key.digest: kept({"alpha": 1, "beta": 2, "gamma": 3})})
    run.answer("one", *BOTH)
    assert run.failure().kind == "cohorts"


def test_a_policy_on_queries_does_not_count_what_is_reused() -> None:
    plan = make(TEXT)
    strict = replace(plan, directory=replace(plan.directory, policy=replace(plan.directory.policy, max_queries=0)))
    assert Driver(strict, earlier=earlier()).state.status == "completed"
    assert Driver(strict, earlier={}).failure("s").kind == "policy"


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"min_count": 10}, "it is about fewer than 10"),
        (
            {"min_count": 5, "counts": {"i": {"m": "{{ result.n }}"}}},
            "it does not say how many it is about, at result.n",
        ),
    ],
)
def test_an_answer_from_under_a_laxer_policy_is_judged_by_that_of_today(policy: dict[str, Any], told: str) -> None:
    text = TEXT.replace("cache: 7d", "disclosure: {min_count: 1, count: '{{ result.count + 1000 }}'}, cache: 7d")
    plan = make(text)
    found = earlier(values={name: {"count": 9} for name in EVERYBODY})
    assert Driver(plan, earlier=found).requests == {}
    strict = replace(plan, directory=replace(plan.directory, policy=parse(policy)))
    run = Driver(strict, earlier=found)
    assert len(run.requests) == 3
    (reason,) = [event.reason for event in run.events if isinstance(event, ev.StepNotReused)]
    assert told in reason


def test_why_an_answer_is_not_reused_quotes_nothing_of_it_under_a_policy() -> None:
    plan = make(TEXT.replace("cache: 7d", "output_schema: {properties: {name: {enum: [x]}}}, cache: 7d"))
    strict = replace(plan, directory=replace(plan.directory, policy=parse({"min_count": 1})))
    run = Driver(strict, earlier=earlier(values={name: {"count": 9, "name": "patient 4711"} for name in EVERYBODY}))
    (reason,) = [event.reason for event in run.events if isinstance(event, ev.StepNotReused)]
    assert reason.endswith("would be refused now: its result does not fit the step's output_schema")


def test_each_round_looks_for_itself() -> None:
    text = """\
steps:
  fit:
    repeat:
      state: 0
      steps: {s: {task: {method: m, kwargs: {x: "{{ loop.state }}"}}, cache: 7d}}
      update: "{{ loop.state + 1 }}"
      max: 2
      on_max: continue
outputs: {n: "{{ steps.fit.result }}"}
"""
    run = Driver(make(text), earlier={})
    run.answer("fit[1].s", *EVERYBODY)
    first, second = (each.key for each in run.recalled)
    assert reuse.changed(first.parts, second.parts) == ["kwargs"]
    run.answer("fit[2].s", *EVERYBODY)
    assert [each.step for each in run.kept] == ["fit[1].s", "fit[2].s"]
    again = Driver(make(text), earlier={each.key.digest: kept(dict.fromkeys(EVERYBODY, 1)) for each in run.kept})
    assert again.requests == {}
    assert again.state.status == "completed"


def test_a_gate_does_not_pause_a_run_that_is_looking() -> None:
    text = 'steps:\n  g: {gate: {message: go on?}}\n  s: {local: {function: "f.py:f"}, cache: 1h}\n'
    run = Driver(make(text), earlier={})
    assert run.named(ev.RunPaused) == []
    run.finish("s", 1)
    assert run.state.status == "waiting"


# ----------------------------------------------------------------------------------------------- being taken up again


@pytest.mark.parametrize("keep", range(1, 9))
def test_a_run_that_reuses_ends_alike_wherever_it_is_killed(keep: int) -> None:
    whole = Driver(make(TEXT), earlier=earlier())
    for there in (earlier(), {}):  # what could be reused may be gone by then: what was reused is in the journal
        if keep >= len(whole.events):
            return
        cut = Driver(make(TEXT), whole.events[:keep], earlier=there)
        if cut.requests:
            assert not any(isinstance(event, ev.StepReused) for event in whole.events[:keep]), "asked after reusing"
            cut.answer("s", "alpha", value=1)
            cut.answer("s", "beta", value=2)
            cut.answer("s", "gamma", value=3)
        assert cut.state.outputs == whole.state.outputs


def test_a_step_that_has_asked_looks_no_more() -> None:
    run = Driver(make(TEXT), earlier={})
    run.answer("s", "alpha")
    again = run.resume()
    again.earlier = earlier()
    assert again.recalled == []
    again.answer("s", "beta", "gamma")
    assert [each.step for each in again.kept] == ["s"]


def test_a_step_that_is_tried_again_asks_whom_it_lacks() -> None:
    run = Driver(make(TEXT), earlier={})
    run.answer("s", *BOTH)
    run.fail("s", "gamma")
    again = run.resume(retry=("s",))
    assert again.recalled == []
    assert again.asked("s") == ["gamma"]


def test_a_cancelled_run_takes_no_more_answers() -> None:
    run = Driver(make(FUNCTION), earlier={})
    run.cancel()
    run.scheduler.recalled("s", kept(value=1))
    assert run.go() == []
    assert run.state.status == "cancelled"


# ------------------------------------------------------------------------------------------- what a run has to offer


def test_the_results_of_a_run_are_those_of_its_journal() -> None:
    run = Driver(make(TEXT), earlier={})
    run.answer("s", "alpha", value=1)
    run.now = 5.0
    run.answer("s", "beta", "gamma", value=2)
    found = reuse.results("w-1", run.events)["s"]
    assert (found.run, found.ended, found.answered) == ("w-1", 5.0, 0.0)
    assert {name: each.value for name, each in found.answers.items()} == {"alpha": 1, "beta": 2, "gamma": 2}


def test_what_was_reset_counts_no_more() -> None:
    events: list[ev.Event] = [
        ev.StepStarted(1.0, "fit[1].s", ("alpha", "beta")),
        ev.TaskAnswered(2.0, "fit[1].s", "alpha", 1, "old"),
        ev.RunResumed(3.0, 0.0, reset=("fit",)),
        ev.StepStarted(4.0, "fit[1].s", ("alpha", "beta")),
        ev.TaskAnswered(5.0, "fit[1].s", "beta", 2, "new"),
        ev.StepCompleted(6.0, "fit[1].s"),
    ]
    assert dict(reuse.results("w-1", events)["fit[1].s"].answers) == {"beta": ReusableAnswer("new")}


def test_values_of_rounds_that_have_ended_are_there() -> None:
    """A state forgets them, a journal does not."""
    events: list[ev.Event] = [
        ev.StepStarted(1.0, "fit"),
        ev.RoundEnded(1.0, "fit", 0, 0),
        ev.StepStarted(1.0, "fit[1].s", ("alpha",)),
        ev.TaskAnswered(2.0, "fit[1].s", "alpha", 1, 7),
        ev.StepCompleted(2.0, "fit[1].s"),
        ev.RoundEnded(2.0, "fit", 1, 1),
    ]
    assert dict(reuse.results("w-1", events)["fit[1].s"].answers) == {"alpha": ReusableAnswer(7)}
