"""`v6flow test`: what is run, what is said of it, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from cli_stage import (
    FEDERATED,
    SMALL,
    VALUES,
    call,
    child,
    command,
    end,
    environment,
    federated,
    run_ids,
    write,
)

Capture = pytest.CaptureFixture[str]

if TYPE_CHECKING:
    from cli_stage import Said

TESTS = """\
v6flow_test: 1
workflow: federated.yaml
organizations: [alpha, beta, gamma]
answers:
  sums: {default: {value: {sum: 2}}}
cases:
  everybody answers:
    expect: {outputs: {total: 6}, sent: {sums: {default: {column: age}}}}
  one crashes:
    answers: {sums: {beta: {crash: "KeyError: 'age'", after: 3s}}}
    expect: {status: failed, error: {organization: beta}}
"""
WRONG = """\
  wrong on purpose:
    expect: {outputs: {total: 7}}
"""


def put(folder: Path, text: str = TESTS, name: str = "federated.test.yaml") -> None:
    write(folder, federated_yaml=FEDERATED)
    (folder / name).write_text(text, "utf-8")


def without_seconds(text: str) -> str:
    return re.sub(r" in \d+\.\ds$", " in 0.0s", text, flags=re.MULTILINE)


def test_a_line_for_each_file_and_a_summary(here: Path, capsys: Capture) -> None:
    put(here)
    said = call(capsys, "test")
    assert (said.code, said.err) == (0, "")
    assert without_seconds(said.out) == "federated.test.yaml ..\n\n2 passed in 0.0s\n"
    assert sorted(path.name for path in here.iterdir()) == ["federated.test.yaml", "federated.yaml"]


def test_a_failure_is_shown_with_what_was_expected_and_found(here: Path, capsys: Capture) -> None:
    put(here, TESTS + WRONG)
    said = call(capsys, "test", "federated.test.yaml")
    assert (said.code, said.err) == (1, "")
    assert without_seconds(said.out) == (
        "federated.test.yaml ..F\n"
        "\n"
        "FAILED federated.test.yaml::wrong on purpose (line 12)\n"
        "  outputs.total: expected 7, found 6\n"
        "\n"
        "2 passed, 1 failed in 0.0s\n"
    )


def test_a_line_for_each_case(here: Path, capsys: Capture) -> None:
    put(here, TESTS + WRONG)
    lines = call(capsys, "test", "-v").out.splitlines()
    assert lines[:3] == [
        "federated.test.yaml::everybody answers passed",
        "federated.test.yaml::one crashes passed",
        "federated.test.yaml::wrong on purpose failed",
    ]


def test_neither_a_server_nor_an_algorithm_is_needed(here: Path) -> None:
    put(here)
    said = child("test", env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2] / "runner")})
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "cases"),
    [
        (("-k", "CRASH"), ["one crashes"]),
        (("-k", "federated.test.yaml::e"), ["everybody answers"]),
        (("federated.test.yaml::one crashes",), ["one crashes"]),
        (("./federated.test.yaml::one crashes", "federated.test.yaml::everybody answers"),
         ["everybody answers", "one crashes"]),
        (("federated.test.yaml::one crashes", "-k", "every"), []),
        ((".",), ["everybody answers", "one crashes"]),
        ((".", "federated.test.yaml"), ["everybody answers", "one crashes"]),
    ],
)  # fmt: skip
def test_some_cases_only(words: tuple[str, ...], cases: list[str], here: Path, capsys: Capture) -> None:
    put(here)
    said = call(capsys, "test", "-o", "json", *words)
    assert [case["case"] for case in said.document["cases"]] == cases
    assert said.code == (0 if cases else 5)


def test_as_a_document(here: Path, capsys: Capture) -> None:
    put(here, TESTS + WRONG)
    said = call(capsys, "test", "--output", "json")
    document = said.document
    assert (said.code, document["exit_code"], document["passed"], document["failed"], said.err) == (1, 1, 2, 1, "")
    last = document["cases"][-1]
    assert last.pop("seconds") >= 0
    assert last == {
        "file": "federated.test.yaml",
        "case": "wrong on purpose",
        "line": 12,
        "status": "failed",
        "failures": ["outputs.total: expected 7, found 6"],
        "incomplete": [],
    }


def test_as_junit(here: Path, capsys: Capture) -> None:
    put(here, TESTS + WRONG)
    put(here, TESTS.replace("one crashes", '"odd \\x1b\\uFFFD <&\\" name"'), "odd.test.yaml")
    assert call(capsys, "test", "--junit", "report.xml").code == 1
    root = ET.parse(here / "report.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == ("testsuites", "5", "1", "0")
    first, second = root
    assert (first.get("name"), first.get("tests"), first.get("failures")) == ("federated.test.yaml", "3", "1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.get("timestamp", ""))
    case = first[-1]
    assert (case.get("classname"), case.get("name"), case.get("line")) == (
        "federated.test.yaml",
        "wrong on purpose",
        "12",
    )
    assert [each.get("message") for each in case] == ["outputs.total: expected 7, found 6"]
    assert second[-1].get("name") == 'odd \\x1b\ufffd <&" name'
    assert all(float(each.get("time", "x")) >= 0 for each in root.iter() if each.tag != "failure")


def test_a_report_that_cannot_be_written(here: Path, capsys: Capture) -> None:
    put(here)
    said = call(capsys, "test", "--junit", "nowhere/report.xml")
    assert (said.code, "cannot be written" in said.err) == (2, True)


def test_no_tests(here: Path, capsys: Capture) -> None:
    assert call(capsys, "test") == call(capsys, "test", ".")
    said = call(capsys, "test")
    assert (said.code, said.out, said.err) == (5, "no tests were found\n", "")
    said = call(capsys, "test", "-o", "json", "--junit", "report.xml")
    assert (said.code, said.document["cases"]) == (5, [])
    assert ET.parse(here / "report.xml").getroot().get("tests") == "0"


def test_invalid_files_are_told_at_once_and_nothing_is_run(here: Path, capsys: Capture) -> None:
    put(here)
    put(here, TESTS.replace("sums:", "sum:", 1), "a.test.yaml")
    put(here, TESTS.replace("cases:", "case:"), "b.test.yaml")
    said = call(capsys, "test")
    assert (said.code, said.out) == (2, "")
    assert "a.test.yaml:5:3: no task step 'sum' (did you mean sums?)" in said.err
    assert "b.test.yaml:6:1: unknown key `case` (did you mean cases?)" in said.err
    said = call(capsys, "test", "-o", "json")
    assert {problem["file"] for problem in said.document["problems"]} == {"a.test.yaml", "b.test.yaml"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere.yaml",), "no file or folder nowhere.yaml"),
        (("federated.yaml",), "this is a workflow file, where a test file is expected"),
        (("federated.test.yaml::on crashes",), "did you mean one crashes?"),
        (("--values",), "--values needs --record"),
        (("--record", "x"), "--record needs exactly one test file"),
        (("--record", "x", "a.yaml", "b.yaml"), "--record needs exactly one test file"),
    ],
)
def test_what_cannot_be(words: tuple[str, ...], told: str, here: Path, capsys: Capture) -> None:
    put(here)
    said = call(capsys, "test", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_validate_checks_test_files_too(here: Path, capsys: Capture) -> None:
    put(here)
    assert call(capsys, "validate", "federated.test.yaml").out == "federated.test.yaml: valid\n"
    put(here, TESTS.replace("total: 6", "totl: 6"))
    said = call(capsys, "validate", "federated.test.yaml")
    assert (said.code, "no output 'totl' (did you mean total?)" in said.err) == (2, True)


# ----------------------------------------------------------------------------------------------- recording


def recorded(capsys: Capture, *words: str, run: str = "federated") -> tuple[Said, Any]:
    """What --record says of the newest run, and the case that it wrote."""
    said = call(capsys, "test", "--record", run, "new.test.yaml", *words)
    return said, yaml.safe_load(Path("new.test.yaml").read_text("utf-8"))["cases"]["recorded"]


def run(capsys: Capture, code: int, *words: str) -> None:
    pytest.importorskip("vantage6.algorithm.tools", reason="the embedded backend runs vantage6's own tools")
    assert call(capsys, "run", "-q", *words).code == code


def test_a_test_is_written_from_a_run_and_passes(here: Path, capsys: Capture) -> None:
    federated(here)
    run(capsys, 0, "federated.yaml")
    before = os.umask(0)
    try:
        said, case = recorded(capsys)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("new.test.yaml").stat().st_mode) == 0o600, "nobody else reads what was answered"
    (run_id,) = run_ids(here)
    assert said.code == 0
    assert said.err == f"new.test.yaml was written from run {run_id}\n"
    assert without_seconds(said.out) == "new.test.yaml .\n\n1 passed in 0.0s\n"
    sums = case["answers"]["sums"]
    assert {name: answer["value"] for name, answer in sums.items()} == {
        name: {"sum": 1.0, "count": 1} for name in VALUES
    }
    assert case["expect"]["outputs"] == {"total": {"matches": {"type": "number"}}}
    assert case["expect"]["sent"] == {"sums": {"default": {"column": "age"}}}
    assert case["expect"]["steps"]["sums"] == {"status": "completed", "responded": list(VALUES)}
    text = (here / "new.test.yaml").read_text("utf-8")
    assert not re.search(r"\b(30|40|100)(\.0)?\b", re.sub("^#.*", "", text, flags=re.MULTILINE))


def test_values_are_kept_if_that_is_wanted(here: Path, capsys: Capture) -> None:
    federated(here)
    run(capsys, 0, "federated.yaml")
    said, case = recorded(capsys, "--values")
    assert said.code == 0
    assert case["answers"]["sums"]["gamma"]["value"] == {"sum": 40.0, "count": 1}
    assert case["expect"]["outputs"] == {"total": 100.0}


def test_a_failed_run_and_silence_are_written_too(here: Path, capsys: Capture) -> None:
    text = FEDERATED.replace("{column: age}}}", "{column: age}}, timeout: 3s, quorum: 2}")
    federated(here, more={"beta": "faults: {crash: true}", "gamma": "faults: {no_answer: true}"}, text=text)
    run(capsys, 1, "federated.yaml")
    said, case = recorded(capsys)
    assert said.code == 0, said.out
    answers = case["answers"]["sums"]
    assert (answers["gamma"], answers["beta"]) == ("no_answer", answers["beta"])
    assert answers["beta"] == "crash" or answers["beta"].keys() == {"crash", "after"}
    expect = case["expect"]
    assert (expect["status"], expect["exit_code"]) == ("failed", 1)
    assert expect["error"] == {"kind": "crashed", "step": "sums", "organization": "beta"}
    assert expect["steps"]["sums"] == {
        "status": "failed", "responded": ["alpha"], "failed": {"beta": "crashed"}, "missing": ["gamma"]
    }  # fmt: skip
    assert expect["steps"]["total"] == {"status": "skipped"}


def test_nothing_is_written_over(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "-q", "small.yaml")
    (here / "new.test.yaml").write_text("mine\n")
    (here / "link.test.yaml").symlink_to(here / "elsewhere.yaml")
    for name in ("new.test.yaml", "link.test.yaml"):
        said = call(capsys, "test", "--record", "small", name)
        assert (said.code, said.out, "already exists, and was not changed" in said.err) == (2, "", True)
    assert (here / "new.test.yaml").read_text() == "mine\n"
    assert not (here / "elsewhere.yaml").exists()


def test_the_workflow_is_named_from_where_the_test_is(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "-q", "small.yaml", "-p", "n=7")
    (here / "tests").mkdir()
    said = call(capsys, "test", "--record", "small", "tests/small.yaml", "--values")
    assert said.code == 0
    data = yaml.safe_load((here / "tests" / "small.yaml").read_text())
    assert (data["workflow"], data["cases"]["recorded"]["params"]) == ("../small.yaml", {"n": 7, "who": "you"})
    assert data["cases"]["recorded"]["expect"]["outputs"] == {"n": 14, "who": "you", "all": {"to": "you", "n": 14}}


def test_a_test_that_does_not_pass_with_made_up_values_is_shown_to_fail(here: Path, capsys: Capture) -> None:
    text = SMALL.replace('value: "{{ params.n * 2 }}"', 'value: "{{ run.id }}"')
    write(here, small_yaml=text)
    call(capsys, "run", "-q", "small.yaml")
    said = call(capsys, "test", "--record", "small", "new.test.yaml", "--values")
    assert said.code == 1
    assert "outputs.n: expected" in said.out


def test_what_cannot_be_recorded(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    call(capsys, "run", "-q", "small.yaml")
    said = call(capsys, "test", "--record", "nothing", "new.test.yaml")
    assert (said.code, "no run starts with 'nothing'" in said.err) == (2, True)
    said = call(capsys, "test", "--record", "small", "nowhere/new.test.yaml")
    assert (said.code, "cannot be written" in said.err) == (2, True)
    (here / "small.yaml").write_text(SMALL + "# changed\n")
    said = call(capsys, "test", "--record", "small", "new.test.yaml")
    assert (said.code, "the workflow has changed since that run" in said.err) == (0, True)
    (here / "small.yaml").unlink()
    said = call(capsys, "test", "--record", "small", "other.test.yaml")
    assert (said.code, "does not exist any more" in said.err) == (2, True)
    assert json.loads(call(capsys, "test", "--record", "x", "y.yaml", "-o", "json").out)["exit_code"] == 2


LESS = """\
v6flow_test: 1
workflow: federated.yaml
organizations: [alpha, beta, gamma]
answers:
  sums: {gamma: crash, default: {value: {sum: 2}}}
