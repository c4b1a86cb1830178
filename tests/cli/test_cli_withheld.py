"""Where a smallest count is demanded, nothing that an algorithm prints, raises or garbles is kept or shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cli_stage import (
    Said,
    call,
    end,
    federated,
    run_ids,
    start,
    write,
)

import v6flow

Capture = pytest.CaptureFixture[str]
PATIENT = "4711004711"  # stands in the data of alpha, and nowhere else
POLICY = "policy: {min_count: 5}\n"


@pytest.fixture(autouse=True)
def tools() -> None:
    pytest.importorskip("vantage6.algorithm.tools")


def stage(here: Path, how: str, *, beside: str = "", policy: str = POLICY, method: str = "leak") -> None:
    """A workflow that asks alpha, whose algorithm prints a patient's row and then ends as it is told to."""
    central = ", central: true" if method == "central_leak" else ""
    federated(
        here,
        text=f"""\
v6flow: 1
name: w
federation: federation.yaml
defaults: {{image: probe, timeout: 60s}}
steps:
  s:
    task: {{method: {method}, kwargs: {{how: {how}}}, organization: alpha{central}}}
    {beside}
outputs: {{n: "{{{{ steps.s.result.count }}}}"}}
""",
    )
    (here / "federated.yaml").rename(here / "w.yaml")
    (here / "alpha.csv").write_text(f"age\n{PATIENT}\n", encoding="utf-8")
    with (here / "federation.yaml").open("a", encoding="utf-8") as file:
        file.write(policy)


def shown(capsys: Capture) -> list[Said]:
    """All that can be shown of the run afterwards."""
    run = run_ids(Path.cwd())[-1]
    words = (
        ["status", run],
        ["status", run, "-o", "json"],
        ["explain", run, "s"],
        ["explain", run, "s", "-o", "json"],
        ["logs", run],
        ["logs", run, "s"],
        ["logs", run, "s", "alpha", "-o", "json"],
        ["logs", "-f", run, "s"],
        ["list", "-o", "json"],
    )
    return [call(capsys, *each) for each in words]


def found_in(here: Path) -> list[str]:
    """The files of the store that have the patient's number in them."""
    files = [each for each in (here / ".v6flow").rglob("*") if each.is_file()]
    assert files
    return [str(each.relative_to(here)) for each in files if PATIENT.encode() in each.read_bytes()]


FAILURES = {
    "crash": ("crashed", "the algorithm ended with an error"),
    "exit": ("crashed", "the algorithm ended with an error"),
    "module": ("crashed", "the algorithm ended with an error"),
    "no database": ("crashed", "the algorithm ended with an error"),
    "signal": ("crashed", "the algorithm ended with an error"),
    "set": ("crashed", "the algorithm ended with an error"),
    "nothing": ("garbage", "it ended without writing a result"),
    "duplicate": ("garbage", "its result is refused: a key stands twice in one object"),
    "not json": ("garbage", "its result is refused: not JSON at line 1 column 1"),
    "half": ("garbage", "its result is refused: not JSON at line 1 column 24"),
    "too large": ("garbage", "its result is refused: a number is too large to be finite"),
    "not finite": ("garbage", "its result is refused: the number NaN is not finite"),
    "few": ("disclosure", "its result is refused unseen: it is about fewer than 5"),
}
WITHHELD = " (the details are withheld, because the federation's policy sets min_count)"


@pytest.mark.parametrize("how", FAILURES)
def test_of_a_failure_only_its_kind_is_kept(how: str, here: Path, capsys: Capture) -> None:
    stage(here, how)
    said = call(capsys, "run", "w.yaml")
    kind, message = FAILURES[how]
    assert said.code == 1
    everything = [said, *shown(capsys)]
    assert not [each for each in everything if PATIENT in each.out + each.err]
    assert found_in(here) == []
    document = call(capsys, "status", "-o", "json").document
    assert document["steps"]["s"]["failures"]["alpha"]["status"] == kind
    told = document["steps"]["s"]["failures"]["alpha"]["message"]
    assert told == message + (WITHHELD if kind == "crashed" else "")
    if kind == "crashed":
        assert "run with a federation file whose policy has no min_count" in document["error"]["hint"]
    log = call(capsys, "logs", "w", "s", "alpha")
    assert (log.code, log.out) == (0, "")
    assert log.err.startswith(
        "alpha: what the algorithm prints is withheld, because the federation's policy sets min_count\n  hint: "
    )


