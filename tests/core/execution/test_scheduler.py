"""What a run does next, decided from events alone."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

import pytest
from driver import Driver, drive, make

from v6flow.core.execution import events as ev
from v6flow.core.execution.commands import Ask, Kill, KillLocal, Look, Record
from v6flow.core.execution.scheduler import Scheduler
from v6flow.core.execution.state import replay
from v6flow.errors import ResumeError

ONE = """
steps:
  a:
    task: {method: m}
outputs: {o: "{{ steps.a.results }}"}
"""


def beside(settings: str) -> str:
    """ONE with settings beside its task."""
    return ONE.replace("task: {method: m}", "task: {method: m}\n    " + settings.replace("\n", "\n    "))


# -- order


def test_all_organizations_are_asked_at_once_and_the_run_completes() -> None:
    run = drive(ONE)
    assert run.asked("a") == ["alpha", "beta", "gamma"]
    assert len({request.token for request in run.requests.values()}) == 3
    run.answer("a", "gamma", value=3)
    run.answer("a", "alpha", value=1)
    assert run.status("a") == "running"
    run.answer("a", "beta", value=2)
    assert run.state.status == "completed"
    assert run.state.outputs == {"o": [1, 2, 3]}  # in the order asked
    assert run.state.exit_code == 0


def test_intent_is_written_before_anybody_is_asked() -> None:
    run = drive(ONE)
    asks = [command for command in run.commands if isinstance(command, Ask)]
    assert [ask.event and ask.event.token for ask in asks] == [ask.request.token for ask in asks]
    assert [type(event).__name__ for event in run.events] == ["RunStarted", "StepStarted"] + ["TaskRequested"] * 3


def test_task_names_and_settings_travel() -> None:
    run = drive("""
steps:
  a:
    task: {method: m, databases: [{label: d, query: q}], description: why, kwargs: {x: 1}}
  b:
    task: {method: m, name: mine, isolation: task}
""")
    request = run.requests["a", "beta"]
    assert (request.name, request.description, request.method, request.image) == ("w/a/beta", "why", "m", "i")
    assert (request.databases[0].label, request.databases[0].query) == ("d", "q")
    assert request.kwargs == {"beta": {"x": 1}}
    assert run.requests["b", "beta"].name == "mine"


def test_references_and_needs_are_edges() -> None:
    run = drive("""
steps:
  last:
    local: {value: "{{ steps.middle.result + 1 }}"}
  middle:
    local: {value: "{{ sum(steps.a.results) }}"}
  other:
    task: {method: m}
    needs: [middle]
  a:
    task: {method: m}
  free:
    task: {method: m}
outputs: {o: "{{ steps.last.result }}"}
""")
    assert {step for step, _ in run.requests} == {"a", "free"}
    run.answer("a", "alpha", "beta", "gamma", value=2)
    assert run.state.step("last").value == 7
    assert run.asked("other") == ["alpha", "beta", "gamma"]
    run.answer("free", "alpha", "beta", "gamma")
    run.answer("other", "alpha", "beta", "gamma")
    assert run.state.outputs == {"o": 7}


def test_local_steps_are_limited_by_jobs() -> None:
    text = "steps:\n" + "".join(f"  s{n}:\n    local: {{function: m:f}}\n" for n in range(5))
    run = drive(text, jobs=2)
    assert list(run.children) == ["s0", "s1"]
    run.finish("s1", 1)
    assert list(run.children) == ["s0", "s2"]
    run.crash("s0")
    assert list(run.children) == ["s2", "s3"]


def test_local_gets_its_kwargs_command_and_bounds() -> None:
    run = drive("""
params: {n: {type: integer, default: 3}}
steps:
  f:
    local: {function: "m:f", kwargs: {n: "{{ params.n }}"}}
    timeout: 2m
    memory: 1K
  c:
    local: {command: [prog, "{{ params.n }}", "n={{ params.n }}", "{{ 0.5 }}"], kwargs: {x: [1]}}
""")
    f, c = run.children["f"], run.children["c"]
    assert (f.function, f.kwargs, f.timeout, f.memory, f.folder, f.attempt) == (
        "m:f",
        {"n": 3},
        120.0,
        1024,
        "/work",
        1,
    )
    assert (c.command, c.kwargs, c.timeout) == (("prog", "3", "n=3", "0.5"), {"x": [1]}, 3600.0)


def test_a_word_of_a_command_must_be_text_or_a_number() -> None:
    run = drive('steps: {c: {local: {command: [prog, "{{ [1] }}"]}}}')
    assert run.failure("c").kind == "expression"
    assert "text or a number, not [1]" in run.failure("c").message


@pytest.mark.parametrize(
    ("word", "noted"),
    [
        ("{{ steps.a.result }}", True),
        (" {{ steps.a.result }}", True),
        ("./{{ steps.a.result }}", False),
        ("{{ params.p }}", False),  # a person wrote it
        ("{{ steps.b.result }}", False),
    ],
)
def test_a_value_that_could_be_read_as_an_option_is_noted(word: str, noted: bool) -> None:
    text = f"""
params: {{p: {{type: string, default: "-l"}}}}
steps:
  a: {{local: {{value: "--files0-from=x"}}}}
  b: {{local: {{value: "5"}}}}
  c: {{local: {{command: [wc, "{word}"]}}}}
"""
    notes = [each.message for each in drive(text).events if isinstance(each, ev.Noted)]
    assert len(notes) == noted
    assert all("step c: word 2 of its command begins with `-`" in note and "files0" not in note for note in notes)
    after = drive(text.replace("[wc, ", "[wc, --, ")).events
    assert not any(isinstance(each, ev.Noted) for each in after)


@pytest.mark.parametrize("size", [1000])
def test_a_wide_fan_and_a_long_chain(size: int) -> None:
    fan = "".join(f"  f{n}:\n    local: {{value: '{{{{ steps.first.result + {n} }}}}'}}\n" for n in range(size))
    chain = "".join(
        f"  c{n}:\n    local: {{value: '{{{{ steps.{f'c{n - 1}' if n else 'first'}.result + 1 }}}}'}}\n"
        for n in range(size)
    )
    run = drive(
        f"steps:\n  first:\n    local: {{value: 1}}\n{chain}{fan}outputs: {{o: '{{{{ steps.c{size - 1}.result }}}}'}}\n"
    )
    assert run.state.outputs == {"o": size + 1}
    assert len(run.named(ev.StepCompleted)) == 2 * size + 1


def test_a_thousand_organizations() -> None:
    everyone = tuple(f"h{n}" for n in range(1000))
    run = drive(beside("retry: {attempts: 2, delay: 5s}\nquorum: '90%'"), organizations=everyone)
    run.fail("a", *everyone[:200], kind="start_failed")
    run.answer("a", *everyone[200:])
    assert run.status("a") == "running"
    run.wait(5)
    assert len(run.asked("a")) == 1200
    run.answer("a", *everyone[:100])
    run.fail("a", *everyone[100:200])
    assert run.state.status == "completed"


# -- failure, and what needs what failed

FAILING = """
steps:
  a:
    task: {{method: m}}
    {failure}
  user:
    local: {{value: "{user}"}}
  after:
    local: {{value: "{{{{ steps.user.result }}}}"}}
