"""Cases as runs: real plans, schedules and local steps; answers and time as the file says."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from v6flow.core.language.problem import InvalidError
from v6flow.testing import judging, suites, trial

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.testing.trial import TrialOutcome

WORKFLOW = """\
v6flow: 1
name: w
params: {column: {type: string, default: age}}
defaults: {image: probe, timeout: 2h}
steps:
  parts:
    task: {method: partial, kwargs: {column: "{{ params.column }}", who: "{{ organization }}"}}
    %s
  total:
    local: {value: "{{ steps.parts.results | sum(attribute='sum') }}"}
  half:
    local: {function: "half.py:half", kwargs: {of: "{{ steps.total.result }}"}}
outputs: {half: "{{ steps.half.result }}", who: "{{ steps.parts.responded }}", run: "{{ run }}"}
"""
HALF = "def half(of):\n    print('halving', of)\n    return of / 2\n"
HOUR = 3600.0
ANSWERS = {"parts": {"alpha": {"value": {"sum": 1}}, "beta": {"value": {"sum": 2}}}}


class Bench:
    """A folder with a workflow, in which cases can be run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "half.py").write_text(HALF)

    def run(self, case: dict[str, Any], *, settings: str = "", text: str = WORKFLOW, **more: Any) -> TrialOutcome:
        suite = self.suite(case, settings=settings, text=text, **more)
        return trial.run(suite, suite.cases[0])

    def complaints(self, case: dict[str, Any], **more: Any) -> list[str]:
        suite = self.suite(case, **more)
        return [str(each) for each in judging.judge(suite.cases[0], trial.run(suite, suite.cases[0]))]

    def suite(self, case: dict[str, Any], *, settings: str = "", text: str = WORKFLOW, **more: Any) -> suites.Suite:
        (self.folder / "w.yaml").write_text(text.replace("%s", settings))
        data = {"v6flow_test": 1, "workflow": "w.yaml", "organizations": ["alpha", "beta"], "answers": ANSWERS, **more}
        whole = json.loads(json.dumps({**data, "cases": {"a case": case}}))  # nothing twice, which YAML would alias
        (self.folder / "w.test.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
        return suites.read(self.folder / "w.test.yaml")


@pytest.fixture(name="bench")
def a_bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def late(answer: Any, after: str) -> Any:
    return {**answer, "after": after}


def test_everything_but_answers_and_time_is_real(bench: Bench) -> None:
    outcome = bench.run({})
    assert (outcome.status, outcome.exit_code, outcome.error, outcome.seconds) == ("completed", 0, None, 0.0)
    run = {"id": "w-20260101-0000-test", "name": "w", "started": "2026-01-01T00:00:00Z"}
    assert outcome.state.outputs == {"half": 1.5, "who": ["alpha", "beta"], "run": run}
    assert [(each.organization, dict(each.kwargs)) for each in outcome.sent] == [
        ("alpha", {"column": "age", "who": "alpha"}),
        ("beta", {"column": "age", "who": "beta"}),
    ]


def test_a_case_ends_at_a_gate(bench: Bench) -> None:
    text = WORKFLOW.replace("  half:\n", "  agreed: {gate: {message: go?}}\n  half:\n    needs: [agreed]\n")
    steps = {"agreed": {"status": "waiting"}, "half": {"status": "pending"}}
    assert bench.complaints({"expect": {"status": "waiting", "exit_code": 6, "steps": steps}}, text=text) == []
    (complaint,) = bench.complaints({}, text=text)
    assert complaint.split("\n") == [
        "the run is waiting, and the case does not expect that",
        "  step agreed asks: go?",
        "  decisions: {agreed: approve} decides it; status: waiting expects no decision",
    ]


def test_nobody_waits_for_hours(bench: Bench) -> None:
    began = time.perf_counter()
    in_time = {"parts": {"beta": late({"value": {"sum": 2}}, "1h59m59s")}}
    too_late = {"parts": {"beta": late({"value": {"sum": 2}}, "2h1s")}}
    assert bench.run({"answers": in_time}).seconds == 7199.0
    outcome = bench.run({"answers": too_late})
    assert (outcome.status, outcome.seconds) == ("failed", 7200.0)
    assert outcome.error is not None
    assert outcome.error["kind"] == "timeout"
    assert outcome.state.step("parts").missing == ["beta"]
    assert time.perf_counter() - began < 10


def test_an_answer_that_comes_with_the_deadline_is_in_time(bench: Bench) -> None:
    answers = {"parts": {"default": late({"value": {"sum": 2}}, "2h")}}
    assert bench.run({"answers": answers}).status == "completed"


def test_what_failed_is_tried_again_after_its_delay(bench: Bench) -> None:
    settings = "retry: {attempts: 3, delay: 1h, backoff: 2, on: [crashed]}\n    timeout: 1d"
    answers = {"parts": {"alpha": ["crash", late({"crash": "again"}, "10m"), {"value": {"sum": 1}}]}}
    outcome = bench.run({"answers": answers}, settings=settings)
    assert (outcome.status, outcome.seconds) == ("completed", 3 * 3600.0 + 600)
    assert outcome.state.step("parts").organizations["alpha"].attempt == 3


def test_a_quorum_that_does_not_wait_closes_when_it_is_met(bench: Bench) -> None:
    answers = {"parts": {"beta": late({"value": {"sum": 2}}, "1h"), "alpha": late({"value": {"sum": 1}}, "5m")}}
    outcome = bench.run({"answers": answers}, settings="quorum: {min: 1, wait: quorum}")
    assert (outcome.state.outputs["who"], outcome.seconds) == (["alpha"], 300.0)


def test_local_steps_take_no_time_and_are_the_users_own(bench: Bench) -> None:
    (bench.folder / "half.py").write_text("import time\ndef half(of):\n    time.sleep(0.3)\n    raise KeyError(of)\n")
    answers = {"parts": {"alpha": late({"value": {"sum": 1}}, "1h")}}
    outcome = bench.run({"answers": answers})
    assert (outcome.status, outcome.exit_code, outcome.seconds) == ("failed", 1, 3600.0)
    assert outcome.error is not None
    assert (outcome.error["step"], outcome.error["message"]) == ("half", "KeyError: 3")
    assert "Traceback" in outcome.log_tail


def test_answers_wait_while_a_local_step_works(bench: Bench) -> None:
    text = """\
v6flow: 1
steps:
  slow: {local: {command: [sh, -c, "sleep 0.3; echo 1"]}}
  asked: {task: {image: i, method: m, organization: alpha}, timeout: 1h}
outputs: {both: ["{{ steps.slow.result }}", "{{ steps.asked.result }}"]}
"""
    answers = {"asked": {"alpha": late({"value": 2}, "59m")}}
    outcome = bench.run({}, text=text, answers=answers)
    assert (outcome.state.outputs, outcome.seconds) == ({"both": [1, 2]}, 3540.0)
    slow = outcome.state.step("slow")
    assert (slow.started, slow.ended) == (trial.START, trial.START)


def test_the_deadline_of_a_run(bench: Bench) -> None:
    outcome = bench.run({"deadline": "1h", "answers": {"parts": {"beta": "no_answer"}}})
    assert (outcome.status, outcome.exit_code, outcome.seconds) == ("failed", 124, 3600.0)


def test_a_run_that_would_never_end_is_told(bench: Bench) -> None:
    case = {"answers": {"parts": {"beta": "no_answer"}}, "expect": {"status": "failed"}}
    (complaint,) = bench.complaints(case, settings="timeout: none")
    assert complaint.startswith("the run never ends: nothing more can happen")
    assert "give it one" in complaint


def test_who_has_no_answer_is_told_with_what_was_sent(bench: Bench) -> None:
    answers = {"parts": {"alpha": {"value": {"sum": 1}}}}
    (complaint,) = bench.complaints({"expect": {"status": "failed"}}, answers=answers)
    assert complaint == (
        "step parts asks beta, and the test has no answer for it\n"
        '  it was sent: {"column":"age","who":"beta"}'
    )  # fmt: skip
    case = {"answers": {"parts": {"alpha": ["start_failed"]}}}
    (complaint,) = bench.complaints(case, settings="retry: {attempts: 2, delay: 1s}")
    assert complaint.startswith("step parts asks alpha in attempt 2, and the test has no answer")


def test_all_who_are_asked_together_without_an_answer_are_told_together(bench: Bench) -> None:
    assert len(bench.complaints({}, answers={})) == 2


def test_a_run_that_cannot_begin_is_one_that_failed(bench: Bench) -> None:
    outcome = bench.run({"params": {"column": 3}})
    assert (outcome.status, outcome.exit_code, outcome.sent) == ("failed", 2, [])
    expect = {"exit_code": 2, "error": {"kind": "invalid", "contains": "column"}}
    assert bench.complaints({"params": {"column": 3}, "expect": expect}) == []
    (complaint,) = bench.complaints({"params": {"colum": "x"}})
    assert "did you mean column?" in complaint


def test_params_of_the_environment_are_not_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V6FLOW_PARAM_COLUMN", "bmi")
    assert bench.run({}).sent[0].kwargs["column"] == "age"


def test_studies_defaults_and_ids_are_those_of_the_file(bench: Bench) -> None:
    text = """\
v6flow: 1
steps:
  asked: {task: {method: m, study: heart, kwargs: {ids: "{{ organization_ids(federation.organizations) }}"}}}
outputs: {who: "{{ steps.asked.responded }}"}
"""
    more: dict[str, Any] = {"studies": {"heart": ["beta"]}, "defaults": {"image": "i", "timeout": "1m"}}
    outcome = bench.run({}, text=text, answers={"asked": {"default": {"value": 1}}}, **more)
    assert outcome.state.outputs == {"who": ["beta"]}
    assert outcome.sent[0].kwargs == {"ids": [1, 2]}
    silent = bench.run({}, text=text, answers={"asked": {"default": "no_answer"}}, **more)
    assert (silent.status, silent.seconds) == ("failed", 60.0)


def test_central_functions_have_subtasks(bench: Bench) -> None:
    text = """\
v6flow: 1
steps:
  asked: {task: {image: i, method: m, organization: alpha, central: true}}
outputs: {it: "{{ steps.asked.result }}", of: "{{ steps.asked.subtasks }}"}
"""
    answer = {"value": 1, "subtasks": {"alpha": "completed", "beta": "completed"}}
    outcome = bench.run({}, text=text, answers={"asked": {"alpha": answer}})
    assert outcome.state.outputs == {"it": 1, "of": answer["subtasks"]}
    lost = {**answer, "subtasks": {"alpha": "completed", "beta": {"status": "failed", "message": "no data"}}}
    expect: dict[str, Any] = {
        "error": {"kind": "subtask_failed", "organization": "beta", "contains": "no data"},
        "steps": {"asked": {"asked": ["alpha", "beta"], "responded": ["alpha"], "failed": {"beta": "failed"}}},
    }
    assert bench.complaints({"expect": expect}, text=text, answers={"asked": {"alpha": lost}}) == []
    hidden = {"asked": {"alpha": {"value": 1, "subtasks": "hidden"}}}
    expect = {"error": {"kind": "subtasks_hidden"}}
    assert bench.complaints({"expect": expect}, text=text, answers=hidden) == []


def test_a_body_is_judged_as_what_an_algorithm_wrote(bench: Bench) -> None:
    text = """\
v6flow: 1
steps: {asked: {task: {image: i, method: m, organization: alpha}%s}}
outputs: {it: "{{ steps.asked.result }}"}
"""
    answers = {"asked": {"alpha": {"body": '{"n": NaN}'}}}
    expect: dict[str, Any] = {"error": {"kind": "garbage", "contains": "not finite"}}
    assert bench.complaints({"expect": expect}, text=text, answers=answers) == []
    expect = {"outputs": {"it": {"n": "NaN"}}}
    assert bench.complaints({"expect": expect}, text=text, answers=answers, settings=", allow_nonfinite: true") == []


RIGHT = {
    "status": "completed",
    "exit_code": 0,
    "outputs": {"half": 1.5, "who": ["alpha", "beta"]},
    "steps": {
        "parts": {"status": "completed", "asked": ["beta", "alpha"], "responded": ["alpha", "beta"], "failed": [],
                  "missing": [], "attempts": {"alpha": 1, "beta": 1}},
        "total": {"result": 3},
        "half": {"attempts": 1, "result": {"approx": 1.5}},
    },
    "sent": {
        "parts": {"alpha": {"column": "age", "who": "alpha"}, "default": {"column": "age", "who": {"matches": {}}}},
    },
    "duration": "0s",
}  # fmt: skip
FAILED = {
    "status": "failed",
    "exit_code": 1,
    "error": {"kind": "crashed", "contains": "no age", "step": "parts", "organization": "beta"},
    "steps": {
        "parts": {"status": "failed", "failed": {"beta": "crashed"}, "responded": ["alpha"], "error": "no age"},
        "total": {"status": "skipped"},
    },
    "duration": {"at_least": "10m", "at_most": "10m"},
}
CRASH = {"parts": {"beta": {"crash": "KeyError: no age", "after": "10m"}}}


def test_what_is_as_expected_is_not_complained_of(bench: Bench) -> None:
    assert bench.complaints({"expect": RIGHT}) == []
    assert bench.complaints({"answers": CRASH, "expect": FAILED}) == []


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ({"status": "failed"}, "status: expected failed, found completed"),
        ({"exit_code": 1}, "exit_code: expected 1, found 0"),
        ({"error": {"kind": "crashed"}}, "error: expected one, found none"),
        ({"outputs": {"half": 2}}, "outputs.half: expected 2, found 1.5"),
        ({"outputs": {"who": ["alpha"]}}, 'outputs.who: expected ["alpha"], found ["alpha","beta"]'),
        ({"steps": {"parts": {"status": "failed"}}}, "steps.parts.status: expected failed, found completed"),
        ({"steps": {"parts": {"asked": []}}}, "steps.parts.asked: expected nobody, found alpha, beta"),
        ({"steps": {"parts": {"responded": ["beta"]}}}, "steps.parts.responded: expected beta, found alpha, beta"),
        ({"steps": {"parts": {"missing": ["beta"]}}}, "steps.parts.missing: expected beta, found nobody"),
        ({"steps": {"parts": {"failed": ["beta"]}}}, "steps.parts.failed: expected beta, found nobody"),
        ({"steps": {"parts": {"failed": {"beta": "crashed"}}}},
         "steps.parts.failed: expected beta: crashed, found nobody"),
        ({"steps": {"parts": {"attempts": 2}}}, "steps.parts.attempts: expected 2, found 1"),
        ({"steps": {"parts": {"attempts": {"beta": 0}}}}, "steps.parts.attempts.beta: expected 0, found 1"),
        ({"steps": {"parts": {"error": "x"}}}, "steps.parts.error: expected a failure, found none"),
        ({"steps": {"parts": {"result": 1}}},
         "steps.parts.result: expected the single result of a completed step, found a task step"),
        ({"steps": {"total": {"result": 4}}}, "steps.total.result: expected 4, found 3"),
        ({"sent": {"parts": None}}, "sent.parts: expected no request, found alpha, beta"),
        ({"sent": {"parts": {"beta": None}}},
         'sent.parts.beta: expected nothing, found {"column":"age","who":"beta"}'),
        ({"sent": {"parts": {"alpha": {"column": "age"}}}},
         'sent.parts.alpha: expected {"column":"age"}, found {"column":"age","who":"alpha"}'),
        ({"duration": "1s"}, "duration: expected 1s, found 0.0s"),
        ({"duration": {"at_least": "1s"}}, "duration: expected at least 1s, found 0.0s"),
    ],
)  # fmt: skip
def test_what_is_not_as_expected_is_told(bench: Bench, expect: dict[str, Any], complaint: str) -> None:
    assert complaint in bench.complaints({"expect": {**expect}})


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ({}, "the run failed, and the case does not expect that\n  step parts at beta: beta crashed: KeyError: no age"),
        ({"status": "completed"}, "status: expected completed, found failed\n  step parts at beta"),
        ({"exit_code": 0}, "exit_code: expected 0, found 1\n  step parts at beta"),
        ({"status": "failed", "outputs": {"half": 1}}, "outputs.half: expected a value, found none"),
        ({"error": {"kind": "timeout"}}, "error.kind: expected timeout, found crashed"),
        ({"error": {"contains": "weight"}}, "error: its message does not contain 'weight'"),
        ({"error": {"organization": "alpha"}}, "error.organization: expected alpha, found beta"),
        ({"status": "failed", "steps": {"parts": {"error": "weight"}}},
         "steps.parts.error: the message does not contain 'weight'"),
        ({"status": "failed", "steps": {"total": {"result": 1}}}, "found one that is skipped"),
        ({"status": "failed", "duration": {"at_most": "9m59s"}}, "duration: expected at most 9m59s, found 10m00s"),
    ],
)  # fmt: skip
def test_what_a_failed_run_is_not(bench: Bench, expect: dict[str, Any], complaint: str) -> None:
    found = bench.complaints({"answers": CRASH, "expect": expect})
    assert any(complaint in each for each in found), found


