"""`v6flow explain`: what a step did and why, in words and as a document."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    FEDERATED,
    WAITING,
    call,
    end,
    federated,
    run_ids,
    start,
    waiting,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def the_run(here: Path) -> str:
    (name,) = run_ids(here)
    return name


def test_a_step_that_some_answered(here: Path, capsys: Capture) -> None:
    text = FEDERATED.replace("{column: age}}}", "{column: age}}, quorum: {min: 2, required: [alpha]}}")
    assert text != FEDERATED
    federated(here, text=text, more={"beta": "faults: {crash: true}"})
    assert call(capsys, "run", "federated.yaml").code == 0
    run = the_run(here)
    said = call(capsys, "explain", run, "sums")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == f"step sums of run {run}: completed"
    assert "  partial_sum of probe on default" in lines
    assert '  with {column: "age"}' in lines
    assert "  it needs no other step" in lines
    (alpha,) = [line for line in lines if line.startswith("  alpha: asked at ")]
    assert ", answered after " in alpha
    (beta,) = [line for line in lines if line.startswith("  beta: asked at ")]
    assert "(crashed): " in beta
    assert "  2 of 3 must answer, alpha among them; alpha and gamma answered: enough; beta failed" in lines
    assert lines[-2:] == ["its value was computed from the data of:", "  sums: alpha, gamma"]
    assert "when sums had ended" in call(capsys, "explain", run, "total").out


def test_one_organization_alone(here: Path, capsys: Capture) -> None:
    federated(here)
    call(capsys, "run", "federated.yaml")
    run = the_run(here)
    out = call(capsys, "explain", run, "sums", "beta").out
    assert "beta: asked" in out
    assert "alpha: asked" not in out
    document = call(capsys, "explain", run, "sums", "beta", "-o", "json").document
    assert (document["organization"], list(document["attempts"])) == ("beta", ["beta"])
    said = call(capsys, "explain", run, "sums", "bet")
    assert (said.code, "did you mean beta?" in said.err) == (2, True)
    assert "asked no organizations" in call(capsys, "explain", run, "total", "beta").err
    said = call(capsys, "explain", run, "sum")
    assert (said.code, "did you mean sums?" in said.err) == (2, True)


def test_why_it_failed_and_why_another_was_skipped(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    call(capsys, "run", "failing.yaml")
    run = the_run(here)
    bad = call(capsys, "explain", run, "bad").out
    assert "why it failed:" in bad
    assert "went wrong" in bad
    after = call(capsys, "explain", run, "after").out
    assert "why it was skipped:\n  since bad failed: " in after
    assert "it began" not in after
    document = call(capsys, "explain", run, "after", "-o", "json").document
    assert (document["status"], document["cause"]["step"], document["needs"][0]["status"]) == (
        "skipped", "bad", "failed",
    )  # fmt: skip


def test_a_run_that_was_let_go_of(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    assert "wait" in WAITING
    os.kill(process.pid, signal.SIGINT)
    end(process)
    run = the_run(here)
    assert call(capsys, "explain", run, "wait").out.startswith(f"step wait of run {run}: interrupted\n")
    plus = call(capsys, "explain", run, "plus").out
    assert "plus of run" in plus
    assert "it is waiting for wait (running)" in plus


ROUNDS = """\
v6flow: 1
name: rounds
steps:
  fit:
    repeat:
      state: {x: 1}
      max: 3
      until: "{{ loop.next.x > 2 }}"
      update: {x: "{{ steps.twice.result }}"}
      steps:
        one: {local: {value: 1}}
        twice: {local: {value: "{{ loop.state.x + steps.one.result }}"}}
  many: {foreach: {over: [a, b], steps: {same: {local: {value: "{{ each.item }}"}}}}}
  never: {when: "{{ 1 > 2 }}", local: {value: 1}}
"""


def test_steps_in_rounds_are_named_as_they_are_done(here: Path, capsys: Capture) -> None:
    write(here, rounds_yaml=ROUNDS)
    assert call(capsys, "run", "rounds.yaml").code == 0
    run = the_run(here)
    assert "  2 iterations completed, and its condition held" in call(capsys, "explain", run, "fit").out
    assert "  item a: completed\n  item b: completed" in call(capsys, "explain", run, "many").out
    second = call(capsys, "explain", run, "fit[2].twice")
    assert (second.code, "when fit[2].one had ended" in second.out) == (0, True)
    assert "since its condition does not hold" in call(capsys, "explain", run, "never").out
    said = call(capsys, "explain", run, "fit.twice")
    assert (said.code, "runs more than once: fit[1].twice, fit[2].twice" in said.err) == (2, True)
    assert "did you mean" in call(capsys, "explain", run, "fit[3].twice").err


def test_facts_are_shown_as_the_status_shows_them(here: Path, capsys: Capture) -> None:
    write(here, facts_yaml="""\
v6flow: 1
steps:
  a:
    local: {value: {odd: "ü", none: null}}
    properties: {all: "{{ this.result }}", ok: "{{ this.result.odd == 'ü' }}"}
""")  # fmt: skip
    call(capsys, "run", "facts.yaml")
    said = call(capsys, "explain", "facts", "a")
    assert [line for line in said.out.splitlines() if line.startswith(("  all:", "  ok:"))] == [
        '  all: {"odd":"ü","none":null}',
        "  ok: true",
    ]
