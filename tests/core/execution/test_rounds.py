"""Repeat steps: rounds one after the other, what they see, who is asked in them, how they end and are taken up."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Driver, drive

from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Ask, Record
from v6flow.runs.resume import what_to_do_again

SUM = """
steps:
  fit:
    repeat:
      state: {at: 0}
      max: 3
      steps:
        part: {task: {method: m, kwargs: {at: "{{ loop.state.at }}", round: "{{ loop.index }}"}}}
        total: {local: {value: "{{ sum(steps.part.results) }}"}}
      update: {at: "{{ loop.state.at + steps.total.result }}"}
      until: "{{ loop.next.at >= 6 }}"
  after: {local: {value: "{{ steps.fit.result.at * 10 }}"}}
outputs:
  at: "{{ steps.after.result }}"
  how: "{{ [steps.fit.iterations, steps.fit.converged, steps.fit.responded] }}"
  history: "{{ steps.fit.history }}"
"""
ALL = ("alpha", "beta", "gamma")


def repeat(policy: str = "", task: str = "", *, quorum: str = "all", max_: int = 3) -> str:
    """A repeat step of one task step that asks all, with a policy beside its steps."""
    return f"""
steps:
  fit:
    repeat:
      state: 0
      max: {max_}
      on_max: continue
      {policy}
      steps:
        part:
          task: {{method: m, kwargs: {{at: "{{{{ loop.state }}}}"}}{task}}}
          quorum: {quorum}
          timeout: 1h
      update: "{{{{ sum(steps.part.results) }}}}"
outputs: {{fit: "{{{{ steps.fit.result }}}}", who: "{{{{ steps.fit.responded }}}}"}}
"""


def play(run: Driver, rounds: int, *names: str, step: str = "fit[{}].part", first: int = 1, value: Any = 1) -> Driver:
    """So many rounds in which all, or those named, answer."""
    for number in range(first, first + rounds):
        run.answer(step.format(number), *(names or ALL), value=value)
    return run


# -- the order of things


def test_rounds_come_one_after_the_other_each_with_what_came_before() -> None:
    run = drive(SUM)
    assert run.asked("fit[1].part") == list(ALL)
    assert run.requests["fit[1].part", "beta"].kwargs["beta"] == {"at": 0, "round": 1}
    run.answer("fit[1].part", "alpha", "beta")
    assert ("fit[2].part", "alpha") not in run.requests
    run.answer("fit[1].part", "gamma")
    assert run.requests["fit[2].part", "beta"].kwargs["beta"] == {"at": 3, "round": 2}
    run.answer("fit[2].part", *ALL)
    assert run.state.status == "completed"
    assert run.state.outputs == {
        "at": 60,
        "how": [2, True, list(ALL)],
        "history": [{"at": 0}, {"at": 3}, {"at": 6}],
    }
    assert run.asked("fit[3].part") == []
    kinds = [type(event).__name__ for event in run.events if getattr(event, "step", "") == "fit"]
    assert kinds == ["StepStarted", "RoundEnded", "RoundEnded", "RoundEnded", "StepCompleted"]


def test_the_condition_sees_the_state_before_and_after_and_the_steps() -> None:
    run = drive("""
steps:
  fit:
    repeat:
      state: 8
      max: 9
      steps: {half: {local: {value: "{{ loop.state / 2 }}"}}}
      update: "{{ steps.half.result }}"
      until: "{{ loop.state - loop.next < 1.5 and steps.half.result == loop.next and loop.index > 1 }}"
outputs: {o: "{{ [steps.fit.result, steps.fit.iterations] }}"}
""")
    assert run.state.outputs == {"o": [1.0, 3]}


def test_without_a_condition_all_rounds_are_done() -> None:
    run = play(drive(repeat(max_=2)), 2)
    assert run.state.outputs == {"fit": 3, "who": list(ALL)}
    assert run.state.step("fit").converged is False


def test_what_has_not_converged_fails_and_is_told() -> None:
    run = play(drive(SUM.replace("max: 3", "max: 1")), 1)
    assert run.state.status == "failed"
    assert run.failure("fit").kind == "max"
    assert "after 1 round, the most there may be, it has not converged" in run.failure("fit").message
    assert "raise max" in (run.failure("fit").hint or "")
    assert run.status("after") == "skipped"


def test_what_has_not_converged_may_do() -> None:
    run = play(drive(SUM.replace("max: 3", "max: 1\n      on_max: continue")), 1)
    assert run.state.outputs["how"] == [1, False, list(ALL)]


def test_max_may_be_a_param() -> None:
    text = "params: {n: {default: 2}}" + repeat().replace("max: 3", 'max: "{{ params.n }}"')
    assert play(drive(text), 2).state.status == "completed"


def test_nested_steps_see_steps_outside_and_wait_for_them() -> None:
    run = drive("""
