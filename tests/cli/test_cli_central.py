"""Central functions at the command line: refused where they are not declared, and told by what they dispatched."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import ALGORITHMS, PROJECT, call, run_ids, write

import v6flow

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

pytest.importorskip("vantage6.algorithm.tools", reason="the embedded backend runs vantage6's own tools")

FEDERATION = f"""\
v6flow_federation: 1
backend: embedded
organizations:
  alpha: {{databases: {{default: "{PROJECT}/workflows/data/alpha.csv"}}}}
  beta: {{databases: {{default: "{PROJECT}/workflows/data/beta.csv"}}}}
  gamma: {{databases: {{default: "{PROJECT}/workflows/data/gamma.csv"}}}}
algorithms:
  "registry.example/hospital-stats:1.0":
    {{package: hospital_stats, path: "{PROJECT}/workflows/algorithms/hospital-stats"}}
  probe: {{package: v6_probe, path: "{ALGORITHMS}"}}
"""
VARIANCE = """\
v6flow: 1
name: variance
federation: federation.yaml
defaults: {image: "registry.example/hospital-stats:1.0"}
steps:
  mean: {task: {method: central_average, @whom@, kwargs: {column: age}}}
  dev:
    task:
      method: partial_variance
      organizations: "{{ steps.mean.responded }}"
      kwargs: {column: age, mean: "{{ steps.mean.@result@.average }}"}
    allow_cross_site: it is an average
  v:
    local:
      function: "v6flow.aggregation:variance_about_mean"
      kwargs:
        partials: "{{ steps.dev.results }}"
        mean: "{{ steps.mean.@result@.average }}"
        squared_deviations: sum_of_squared_deviations
outputs: {v: "{{ steps.v.result.variance }}"}
"""


def variance(whom: str, result: str = "result") -> str:
    return VARIANCE.replace("@whom@", whom).replace("@result@", result)


def test_a_second_pass_after_a_central_function_goes_to_all_whom_that_asked(here: Path, capsys: Capture) -> None:
    write(here, federation_yaml=FEDERATION, w_yaml=variance("central: true, organization: alpha"))
    said = call(capsys, "run", "w.yaml", "-o", "json")
    assert said.code == 0, said
    assert math.isclose(said.document["outputs"]["v"], 264.375130062877)  # of all rows of all three
    step = said.document["steps"]["mean"]
    assert (step["coordinator"], step["asked"], step["responded"]) == (
        "alpha",
        [*["alpha", "beta", "gamma"]],
        step["asked"],
    )
    assert call(capsys, "validate", "w.yaml").code == 0


@pytest.mark.parametrize(
    ("whom", "result", "more"),
    [
        ("organization: alpha", "result", ""),
        ("organizations: [alpha, beta, gamma]", "results[0]", "each of 3 organizations would send its subtasks to all"),
    ],
)
def test_one_that_is_not_declared_is_refused_before_anybody_is_asked(
    here: Path, capsys: Capture, whom: str, result: str, more: str
) -> None:
    write(here, federation_yaml=FEDERATION, w_yaml=variance(whom, result))
    for command, code in (("validate", 2), ("plan", 0), ("doctor", 2), ("run", 2)):
        said = call(capsys, command, "w.yaml")
        assert said.code == code, said
        assert "central_average is a central function, and this step does not say so" in said.out + said.err, said
        assert "write central: true and the one organization it runs at" in said.out + said.err
        assert more in said.out + said.err
        assert "every step can reach its quorum" not in said.out
    assert run_ids(here) == []


def test_one_that_is_not_declared_fails_where_nobody_looked_before(here: Path, capsys: Capture) -> None:
    write(here, federation_yaml=FEDERATION, w_yaml=variance("organization: alpha"))
    said = call(capsys, "run", "w.yaml", "--skip-preflight", "-o", "json")
    assert said.code == 1, said
    assert said.document["outputs"] == {}
    error = said.document["error"]
    assert (error["kind"], error["step"], error["organization"]) == ("central_undeclared", "mean", "alpha")
    assert "the step must say `central: true`" in error["message"]
    status = call(capsys, "status")
    assert "start a new run" in status.err
    assert "--retry-failed" not in status.err  # which would be refused once the file is mended


DYING = """\
v6flow: 1
name: dying
federation: federation.yaml
defaults: {image: probe}
steps:
  mean:
    task:
      method: central_mean
      central: true
      organization: alpha
      kwargs: {column: nothing, organizations: "{{ ['beta', 'gamma'] | organization_ids }}"}
