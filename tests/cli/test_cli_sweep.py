"""`v6flow run --sweep`: a run for each set of params, and what is left of them when it is started again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from cli_stage import (
    SMALL,
    call,
    child,
    end,
    federated,
    notes,
    run_ids,
    start,
    write,
)

from v6flow.cli.sweep import MOST

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

ROOTS = """\
v6flow: 1
name: roots
params:
  n: {type: integer, minimum: -9, default: 4}
  unit: {type: string, default: m}
  list: {type: array, default: []}
steps:
  root: {local: {value: "{{ sqrt(params.n) }}"}}
outputs: {root: "{{ steps.root.result }} {{ params.unit }}", list: "{{ params.list }}"}
"""
GATED = """\
v6flow: 1
name: gated
params: {n: {type: integer, default: 1}}
steps:
  wait: {local: {command: [cat, "gate{{ params.n }}"]}}
outputs: {sum: "{{ steps.wait.result + params.n }}"}
"""
AVERAGE = """\
v6flow: 1
name: federated
federation: federation.yaml
params: {column: {type: string, default: age}, share: {type: integer, default: 1}}
defaults: {image: probe, timeout: 60s}
steps:
  sums: {task: {method: partial_sum, kwargs: {column: "{{ params.column }}"}}}
outputs: {total: "{{ steps.sums.results | sum(attribute='sum') }}"}
"""


def swept(capsys: Capture, *words: str) -> Any:
    said = call(capsys, "run", *words, "-o", "json")
    assert said.document["exit_code"] == said.code
    return said.document


def params(document: Any) -> list[dict[str, Any]]:
    return [each["params"] for each in document["sweep"]]


def test_each_value_has_a_run_and_a_line(here: Path, capsys: Capture) -> None:
    write(here, roots_yaml=ROOTS)
    said = call(capsys, "run", "roots.yaml", "--sweep", "n=4,9")
    assert said.code == 0
    rows = [line.split(None, 3) for line in said.out.splitlines()]
    assert [row[0] for row in rows] == ["n=4", "n=9"]
    assert sorted(row[1] for row in rows) == run_ids(here)
    assert [row[2:] for row in rows] == [
        ["completed", '{"root":"2.0 m","list":[]}'],
        ["completed", '{"root":"3.0 m","list":[]}'],
    ]
    assert said.err.index("set 1 of 2: n=4") < said.err.index("set 2 of 2: n=9")


def test_all_combinations_in_order_also_of_files_and_with_fixed_params(here: Path, capsys: Capture) -> None:
    write(here, roots_yaml=ROOTS, sets_yaml="- {n: 1}\n- {n: 4, list: [1]}\n", more_json='[{"list": [2]}]')
    document = swept(capsys, "roots.yaml", "--sweep", "n=4,9", "--sweep", "unit=m,km")
    assert [(each["n"], each["unit"]) for each in params(document)] == [(4, "m"), (4, "km"), (9, "m"), (9, "km")]
    document = swept(capsys, "roots.yaml", "--sweep-file", "sets.yaml", "--sweep-file", "more.json", "-p", "unit=cm")
    assert params(document) == [
        {"n": 1, "unit": "cm", "list": []},
        {"n": 4, "unit": "cm", "list": [1]},
        {"n": 4, "unit": "cm", "list": [2]},
    ]
    document = swept(capsys, "roots.yaml", "--sweep", "list=[[1], [2, 3]]", "--sweep", 'unit=["a,b"]')
    assert [(each["list"], each["unit"]) for each in params(document)] == [([1], "a,b"), ([2, 3], "a,b")]


def test_the_worst_exit_code_wins_and_the_others_run_nevertheless(here: Path, capsys: Capture) -> None:
    write(here, roots_yaml=ROOTS)
    document = swept(capsys, "roots.yaml", "--sweep", "n=-1,4")
    assert document["exit_code"] == 1
    failed, done = document["sweep"]
    assert (failed["status"], failed["exit_code"], failed["outputs"]) == ("failed", 1, {})
    assert "not defined for this number" in failed["error"]
    assert (done["status"], done["exit_code"], done["error"]) == ("completed", 0, None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sweep", "n=4,x"], "--sweep n: 'x' is not a whole number"),
        (["--sweep", "n=4,-10"], "n=-10: param n: expected a number from -9, got -10"),
        (["--sweep", "m=1"], "no param 'm'"),
        (["--sweep", "n"], "--sweep takes NAME=VALUE,VALUE"),
        (["--sweep", "n=1,"], "a value is missing"),
        (["--sweep", "n=[1"], "not a JSON list"),
        (["--sweep", "n=[]"], "the list of values is empty"),
        (["--sweep", "n=1,1"], "the set n=1 is given twice"),
        (["--sweep", "n=1", "--sweep", "n=2"], "--sweep n is given twice"),
        (["--sweep", "n=1,2", "-p", "n=3"], "n is given by --param and swept"),
        (["--sweep", "n=1,2", "--sweep-file", "sets.yaml"], "n is given by --sweep-file and swept"),
        (["--sweep", "n=1,2", "--detach"], "--detach works for a single run"),
        (["--sweep-file", "empty.yaml"], "a file of param sets is a list of non-empty mappings"),
        (["--sweep-file", "roots.yaml"], "a file of param sets is a list of non-empty mappings"),
        (["--sweep", f"n=[{','.join(map(str, range(MOST + 1)))}]"], "the limit is 10,000"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(words: list[str], told: str, here: Path, capsys: Capture) -> None:
    write(here, roots_yaml=ROOTS, sets_yaml="- {n: 3}\n", empty_yaml="- {}\n")
    said = call(capsys, "run", "roots.yaml", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert run_ids(here) == []


def test_a_set_that_does_not_fit_the_federation_is_named_before_anything_runs(here: Path, capsys: Capture) -> None:
    asks = 'kwargs: {column: age}, organization: "{{ params.column }}"'
    federated(
        here, text=AVERAGE.replace('kwargs: {column: "{{ params.column }}"}', asks).replace("results |", "result |")
    )
    said = call(capsys, "run", "federated.yaml", "--sweep", "column=alpha,delta")
    assert said.code == 2
    assert "column=delta: step sums: no organization 'delta'" in said.err
    assert run_ids(here) == []


def test_what_has_completed_is_not_run_again(here: Path, capsys: Capture) -> None:
    federated(here, text=AVERAGE)
    first = swept(capsys, "federated.yaml", "--sweep", "share=1,2")
    before = notes(here)
    again = swept(capsys, "federated.yaml", "--sweep", "share=1,2,3", "--continue")
    assert [each["completed_before"] for each in again["sweep"]] == [True, True, False]
    assert [each["run"] for each in again["sweep"][:2]] == [each["run"] for each in first["sweep"]]
    assert [each["outputs"] for each in again["sweep"]] == [{"total": 100.0}] * 3
    assert notes(here) == {name: count + 1 for name, count in before.items()}
    swept(capsys, "federated.yaml", "--sweep", "share=1")
    assert notes(here) == {name: count + 2 for name, count in before.items()}, "only --continue leaves them out"


def test_what_is_no_longer_the_same_is_run_again(here: Path, capsys: Capture) -> None:
    write(here, f_yaml="v6flow: 1\nparams: {n: {default: 1}}\nsteps: {a: {local: {function: 'f.py:f'}}}\n"
                       "outputs: {o: '{{ steps.a.result }}'}\n", f_py="def f():\n    return 1\n")  # fmt: skip
    assert [each["outputs"] for each in swept(capsys, "f.yaml", "--sweep", "n=1", "--continue")["sweep"]] == [{"o": 1}]
    write(here, f_py="def f():\n    return 2\n")
    again = swept(capsys, "f.yaml", "--sweep", "n=1", "--continue")["sweep"]
    assert [(each["outputs"], each["completed_before"]) for each in again] == [({"o": 2}, False)]
    failing = ROOTS.replace("n: {type", "n: {title: x, type")
    write(here, roots_yaml=failing)
    swept(capsys, "roots.yaml", "--sweep", "n=-1")
    again = swept(capsys, "roots.yaml", "--sweep", "n=-1", "--continue")["sweep"]
    assert (again[0]["completed_before"], again[0]["exit_code"]) == (False, 1)


def test_a_sweep_that_was_interrupted_goes_on_where_it_stopped(here: Path) -> None:
    write(here, gated_yaml=GATED)
    (here / "gate1").write_text("1", "utf-8")
    os.mkfifo(here / "gate2")
    (here / "gate3").write_text("3", "utf-8")
    words = ("run", "gated.yaml", "--sweep", "n=1,2,3", "-o", "json")
    process = start(*words, until="set 2 of 3")
    assert process.stderr is not None
    next(line for line in process.stderr if "computes here" in line)
    process.send_signal(signal.SIGINT)
    said = end(process)
    assert (said.code, said.document["exit_code"]) == (130, 130)
    assert [each["status"] for each in said.document["sweep"]] == ["completed", "interrupted", "pending"]
    (here / "gate2").unlink()
    (here / "gate2").write_text("2", "utf-8")
    said = child(*words, "--continue")
    assert (said.code, len(run_ids(here))) == (0, 3)
    assert [each["outputs"] for each in said.document["sweep"]] == [{"sum": 2}, {"sum": 4}, {"sum": 6}]
    assert [each["completed_before"] for each in said.document["sweep"]] == [True, False, False]


def test_an_interrupt_that_comes_when_a_run_of_a_sweep_is_over_ends_the_sweep(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from v6flow.reporters.lines import Lines

    end_ = Lines.end

    def end_and_interrupt(self: Lines, state: Any) -> None:
        end_(self, state)
        os.kill(os.getpid(), signal.SIGINT)

    write(here, small_yaml=SMALL)
    monkeypatch.setattr(Lines, "end", end_and_interrupt)
    said = call(capsys, "run", "small.yaml", "--sweep", "n=1,2,3", "-o", "json")
    assert (said.code, said.document["exit_code"]) == (130, 130)
    assert [each["status"] for each in said.document["sweep"]] == ["completed", "pending", "pending"]


def test_a_run_that_another_process_has_is_left_alone(here: Path, capsys: Capture) -> None:
    write(here, gated_yaml=GATED)
    os.mkfifo(here / "gate1")
    (here / "gate2").write_text("2", "utf-8")
    process = start("run", "gated.yaml", until="computes here")
    (here / "gate3").write_text("3", "utf-8")
    said = call(capsys, "run", "gated.yaml", "--sweep", "n=3", "-q")
    assert (said.code, "of this workflow is still running" in said.err) == (0, True)
    document = swept(capsys, "gated.yaml", "--sweep", "n=1,2", "--continue")
    assert [(each["status"], each["exit_code"]) for each in document["sweep"]] == [("running", 75), ("pending", None)]
    assert document["exit_code"] == 75
    (here / "gate1").write_text("1", "utf-8")
    assert end(process).code == 0
    document = swept(capsys, "gated.yaml", "--sweep", "n=1,2", "--continue")
    assert [each["completed_before"] for each in document["sweep"]] == [True, False]


def test_the_params_that_there_are(here: Path, capsys: Capture) -> None:
    write(here, roots_yaml=ROOTS, none_yaml="v6flow: 1\nsteps: {a: {local: {value: 1}}}\n")
    said = call(capsys, "run", "roots.yaml", "--help-params")
    assert said.code == 0
    assert said.out.splitlines()[0] == "n     a whole number from -9; default: 4"
    assert "V6FLOW_PARAM_N" in said.err
    document = call(capsys, "run", "roots.yaml", "--help-params", "-o", "json").document
    assert [each["name"] for each in document["params"]] == ["n", "unit", "list"]
    assert call(capsys, "run", "none.yaml", "--help-params").out == "workflow none has no params\n"
    assert run_ids(here) == []


def test_a_quiet_sweep_says_why_a_set_failed(here: Path, capsys: Capture) -> None:
    write(here, roots_yaml=ROOTS)
    said = call(capsys, "run", "roots.yaml", "--sweep", "n=4,-1", "--quiet")
    assert said.code == 1
    assert said.err.startswith("step root: ")
    assert "to resume after fixing the workflow: v6flow resume --retry-failed roots-" in said.err