def test_without_a_policy_all_of_it_is_shown(here: Path, capsys: Capture) -> None:
    stage(here, "crash", policy="")
    said = call(capsys, "run", "w.yaml")
    assert f"ValueError: patient {PATIENT}" in said.err
    assert f"patient {PATIENT}" in call(capsys, "logs", "w", "s").out
    assert found_in(here)


def test_the_hint_leads_to_what_was_withheld(here: Path, capsys: Capture) -> None:
    stage(here, "crash")
    call(capsys, "run", "w.yaml")
    text = (here / "federation.yaml").read_text("utf-8")
    (here / "open.yaml").write_text(text.replace(POLICY, ""), encoding="utf-8")
    assert f"ValueError: patient {PATIENT}" in call(capsys, "run", "w.yaml", "--federation", "open.yaml").err


@pytest.mark.parametrize(
    ("how", "beside", "message"),
    [
        (
            "group",
            "output_schema: {properties: {groups: {required: [x]}}}",
            "its result does not fit the step's output_schema",
        ),
        (
            "group",
            "checks: [{each: '{{ result.groups | length == 0 }}', message: 'there are {{ result.groups | json }}'}]",
            "its result does not meet the check result.groups | length == 0",
        ),
        (
            "group",
            "checks: [{each: '{{ result.groups | length == 0 }}', message: 'at {{ organization }}'}]",
            "at alpha",
        ),
        (
            "group",
            "checks: [{each: '{{ result.groups.x == 1 }}', message: '{{ result.groups | json }}'}]",
            "its result does not meet the check result.groups.x == 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_without_a_quotation(
    how: str, beside: str, message: str, here: Path, capsys: Capture
) -> None:
    stage(here, how, beside=beside)
    said = call(capsys, "run", "w.yaml")
    assert said.code == 1
    assert message in said.err
    assert not [each for each in (said, *shown(capsys)) if PATIENT in each.out + each.err]
    assert found_in(here) == []


def test_the_log_of_a_good_answer_is_withheld_as_well(here: Path, capsys: Capture) -> None:
    stage(here, "well")
    said = call(capsys, "run", "w.yaml")
    assert (said.code, said.out) == (0, "n: 1000\n")
    assert not [each for each in (said, *shown(capsys)) if PATIENT in each.out + each.err]
    assert found_in(here) == []
    assert call(capsys, "logs", "w", "s", "-o", "json").document == {
        "run": run_ids(here)[0],
        "step": "s",
        "logs": {"alpha": None},
        "withheld": "the federation's policy sets min_count",
    }


def test_the_python_api_gives_no_log_either(here: Path) -> None:
    stage(here, "well")
    assert v6flow.run("w.yaml").logs("s", "alpha") == ""
    stage(here, "well", policy="")
    assert PATIENT in v6flow.run("w.yaml").logs("s", "alpha")


@pytest.mark.parametrize("how", ["crash", "duplicate", "few", "well"])
def test_what_a_central_function_and_its_subtasks_print_is_withheld(how: str, here: Path, capsys: Capture) -> None:
    stage(here, how, method="central_leak")
    said = call(capsys, "run", "w.yaml")
    if how == "crash":
        assert "the subtask at alpha crashed: the details are withheld" in said.err
    assert not [each for each in (said, *shown(capsys)) if PATIENT in each.out + each.err]
    assert found_in(here) == []


def test_a_steps_own_smallest_count_withholds_too(here: Path, capsys: Capture) -> None:
    stage(here, "crash", beside="disclosure: {min_count: 3}", policy="")
    said = call(capsys, "run", "w.yaml")
    assert "the details are withheld, because the step's disclosure sets min_count" in said.err
    assert not [each for each in (said, *shown(capsys)) if PATIENT in each.out + each.err]
    assert found_in(here) == []


def test_nothing_is_left_of_what_was_killed_at_the_deadline(here: Path, capsys: Capture) -> None:
    stage(here, "well")
    text = (here / "w.yaml").read_text("utf-8")
    gate = here / "gate"
    os.mkfifo(gate)
    text = text.replace("timeout: 60s", "timeout: 1s").replace(
        "method: leak, kwargs: {how: well}", f"method: leak_and_wait, kwargs: {{gate: '{gate}'}}"
    )
    write(here, w_yaml=text)
    said = call(capsys, "run", "w.yaml")
    assert said.code == 1
    assert found_in(here) == []


def test_what_is_at_work_is_not_shown_either(here: Path, capsys: Capture) -> None:
    stage(here, "well")
    gate = here / "gate"
    os.mkfifo(gate)
    text = (here / "w.yaml").read_text("utf-8")
    text = text.replace("method: leak, kwargs: {how: well}", f"method: leak_and_wait, kwargs: {{gate: '{gate}'}}")
    write(here, w_yaml=text)
    process = start("run", "w.yaml", until="s: asks alpha")
    for words in (["logs", "w", "s", "alpha"], ["logs", "-f", "w", "s"]):
        said = call(capsys, *words)
        assert (said.code, said.out) == (0, "")
        assert "what the algorithm prints is withheld" in said.err
    gate.write_text("open", encoding="utf-8")
    ended = end(process)
    assert ended.code == 0
    assert PATIENT not in ended.out + ended.err
    assert found_in(here) == []


@pytest.mark.parametrize("words", [["cancel", "w"], ["resume"]])
def test_what_a_killed_process_has_left_is_removed(words: list[str], here: Path, capsys: Capture) -> None:
    stage(here, "well")
    gate = here / "gate"
    os.mkfifo(gate)
    text = (here / "w.yaml").read_text("utf-8")
    write(here, w_yaml=text.replace("leak, kwargs: {how: well}", f"leak_and_wait, kwargs: {{gate: '{gate}'}}"))
    process = start("run", "w.yaml", until="s: asks alpha")
    log = here / ".v6flow"
    while not any(PATIENT.encode() in each.read_bytes() for each in log.rglob("*/log")):
        assert process.poll() is None
    process.kill()
    end(process)
    assert found_in(here)
    gate.unlink()
    gate.touch()  # whoever comes goes through
    said = call(capsys, *words)
    assert said.code == 0, said
    assert not [each for each in (said, *shown(capsys)) if PATIENT in each.out + each.err]
    assert found_in(here) == []


# -- a resume


@pytest.mark.parametrize(
    "limit", ["policy: {min_count: 1}", "", "policy: {min_count: 1, counts: {probe: {leak: '{{ result.count + 9 }}'}}}"]
)
def test_a_resume_under_a_laxer_policy_keeps_to_the_stricter(limit: str, here: Path, capsys: Capture) -> None:
    stage(here, "few")
    call(capsys, "run", "w.yaml")
    text = (here / "federation.yaml").read_text("utf-8")
    (here / "federation.yaml").write_text(text.replace(POLICY, f"{limit}\n"), encoding="utf-8")
    said = call(capsys, "resume", "--retry-failed")
    assert said.code == 1
    assert "refused unseen: it is about fewer than 5" in said.err
    assert "and still applies: min_count: 5" in said.err
    assert found_in(here) == []


def test_a_resume_goes_by_a_policy_that_is_stricter_now_and_remembers_it(here: Path, capsys: Capture) -> None:
    stage(here, "crash", policy="")
    call(capsys, "run", "w.yaml")
    text = (here / "federation.yaml").read_text("utf-8")
    for policy in (POLICY, ""):
        (here / "federation.yaml").write_text(text + policy, encoding="utf-8")
        said = call(capsys, "resume", "--retry-failed")
        assert said.code == 1
        assert PATIENT not in said.err
        assert WITHHELD in said.err


def test_a_count_that_was_not_declared_can_be_declared_for_a_resume(here: Path, capsys: Capture) -> None:
    stage(here, "renamed")
    said = call(capsys, "run", "w.yaml")
    hint = 'under `policy` in the federation file: counts: {"probe": {"leak": "{{ result.KEY }}"}}'
    assert hint in said.err
    text = (here / "federation.yaml").read_text("utf-8")
    declared = text.replace("min_count: 5}", 'min_count: 5, counts: {"probe": {"leak": "{{ result.n }}"}}}')
    (here / "federation.yaml").write_text(declared, encoding="utf-8")
    write(here, w_yaml=(here / "w.yaml").read_text("utf-8").replace("steps.s.result.count", "steps.s.result.n"))
    said = call(capsys, "resume", "--retry-failed")
    assert (said.code, said.out) == (0, "n: 1000\n")