outputs: {{o: "{output}"}}
"""


def failing(user: str, output: str = "{{ 1 }}", failure: str = "on_failure: continue") -> Driver:
    """A run in which `a` has failed at beta."""
    run = drive(FAILING.format(user=user, output=output, failure=failure))
    run.answer("a", "alpha", "gamma")
    run.fail("a", "beta", message="no column age")
    return run


@pytest.mark.parametrize(
    ("user", "value"),
    [
        ("{{ steps.a.status }}", "failed"),
        ("{{ steps.a.failed }}", ["beta"]),
        ("{{ steps.a.missing }}", []),
        ("{{ steps.a.asked }}", ["alpha", "beta", "gamma"]),
        ("{{ steps.a.error.organization }}", "beta"),
        ("{{ steps.a.error.kind }}: {{ steps.a.error.step }}", "crashed: a"),
        ("{{ steps.a.results | default([]) }}", []),
        ("{{ default(steps.a.results, 'none') }}", "none"),
        ("{{ steps.a.results if steps.a.status == 'completed' else 'no' }}", "no"),
        ("{{ steps.a.results is defined }}", False),
    ],
)
def test_what_may_be_read_of_a_failed_step(user: str, value: object) -> None:
    run = failing(user)
    assert run.state.step("user").value == value
    assert run.state.status == "completed"


@pytest.mark.parametrize(
    "user",
    [
        "{{ steps.a.results }}",
        "{{ steps.a.results[0].x }}",
        "{{ sum(steps.a.results) }}",
        "{{ steps.a.results | map(attribute='x') | sum }}",
        "{{ steps.a.responded | length }}",
        "{{ 1 + steps.a.by_organization.alpha }}",
        "{{ 1 in steps.a.results }}",
        "{{ steps.a.failures }}",
        "so {{ steps.a.results | join(',') }}",
        "{{ {'k': [steps.a.results]} }}",
        "{{ [x, steps.a.results] }}".replace("x", "steps.a.results | default(1)"),
        "{{ steps.a.results == 1 }}",
        "{{ not steps.a.results }}",
    ],
)
def test_what_uses_a_failed_step_is_skipped_with_its_cause(user: str) -> None:
    run = failing(user)
    assert (run.status("user"), run.status("after")) == ("skipped", "skipped")
    assert [(event.step, event.cause) for event in run.named(ev.StepSkipped)] == [
        ("user", "a"),
        ("after", "a"),
    ]
    assert run.state.status == "completed"


def test_an_error_that_is_not_the_failed_steps_fails() -> None:
    run = failing("{{ (steps.a.results | default(1)) + params.x }}".replace("params.x", "'text'"))
    assert run.status("user") == "failed"
    assert run.failure("user").kind == "expression"


def test_needs_is_not_covered_by_default() -> None:
    run = drive("""
steps:
  a:
    task: {method: m}
    on_failure: continue
  b:
    local: {value: "{{ steps.a.results | default(1) }}"}
    needs: [a]
""")
    run.fail("a", "alpha", "beta", "gamma")
    assert run.status("b") == "skipped"


def test_a_failed_step_fails_the_run_and_what_does_not_need_it_runs_on() -> None:
    run = drive("""
steps:
  a:
    task: {method: m}
  b:
    task: {method: m}
  c:
    local: {value: "{{ steps.b.results }}"}
""")
    run.fail("a", "alpha", "beta", "gamma", message="no column age")
    assert run.state.status == "running"
    run.answer("b", "alpha", "beta", "gamma")
    assert (run.status("c"), run.state.status, run.state.exit_code) == ("completed", "failed", 1)
    assert (run.failure().kind, run.failure().step, run.failure().organization) == ("crashed", "a", "alpha")
    assert run.state.outputs == {}


def test_an_output_that_needs_a_tolerated_failure_fails_the_run() -> None:
    run = failing("{{ steps.a.results }}", output="{{ steps.after.result }}")
    assert run.state.status == "failed"
    assert run.failure().message.startswith(
        "output o needs step after: beta crashed: no column age (2 of 3 answered, all must)"
    )
    assert (run.failure().step, run.failure().organization) == ("a", "beta")


def test_an_output_may_cover_a_tolerated_failure() -> None:
    run = failing("{{ 1 }}", output="{{ steps.a.results | default('none') }}")
    assert run.state.outputs == {"o": "none"}


def test_an_output_that_cannot_be_computed_fails_the_run() -> None:
    run = drive('steps: {a: {local: {value: {x: 1}}}}\noutputs: {o: "{{ steps.a.result.y }}"}')
    assert run.state.status == "failed"
    assert run.failure().kind == "expression"
    assert "output o: " in run.failure().message
    assert "'y'" in run.failure().message


def test_the_first_failure_is_the_runs() -> None:
    run = drive("""
steps:
  a:
    task: {method: m}
  b:
    task: {method: m}
""")
    run.fail("b", "alpha", "beta", "gamma", message="first")
    run.wait(1)
    run.fail("a", "alpha", "beta", "gamma", message="second")
    assert run.failure().step == "b"


# -- quorum


@pytest.mark.parametrize(
    ("quorum", "answering", "status"),
    [
        ("all", 3, "completed"),
        ("all", 2, "failed"),
        ("2", 2, "completed"),
        ("2", 1, "failed"),
        ("'50%'", 2, "completed"),
        ("'50%'", 1, "failed"),
        ("'33%'", 1, "completed"),
        ("'{{ params.least }}'", 2, "completed"),
        ("'{{ params.least }}'", 1, "failed"),
        ("{min: '{{ steps.n.result }}'}", 2, "completed"),
        ("{min: '{{ steps.n.result }}', required: ['{{ params.hub }}']}", 2, "completed"),
        ("{min: '{{ steps.n.result }}', required: [gamma]}", 2, "failed"),
        ("{min: 1, required: [alpha]}", 1, "completed"),
        ("{min: 1, required: [gamma]}", 2, "failed"),
        ("{required: [alpha]}", 2, "failed"),
    ],
)
def test_quorum(quorum: str, answering: int, status: str) -> None:
    params = "params: {least: {default: 2}, hub: {default: alpha}}"
    run = drive(f"{params}\n{beside(f'quorum: {quorum}')}".replace("steps:", "steps:\n  n:\n    local: {value: 2}"))
    names = ["alpha", "beta", "gamma"]
    run.answer("a", *names[:answering])
    run.fail("a", *names[answering:])
    assert run.status("a") == status


@pytest.mark.parametrize(
    ("quorum", "told"),
    [("{min: '{{ steps.n.result }}'}", "the quorum is 9, but only 3 are asked"),
     ("{min: '{{ steps.n.result / 2 }}'}", "a quorum is all, a number from 1, or a percentage, not 4.5")],
)  # fmt: skip
def test_a_quorum_that_cannot_be_met_fails_before_asking(quorum: str, told: str) -> None:
    run = drive(beside(f"quorum: {quorum}").replace("steps:", "steps:\n  n:\n    local: {value: 9}"))
    assert run.failure("a") == ev.Failure("quorum", told, "a")
    assert run.asked("a") == []


def test_required_must_be_among_those_asked() -> None:
    text = """
