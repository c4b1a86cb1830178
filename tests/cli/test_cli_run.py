"""`v6flow run`: what it prints where, what it takes, and how it ends."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FAILING,
    FEDERATED,
    SMALL,
    TOTAL,
    WAITING,
    call,
    child,
    end,
    federated,
    open_gate,
    run_ids,
    start,
    waiting,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
STEP_KEYS = {"status", "asked", "responded", "failed", "failures", "missing", "seconds", "attempts"}


def test_outputs_are_all_that_is_on_stdout(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "run", "small.yaml")
    assert said.code == 0
    assert said.out == 'n: 40\nwho: "you"\nall: {"to":"you","n":40}\n'
    assert f"run {run_ids(here)[0]} of workflow small started" in said.err
    assert "run completed" in said.err


def test_the_json_document_has_the_promised_keys(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "run", "small.yaml", "-o", "json")
    document = said.document
    assert document.items() >= {
        "run": run_ids(here)[0], "workflow": "small", "status": "completed", "exit_code": 0, "error": None,
        "outputs": {"n": 40, "who": "you", "all": {"to": "you", "n": 40}},
    }.items()  # fmt: skip
    assert list(document["steps"]) == ["double", "greet"]
    assert document["steps"]["double"].keys() >= STEP_KEYS
    assert document["steps"]["double"]["status"] == "completed"


@pytest.mark.parametrize("words", [("--output=json",), ("-ojson",), ("--output", "json")])
def test_json_however_it_is_asked_for(words: tuple[str, ...], here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    assert call(capsys, "run", "small.yaml", *words).document["status"] == "completed"
    assert call(capsys, "run", "smal.yaml", *words).document["error"]["hint"] == "did you mean small.yaml?"


def test_a_failed_run_exits_1_without_outputs_and_tells_the_first_cause(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    said = call(capsys, "run", "failing.yaml")
    assert (said.code, said.out) == (1, "")
    assert "step bad:" in said.err
    assert "went wrong" in said.err
    assert "skipped: after" in said.err
    assert f"v6flow resume --retry-failed {run_ids(here)[0]}" in said.err


def test_a_failed_run_as_a_document(here: Path, capsys: Capture) -> None:
    write(here, failing_yaml=FAILING)
    said = call(capsys, "run", "failing.yaml", "-o", "json")
    document = said.document
    assert (said.code, document["exit_code"], document["status"]) == (1, 1, "failed")
    assert document["outputs"] == {}
    assert document["error"].keys() >= {"kind", "message", "step", "organization", "hint"}
    assert document["error"]["step"] == "bad"
    assert {name: step["status"] for name, step in document["steps"].items()} == {
        "first": "completed", "bad": "failed", "after": "skipped",
    }  # fmt: skip


def test_quiet_tells_only_outputs_and_failures(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL, failing_yaml=FAILING)
    said = call(capsys, "run", "small.yaml", "--quiet")
    assert said.err == ""
    assert said.out.startswith("n: 40\n")
    said = call(capsys, "run", "failing.yaml", "-q")
    assert said.err.startswith("step bad: ")
    assert call(capsys, "run", "failing.yaml", "-q", "-o", "json").err == ""


# ------------------------------------------------------------------------------------------------- parameters


def test_params_by_option_file_and_environment(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, small_yaml=SMALL, one_yaml="n: 1\nwho: one\n", two_json='{"n": 2}')
    monkeypatch.setenv("V6FLOW_PARAM_N", "5")
    monkeypatch.setenv("V6FLOW_PARAM_WHO", "env")
    words = ["run", "small.yaml", "-q"]
    assert call(capsys, *words).out.startswith('n: 10\nwho: "env"\n')
    words += ["--params", "one.yaml"]
    assert call(capsys, *words).out.startswith('n: 2\nwho: "one"\n')
    words += ["--params", "two.json"]
    assert call(capsys, *words).out.startswith('n: 4\nwho: "one"\n')
    words += ["-p", "n=3", "--param", "who=option=4"]
    assert call(capsys, *words).out.startswith('n: 6\nwho: "option=4"\n')


@pytest.mark.parametrize("text", ["007", "True", "1_000", "{{ 7*7 }}", "{% x %}", "[1,2]", "null", "a=b", ""])
def test_a_text_param_stays_the_text_it_is(text: str, here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "run", "small.yaml", "-o", "json", "-q", "-p", f"who={text}")
    assert said.document["outputs"]["who"] == text
    assert said.document["outputs"]["all"]["to"] == text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-p", "woh=3"], "did you mean who?"),
        (["-p", "n=three"], "'three' is not a whole number"),
        (["-p", "n"], "--param takes NAME=VALUE"),
        (["--params", "nope.yaml"], "no parameter file nope.yaml"),
        (["--params", "list.yaml"], "must be a mapping"),
        (["--params", "broken.yaml"], "broken.yaml:2:"),
        (["--deadline", "30"], "is not a duration"),
        (["-j", "0"], "'0' is not a whole number from 1"),
        (["-j", "two"], "'two' is not a whole number from 1"),
        (["-f", "nope.yaml"], "no federation file nope.yaml"),
        (["-f", "small.yaml"], "small.yaml"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_kept(
    words: list[str], told: str, here: Path, capsys: Capture
) -> None:
    write(here, small_yaml=SMALL, list_yaml="- 1\n", broken_yaml="n: [\n")
    said = call(capsys, "run", "small.yaml", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert not (here / ".v6flow").exists()


def test_a_missing_param_is_named_with_how_to_give_it(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL.replace("default: 20, ", ""))
    said = call(capsys, "run", "small.yaml")
    assert said.code == 2
    assert "param n is required: A number (give it with --param n=…)" in said.err


def test_a_deadline_that_passes_exits_124(here: Path, capsys: Capture) -> None:
    waiting(here)
    said = call(capsys, "run", "waiting.yaml", "--deadline", "1s")
    assert (said.code, said.out) == (124, "")
    assert "the run's own deadline passed" in said.err
    assert call(capsys, "status", "-o", "json").document["exit_code"] == 124


# ------------------------------------------------------------------------------------------------- federations


def test_a_federated_run(here: Path, capsys: Capture) -> None:
    pytest.importorskip("vantage6.algorithm.tools")
    federated(here)
    said = call(capsys, "run", "federated.yaml", "-o", "json")
    assert said.document["outputs"] == {"total": TOTAL}
    step = said.document["steps"]["sums"]
    assert step["asked"] == step["responded"] == ["alpha", "beta", "gamma"]
    assert (step["failed"], step["missing"], step["failures"]) == ([], [], {})


def test_a_hospital_that_crashes_is_named_with_its_log(here: Path, capsys: Capture) -> None:
    pytest.importorskip("vantage6.algorithm.tools")
    federated(here, text=FEDERATED.replace("column: age", "column: aeg"))
    said = call(capsys, "run", "federated.yaml", "-o", "json")
    document = said.document
    assert (said.code, document["outputs"]) == (1, {})
    assert document["error"]["organization"] in ("alpha", "beta", "gamma")
    assert "aeg" in document["error"]["message"]
    failures = document["steps"]["sums"]["failures"]
    assert list(failures) == ["alpha", "beta", "gamma"]
    assert failures["beta"].keys() >= {"status", "message", "log_tail"}
    assert "aeg" in failures["beta"]["log_tail"]


def test_which_federation_is_meant(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "{{ federation.organizations }}"
    write(here, who_yaml=f"v6flow: 1\nname: who\nfederation: file.yaml\nsteps: {{a: {{local: {{value: 1}}}}}}\n"
                         f'outputs: {{names: "{names}"}}\n')  # fmt: skip
    for name in ("file", "env", "option"):
        (here / f"{name}.yaml").write_text(
            f"v6flow_federation: 1\nbackend: embedded\norganizations: {{{name}: {{}}}}\n"
        )
    assert call(capsys, "run", "who.yaml", "-q").out == 'names: ["file"]\n'
    monkeypatch.setenv("V6FLOW_FEDERATION", "env.yaml")
    assert call(capsys, "run", "who.yaml", "-q").out == 'names: ["env"]\n'
    assert call(capsys, "run", "who.yaml", "-q", "-f", "option.yaml").out == 'names: ["option"]\n'


def test_without_a_federation_a_task_is_refused_with_what_to_say(here: Path, capsys: Capture) -> None:
    write(here, federated_yaml=FEDERATED.replace("federation: federation.yaml\n", ""))
    said = call(capsys, "run", "federated.yaml")
    assert said.code == 2
    assert "--federation FILE" in said.err
    assert not (here / ".v6flow").exists()


# --------------------------------------------------------------------------------------- unfinished runs before


def interrupted(here: Path) -> str:
    """A run that was interrupted while it waited; its id."""
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    process.terminate()
    assert end(process).code == 143
    (run,) = run_ids(here)
    return run


def test_an_unfinished_run_is_named_first(here: Path, capsys: Capture) -> None:
    run = interrupted(here)
    open_gate(here)
    said = call(capsys, "run", "waiting.yaml")
    assert said.code == 0
    first = said.err.splitlines()[0]
    assert first == f"note: run {run} of this workflow is unfinished; v6flow resume {run} resumes it"
    assert len(run_ids(here)) == 2


def test_a_run_that_goes_on_is_named_with_its_process(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    write(here, other_yaml=WAITING.replace("[cat, gate]", "[echo, '1']"))
    try:
        said = call(capsys, "run", "other.yaml")
    finally:
        process.terminate()
        end(process)
    assert said.code == 0
    assert f"is still running (process {process.pid}" in said.err.splitlines()[0]


def test_continue_takes_up_the_unfinished_run_of_the_same_fingerprint(here: Path, capsys: Capture) -> None:
    run = interrupted(here)
    open_gate(here)
    said = call(capsys, "run", "waiting.yaml", "--continue")
    assert (said.code, said.out) == (0, "sum: 42\n")
    assert run_ids(here) == [run]
    assert call(capsys, "run", "waiting.yaml", "--continue").code == 0
    assert len(run_ids(here)) == 2, "there was none to take up"


def test_continue_starts_anew_where_the_fingerprint_differs(here: Path, capsys: Capture) -> None:
    run = interrupted(here)
    open_gate(here)
    write(here, waiting_yaml=WAITING.replace("first: {local: {value: 1}}", "first: {local: {value: 2}}"))
    said = call(capsys, "run", "waiting.yaml", "--continue")
    assert (said.code, said.out) == (0, "sum: 43\n")
    assert f"run {run} of this workflow is unfinished" in said.err
    assert len(run_ids(here)) == 2


def test_continue_does_not_wait_for_a_run_that_goes_on(here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    try:
        said = call(capsys, "run", "waiting.yaml", "--continue")
    finally:
        process.terminate()
        end(process)
    assert said.code == 75
    assert f"process {process.pid}" in said.err


# ----------------------------------------------------------------------------------------------------- hostility


def test_nothing_that_data_or_people_say_reaches_the_terminal_raw(here: Path) -> None:
    nasty = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\x9b31m"
    code = f"NASTY = {nasty!r}\ndef a():\n    print(NASTY)\n    return NASTY\ndef b(a):\n    raise ValueError(a)\n"
    write(here, nasty_yaml="""\
