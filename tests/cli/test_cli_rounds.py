"""Rounds and items at the command line: how they are told, planned, looked up, killed and taken up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    call,
    end,
    federated,
    notes,
    start,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

LOCAL = """\
v6flow: 1
name: rounds
steps:
  fit:
    repeat:
      state: 0
      max: 5
      steps:
        more: {local: {function: "f.py:more", kwargs: {x: "{{ loop.state }}"}}}
        twice: {local: {value: "{{ steps.more.result * 2 }}"}}
      update: "{{ steps.more.result }}"
      until: "{{ loop.next >= 2 }}"
  table:
    foreach:
      over: [a, b]
      as: letter
      on_item_failure: continue
      steps:
        look: {local: {function: "f.py:look", kwargs: {letter: "{{ each.letter }}"}}}
      result: "{{ steps.look.result }}"
outputs:
  o: "{{ [steps.fit.result, steps.table.by_key, steps.table.failed] }}"
"""
FUNCTIONS = """\
def more(x):
    print("from", x)
    return x + 1


def look(letter):
    print("looks at", letter)
    if letter == "b":
        raise ValueError("no b here")
    return letter
"""


@pytest.fixture
def rounds(here: Path) -> Path:
    write(here, rounds_yaml=LOCAL, f_py=FUNCTIONS)
    return here


def told(text: str) -> list[str]:
    return [line[10:] for line in text.splitlines() if line[8:10] == "Z "]


def test_rounds_and_items_are_told_as_they_end(rounds: Path, capsys: Capture) -> None:
    said = call(capsys, "run", "rounds.yaml")
    assert (said.code, said.out) == (0, 'o: [2,{"a":"a"},["b"]]\n')
    lines = told(said.err)
    assert "fit: begins its iterations" in lines
    assert "fit: iteration 1 ended" in lines
    assert "fit: iteration 2 ended, converged" in lines
    assert "table: 2 items" in lines
    assert any(line.startswith("table: item a (") and line.endswith("completed") for line in lines)
    assert any(line.startswith("table: item b (") and "FAILED: " in line and "no b here" in line for line in lines)
    assert not any("twice" in line for line in lines)  # a value, of which the round says enough
    assert told(call(capsys, "logs", "rounds").out) == lines


def test_logs_are_found_by_numbered_names(rounds: Path, capsys: Capture) -> None:
    call(capsys, "run", "rounds.yaml")
    assert call(capsys, "logs", "rounds", "fit[2].more").out == "from 1\n"
    assert "looks at a" in call(capsys, "logs", "rounds", "table[1].look").out
    assert call(capsys, "logs", "rounds", "table[1].look", "-o", "json").document["logs"] == {"": "looks at a\n"}


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("fit", "step fit has no log of its own", "like fit[2]."),
        ("fit.more", "step fit.more runs once for each iteration or item", "like fit[2].more"),
        ("fit[1].moree", "has no step 'fit[1].moree'", "fit[1].more"),
        ("nothing", "has no step 'nothing'", ""),
    ],
)
def test_logs_of_what_does_not_print_say_what_does(
    name: str, message: str, hint: str, rounds: Path, capsys: Capture
) -> None:
    call(capsys, "run", "rounds.yaml")
    said = call(capsys, "logs", "rounds", name)
    assert said.code == 2
    assert message in said.err
    assert hint in said.err


def test_status_tells_how_many_and_what_failed_inside(rounds: Path, capsys: Capture) -> None:
    call(capsys, "run", "rounds.yaml")
    said = call(capsys, "status")
    rows = {line.split()[0]: line for line in said.err.splitlines() if line}
    assert "2 iterations, converged" in rows["fit"]
    assert "1 of 2 items; failed: b" in rows["table"]
    assert "failed" in rows["table[2].look"]
    assert "fit[1].more" not in rows
    steps = call(capsys, "status", "-o", "json").document["steps"]
    assert (steps["fit"]["iterations"], steps["fit"]["converged"]) == (2, True)
    assert steps["table"]["items"] == {"total": 2, "completed": 1, "failed": 1, "skipped": 0}
    assert steps["table[2].look"]["status"] == "failed"


def test_a_failure_inside_is_told_once(rounds: Path, capsys: Capture) -> None:
    write(rounds, failing_yaml=LOCAL.replace("      on_item_failure: continue\n", ""))
    said = call(capsys, "run", "failing.yaml")
    assert said.code == 1
    after = said.err.partition("run FAILED")[2]
    assert after.count("item b: ") == 1
    assert "also failed" not in after


def test_plan_shows_what_stands_inside(rounds: Path, capsys: Capture) -> None:
    said = call(capsys, "plan", "rounds.yaml")
    assert "1. fit (repeat)\n   from 0\n   at most 5 iterations, until ‹{{ loop.next >= 2 }}›\n" in said.out
    assert "\n   - more (local)\n     function f.py:more\n     with {x: ‹{{ loop.state }}›}\n" in said.out
    assert "\n   - twice (local) after more\n" in said.out
    assert '2. table (foreach)\n   each.letter of ["a", "b"], 20 at once\n' in said.out
    steps = {step["step"]: step for step in call(capsys, "plan", "rounds.yaml", "-o", "json").document["steps"]}
    assert steps["fit"]["max"] == 5
    assert steps["fit.more"]["kwargs"] == {"x": {"$later": "{{ loop.state }}"}}
    assert steps["fit.twice"]["needs"] == ["fit.more"]


def test_a_run_that_is_killed_in_a_round_asks_nobody_again(here: Path, capsys: Capture) -> None:
    pytest.importorskip("vantage6.algorithm.tools")
    federated(
        here,
        text="""\
v6flow: 1
name: federated
federation: federation.yaml
defaults: {image: probe}
steps:
  fit:
    repeat:
      state: 0
      max: 6
      on_max: continue
      steps:
        sums: {task: {method: partial_sum, kwargs: {column: age}}}
      update: "{{ loop.state + length(steps.sums.results) }}"
outputs: {o: "{{ steps.fit.result }}"}
""",
    )
    process = start("run", "federated.yaml", until="fit: iteration 3 ended")
    process.kill()
    end(process)
    said = call(capsys, "resume")
    assert (said.code, said.out) == (0, "o: 18\n")
    assert all(6 <= count <= 7 for count in notes(here).values())  # what was at work when it was killed, at most
    assert "fit: iteration 6 ended" in told(said.err)
    assert "fit: iteration 3 ended" not in told(said.err)
