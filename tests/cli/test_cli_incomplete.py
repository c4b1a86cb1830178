"""A result that is less than the whole is reported by every command that shows it, as text and as JSON."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    call,
    child,
    federated,
    run_ids,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

pytest.importorskip("vantage6.algorithm.tools")

QUORUM = FEDERATED.replace("age}}}", "age}}, quorum: {min: 2}}")
FAILED = "2 of 3 answered (gamma failed: the federation file injects the fault `crash` here)"
LINE = f"incomplete: sums: {FAILED}"
ENTRY = {
    "kind": "partial",
    "step": "sums",
    "output": None,
    "instances": ["sums"],
    "organizations": ["gamma"],
    "message": FAILED,
}
SWEPT = QUORUM.replace("defaults:", "params: {k: {type: integer, default: 1}}\ndefaults:")


@pytest.fixture(name="study")
def one_hospital_crashes(here: Path) -> Path:
    federated(here, more={"gamma": "faults: {crash: true}"}, text=QUORUM)
    return here


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("incomplete")]


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_run_reports_it_on_stderr_once(study: Path, capsys: Capture, quiet: bool, output: str) -> None:
    said = call(capsys, "run", "federated.yaml", "-o", output, *(["--quiet"] if quiet else []))
    assert said.code == 0
    assert lines(said.err) == [LINE]
    if quiet:
        assert said.err == f"{LINE}\n"
    if output == "json":
        assert said.document["incomplete"] == [ENTRY]
    else:
        assert said.out == "total: 60.0\n"


def test_a_whole_run_says_nothing_of_it(here: Path, capsys: Capture) -> None:
    federated(here, text=QUORUM)
    said = call(capsys, "run", "federated.yaml", "--quiet")
    assert (said.code, said.out, said.err) == (0, "total: 100.0\n", "")
    assert call(capsys, "status", "-o", "json").document["incomplete"] == []
    assert "incomplete" not in call(capsys, "status").err
    assert "incomplete" not in call(capsys, "list").out


def test_the_commands_that_look_at_a_run_later(study: Path, capsys: Capture) -> None:
    run = call(capsys, "run", "federated.yaml", "--quiet", "-o", "json").document["run"]
    status = call(capsys, "status").err.splitlines()
    assert status[status.index("incomplete:") + 1] == f"  sums: {FAILED}"
    assert call(capsys, "list").out.rstrip().endswith("incomplete")
    assert [each["incomplete"] for each in call(capsys, "list", "-o", "json").document["runs"]] == [[ENTRY]]
    for output in ("text", "json"):
        assert lines(call(capsys, "wait", run, "-o", output).err) == [LINE]
        assert lines(call(capsys, "resume", run, "-o", output).err) == [LINE]
    assert lines(call(capsys, "logs", run).out) == [LINE]
    explained = call(capsys, "explain", run, "sums").out.splitlines()
    assert explained[explained.index("incomplete:") + 1] == f"  sums: {FAILED}"
    assert call(capsys, "explain", run, "sums", "-o", "json").document["incomplete"] == [ENTRY]
    assert call(capsys, "explain", run, "total", "-o", "json").document["incomplete"] == []


def test_a_run_in_the_background_is_reported_by_who_waits(study: Path, capsys: Capture) -> None:
    assert child("run", "federated.yaml", "--detach").code == 0
    (run,) = run_ids(study)
    said = call(capsys, "wait", run)
    assert (said.code, said.out, lines(said.err)) == (0, "total: 60.0\n", [LINE])


@pytest.mark.parametrize("quiet", [True, False])
def test_the_table_of_a_sweep_marks_it_and_ends_with_a_line_for_each_run(
    study: Path, capsys: Capture, quiet: bool
) -> None:
    write(study, swept_yaml=SWEPT)
    said = call(capsys, "run", "swept.yaml", "--sweep", "k=1,2", *(["--quiet"] if quiet else []))
    assert said.code == 0
    assert said.out.count("completed (incomplete)  {") == 2
    expected = [
        f"incomplete: run {line.split()[1]} ({line.split()[0]}): sums: {FAILED}" for line in said.out.splitlines()
    ]
    assert lines(said.err)[-2:] == expected
    if quiet:
        assert said.err.splitlines() == expected


def test_the_document_of_a_sweep_has_it_also_of_what_had_completed_before(study: Path, capsys: Capture) -> None:
    write(study, swept_yaml=SWEPT)
    words = ("run", "swept.yaml", "--quiet", "-o", "json", "--continue", "--sweep")
    assert [each["incomplete"] for each in call(capsys, *words, "k=1,2").document["sweep"]] == [[ENTRY], [ENTRY]]
    said = call(capsys, *words, "k=1,2,3,4,5")
    assert [each["completed_before"] for each in said.document["sweep"]] == [True, True, False, False, False]
    assert [each["incomplete"] for each in said.document["sweep"]] == [[ENTRY]] * 5
    assert len(lines(said.err)) == 4
    assert lines(said.err)[-1] == "incomplete: 2 more runs; v6flow status RUN shows what each lacks"


MANY = """\
v6flow: 1
name: many
params: {zero: {type: integer, default: 0}}
steps:
  a: {local: {value: "{{ 1 / params.zero }}"}, on_failure: continue}
  b: {local: {value: "{{ steps.a.result }}"}}
  fit:
    repeat:
      state: 0
      max: 2
      on_max: continue
      steps: {v: {local: {value: 1}}}
      update: "{{ loop.state + 1 }}"
      until: "{{ loop.next > 5 }}"
  table:
    foreach: {over: [1, 0], on_item_failure: continue, steps: {w: {local: {value: "{{ 1 / each.item }}"}}}}