v6flow: 1
name: nasty
steps:
  a: {local: {function: "nasty.py:a"}}
  b: {local: {function: "nasty.py:b", kwargs: {a: "{{ steps.a.result }}"}}, on_failure: continue}
outputs: {a: "{{ steps.a.result }}"}
""", nasty_py=code)  # fmt: skip
    unsafe = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
    for words in (("run", "nasty.yaml"), ("run", "nasty.yaml", "-o", "json")):
        said = child(*words)
        assert said.code == 0, said.err
        assert not unsafe.search(said.out + said.err)
        value = said.document["outputs"]["a"] if "-o" in words else json.loads(said.out.removeprefix("a: "))
        assert value == nasty, "the same value all the same"
        assert "\\x1b[2J" in said.err


def test_names_with_accents_in_both_normal_forms(here: Path, capsys: Capture) -> None:
    for name in ("e\u0301tude", "\u00e9tude2"):
        (here / f"{name}.yaml").write_text(SMALL, encoding="utf-8")
    assert call(capsys, "run", "e\u0301tude.yaml", "-q").code == 0
    assert call(capsys, "run", "\u00e9tude2.yaml", "-q").code == 0


def test_params_that_do_not_go_together_are_refused_by_validate_plan_and_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    condition = 'preconditions: [{that: "{{ params.n < 100 }}", message: "{{ params.n }} is a lot"}]'
    text = SMALL.replace("steps:", f"{condition}\nsteps:")
    write(here, small_yaml=text)
    assert call(capsys, "validate", "small.yaml").code == 0
    assert call(capsys, "run", "small.yaml", "--quiet").code == 0
    for command in ("plan", "run"):
        refused = call(capsys, command, "small.yaml", "--param", "n=100")
        assert (refused.code, refused.out) == (2, "")
        assert "100 is a lot [precondition]" in refused.err
    assert len(list((here / ".v6flow" / "runs").iterdir())) == 1
    write(here, small_yaml=text.replace("default: 20", "default: 200"))
    assert "200 is a lot [precondition]" in call(capsys, "validate", "small.yaml").err


@pytest.mark.parametrize("way", ["option", "environment", "default"])
def test_printed_commands_work_as_they_stand(
    way: str, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a store of a name that a shell would split, and without what was set for the first command alone."""
    write(here, failing_yaml=FAILING)
    option = ["--store", "my runs"] if way == "option" else []
    with monkeypatch.context() as patch:
        if way == "environment":
            patch.setenv("V6FLOW_STORE", "my runs")
        said = call(capsys, "run", "failing.yaml", *option)
    (line,) = re.findall(r"what failed: (v6flow resume .*)", said.err)
    said = call(capsys, *shlex.split(line)[1:])
    assert (said.code, "run FAILED" in said.err) == (1, True)
    with monkeypatch.context() as patch:
        if way == "environment":
            patch.setenv("V6FLOW_STORE", "my runs")
        said = call(capsys, "resume", *option)
    (line,) = re.findall(r"hint: (v6flow list.*) lists the runs", said.err)
    assert len(call(capsys, *shlex.split(line)[1:], "-o", "json").document["runs"]) == 1