steps:
  n:
    local: {value: [alpha, beta]}
  a:
    task: {method: m, organizations: "{{ steps.n.result }}"}
    quorum: {min: 1, required: [gamma]}
"""
    run = drive(text)
    assert run.failure("a").message == "the quorum requires gamma, who is not asked"


def test_wait_quorum_closes_kills_and_lists_the_rest_as_missing() -> None:
    run = drive(beside("quorum: {min: 2, wait: quorum}"))
    run.answer("a", "alpha")
    assert run.killed() == []
    run.answer("a", "gamma")
    assert run.named(ev.StepClosed) == [ev.StepClosed(0.0, "a", "quorum")]
    assert run.killed() == [("beta",)]
    assert run.state.step("a").missing == ["beta"]
    assert run.state.outputs == {"o": [1, 1]}
    order = [type(event).__name__ for event in run.events][-3:]
    assert order == ["StepClosed", "StepCompleted", "RunCompleted"]


def test_wait_quorum_waits_for_the_required() -> None:
    run = drive(beside("quorum: {min: 1, required: [gamma], wait: quorum}"))
    run.answer("a", "alpha", "beta")
    assert run.status("a") == "running"
    run.answer("a", "gamma")
    assert run.status("a") == "completed"
    assert run.named(ev.StepClosed) == []  # nobody was left to close out


def test_late_answers_do_not_enter() -> None:
    other = "steps:\n  b:\n    task: {method: m}"  # so that the run goes on
    run = drive(beside("quorum: {min: 2, wait: quorum}").replace("steps:", other))
    token = run.requests["a", "beta"].token
    assert run.scheduler.waits_for("a", "beta", token)
    run.answer("a", "alpha", "gamma")
    assert not run.scheduler.waits_for("a", "beta", token)
    resumed = run.resume()
    assert not resumed.scheduler.waits_for("a", "beta", token)
    assert resumed.asked("a") == []


def test_a_doubled_answer_or_one_of_another_attempt_does_not_enter() -> None:
    run = drive(beside("retry: 2"))
    first = run.requests["a", "alpha"].token
    run.fail("a", "alpha", kind="unknown")
    second = run.requests["a", "alpha"].token
    assert second != first
    assert not run.scheduler.waits_for("a", "alpha", first)
    run.answer("a", "alpha")
    assert not run.scheduler.waits_for("a", "alpha", second)
    assert not run.scheduler.waits_for("a", "delta", first)
    assert not run.scheduler.waits_for("nowhere", "alpha", first)


def test_a_run_killed_between_closing_and_judging_stays_closed() -> None:
    run = drive(beside("quorum: {min: 2, wait: quorum}"))
    token = run.requests["a", "beta"].token
    run.answer("a", "alpha", "gamma")
    closed = next(n for n, event in enumerate(run.events) if isinstance(event, ev.StepClosed))
    resumed = run.resume(keep=closed + 1)
    assert not resumed.scheduler.waits_for("a", "beta", token)
    assert resumed.killed() == [("beta",)]
    assert resumed.asked("a") == []
    assert resumed.state.outputs == {"o": [1, 1]}


# -- time


def test_at_the_deadline_the_silent_are_missing_and_killed() -> None:
    run = drive(beside("timeout: 1h"))
    run.answer("a", "alpha")
    assert run.scheduler.wake() == 3600
    assert run.wait(3599) == []
    run.wait(1)
    assert run.named(ev.StepClosed) == [ev.StepClosed(3600.0, "a", "timeout")]
    assert run.killed() == [("beta",), ("gamma",)]
    assert run.state.step("a").missing == ["beta", "gamma"]
    assert run.failure().kind == "timeout"
    assert run.failure().message == "beta, gamma did not answer within 1h00m (1 of 3 answered, all must)"


def test_a_quorum_met_at_the_deadline_completes() -> None:
    run = drive(beside("timeout: 1h\nquorum: 2"))
    run.answer("a", "alpha", "beta")
    run.wait(3600)
    assert run.state.outputs == {"o": [1, 1]}


def test_timeout_none_never_ends() -> None:
    run = drive(beside("timeout: none"))
    assert run.scheduler.wake() is None
    run.wait(1e9)
    assert run.status("a") == "running"


def test_the_runs_deadline_ends_it_with_124() -> None:
    run = drive(ONE + "\n", deadline=60.0)
    assert run.scheduler.wake() == 60
    run.answer("a", "alpha")
    run.wait(60)
    assert (run.state.status, run.state.exit_code, run.failure().kind) == ("failed", 124, "deadline")
    assert run.killed() == [("beta",), ("gamma",)]


def test_down_time_counts_for_what_was_sent_and_not_for_what_was_not() -> None:
    text = """
steps:
  a:
    task: {method: m}
    timeout: 1h
  l:
    local: {function: m:f}
    timeout: 1h