def test_outputs_of_a_run_that_should_not_have_failed_are_not_complained_of_too(bench: Bench) -> None:
    assert len(bench.complaints({"answers": CRASH, "expect": {"outputs": {"half": 1}}})) == 1


def test_what_differs_in_a_large_value_is_shown_as_a_difference(bench: Bench) -> None:
    text = "v6flow: 1\nsteps: {a: {local: {value: %s}}}\noutputs: {it: '{{ steps.a.result }}'}\n"
    value = {"rows": [{"n": index, "mean": 1.5} for index in range(20)]}
    expected = {"rows": [{"n": 70 if n == 7 else n, "mean": {"approx": 1.5}} for n in range(20)]}
    settings = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip()
    (complaint,) = bench.complaints({"expect": {"outputs": {"it": expected}}}, text=text, settings=settings, answers={})
    lines = complaint.split("\n")
    assert lines[0] == "outputs.it: expected the lines with -, found the lines with +"
    assert [line.strip() for line in lines if line.lstrip()[0] in "+-"] == ['-      "n": 70,', '+      "n": 7,']
    assert len(lines) < 12


# ------------------------------------------------------------------------------------------- nested steps

ROUNDS = """\
v6flow: 1
defaults: {image: probe, timeout: 1h}
steps:
  fit:
    repeat:
      state: {value: 1}
      steps:
        parts: {task: {method: m, kwargs: {of: "{{ loop.state.value }}"}}}
      update: {value: "{{ steps.parts.results | sum(attribute='n') }}"}
      max: 2
      on_max: continue
outputs: {fit: "{{ steps.fit.result.value }}"}
"""
FILE = "v6flow: 1\nsteps: {inner: {workflow: {file: other.yaml}}}\noutputs: {it: '{{ steps.inner.result.it }}'}\n"
OTHER = """\
v6flow: 1
defaults: {image: probe, timeout: 1h}
steps: {parts: {task: {method: m}}}
outputs: {it: "{{ steps.parts.results }}"}
"""