outputs: {n: "{{ steps.fit.result }}", b: "{{ steps.b.result | default(0) }}"}
"""


@pytest.mark.parametrize("words", [["--quiet"], []])
def test_of_many_the_first_ones_and_where_the_others_are(here: Path, capsys: Capture, words: list[str]) -> None:
    write(here, many_yaml=MANY)
    said = call(capsys, "run", "many.yaml", "--store", "a store", *words)
    assert said.code == 0
    (run,) = (path.name for path in (here / "a store" / "runs").iterdir())
    assert lines(said.err) == [
        "incomplete: table: 1 of 2 items completed (item 2 failed: division by zero)",
        "incomplete: fit: not converged after 2 iterations, the most allowed",
        "incomplete: a: failed: division by zero",
        f"incomplete: 1 more; v6flow status --store 'a store' {run} shows all",
    ]
    if words:
        assert said.err.splitlines() == lines(said.err)  # and nothing else, as if the run had failed
    status = call(capsys, "status", "--store", "a store", run).err.splitlines()
    heading = status.index("incomplete:")
    assert status[heading + 4] == "  b: skipped, since a failed"
    assert any("2 iterations, not converged" in line for line in status)


GATED = QUORUM.replace("outputs:", '  agreed: {gate: {message: "{{ steps.total.result }}?"}}\noutputs:')


def test_a_person_who_is_to_decide_is_told_first(study: Path, capsys: Capture) -> None:
    write(study, gated_yaml=GATED)
    said = call(capsys, "run", "gated.yaml", "--quiet")
    assert said.code == 6
    assert said.err.splitlines()[:2] == [LINE, "step agreed asks: 60.0?"]


def test_a_run_that_failed_reports_its_failure_and_has_the_rest_in_its_status(study: Path, capsys: Capture) -> None:
    write(study, failing_yaml=QUORUM.replace("'sum')", "'nothing')"))
    said = call(capsys, "run", "failing.yaml", "--quiet")
    assert (said.code, lines(said.err)) == (1, [])
    assert call(capsys, "status", "-o", "json").document["incomplete"] == [ENTRY]


def test_a_loop_that_failed_at_max_leads_to_its_states(here: Path, capsys: Capture) -> None:
    write(here, many_yaml=MANY.replace("      on_max: continue\n", ""))
    said = call(capsys, "run", "many.yaml", "--quiet", "--store", "a store")
    assert said.code == 1
    (line,) = (line for line in said.err.splitlines() if line.startswith("to see the state after each iteration: "))
    explained = call(capsys, *shlex.split(line.partition("v6flow ")[2]))
    assert explained.code == 0
    assert "  state after iteration 2: 2" in explained.out.splitlines()
    assert call(capsys, "list", "--store", "a store").out.count("incomplete") == 0