"""
    run = drive(text)
    run.wait(600)
    resumed = run.resume(down=600)
    assert resumed.state.step("a").deadline == 3600
    assert resumed.state.step("l").deadline == 4200
    assert resumed.children["l"].timeout == 3000
    unsent = run.resume(keep=2, down=600)  # killed between the start of the step and its first request
    assert isinstance(run.events[1], ev.StepStarted)
    assert unsent.state.step("a").deadline == 4200
    assert unsent.asked("a") == ["alpha", "beta", "gamma"]


def test_on_resume_what_is_already_there_comes_before_the_deadline() -> None:
    run = drive(beside("timeout: 1h"))
    run.answer("a", "alpha")
    resumed = run.resume(down=7200)
    assert resumed.status("a") == "running"
    resumed.answer("a", "beta", value=2)
    resumed.accept("a", "beta")
    assert resumed.status("a") == "running"  # gamma's task has not been looked up yet
    resumed.accept("a", "gamma")
    assert resumed.status("a") == "failed"
    assert resumed.state.step("a").responded == ["alpha", "beta"]
    assert resumed.state.step("a").missing == ["gamma"]


# -- retries


def test_only_the_organization_that_failed_is_asked_again() -> None:
    run = drive(beside("retry: 2"))
    run.fail("a", "beta", kind="start_failed")
    assert run.asked("a") == ["alpha", "beta", "gamma", "beta"]
    assert run.requests["a", "beta"].attempt == 2
    run.fail("a", "beta", kind="start_failed")
    assert run.asked("a").count("beta") == 2
    run.answer("a", "alpha", "gamma")
    assert run.status("a") == "failed"


def test_delay_grows_by_backoff_up_to_max_delay() -> None:
    run = drive(beside("retry: {attempts: 5, delay: 10s, backoff: 3, max_delay: 1m}"))
    for pause in (10, 30, 60, 60):
        run.fail("a", "alpha", kind="unknown")
        before = len(run.asked("a"))
        assert run.scheduler.wake() == run.now + pause
        run.wait(pause - 1)
        assert len(run.asked("a")) == before
        run.wait(1)
        assert run.asked("a")[before:] == ["alpha"]
    run.fail("a", "alpha", kind="unknown")
    run.wait(3600)
    assert run.asked("a").count("alpha") == 5


@pytest.mark.parametrize(
    ("settings", "kind", "times"),
    [
        ("retry: 3", "crashed", 1),
        ("retry: 3", "start_failed", 3),
        ("retry: 3", "unknown", 3),
        ("retry: 3", "garbage", 1),
        ("retry: {attempts: 3, on: [crashed]}", "crashed", 3),
        ("retry: {attempts: 3, on: [crashed]}", "unknown", 1),
        ("quorum: all", "unknown", 1),
    ],
)
def test_which_failures_are_tried_again(settings: str, kind: str, times: int) -> None:
    run = drive(beside(settings))
    for _ in range(times):
        assert run.state.step("a").organizations["alpha"].status == "requested"
        run.fail("a", "alpha", kind=kind)
    assert run.state.step("a").organizations["alpha"].status == "failed"
    assert run.asked("a").count("alpha") == times
    assert run.state.step("a").attempts == times


def test_who_would_be_asked_after_the_deadline_is_not_waited_for() -> None:
    run = drive(beside("retry: {attempts: 2, delay: 2h}\ntimeout: 1h"))
    run.answer("a", "alpha", "beta")
    run.fail("a", "gamma", kind="unknown")
    assert run.status("a") == "failed"
    assert run.failure("a").kind == "unknown"


def test_silence_during_a_second_attempt_ends_with_the_timeout() -> None:
    run = drive(beside("retry: 2\ntimeout: 1h"))
    run.fail("a", "gamma", kind="unknown")
    run.answer("a", "alpha", "beta")
    run.wait(3600)
    assert run.state.step("a").missing == ["gamma"]


def test_isolation_task_asks_all_in_one_task() -> None:
    run = drive("steps: {a: {task: {method: m, isolation: task, kwargs: {me: '{{ organization }}'}}}}")
    asks = [command.request for command in run.commands if isinstance(command, Ask)]
    assert [dict(request.kwargs) for request in asks] == [{name: {"me": name} for name in ("alpha", "beta", "gamma")}]
    assert asks[0].name == "w/a"
    run.answer("a", "alpha")
    run.fail("a", "beta", kind="start_failed")
    run.answer("a", "gamma")
    assert run.status("a") == "failed"
    again = run.resume(retry=("a",))
    assert again.asked("a") == ["beta"]
    assert again.requests["a", "beta"].token != asks[0].token


def test_isolation_task_is_adopted_whole_after_a_partial_answer() -> None:
    run = drive("steps: {a: {task: {method: m, isolation: task}}}")
    token = run.requests["a", "alpha"].token
    run.answer("a", "alpha")
    resumed = run.resume()
    ask = resumed.commands[0]
    assert isinstance(ask, Ask)
    assert (ask.event, ask.request.token) == (None, token)
    assert list(ask.request.kwargs) == ["alpha", "beta", "gamma"]
    assert not resumed.scheduler.waits_for("a", "alpha", token)
    resumed.answer("a", "beta", "gamma")
    assert resumed.state.status == "completed"


# -- who is asked, and what each gets


def test_organizations_from_who_responded() -> None:
    run = drive("""
steps:
  a:
    task: {method: m}
    quorum: 2
  b:
    task: {method: m, organizations: "{{ steps.a.responded }}"}
""")
    run.fail("a", "alpha")
    run.answer("a", "gamma", "beta")
    assert run.asked("b") == ["beta", "gamma"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("[]", "an empty list of organizations asks nobody"),
        ("[alpha, beta, alpha]", "the organization alpha stands twice"),
        ("[alpha, bta]", "no organization 'bta' in the federation, which has alpha, beta, gamma"),
        ("[1]", "an organization is named by text, not 1"),
        ("alpha", "organizations is a list of names, not 'alpha'"),
        ("{a: 1}", "organizations is a list of names, not {'a': 1}"),
    ],
)
def test_organizations_that_cannot_be_asked_fail_the_step(names: str, told: str) -> None:
    run = drive(f"""
steps:
  n:
    local: {{value: {names}}}
  a:
    task: {{method: m, organizations: "{{{{ steps.n.result }}}}"}}
""")
    assert (run.failure("a").kind, run.failure("a").message) == ("organizations", told)
    assert run.failure("a").hint == ("did you mean beta?" if "bta" in names else None)
    assert run.asked("a") == []


def test_one_organization_offers_result() -> None:
    run = drive("""
steps:
  a:
    task: {method: m, organization: "{{ params.who }}"}
  b:
    task: {method: m, organizations: [beta]}
  c:
    local: {value: ["{{ steps.a.result }}", "{{ steps.b.result }}", "{{ steps.a.responded }}"]}
    mixed_cohorts: a test
params: {who: {default: gamma}}
""")
    run.answer("a", "gamma", value=3)
    run.answer("b", "beta", value=2)
    assert run.state.step("c").value == [3, 2, ["gamma"]]


def test_what_a_task_to_many_offers() -> None:
    run = drive("""
steps:
  a:
    task: {method: m}
    quorum: 1
    retry: 2
  b:
    local:
      value:
        by: "{{ steps.a.by_organization }}"
        asked: "{{ steps.a.asked }}"
        failed: "{{ steps.a.failed }}"
        missing: "{{ steps.a.missing }}"
        failures: "{{ steps.a.failures }}"
        error: "{{ steps.a.error }}"
        status: "{{ steps.a.status }}"
""")
    run.answer("a", "beta", value={"x": 1})
    run.fail("a", "gamma", message="no column")
    run.wait(86400)
    assert run.state.step("b").value == {
        "by": {"beta": {"x": 1}},
        "asked": ["alpha", "beta", "gamma"],
        "failed": ["gamma"],
        "missing": ["alpha"],
        "failures": {"gamma": {"status": "crashed", "message": "no column", "log_tail": ""}},
        "error": None,
        "status": "completed",
    }


def test_kwargs_are_rendered_once_per_organization() -> None:
    run = drive("""