def test_answers_of_one_round_win_over_those_of_all(bench: Bench) -> None:
    answers = {
        "fit.parts": {"default": {"value": {"n": 2}}},
        "fit[2].parts": {"beta": late({"value": {"n": 5}}, "5m")},
    }
    expect = {
        "outputs": {"fit": 7},
        "steps": {"fit.parts": {"responded": ["alpha", "beta"]}, "fit[2].parts": {"attempts": 1}},
        "sent": {"fit[1].parts": {"default": {"of": 1}}, "fit[2].parts": {"default": {"of": 4}}},
        "duration": "5m",
    }
    assert bench.complaints({"expect": expect}, text=ROUNDS, answers=answers) == []
    wrong = {"sent": {"fit.parts": {"alpha": {"of": 1}}}, "steps": {"fit.parts": {"missing": ["beta"]}}}
    assert bench.complaints({"expect": wrong}, text=ROUNDS, answers=answers) == [
        "steps.fit[1].parts.missing: expected beta, found nobody",
        "steps.fit[2].parts.missing: expected beta, found nobody",
        'sent.fit[2].parts.alpha: expected {"of":1}, found {"of":4}',
    ]


def test_steps_of_another_file_are_named_behind_the_step_that_runs_it(bench: Bench) -> None:
    (bench.folder / "other.yaml").write_text(OTHER)
    answers = {"inner.parts": {"default": {"value": 3}}}
    expect = {"outputs": {"it": [3, 3]}, "sent": {"inner.parts": {"default": {}}}}
    assert bench.complaints({"expect": expect}, text=FILE, answers=answers) == []


