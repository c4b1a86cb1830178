"""`v6flow logs`: what was printed, made harmless."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    SMALL,
    call,
    command,
    end,
    federated,
    run_ids,
    start,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def test_the_log_of_a_local_step(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    call(capsys, "run", "failing.yaml")
    said = call(capsys, "logs", "failing", "bad")
    assert said.code == 0
    assert "so far" in said.out
    assert "went wrong" in said.out
    document = call(capsys, "logs", "failing", "bad", "-o", "json").document
    assert "so far" in document["logs"][""]


def test_a_step_that_printed_nothing(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    said = call(capsys, "logs", "small", "double")
    assert (said.code, said.out, said.err) == (0, "", "nothing was printed\n")


def test_the_logs_of_hospitals(here: Path, capsys: Capture) -> None:
    pytest.importorskip("vantage6.algorithm.tools")
    federated(here)
    call(capsys, "run", "federated.yaml")
    said = call(capsys, "logs", "federated", "sums")
    headings = [line for line in said.out.splitlines() if line.startswith("==>")]
    assert headings == ["==> alpha <==", "==> beta <==", "==> gamma <=="]
    one = call(capsys, "logs", "federated", "sums", "beta")
    assert "summing age" in one.out
    assert "==>" not in one.out
    (run,) = run_ids(here)
    said = call(capsys, "logs", run, "sums", "bta")
    assert (said.code, "did you mean beta?" in said.err) == (2, True)
    assert call(capsys, "logs", run, "total", "beta").code == 2


def test_an_unknown_step_is_refused_with_the_nearest(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    said = call(capsys, "logs", "small", "duble")
    assert (said.code, said.out) == (2, "")
    assert "did you mean double?" in said.err


def test_what_a_log_holds_cannot_reach_the_terminal(here: Path, capsys: Capture) -> None:
    write(here, loud_yaml="""\
v6flow: 1
name: loud
steps: {a: {local: {function: "loud.py:a"}}}
""", loud_py="""\
def a():
    print('\\x1b[2Jred\\x07 [bold]markup[/bold]')
    print('\\u202etxt')
    return 1
""")  # fmt: skip
    call(capsys, "run", "loud.yaml")
    said = call(capsys, "logs", "loud", "a")
    assert said.out == "\\x1b[2Jred\\x07 [bold]markup[/bold]\n\\u202etxt\n"


def test_without_a_step_the_story_of_the_run_is_told_again(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    told = [line[10:] for line in call(capsys, "run", "failing.yaml").err.splitlines() if line[8:10] == "Z "]
    said = call(capsys, "logs", "failing")
    assert said.code == 0
    assert [line[10:] for line in said.out.splitlines()] == told
    document = call(capsys, "logs", "failing", "-o", "json").document
    assert document["lines"] == said.out.splitlines()


def test_what_is_still_at_work_is_followed(here: Path, capsys: Capture) -> None:
    pytest.importorskip("vantage6.algorithm.tools")
    federated(here)
    gates = [here / f"gate-{name}" for name in ("alpha", "beta")]
    for gate in gates:  # one for each: of two that read the same, one may take all that is written
        os.mkfifo(gate)
    text = f"""\
v6flow: 1
name: slow
federation: federation.yaml
defaults: {{image: probe, timeout: 60s}}
steps:
  wait: {{task: {{method: wait, kwargs: {{gate: "{here}/gate-{{{{ organization }}}}"}}, organizations: [alpha, beta]}}}}
"""
    write(here, slow_yaml=text)
    process = start("run", "slow.yaml", until="wait: asks alpha, beta")
    following = subprocess.Popen(command("logs", "-f", "slow", "wait"), stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    heard = [following.stdout.readline(), following.stdout.readline()]
    assert all(" | " in line for line in heard), heard
    live = call(capsys, "logs", "slow", "wait", "alpha")
    assert "v6_probe" in live.out
    for gate in gates:
        gate.write_text("open", encoding="utf-8")
    assert end(process).code == 0
    out, _ = following.communicate(timeout=60)
    rest = [*heard, *out.splitlines()]
    assert {line.partition(" | ")[0] for line in rest} == {"alpha", "beta"}
    assert any("Writing output" in line for line in rest)


def test_a_document_has_no_end_that_could_be_followed(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "small.yaml")
    assert call(capsys, "logs", "-f", "small", "-o", "json").code == 2