steps:
  a:
    task: {method: m, kwargs: {me: "{{ organization }}", ids: "{{ [organization] | organization_ids }}"}}
  b:
    task: {method: m, kwargs: {everyone: "{{ federation.organizations }}", run: "{{ run.id }} {{ run.name }}"}}
""")
    assert [run.requests["a", name].kwargs for name in ("alpha", "beta")] == [
        {"alpha": {"me": "alpha", "ids": [1]}},
        {"beta": {"me": "beta", "ids": [2]}},
    ]
    assert run.requests["b", "beta"].kwargs["beta"] == {
        "everyone": ["alpha", "beta", "gamma"],
        "run": "w-1 w",
    }


def test_an_answer_is_data_and_never_a_template() -> None:
    run = drive("""
steps:
  a:
    task: {method: m, organization: alpha}
  b:
    task: {method: m, organization: alpha, kwargs: {x: "{{ steps.a.result }}"}}
outputs: {o: "{{ steps.b.result }}"}
""")
    run.answer("a", "alpha", value={"t": "{{ 7*7 }}"})
    assert run.requests["b", "alpha"].kwargs["alpha"] == {"x": {"t": "{{ 7*7 }}"}}
    run.answer("b", "alpha", value="{{ params }}")
    assert run.state.outputs == {"o": "{{ params }}"}


def test_kwargs_that_cannot_be_computed_fail_the_step_before_asking() -> None:
    run = drive("""
steps:
  a:
    task: {method: m, organization: alpha}
  b:
    task: {method: m, kwargs: {x: "{{ steps.a.result.mean }}"}}
    allow_cross_site: so
""")
    run.answer("a", "alpha", value={"men": 1})
    assert run.failure("b").kind == "expression"
    assert run.failure("b").hint == "did you mean men?"
    assert run.asked("b") == []


# -- central functions and cohorts

CENTRAL = """
steps:
  c:
    task: {method: m, organization: alpha, central: true, subtasks: partial}
  many:
    task: {method: m}
    quorum: 1
  out:
    local: {value: "{{ [steps.c.result, steps.many.results] }}"}
"""


@pytest.mark.parametrize(
    ("subtasks", "answering", "status"),
    [
        ("alpha beta gamma", "alpha beta gamma", "completed"),
        ("alpha beta", "alpha beta gamma", "failed"),
        ("alpha beta", "alpha beta", "completed"),
        ("", "alpha", "completed"),  # it dispatched nothing: its answer is its own
        ("", "alpha beta", "failed"),
    ],
)
def test_a_central_steps_cohort_is_its_subtasks(subtasks: str, answering: str, status: str) -> None:
    run = drive(CENTRAL)
    done = tuple(ev.Subtask(name, "completed") for name in subtasks.split())
    lost = (ev.Subtask("delta", "crashed"),) if done else ()
    run.answer("c", "alpha", subtasks=done + lost)
    run.answer("many", *answering.split())
    run.fail("many", *({"alpha", "beta", "gamma"} - set(answering.split())))
    assert run.status("out") == status
    if status == "failed":
        assert run.failure("out").kind == "cohorts"


def subtasks(task: str, done: str, lost: str = "") -> tuple[ev.Subtask, ...]:
    """The runs of one task that a central function dispatched."""
    return (*(ev.Subtask(name, "completed", task=task) for name in done.split()),
            *(ev.Subtask(name, "crashed", task=task) for name in lost.split()))  # fmt: skip


def test_rounds_of_subtasks_with_other_cohorts_are_a_mixture() -> None:
    rounds = subtasks("1", "alpha", "beta") + subtasks("2", "beta alpha")
    run = drive(CENTRAL)
    run.answer("c", "alpha", subtasks=rounds)
    assert run.failure("c").kind == "cohorts"
    assert "c by alpha (without beta); c by beta, alpha" in run.failure("c").message

    accepted = CENTRAL.replace("subtasks: partial}", "subtasks: partial}\n    mixed_cohorts: so")
    run = drive(accepted.replace("[steps.c.result, steps.many.results]", "[steps.c.subtasks, steps.c.responded]"))
    run.answer("c", "alpha", subtasks=rounds)
    assert run.state.step("out").value == [{"alpha": "completed", "beta": "crashed"}, ["alpha"]]
    assert run.state.step("c").carried == (("c", ("alpha",)), ("c", ("beta", "alpha")))


def test_a_second_pass_goes_to_those_whom_a_central_function_asked() -> None:
    run = drive("""
steps:
  mean: {task: {method: m, organization: alpha, central: true}}
  dev:
    task: {method: d, organizations: "{{ steps.mean.responded }}", kwargs: {mean: "{{ steps.mean.result }}"}}
    allow_cross_site: so
  out: {local: {value: "{{ [steps.dev.results, steps.mean.result] }}"}}
""")
    run.answer("mean", "alpha", subtasks=subtasks("1", "alpha beta gamma"))
    assert run.asked("dev") == ["alpha", "beta", "gamma"]
    run.answer("dev", "alpha", "beta", "gamma")
    assert run.status("out") == "completed"


def test_a_step_that_dispatches_without_saying_so_fails_as_soon_as_that_is_seen() -> None:
    run = drive("steps:\n  a: {task: {method: m, organizations: [alpha, beta]}}\n")
    run.answer("a", "beta")
    token = run.requests["a", "alpha"].token
    run.write(ev.SubtasksSeen(run.now, "a", "alpha", 1, subtasks("1", "gamma")))
    run.go()
    assert run.failure("a").kind == "central_undeclared"
    assert "`central: true`" in run.failure("a").message
    assert Kill(token, ("alpha",)) in run.commands
    step = run.state.step("a")
    assert (step.asked, step.responded, step.failed) == (["alpha", "beta"], ["beta"], ["alpha"])


def test_of_one_that_has_answered_it_is_seen_later_that_it_dispatched() -> None:
    run = drive("steps:\n  a: {task: {method: m, isolation: task}}\n")
    run.answer("a", "alpha", "beta")
    run.write(ev.SubtasksSeen(run.now, "a", "alpha", 1, subtasks("1", "gamma")))
    run.answer("a", "gamma")
    assert (run.status("a"), run.failure("a").organization) == ("failed", "alpha")


def test_whom_a_central_function_waits_for_is_named_when_time_is_up() -> None:
    run = drive("steps:\n  c:\n    task: {method: m, organization: alpha, central: true}\n    timeout: 1h\n")
    waits = (*subtasks("1", "alpha"), ev.Subtask("gamma", "pending", task="1"))
    run.write(ev.SubtasksSeen(run.now, "c", "alpha", 1, waits))
    run = run.resume()  # a run that is resumed knows it too
    run.accept("c", "alpha")
    run.wait(3600)
    run.look(run.requests["c", "alpha"].token)
    run.go()
    failure = run.failure("c")
    assert (failure.kind, failure.organization) == ("timeout", "gamma")
    assert failure.message == "gamma did not answer the central function at alpha within 1h00m"
    step = run.state.step("c")
    assert (step.responded, step.missing, step.coordinator) == (["alpha"], ["gamma"], "alpha")
    assert run.killed() == [("alpha",)]


def test_an_attempt_begins_without_the_subtasks_of_the_one_before() -> None:
    run = drive("""