def test_a_nested_step_that_is_not_there_is_told(bench: Bench) -> None:
    with pytest.raises(InvalidError, match=r"no task step 'fit\[1\]\.part' \(did you mean fit\.parts\?\)"):
        bench.suite({}, text=ROUNDS, answers={"fit[1].part": {"alpha": "crash"}})


# ---------------------------------------------------------------------------- limits, conditions and checks


def test_the_policy_of_the_federation_holds_in_tests(bench: Bench) -> None:
    answers = {"parts": {"alpha": {"value": {"sum": 1, "count": 9}}, "default": {"value": {"sum": 1, "count": 10}}}}
    expect: dict[str, Any] = {"error": {"kind": "disclosure"}, "steps": {"parts": {"failed": {"alpha": "disclosure"}}}}
    assert bench.complaints({"expect": expect}, answers=answers, policy={"min_count": 10}) == []
    assert bench.complaints({}, answers=answers, policy={"min_count": 9}) == []
    counts = {"*": {"*": "{{ result.sum + 9 }}"}}
    expect["steps"] = {"parts": {"failed": {"alpha": "disclosure", "beta": "disclosure"}}}
    assert bench.complaints({"expect": expect}, answers=answers, policy={"min_count": 11, "counts": counts}) == []
    with pytest.raises(InvalidError, match="params cannot be used here"):
        bench.suite({}, policy={"counts": {"i": {"m": "{{ params.n }}"}}})