cases:
  says nothing: {}
  fails: {answers: {sums: {beta: crash}}, expect: {status: failed}}
"""


def test_a_case_that_does_not_mention_an_incomplete_result_passes_and_is_reported(here: Path, capsys: Capture) -> None:
    put(here, LESS)
    write(here, federated_yaml=FEDERATED.replace("age}}}", "age}}, quorum: {min: 2}}"))
    said = call(capsys, "test")
    assert said.code == 0
    assert said.out.splitlines()[2:-1] == [
        "1 case has an incomplete result that `expect` does not mention; -v shows what to add"
    ]
    assert call(capsys, "test", "-v").out.splitlines()[:4] == [
        "federated.test.yaml::says nothing passed",
        "  incomplete: sums: 2 of 3 answered (gamma failed: the algorithm crashed)",
        "  to expect it: incomplete: {sums: partial}",
        "federated.test.yaml::fails passed",
    ]
    first, second = call(capsys, "test", "-o", "json").document["cases"]
    assert [each["kind"] for each in first["incomplete"]] == ["partial"]
    assert second["incomplete"] == []
    call(capsys, "test", "--junit", "report.xml")
    (told,) = ET.parse(here / "report.xml").getroot().iter("system-out")
    assert (told.text or "").splitlines()[-1] == "  to expect it: incomplete: {sums: partial}"
    put(here, LESS.replace("nothing: {}", "something: {expect: {incomplete: {sums: partial}}}"))
    write(here, federated_yaml=FEDERATED.replace("age}}}", "age}}, quorum: {min: 2}}"))
    assert "incomplete" not in call(capsys, "test").out


def test_an_interrupt_ends_the_tests(here: Path) -> None:
    """No further case begins, and the step that computes here is ended."""
    os.mkfifo(here / "gate")
    steps = "steps: {wait: {local: {command: [sh, -c, 'echo $$ > pid; cat gate']}}}"
    write(here, waiting_yaml=f"v6flow: 1\nname: waiting\n{steps}\n")
    cases = "cases:\n  one: {expect: {status: completed}}\n  two: {expect: {status: completed}}\n"
    (here / "waiting.test.yaml").write_text(f"v6flow_test: 1\nworkflow: waiting.yaml\n{cases}", "utf-8")
    process = subprocess.Popen(
        command("test"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    while not ((here / "pid").exists() and (here / "pid").read_text().strip()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = end(process)
    assert (said.code, said.err) == (130, "error: interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int((here / "pid").read_text()), 0)