steps:
  c:
    task: {method: m, organization: alpha, central: true}
    retry: {attempts: 2, on: [crashed]}
""")
    run.write(ev.SubtasksSeen(run.now, "c", "alpha", 1, subtasks("1", "beta")))
    run.fail("c", "alpha")
    assert run.state.step("c").asked == ["alpha"]
    run.answer("c", "alpha", subtasks=subtasks("2", "beta gamma"))
    assert run.state.step("c").carried == (("c", ("beta", "gamma")),)


def test_a_central_function_whose_subtasks_are_hidden_has_the_cohort_of_no_other() -> None:
    text = """
steps:
  c: {task: {method: m, organization: alpha, central: true, subtasks: partial}}
  again: {task: {method: m, organizations: SECOND, kwargs: {x: "{{ steps.c.result }}"}}, allow_cross_site: so}
  out: {local: {value: "{{ [steps.c.result, steps.again.results] }}"}}
"""
    for second, step in (('"{{ steps.c.responded }}"', "again"), ("[alpha]", "out")):
        run = drive(text.replace("SECOND", second).replace("results]", "result]" if step == "out" else "results]"))
        request = run.requests["c", "alpha"]
        run.write(ev.TaskAnswered(run.now, "c", "alpha", request.attempt, 1, None, (), hidden=True))
        run.go()
        assert run.status("c") == "completed"
        failed = next(each for each in ("again", "out") if run.status(each) == "failed")
        assert "may not see" in run.failure(failed).message


TWO_PASSES = """
steps:
  moments:
    task: {{method: m}}
  pooled:
    local: {{value: "{{{{ sum(steps.moments.results) }}}}"}}
  second:
    task: {{method: m, kwargs: {{mean: "{{{{ steps.pooled.result }}}}"}}}}
    quorum: 2
    {reason}
  after:
    local: {{value: "{{{{ sum(steps.second.results) / steps.pooled.result }}}}"}}
outputs: {{o: "{{{{ steps.after.result }}}}"}}
"""


def two_passes(reason: str = "description: none") -> Driver:
    """The second pass is answered by two of the three whose mean it was sent."""
    run = drive(TWO_PASSES.format(reason=reason))
    run.answer("moments", "alpha", "beta", "gamma")
    run.answer("second", "alpha", "beta")
    run.fail("second", "gamma")
    return run


def test_a_second_pass_by_fewer_fails_and_names_the_difference() -> None:
    run = two_passes()
    assert run.failure("second").kind == "cohorts"
    assert run.failure("second").message == (
        "it mixes answers of different cohorts: moments by alpha, beta, gamma; second by alpha, beta (without gamma)"
    )
    assert "mixed_cohorts: <reason>" in (run.failure("second").hint or "")
    assert run.state.status == "failed"


def test_an_accepted_mixture_travels() -> None:
    run = two_passes("mixed_cohorts: gamma has left")
    assert run.state.outputs == {"o": pytest.approx(2 / 3)}
    completed = {event.step: event for event in run.named(ev.StepCompleted)}
    assert completed["second"].accepted
    assert completed["after"].accepted
    assert not completed["pooled"].accepted


def test_a_third_cohort_beside_an_accepted_mixture_is_not_accepted() -> None:
    text = TWO_PASSES.format(reason="mixed_cohorts: gamma has left").replace(
        "outputs:", "  third:\n    task: {method: m, organizations: [gamma]}\noutputs:"
    ).replace("steps.after.result", "steps.after.result + steps.third.result")  # fmt: skip
    run = drive(text)
    run.answer("third", "gamma")
    run.answer("moments", "alpha", "beta", "gamma")
    run.answer("second", "alpha", "beta")
    run.fail("second", "gamma")
    assert run.failure().kind == "cohorts"
    assert run.failure().message.startswith("output o: it mixes answers of different cohorts: ")
    assert "third by gamma (without alpha, beta)" in run.failure().message


MIXING = """
steps:
  a:
    task: {{method: m}}
  b:
    task: {{method: m, organizations: [alpha, beta]}}
  out:
    {step}