def test_a_step_that_its_condition_leaves_out_asks_nobody(bench: Bench) -> None:
    text = """\
v6flow: 1
steps: {asked: {when: "{{ params.ask }}", task: {image: i, method: m}}}
params: {ask: {type: boolean, default: false}}
outputs: {it: "{{ steps.asked.results | default(0) }}"}
"""
    expect = {"outputs": {"it": 0}, "steps": {"asked": {"status": "skipped"}}, "sent": {"asked": None}}
    assert bench.complaints({"expect": expect}, text=text, answers={}) == []


# --------------------------------------------------------------------------------------------- what people decide

GATED = """\
v6flow: 1
name: gated
steps:
  first: {task: {image: i, method: m}, timeout: 1d}
  agreed: {gate: {message: "go with {{ steps.first.results | length }}?"%s}}
  second: {task: {image: i, method: m, kwargs: {by: "{{ steps.agreed.result.by }}"}}, needs: [agreed]}
outputs:
  comment: "{{ steps.agreed.result.comment }}"
  at: "{{ steps.agreed.result.at }}"
"""
BOTH = {"first": {"default": {"value": 1}}, "second": {"default": {"value": 2}}}


def gated(bench: Bench, case: dict[str, Any], *, approvers: str = "") -> TrialOutcome:
    return bench.run(case, text=GATED, settings=f", approvers: [{approvers}]" if approvers else "", answers=BOTH)


def test_a_run_that_waited_goes_on_with_what_was_decided(bench: Bench) -> None:
    outcome = gated(bench, {"decisions": {"agreed": "approve"}})
    assert (outcome.status, outcome.exit_code, outcome.seconds) == ("completed", 0, 0.0)
    assert outcome.state.outputs == {"comment": "", "at": "2026-01-01T00:00:00Z"}
    assert [dict(each.kwargs) for each in outcome.sent if each.step == "second"] == [{"by": "tester"}] * 2