outputs: {mean: "{{ steps.mean.result }}"}
"""


def test_a_subtask_of_which_a_central_function_died_is_shown_first_everywhere(here: Path, capsys: Capture) -> None:
    write(here, federation_yaml=FEDERATION, dying_yaml=DYING)
    said = call(capsys, "run", "dying.yaml")
    assert said.code == 1
    (run,) = run_ids(here)
    first = call(capsys, "status", run, "-o", "json").document["error"]["organization"]
    assert first in ("beta", "gamma")
    told = f"the subtask at {first} crashed: KeyError: 'nothing'; the central function at alpha then failed: Zero"
    assert f"step mean at {first}: {told}" in said.err
    assert f"the last lines of its log at {first}:" in said.err
    for command in ("status", "explain"):
        words = (command, run, "mean") if command == "explain" else (command, run)
        shown = call(capsys, *words)
        assert told in shown.out + shown.err, shown
    assert "beta, subtask 1: crashed: KeyError: 'nothing'" in call(capsys, "explain", run, "mean", "beta").out
    document = call(capsys, "status", run, "-o", "json").document["steps"]["mean"]
    assert document["failures"]["gamma"]["message"] == "KeyError: 'nothing'"
    assert "KeyError: 'nothing'" in document["failures"]["gamma"]["log_tail"]

    one = call(capsys, "logs", run, "mean", "gamma")
    assert "summing nothing" in one.out
    assert "ZeroDivisionError" not in one.out
    every = [line for line in call(capsys, "logs", run, "mean").out.splitlines() if line.startswith("==>")]
    assert every == ["==> alpha <==", "==> beta, subtask 1 <==", "==> gamma, subtask 1 <=="]
    unknown = call(capsys, "logs", run, "mean", "gama")
    assert (unknown.code, "did you mean gamma?" in unknown.err) == (2, True)


def test_the_cohort_of_a_central_step_in_python(here: Path) -> None:
    write(here, federation_yaml=FEDERATION, dying_yaml=DYING)
    result = v6flow.run(here / "dying.yaml", store=here / "store")
    cohort = result.cohorts["mean"]
    assert (cohort.coordinator, cohort.asked, cohort.failed) == ("alpha", ("beta", "gamma"), ("beta", "gamma"))
    assert cohort.failures["beta"]["status"] == "crashed"
    assert "summing nothing" in result.logs("mean", "beta")
    with pytest.raises(KeyError):
        result.logs("mean", "delta")


def test_subtasks_left_open_are_ended_before_a_retry_and_told(here: Path, capsys: Capture) -> None:
    text = DYING.replace("central_mean", "central_gives_up").replace("name: dying", "name: gives_up")
    text = text.replace("column: nothing", f"gate: '{here / 'gate'}'")
    text = text.replace("outputs:", "    retry: {attempts: 2, on: [crashed]}\noutputs:")
    os.mkfifo(here / "gate")  # which nobody opens
    write(here, federation_yaml=FEDERATION.replace("gamma: {", "gamma: {offline: true, "), w_yaml=text)
    said = call(capsys, "run", "w.yaml")
    assert said.code == 1
    for attempt in (1, 2):
        assert f"note: step mean: ended 4 subtasks of attempt {attempt} that were still open: beta, gamma" in said.err
    assert "alpha crashed: ValueError: it gives up" in said.err


ROUNDS = """\
v6flow: 1
name: rounds
federation: federation.yaml
defaults: {image: probe}
steps:
  counts:
    task: {method: central_counts, central: true, organization: alpha, kwargs: {rounds: @rounds@}}
outputs: {n: "{{ steps.counts.result }}", who: "{{ steps.counts.responded }}"}
"""


def test_rounds_of_subtasks_to_others_are_a_mixture(here: Path, capsys: Capture) -> None:
    write(here, federation_yaml=FEDERATION, w_yaml=ROUNDS.replace("@rounds@", "[[2, 3], [2, 3]]"))
    same = call(capsys, "run", "w.yaml", "-o", "json")
    assert same.document["outputs"] == {"n": 4, "who": ["beta", "gamma"]}
    write(here, w_yaml=ROUNDS.replace("@rounds@", "[[2, 3], [3]]"))
    said = call(capsys, "run", "w.yaml", "-o", "json")
    assert (said.code, said.document["error"]["kind"]) == (1, "cohorts")
    write(here, w_yaml=ROUNDS.replace("@rounds@", "[[2], [3]]"))  # a subtask for each is one round
    assert call(capsys, "run", "w.yaml").code == 0