steps:
  first: {local: {function: "m:f"}}
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {more: {local: {value: "{{ steps.first.result + loop.state }}"}}}
      update: "{{ steps.more.result }}"
outputs: {o: "{{ steps.fit.result }}"}
""")
    assert run.status("fit") == "pending"
    run.finish("first", 5)
    assert run.state.outputs == {"o": 10}


def test_rounds_within_rounds_know_each_other_by_name() -> None:
    run = drive("""
steps:
  outer:
    repeat:
      as: big
      state: 100
      max: 2
      on_max: continue
      steps:
        inner:
          repeat:
            as: small
            state: "{{ loop.big.state }}"
            max: 2
            on_max: continue
            steps:
              note: {local: {value: "{{ [loop.big.index, loop.index, loop.small.state, loop.state] }}"}}
            update: "{{ loop.state + loop.big.index }}"
        seen: {local: {value: "{{ steps.inner.history }}"}}
      update: "{{ steps.inner.result }}"
outputs: {o: "{{ steps.outer.history }}"}
""")
    assert run.state.outputs == {"o": [100, 102, 106]}
    noted = [event for event in run.named(ev.StepCompleted) if event.step.endswith(".note")]
    assert [event.value for event in noted] == [[1, 1, 100, 100], [1, 2, 101, 101], [2, 1, 102, 102], [2, 2, 104, 104]]
    seen = [event.value for event in run.named(ev.StepCompleted) if event.step.endswith(".seen")]
    assert seen == [[100, 101, 102], [102, 104, 106]]


def test_what_came_of_a_round_is_all_that_is_kept_in_mind() -> None:
    run = play(drive(repeat()), 2)
    assert run.state.step("fit[1].part").organizations["alpha"].value is None
    assert run.state.step("fit[1].part").responded == list(ALL)
    assert len(run.state.step("fit").carried) == 1  # and not one for each round


# -- failures inside


def test_a_nested_failure_fails_the_step_by_its_round() -> None:
    run = play(drive(repeat()), 1)
    run.answer("fit[2].part", "alpha", "gamma")
    run.fail("fit[2].part", "beta")
    assert run.status("fit") == "failed"
    failure = run.failure()
    assert (failure.step, failure.organization, failure.kind) == ("fit[2].part", "beta", "crashed")
    assert run.asked("fit[3].part") == []


def test_a_nested_failure_that_may_be_does_not() -> None:
    text = SUM.replace("part: {task:", "part: {on_failure: continue, task:").replace(
        "sum(steps.part.results)", "sum(steps.part.results | default([6]))"
    )
    run = drive(text)
    run.fail("fit[1].part", *ALL)
    assert run.state.outputs["at"] == 60
    assert run.status("fit[1].part") == "failed"


def test_what_needs_a_failed_nested_step_is_skipped_and_its_round_fails() -> None:
    run = drive(SUM.replace("part: {task:", "part: {on_failure: continue, task:"))
    run.fail("fit[1].part", *ALL)
    assert run.status("fit[1].total") == "skipped"
    assert run.failure("fit").message == "round 1: it needs step fit[1].total, which did not complete"


def test_an_update_that_cannot_be_evaluated_fails_by_its_round() -> None:
    run = drive(SUM.replace("loop.state.at + steps.total.result }}", "loop.state.nothing }}"))
    run.answer("fit[1].part", *ALL)
    assert run.failure("fit").message.startswith("round 1: ")
    assert run.failure("fit").kind == "expression"


def test_a_condition_that_is_neither_true_nor_false_fails() -> None:
    run = drive(SUM.replace("loop.next.at >= 6", "loop.next.at"))
    run.answer("fit[1].part", *ALL)
    assert run.failure("fit").message == "round 1: until is true or false, not 3"


def test_a_first_state_that_cannot_be_had_skips_or_fails() -> None:
    text = "steps:\n  a: {local: {function: 'm:f'}}\n" + repeat().replace("steps:\n  fit", "  fit", 1)
    run = drive(text.replace("state: 0", 'state: "{{ steps.a.result.x }}"'))
    run.finish("a", {})
    assert run.failure("fit").kind == "expression"
    run = drive(text.replace("state: 0", 'state: "{{ steps.a.result }}"'))
    run.crash("a")
    assert run.status("fit") == "skipped"


def test_a_failing_repeat_step_may_be_done_without() -> None:
    run = drive(SUM.replace("  fit:\n", "  fit:\n    on_failure: continue\n").split("outputs:", maxsplit=1)[0])
    run.fail("fit[1].part", *ALL)
    assert run.state.status == "completed"


# -- who is asked


def test_fixed_who_answered_first_must_answer_in_all() -> None:
    run = drive(repeat(quorum="2"))
    run.answer("fit[1].part", "alpha", "beta")
    run.fail("fit[1].part", "gamma")
    assert run.asked("fit[2].part") == ["alpha", "beta"]
    run.answer("fit[2].part", "alpha")
    run.fail("fit[2].part", "beta")
    failure = run.failure()
    assert failure.step == "fit[2].part"
    assert "beta crashed: it broke (1 of 2 answered, all must)" in failure.message


def test_fixed_who_falls_silent_is_named() -> None:
    run = drive(repeat(quorum="1"))
    run.answer("fit[1].part", *ALL)
    run.answer("fit[2].part", "alpha", "gamma")
    run.wait(3600)
    assert "beta did not answer within 1h00m (2 of 3 answered, all must)" in run.failure().message


def test_fixed_who_would_not_be_asked_any_more_is_named() -> None:
    asked = ", organizations: \"{{ ['alpha', 'beta'] if loop.index == 1 else ['alpha'] }}\""
    run = drive(repeat(task=asked))
    run.answer("fit[1].part", "alpha", "beta")
    assert run.failure().kind == "cohorts"
    assert run.failure().message == "beta answered in the first iteration, and would not be asked in this one"
    assert run.asked("fit[2].part") == []


def test_shrink_goes_on_with_those_who_are_left() -> None:
    run = drive(repeat("cohort: shrink", quorum="1", max_=4))
    run.answer("fit[1].part", *ALL)
    run.answer("fit[2].part", "alpha", "beta")
    run.fail("fit[2].part", "gamma")
    assert run.asked("fit[3].part") == ["alpha", "beta"]
    run.fail("fit[3].part", "alpha")
    run.answer("fit[3].part", "beta", value=7)
    assert run.asked("fit[4].part") == ["beta"]
    run.answer("fit[4].part", "beta", value=8)
    assert run.state.outputs == {"fit": 8, "who": ["beta"]}
    assert run.state.step("fit").accepted


def test_shrink_fails_when_nobody_is_left_to_ask() -> None:
    asked = ", organizations: \"{{ ['alpha'] if loop.index == 1 else ['beta'] }}\""
    run = drive(repeat("cohort: shrink", task=asked))
    run.answer("fit[1].part", "alpha")
    assert "nobody is left of those who answered part in the previous iteration" in run.failure().message


def test_any_asks_all_in_each_round() -> None:
    run = drive(repeat("cohort: any", quorum="1"))
    for number, silent in enumerate(ALL, start=1):
        run.fail(f"fit[{number}].part", silent)
        run.answer(f"fit[{number}].part", *(name for name in ALL if name != silent))
        assert run.asked(f"fit[{number}].part") == list(ALL)
    assert run.state.outputs == {"fit": 2, "who": list(ALL)}


@pytest.mark.parametrize("policy", ["fixed", "shrink", "any"])
def test_within_a_round_cohorts_do_not_mix_whatever_the_policy(policy: str) -> None:
    text = repeat(f"cohort: {policy}", quorum="1").replace(
        "      update:",
        '        other: {task: {method: n}, quorum: 1}\n      update: "{{ steps.other.results }}" #',
    )
    text = text.replace("{{ steps.other.results }}", "{{ [steps.part.results, steps.other.results] }}")
    text = text.replace("  fit:\n", "  fit:\n    allow_cross_site: it is a test\n")
    run = drive(text)
    run.answer("fit[1].part", *ALL)
    run.answer("fit[1].other", "alpha", "beta")
    run.fail("fit[1].other", "gamma")
    assert run.failure("fit").kind == "cohorts"
    assert "fit[1].other by alpha, beta (without gamma)" in run.failure("fit").message
    run = drive(text.replace("  fit:\n", "  fit:\n    mixed_cohorts: it is meant\n"))
    run.answer("fit[1].part", *ALL)
    run.answer("fit[1].other", "alpha", "beta")
    run.fail("fit[1].other", "gamma")
    assert run.state.step("fit").rounds == 1


def test_the_first_state_is_held_against_the_first_round() -> None:
    text = repeat("cohort: shrink", quorum="1").replace(
        "steps:\n  fit", "steps:\n  mean: {task: {method: mean}}\n  fit", 1
    )
    run = drive(text.replace("state: 0", 'state: "{{ sum(steps.mean.results) }}"'))
    run.answer("mean", *ALL)
    run.fail("fit[1].part", "gamma")
    run.answer("fit[1].part", "alpha", "beta")
    assert run.failure("fit").kind == "cohorts"


def test_what_comes_of_rounds_carries_who_answered() -> None:
    text = repeat(quorum="2") + '  both: "{{ [steps.fit.result, steps.other.results] }}"\n'
    text = text.replace("outputs: {", "outputs:\n  a: {value: {").replace('.responded }}"}', '.responded }}"}}')
    text = text.replace("steps:\n  fit", "steps:\n  other: {task: {method: o}}\n  fit", 1)
    run = drive(text)
    run.answer("other", *ALL)
    run.fail("fit[1].part", "gamma")
    run.answer("fit[1].part", "alpha", "beta")
    play(run, 2, "alpha", "beta", first=2)
    assert run.failure().kind == "cohorts"
    assert "fit[1].part by alpha, beta (without gamma)" in run.failure().message


# -- retries, deadlines, cancelling


def test_a_nested_task_is_retried_within_its_round() -> None:
    run = drive(repeat().replace("timeout: 1h", "retry: {attempts: 2, delay: 10s, on: [crashed]}"))
    run.answer("fit[1].part", "alpha", "gamma")
    run.fail("fit[1].part", "beta")
    run.wait(10)
    assert run.asked("fit[1].part") == [*ALL, "beta"]
    run.answer("fit[1].part", "beta")
    assert run.asked("fit[2].part") == list(ALL)


def test_the_time_of_a_nested_step_begins_with_its_round() -> None:
    run = drive(repeat())
    run.wait(3000)
    run.answer("fit[1].part", *ALL)
    run.wait(3000)
    assert run.status("fit[2].part") == "running"
    run.wait(600)
    assert run.status("fit[2].part") == "failed"
    assert run.failure().kind == "timeout"


def test_cancelling_kills_what_is_open_inside() -> None:
    run = play(drive(repeat()), 1)
    run.answer("fit[2].part", "alpha")
    run.cancel()
    assert run.state.status == "cancelled"
    assert sorted(run.killed()) == [("beta",), ("gamma",)]


def test_what_is_withdrawn_is_asked_anew_in_the_same_round() -> None:
    run = play(drive(repeat()), 1)
    run.answer("fit[2].part", "alpha")
    commands = run.scheduler.withdraw(ev.Failure("interrupted", "interrupted"), 130, run.now)
    run.write(*(each.event for each in commands if isinstance(each, Record)))
    again = run.resume()
    again.fail("fit[2].part", "beta", "gamma", kind="killed")
    asked = [
        (each.request.step, *each.request.kwargs) for each in again.commands if isinstance(each, Ask) and each.event
    ]
    assert asked == [("fit[2].part", "beta"), ("fit[2].part", "gamma")]
    again.answer("fit[2].part", "beta", "gamma")
    assert play(again, 1, first=3).state.outputs["fit"] == 3


# -- taking up


def test_a_run_goes_on_in_the_middle_of_round_17() -> None:
    run = play(drive(repeat(max_=20)), 16)
    run.answer("fit[17].part", "beta", value=5)
    before = {name: request.token for (step, name), request in run.requests.items() if step == "fit[17].part"}
    again = run.resume(down=60)
    sent = [command for command in again.commands if isinstance(command, Ask)]
    assert {name: each.request.token for each in sent for name in each.request.kwargs} == {
        name: before[name] for name in ("alpha", "gamma")
    }
    assert all(each.event is None for each in sent)  # nobody is asked anew
    again.answer("fit[17].part", "alpha", "gamma")
    assert again.requests["fit[18].part", "alpha"].kwargs["alpha"] == {"at": 7}
    assert play(again, 3, first=18).state.status == "completed"
    assert again.asked("fit[1].part") == []


@pytest.mark.parametrize("kept", range(1, 13))
def test_it_goes_on_wherever_it_was_killed(kept: int) -> None:
    whole = play(drive(SUM), 2)
    run = whole.resume(keep=kept)
    for number in (1, 2):
        open_ = [name for name in ALL if (f"fit[{number}].part", name) in run.requests]
        run.answer(f"fit[{number}].part", *open_)
    assert run.state.outputs == whole.state.outputs


def test_retrying_goes_on_in_the_round_that_failed_and_asks_only_who_lacks() -> None:
    run = play(drive(repeat()), 1)
    run.answer("fit[2].part", "alpha", "gamma", value=4)
    run.fail("fit[2].part", "beta")
    assert run.state.status == "failed"
    again = run.resume(retry=("fit[2].part", "fit"))
    assert [(each.request.step, *each.request.kwargs) for each in again.commands if isinstance(each, Ask)] == [
        ("fit[2].part", "beta")
    ]
    assert again.requests["fit[2].part", "beta"].kwargs["beta"] == {"at": 3}
    assert again.requests["fit[2].part", "beta"].token != run.requests["fit[2].part", "beta"].token
    again.answer("fit[2].part", "beta", value=4)
    assert again.requests["fit[3].part", "beta"].kwargs["beta"] == {"at": 12}
    assert play(again, 1, first=3).state.status == "completed"


def test_a_larger_max_takes_up_what_had_not_converged() -> None:
    from driver import make

    run = play(drive(SUM.replace("max: 3", "max: 1")), 1)
    again = run.resume(make(SUM), retry=("fit",), reset=("after",))
    assert play(again, 1, first=2).state.outputs["at"] == 60


def test_done_wholly_anew_it_uses_no_token_again() -> None:
    run = play(drive(repeat(max_=2)), 1)
    tokens = {event.token for event in run.named(ev.TaskRequested)}
    run.fail("fit[2].part", "beta")
    again = run.resume(reset=("fit",))
    assert again.asked("fit[1].part") == list(ALL)
    assert not tokens & {
        event.token for event in again.events[len(run.events) :] if isinstance(event, ev.TaskRequested)
    }
    assert play(again, 2).state.status == "completed"


def test_what_failed_in_a_round_that_has_ended_is_not_done_again() -> None:
    text = SUM.replace("part: {task:", "part: {on_failure: continue, task:")
    text = text.replace("sum(steps.part.results)", "sum(steps.part.results | default([1]))")
    run = drive(text.replace("{{ loop.next.at >= 6 }}", "{{ loop.next.at > 1 and steps.part.results[9] > 0 }}"))
    run.fail("fit[1].part", *ALL)
    run.answer("fit[2].part", *ALL)
    assert run.failure("fit").message.startswith("round 2: ")
    assert what_to_do_again(run.state, run.plan) == (["fit"], ["after"])


def test_what_was_skipped_or_failed_in_the_round_that_failed_is_done_again() -> None:
    run = play(drive(SUM), 1)
    run.fail("fit[2].part", "beta")
    run.answer("fit[2].part", "alpha", "gamma")
    retry, reset = what_to_do_again(run.state, run.plan)
    assert (sorted(retry), sorted(reset)) == (["fit", "fit[2].part"], ["after", "fit[2].total"])