outputs: {{o: {output}}}
"""


@pytest.mark.parametrize("kwargs", ["local: {function: m:f, kwargs: {x: KW}}", "task: {method: m, kwargs: {x: KW}}",
                                    "local: {value: KW}", "local: {command: [p, KW]}"])  # fmt: skip
def test_mixing_fails_before_anything_is_sent_or_started(kwargs: str) -> None:
    step = kwargs.replace("KW", '"{{ sum(steps.a.results) + sum(steps.b.results) }}"')
    run = drive(MIXING.format(step=step, output="1"))
    run.answer("a", "alpha", "beta", "gamma")
    run.answer("b", "alpha", "beta")
    assert run.failure("out").kind == "cohorts"
    assert run.asked("out") == []
    assert run.children == {}


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ('"{{ [steps.a.results, steps.b.results] }}"', "failed"),
        ('{x: "{{ steps.a.results }}", y: "{{ steps.b.by_organization }}"}', "failed"),
        ('{value: "{{ [steps.a.results, steps.b.results] }}", mixed_cohorts: side by side}', "completed"),
        ('"{{ [steps.a.results, steps.b.responded, steps.b.status, steps.b.failures] }}"', "completed"),
        ('"{{ [steps.a.results, steps.b.results | length if false else 0] }}"', "completed"),
    ],
)
def test_outputs_mix_no_cohorts_silently(output: str, status: str) -> None:
    run = drive(MIXING.format(step="local: {value: 1}", output=output))
    run.answer("a", "alpha", "beta", "gamma")
    run.answer("b", "alpha", "beta")
    assert run.state.status == status


def test_the_same_organizations_asked_by_two_steps_are_one_cohort() -> None:
    run = drive(MIXING.format(step="local: {value: 1}", output='"{{ [steps.a.results, steps.b.results] }}"').replace(
        "[alpha, beta]", "[gamma, beta, alpha]"))  # fmt: skip
    run.answer("a", "alpha", "beta", "gamma")
    run.answer("b", "alpha", "beta", "gamma")
    assert run.state.status == "completed"


# -- local steps

LOCAL = "steps:\n  l:\n    local: {function: m:f}\n    "


def test_a_local_step_is_tried_again() -> None:
    run = drive(LOCAL + "retry: {attempts: 2, delay: 10s, on: [crashed]}\n    timeout: 1m")
    run.now += 20
    run.crash("l")
    assert run.children == {}
    assert run.scheduler.wake() == 30
    run.wait(10)
    assert (run.children["l"].attempt, run.children["l"].timeout) == (2, 30.0)  # one timeout for all attempts
    run.crash("l")
    assert (run.status("l"), run.state.status) == ("failed", "failed")


def test_a_local_attempt_that_would_begin_after_the_timeout_is_not_waited_for() -> None:
    run = drive(LOCAL + "retry: {attempts: 2, delay: 2m, on: [crashed]}\n    timeout: 1m")
    run.crash("l")
    assert run.status("l") == "failed"


@pytest.mark.parametrize("kind", ["timeout", "memory", "crashed", "garbage"])
def test_local_failures_are_not_tried_again_by_themselves(kind: str) -> None:
    run = drive(LOCAL + "retry: 3")
    run.crash("l", kind)
    assert run.failure().kind == kind


def test_a_success_forgets_the_failures_before_it() -> None:
    run = drive(LOCAL + "retry: {attempts: 2, on: [crashed]}")
    run.crash("l")
    run.finish("l", 1)
    assert (run.status("l"), run.state.step("l").failure, run.state.step("l").attempts) == (
        "completed",
        None,
        2,
    )


def test_interrupted_local_attempts_do_not_count() -> None:
    run = drive(LOCAL + "retry: {attempts: 2, on: [crashed]}")
    run = run.resume().resume()
    assert run.children["l"].attempt == 3
    run.crash("l")
    assert run.children["l"].attempt == 4
    run = run.resume()
    assert run.children["l"].attempt == 5
    run.crash("l")
    assert run.status("l") == "failed"


def test_a_retry_delay_goes_on_after_a_resume() -> None:
    run = drive(LOCAL + "retry: {attempts: 2, delay: 1m, on: [crashed]}")
    run.crash("l")
    run.wait(20)
    run = run.resume()
    assert run.children == {}
    run.wait(40)
    assert run.children["l"].attempt == 2


# -- cancelling and resuming


def test_cancel_kills_what_works() -> None:
    run = drive(
        """
steps:
  a:
    task: {method: m}
  l:
    local: {function: m:f}
  waiting:
    local: {function: m:f}
""",
        jobs=1,
    )
    run.answer("a", "alpha")
    run.cancel()
    kills = [command for command in run.commands if isinstance(command, (Kill, KillLocal))]
    assert [kill.organizations for kill in kills if isinstance(kill, Kill)] == [("beta",), ("gamma",)]
    assert [kill.step for kill in kills if isinstance(kill, KillLocal)] == ["l"]
    assert (run.state.status, run.state.exit_code) == ("cancelled", 1)
    assert run.scheduler.decide(run.now) == []


def test_resume_asks_again_under_the_same_tokens_only_who_is_open() -> None:
    run = drive(ONE)
    run.answer("a", "beta")
    resumed = run.resume()
    asks = [command for command in resumed.commands if isinstance(command, Ask)]
    assert resumed.asked("a") == ["alpha", "gamma"]
    assert [ask.event for ask in asks] == [None, None]
    assert [ask.request for ask in asks] == [run.requests["a", "alpha"], run.requests["a", "gamma"]]
    resumed.answer("a", "alpha", "gamma")
    assert resumed.state.outputs == {"o": [1, 1, 1]}


def test_resume_refuses_to_send_something_else_under_the_same_token() -> None:
    run = drive(ONE)
    other = make(ONE.replace("method: m", "method: m, kwargs: {x: 1}"))
    with pytest.raises(ResumeError, match="step a would now send something else to alpha"):
        run.resume(other)


def test_resume_says_why_a_running_step_cannot_go_on() -> None:
    run = drive(ONE)
    other = make(
        beside("quorum: {min: '{{ steps.n.result }}'}").replace("steps:", "steps:\n  n:\n    local: {value: 9}")
    )
    completed = ev.StepCompleted(0.0, "n", 9)
    run.events.append(completed)
    with pytest.raises(
        ResumeError, match=r"step a was running, and now cannot: the quorum is 9, but only 3 are asked$"
    ):
        run.resume(other)


def test_resume_after_the_run_is_over_does_nothing() -> None:
    run = drive(ONE)
    run.answer("a", "alpha", "beta", "gamma")
    again = Driver(run.plan, run.events)
    assert again.commands == []


CHAIN = """
steps:
  a:
    task: {method: m}
    retry: 2
  b:
    local: {value: "{{ steps.a.results }}"}
  c:
    task: {method: m, organization: alpha, kwargs: {n: "{{ steps.a.status }}"}}
