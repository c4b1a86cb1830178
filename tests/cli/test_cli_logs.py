"""`v6flow logs`: what was printed, made harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    SMALL,
    call,
    federated,
    folder_of_its_own,  # noqa: F401 - a fixture for all tests here
    run_ids,
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