def test_people_take_their_time_and_say_why(bench: Bench) -> None:
    decision = {"decision": "approve", "after": "3h", "by": "ben", "comment": "seen"}
    outcome = gated(bench, {"decisions": {"agreed": decision}, "deadline": "2h"}, approvers="anna, ben")
    assert (outcome.status, outcome.seconds) == ("completed", 3 * HOUR)  # nobody held it: no deadline counts that
    assert outcome.state.outputs == {"comment": "seen", "at": "2026-01-01T03:00:00Z"}
    assert [dict(each.kwargs) for each in outcome.sent if each.step == "second"] == [{"by": "ben"}] * 2


def test_the_first_of_the_approvers_decides_where_nobody_is_named(bench: Bench) -> None:
    outcome = gated(bench, {"decisions": {"agreed": "approve"}}, approvers="anna, ben")
    assert outcome.state.step("second").status == "completed"
    assert outcome.sent[-1].kwargs == {"by": "anna"}


def test_a_gate_may_be_rejected(bench: Bench) -> None:
    expect = {
        "status": "failed",
        "exit_code": 1,
        "error": {"kind": "rejected", "step": "agreed", "contains": "too few"},
        "steps": {"agreed": {"status": "failed"}, "second": {"status": "skipped"}},
        "sent": {"second": None},
    }
    case = {"decisions": {"agreed": {"decision": "reject", "comment": "too few"}}, "expect": expect}
    assert bench.complaints(case, text=GATED, answers=BOTH) == []


def test_a_deadline_goes_on_when_somebody_works_on_the_run_again(bench: Bench) -> None:
    late_second = {"second": {"default": late({"value": 2}, "90m")}}
    case = {"deadline": "1h", "decisions": {"agreed": {"decision": "approve", "after": "3h"}}, "answers": late_second}
    outcome = gated(bench, case)
    assert (outcome.status, outcome.exit_code, outcome.seconds) == ("failed", 124, 4 * HOUR)


BESIDE = """\
v6flow: 1
steps:
  slow: {task: {image: i, method: m, organization: alpha}, timeout: 1d}
  one: {gate: {message: one}}
  two: {gate: {message: two}, needs: [one]}
  last: {local: {value: 1}, needs: [two]}
outputs: {it: ["{{ steps.slow.result }}", "{{ steps.last.result }}"]}
"""


def test_who_works_on_the_run_hears_what_is_decided_meanwhile(bench: Bench) -> None:
    decisions = {"one": {"decision": "approve", "after": "1h"}, "two": {"decision": "approve", "after": "3h"}}
    slow = {"slow": {"alpha": late({"value": 1}, "2h")}}
    outcome = bench.run({"decisions": decisions}, text=BESIDE, answers=slow)
    one, two = outcome.state.step("one"), outcome.state.step("two")
    assert (outcome.status, outcome.seconds) == ("completed", 4 * HOUR)
    assert (one.ended, two.started, two.ended) == tuple(trial.START + hours * HOUR for hours in (1, 1, 4))
    assert outcome.state.down == 2 * HOUR  # from the answer to the second decision nobody held it


def test_gates_that_are_decided_together_are_both_heard(bench: Bench) -> None:
    text = BESIDE.replace(", needs: [one]", "").replace("needs: [two]", "needs: [one, two]")
    decisions = {"one": "approve", "two": "approve"}
    outcome = bench.run({"decisions": decisions}, text=text, answers={"slow": {"alpha": {"value": 1}}})
    assert (outcome.status, outcome.seconds) == ("completed", 0.0)


def test_a_run_waits_where_one_of_its_gates_is_left_open(bench: Bench) -> None:
    expect = {"status": "waiting", "exit_code": 6, "steps": {"one": {"status": "completed"}}, "duration": "2h"}
    case = {"decisions": {"one": {"decision": "approve", "after": "2h"}, "two": "no_decision"}, "expect": expect}
    assert bench.complaints(case, text=BESIDE, answers={"slow": {"alpha": {"value": 1}}}) == []


GATED_ROUNDS = """\
v6flow: 1
steps:
  fit:
    repeat:
      state: 0
      max: 3
      steps:
        agreed: {gate: {message: "round {{ loop.index }}"}}
        next: {local: {value: "{{ loop.state + 1 }}"}, needs: [agreed]}
      update: "{{ steps.next.result }}"
      until: "{{ loop.next == 3 }}"
outputs: {it: "{{ steps.fit.result }}"}
"""