outputs: {o: "{{ steps.b.result }}"}
"""


def test_retrying_a_failed_step_asks_only_whom_it_lacks() -> None:
    run = drive(CHAIN)
    run.answer("a", "alpha", value="kept")
    run.fail("a", "beta", kind="unknown")
    run.fail("a", "beta", kind="unknown")
    run.wait(86400)
    assert (run.state.step("a").failed, run.state.step("a").missing) == (["beta"], ["gamma"])
    run.answer("c", "alpha", value="by status")
    assert run.state.status == "failed"
    old = run.requests["c", "alpha"].token
    again = run.resume(retry=("a",), reset=("b", "c"))
    assert again.asked("a") == ["beta", "gamma"]
    assert (again.requests["a", "beta"].attempt, again.requests["a", "gamma"].attempt) == (3, 2)
    assert again.state.step("a").deadline == again.now + 86400
    again.fail("a", "beta", kind="unknown")  # fresh attempts: there is another
    assert again.asked("a").count("beta") == 2
    again.answer("a", "beta", "gamma")
    assert again.requests["c", "alpha"].token != old  # another question must not find the old answer
    again.answer("c", "alpha")
    assert again.state.outputs == {"o": ["kept", 1, 1]}


def test_a_retried_local_step_gets_fresh_attempts() -> None:
    run = drive(LOCAL + "retry: {attempts: 2, on: [crashed]}")
    run.crash("l")
    run.crash("l")
    again = run.resume(retry=("l",))
    assert (again.children["l"].attempt, again.children["l"].timeout) == (3, 3600.0)
    again.crash("l")
    assert again.children["l"].attempt == 4
    again.finish("l", 1)
    assert again.state.status == "completed"
    assert again.state.step("l").ended == again.now


def test_what_is_closed_waits_for_nobody_even_before_it_is_judged() -> None:
    run = drive(beside("quorum: {min: 2, wait: quorum}"))
    token = run.requests["a", "beta"].token
    run.answer("a", "alpha", "gamma")
    closed = next(n for n, event in enumerate(run.events) if isinstance(event, ev.StepClosed))
    for end, waits in ((closed, True), (closed + 1, False)):
        assert Scheduler(run.plan, replay(run.events[:end])).waits_for("a", "beta", token) is waits


def test_a_task_that_is_sent_an_accepted_mixture_is_accepted_too() -> None:
    third = "  third:\n    task: {method: m, organizations: [alpha, beta], kwargs: {x: '{{ sum(steps.second.results) }}'}}\noutputs:"
    text = TWO_PASSES.format(reason="mixed_cohorts: gamma has left").replace("outputs:", third)
    run = drive(text.replace("steps.after.result", "[steps.third.results, steps.after.result]"))
    run.answer("moments", "alpha", "beta", "gamma")
    run.answer("second", "alpha", "beta")
    run.fail("second", "gamma")
    run.answer("third", "alpha", "beta")
    assert {event.step: event.accepted for event in run.named(ev.StepCompleted)}["third"]
    assert run.state.status == "completed"


# -- looking once more when a deadline passes


def test_at_the_deadline_what_was_answered_in_time_is_looked_for_first() -> None:
    run = drive(beside("timeout: 1h"))
    run.sees = False
    run.answer("a", "alpha")
    looks = run.wait(3600)
    assert [type(each) for each in looks] == [Look, Look]
    assert run.status("a") == "running"
    assert run.wait(60) == [], "it looks once, and waits for what that brings"
    run.answer("a", "beta", "gamma")
    assert run.state.outputs == {"o": [1, 1, 1]}


def test_while_the_federation_is_away_a_deadline_is_not_judged() -> None:
    run = drive(beside("timeout: 1h"))
    run.sees = False
    run.wait(7200)
    assert run.status("a") == "running"
    for request in list(run.requests.values()):
        run.look(request.token)
    run.go()
    assert run.failure().kind == "timeout"


def test_the_runs_deadline_is_not_judged_either() -> None:
    run = drive(ONE + "\n", deadline=60.0)
    run.sees = False
    run.wait(61)
    assert run.state.status == "running"
    assert run.scheduler.wake() is None, "there is nothing to do until the looks are over"
    for request in list(run.requests.values()):
        run.look(request.token)
    run.go()
    assert (run.state.status, run.state.exit_code) == ("failed", 124)


# -- letting go and killing


def test_who_is_killed_when_the_run_is_let_go_of_is_asked_anew() -> None:
    run = drive(ONE + "\n")
    run.answer("a", "alpha")
    commands = run.scheduler.withdraw(ev.Failure("interrupted", "interrupted"), 130, run.now)
    assert [type(each) for each in commands] == [Record, Record, Record, Kill, Kill]
    run.write(*(each.event for each in commands if isinstance(each, Record)))
    assert (run.state.status, run.state.exit_code) == ("interrupted", 130)
    resumed = run.resume()
    assert resumed.asked("a") == ["beta", "gamma"], "what was asked is looked for first"
    resumed.fail("a", "beta", kind="killed")
    assert resumed.asked("a") == ["beta", "gamma", "beta"]
    assert resumed.requests["a", "beta"].attempt == 2
    resumed.answer("a", "beta", "gamma")
    assert resumed.state.outputs == {"o": [1, 1, 1]}


def test_who_answered_before_the_kill_came_is_not_asked_anew() -> None:
    run = drive(ONE + "\n")
    commands = run.scheduler.withdraw(ev.Failure("interrupted", "interrupted"), 130, run.now)
    run.write(*(each.event for each in commands if isinstance(each, Record)))
    resumed = run.resume()
    resumed.answer("a", "alpha", "beta", "gamma")
    assert resumed.state.outputs == {"o": [1, 1, 1]}
    assert resumed.asked("a") == ["alpha", "beta", "gamma"]


def test_whom_another_person_killed_is_not_asked_anew() -> None:
    run = drive(ONE + "\n")
    run.fail("a", "alpha", kind="killed")
    run.answer("a", "beta", "gamma")
    assert run.state.status == "failed"
    assert run.asked("a") == ["alpha", "beta", "gamma"]


def test_in_one_task_for_all_who_was_killed_is_asked_anew_when_the_end_of_all_is_known() -> None:
    run = drive(beside("retry: 1").replace("{method: m", "{isolation: task, method: m"))
    commands = run.scheduler.withdraw(ev.Failure("interrupted", "interrupted"), 130, run.now)
    run.write(*(each.event for each in commands if isinstance(each, Record)))
    resumed = run.resume()
    resumed.fail("a", "alpha", kind="killed")
    resumed.fail("a", "beta", kind="killed")
    assert resumed.asked("a") == ["alpha", "beta", "gamma"]
    resumed.fail("a", "gamma", kind="killed")
    assert resumed.asked("a") == ["alpha", "beta", "gamma"] * 2


# -- what a person knows of a submission


def test_what_a_person_says_was_not_submitted_is_not_looked_for() -> None:
    run = drive(ONE + "\n")
    token = run.requests["a", "beta"].token
    resumed = run.resume(resubmit=(token,))
    asks = {next(iter(each.request.kwargs)): each for each in resumed.commands if isinstance(each, Ask)}
    assert {name: each.again for name, each in asks.items()} == {"alpha": True, "beta": False, "gamma": True}
    assert asks["beta"].request.token == token
    later = resumed.resume()
    assert all(each.again for each in later.commands if isinstance(each, Ask)), "it was said for one resume"


def test_past_its_deadline_a_run_still_ends_well_if_nobody_need_be_asked() -> None:
    text = ONE.replace("outputs:", '  b: {local: {value: "{{ sum(steps.a.results) }}"}}\noutputs:') + "\n"
    run = drive(text, deadline=60.0)
    run.sees = False
    run.wait(61)
    run.answer("a", "alpha", "beta", "gamma")
    for request in list(run.requests.values()):
        run.look(request.token)
    run.go()
    assert (run.state.status, run.state.outputs) == ("completed", {"o": [1, 1, 1]})


def test_whom_the_runs_deadline_killed_may_be_asked_anew() -> None:
    run = drive(ONE + "\n", deadline=60.0)
    run.answer("a", "alpha")
    run.wait(61)
    assert [type(event) for event in run.events][-3:] == [ev.TaskWithdrawn, ev.TaskWithdrawn, ev.RunFailed]
    assert run.killed() == [("beta",), ("gamma",)]


def test_what_a_settled_step_left_open_is_killed_on_resume() -> None:
    run = drive(beside("timeout: 1h\n    quorum: 1").replace("    quorum", "quorum"))
    run.answer("a", "alpha")
    run.wait(3600)
    resumed = run.resume(keep=[type(event) for event in run.events].index(ev.StepCompleted) + 1)
    assert resumed.killed() == [("beta",), ("gamma",)]