def test_each_round_is_decided_by_itself(bench: Bench) -> None:
    decisions = {"fit.agreed": {"decision": "approve", "after": "1h"}, "fit[2].agreed": "reject"}
    outcome = bench.run({"decisions": decisions}, text=GATED_ROUNDS, answers={})
    assert (outcome.status, outcome.seconds) == ("failed", HOUR)
    assert outcome.state.step("fit[2].agreed").status == "failed"
    steps = {"fit[3].agreed": {"status": "waiting"}}
    decisions = {"fit.agreed": "approve", "fit[3].agreed": "no_decision"}
    case = {"decisions": decisions, "expect": {"status": "waiting", "steps": steps}}
    assert bench.complaints(case, text=GATED_ROUNDS, answers={}, decisions={"fit[3].agreed": "approve"}) == []


def test_decisions_that_nobody_asked_for_are_told(bench: Bench) -> None:
    case = {"decisions": {"fit.agreed": "approve", "fit[9].agreed": "approve"}, "expect": {"outputs": {"it": 3}}}
    assert bench.complaints(case, text=GATED_ROUNDS, answers={}) == [
        "decisions.fit[9].agreed (line 11): no gate asked for this decision\n  the step is pending"
    ]
    # of what stands there for all cases, some may use it and some not
    case = {"expect": {"outputs": {"it": 3}}}
    shared = {"fit.agreed": "approve", "fit[9].agreed": "approve"}
    assert bench.complaints(case, text=GATED_ROUNDS, answers={}, decisions=shared) == []


# ----------------------------------------------------------------------------------------------- items by their keys

ITEMS = """\
v6flow: 1
params: {columns: {type: array, default: [age, "body mass"]}}
steps:
  tab:
    foreach:
      over: "{{ params.columns }}"
      as: column
      steps:
        agreed: {gate: {message: "{{ each.key }}?"}}
        mean: {task: {image: i, method: m, kwargs: {column: "{{ each.column }}"}}, needs: [agreed]}
      result: "{{ steps.mean.results }}"
outputs: {it: "{{ steps.tab.by_key }}"}
"""
MEANS = {"tab[age].mean": {"default": {"value": 1}}, "tab['body mass'].mean": {"default": {"value": 2}}}
YES = {"tab.agreed": "approve"}


def test_items_are_named_by_their_keys(bench: Bench) -> None:
    expect = {
        "outputs": {"it": {"age": [1, 1], "body mass": [2, 2]}},
        "sent": {"tab[age].mean": {"default": {"column": "age"}}, "tab[2].mean": {"default": {"column": "body mass"}}},
        "steps": {'tab["body mass"].mean': {"status": "completed"}},
    }
    assert bench.complaints({"expect": expect, "decisions": YES}, text=ITEMS, answers=MEANS) == []
    wrong = {"sent": {"tab[age].mean": {"default": {"column": "bmi"}}}, "steps": {"tab[age].mean": {"asked": []}}}
    assert bench.complaints({"expect": wrong, "decisions": YES}, text=ITEMS, answers=MEANS) == [
        "steps.tab[1].mean.asked: expected nobody, found alpha, beta",
        'sent.tab[1].mean.alpha: expected {"column":"bmi"}, found {"column":"age"}',
        'sent.tab[1].mean.beta: expected {"column":"bmi"}, found {"column":"age"}',
    ]


def test_decisions_and_failures_of_items(bench: Bench) -> None:
    decisions = {"tab[body mass].agreed": "reject", **YES}
    expect = {"status": "failed", "error": {"step": "tab"}, "sent": {"tab[age].mean": {"default": {"column": "age"}}}}
    steps = {"tab[age].agreed": {"status": "completed"}, "tab['body mass'].agreed": {"status": "failed"}}
    case = {"decisions": decisions, "expect": {**expect, "steps": steps}}
    assert [each for each in bench.complaints(case, text=ITEMS, answers=MEANS) if not each.startswith("error")] == []


def test_unknown_keys_are_told_with_those_there_are(bench: Bench) -> None:
    case = {
        "decisions": {**YES, "tab[bmi].agreed": "reject"},
        "answers": {"tab[aeg].mean": {"alpha": "crash"}},
        "expect": {"steps": {"tab[3].mean": {"status": "pending"}}},
    }
    assert bench.complaints(case, text=ITEMS, answers=MEANS) == [
        "answers.tab[aeg].mean (line 19): step tab has no item aeg\n  did you mean age? the items are: age, body mass",
        "decisions.tab[bmi].agreed (line 17): step tab has no item bmi\n  the items are: age, body mass",
        "steps.tab[3].mean (line 23): step tab has no item 3\n  the items are: age, body mass",
    ]


def test_a_misspelt_key_of_the_file_is_told_where_an_answer_lacks(bench: Bench) -> None:
    answers = {"tab[aeg].mean": {"default": {"value": 1}}, "tab[2].mean": {"default": {"value": 2}}}
    found = bench.complaints({"decisions": YES}, text=ITEMS, answers=answers)
    assert "step tab[1].mean asks alpha, and the test has no answer for it" in found[0]
    assert found[-1].startswith("answers.tab[aeg].mean (line 7): step tab has no item aeg")
    fewer = {"decisions": YES, "params": {"columns": ["body mass"]}}  # the others of the file are not missed
    assert bench.complaints(fewer, text=ITEMS, answers=MEANS) == []


@pytest.mark.parametrize("key", ["answers", "decisions"])
def test_what_is_said_twice_of_one_item_is_told(bench: Bench, key: str) -> None:
    step = {"answers": "mean", "decisions": "agreed"}[key]
    said: Any = {"answers": {"default": {"value": 1}}, "decisions": "approve"}[key]
    case = {"decisions": YES, key: {f"tab[1].{step}": said, f"tab[age].{step}": said, f"tab.{step}": said}}
    assert bench.complaints(case, text=ITEMS, answers=MEANS) == [
        f"tab[1].{step} and tab[age].{step} both name tab[1].{step}\n  leave one of them out"
    ]


def test_a_number_that_is_another_items_key_is_a_number(bench: Bench) -> None:
    steps = {"tab[2].mean": {"status": "completed"}, "tab['2'].mean": {"status": "pending"}}
    case = {
        "decisions": {"tab[2].agreed": "approve"},
        "params": {"columns": ["2", "age"]},
        "answers": {"tab.mean": {"default": {"value": 1}}},
        "expect": {"status": "waiting", "steps": steps, "sent": {"tab[2].mean": {"default": {"column": "age"}}}},
    }
    assert bench.complaints(case, text=ITEMS, answers={}) == []


RESULTS = """\
v6flow: 1
name: w
steps:
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {v: {local: {value: "{{ loop.index }}"}}}
      update: "{{ steps.v.result }}"
  all: {foreach: {over: [5], steps: {v: {local: {value: "{{ each.item }}"}}}}}
outputs: {a: "{{ steps.fit.result }}"}
"""


def test_results_in_rounds_and_items_are_there(bench: Bench) -> None:
    right = {"fit[1].v": {"result": 1}, "fit[2].v": {"result": 2}, "fit": {"result": 2}, "all[1].v": {"result": 5}}
    assert bench.complaints({"expect": {"steps": right}}, text=RESULTS, answers={}) == []
    wrong = {"fit[2].v": {"result": None}, "fit": {"result": 1}, "all": {"result": 5}}
    assert bench.complaints({"expect": {"steps": wrong}}, text=RESULTS, answers={}) == [
        "steps.fit[2].v.result: expected null, found 2",
        "steps.fit.result: expected 1, found 2",
        "steps.all.result: expected the single result of a completed step, found a foreach step",
    ]


# ---------------------------------------------------------------------------------- what is less than the whole

LESS = """\
v6flow: 1
name: w
defaults: {image: probe, timeout: 2h}
steps:
  parts: {task: {method: m}, quorum: {min: 1}}
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {again: {task: {method: m}, quorum: {min: 1}}}
      update: "{{ loop.state + 1 }}"
      until: "{{ loop.next > 2 }}"
outputs: {it: "{{ steps.fit.result }}"}
"""
SILENT = {"parts": {"beta": "no_answer"}, "fit[2].again": {"beta": "crash"}, "fit.again": {"default": {"value": 1}}}
FOUND = "found parts: partial, fit.again: partial, fit: max"


@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        (["parts", "fit.again", "fit"], None),
        (["fit", "parts", "fit.again"], None),
        ({"parts": "partial", "fit.again": ["partial"], "fit": "max"}, None),
        ("none", f"incomplete: expected none, {FOUND}"),
        (["parts", "fit"], f"incomplete: expected parts: partial, fit: max, {FOUND}"),
        (
            ["parts", "fit.again", "fit", "outputs.it"],
            f"incomplete: expected parts: partial, fit.again: partial, fit: max, outputs.it: any, {FOUND}",
        ),
        (
            {"parts": "partial", "fit.again": "partial", "fit": "items"},
            f"incomplete: expected parts: partial, fit.again: partial, fit: items, {FOUND}",
        ),
    ],
)
def test_what_is_incomplete_is_compared(bench: Bench, expected: Any, complaint: str | None) -> None:
    case = {"answers": SILENT, "expect": {"incomplete": expected}}
    found = bench.complaints(case, text=LESS.replace("fit:\n    repeat:", "fit:\n    repeat:\n      cohort: shrink"))
    if complaint is None:
        assert found == []
    else:
        (only,) = found
        assert only.splitlines()[0] == complaint
        assert "  parts: 1 of 2 answered (beta did not answer in time)" in only.splitlines()


def test_a_whole_run_is_not_incomplete(bench: Bench) -> None:
    assert bench.complaints({"expect": {"incomplete": "none"}}) == []
    assert bench.complaints({"expect": {"incomplete": ["parts"]}}) == ["incomplete: expected parts: any, found none"]
