"""`v6flow doctor`: what is found of a federation, and of what a workflow needs there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    SMALL,
    call,
    federated,
    folder_of_its_own,  # noqa: F401 - a fixture for all tests here
    notes,
    write,
)

from v6flow.cli.doctor import table
from v6flow.core.checks.findings import Finding, ok, warning

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def test_all_is_well(here: Path, capsys: Capture) -> None:
    federated(here)
    for words in (("federated.yaml",), ("-f", "federation.yaml"), ("federated.yaml", "-f", "federation.yaml")):
        said = call(capsys, "doctor", *words)
        assert (said.code, said.err) == (0, "no problems found\n")
        assert [line.split()[:2] for line in said.out.splitlines()] == [
            *([["ok", "workflow"]] if words[0] == "federated.yaml" else []),
            ["ok", "federation"], ["ok", "image"], ["ok", "alpha"], ["ok", "beta"], ["ok", "gamma"],
        ]  # fmt: skip
    assert not (here / ".v6flow").exists()
    assert notes(here) == {"alpha": 0, "beta": 0, "gamma": 0}


def test_problems_come_first_each_with_its_remedy(here: Path, capsys: Capture) -> None:
    federated(here, more={"gamma": "offline: true", "alpha": "faults: {crash: true}"})
    (here / "beta.csv").unlink()
    said = call(capsys, "doctor", "federated.yaml")
    assert (said.code, said.err) == (2, "2 problems, 2 warnings\n")
    lines = said.out.splitlines()
    assert lines[0].startswith(
        "problem  step sums   it cannot succeed, since all 3 must answer, and beta has no file for"
    )
    assert lines[1].startswith(" " * 21 + "→ fix that first, or ask only alpha and gamma")
    assert lines[2].startswith("problem  beta        has no file for its database default: ")
    assert [line.split()[:2] for line in lines[4:] if not line.startswith(" ")] == [
        ["warning", "alpha"], ["warning", "gamma"], ["ok", "federation"], ["ok", "image"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{method: partial_sum,", "{method: partial_sum, databases: [defualt],", "did you mean default?"),
        ("{method: partial_sum,", "{method: partial_sum, organizations: [alpha, bta],", "did you mean beta?"),
        ("image: probe", "image: prob", "did you mean probe?"),
    ],
)
def test_what_a_workflow_needs_and_is_not_there(old: str, new: str, told: str, here: Path, capsys: Capture) -> None:
    federated(here, text=FEDERATED.replace(old, new))
    said = call(capsys, "doctor", "federated.yaml")
    assert said.code == 2
    assert told in said.out
    assert call(capsys, "doctor", "-f", "federation.yaml").code == 0, "the federation itself is well"


def test_a_quorum_that_can_be_met_makes_it_a_warning(here: Path, capsys: Capture) -> None:
    federated(here, text=FEDERATED.replace("{column: age}}}", "{column: age}}, quorum: 2}"))
    (here / "beta.csv").unlink()
    said = call(capsys, "doctor", "federated.yaml")
    assert (said.code, said.err) == (0, "1 warning\n")
    assert said.out.startswith("warning  beta")
    assert call(capsys, "doctor", "-f", "federation.yaml").code == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("package: v6_probe", "package: v6_porbe", "there is no package v6_porbe in "),
        ("tests/algorithms", "tests/nowhere", "tests/nowhere of its package is not there"),
        ("package: v6_probe,", "package: v6_probe, python: /nowhere/python,", "/nowhere/python cannot be run"),
    ],
)
def test_an_image_that_cannot_run(old: str, new: str, told: str, here: Path, capsys: Capture) -> None:
    federated(here)
    text = (here / "federation.yaml").read_text()
    (here / "federation.yaml").write_text(text.replace(old, new))
    said = call(capsys, "doctor", "federated.yaml")
    assert said.code == 2
    assert said.out.startswith("problem  step sums   it cannot succeed, since all 3 must answer, and each of alpha, ")
    assert told in said.out


def test_findings_as_a_document(here: Path, capsys: Capture) -> None:
    federated(here, more={"gamma": "offline: true"})
    (here / "beta.csv").unlink()
    said = call(capsys, "doctor", "federated.yaml", "--output", "json")
    document = said.document
    assert (said.code, document["healthy"], document["exit_code"], said.err) == (2, False, 2, "")
    step, beta, gamma, *_ = document["findings"]
    assert (step["status"], step["subject"], beta["organization"], beta["label"]) == (
        "problem", "step sums", "beta", "default",
    )  # fmt: skip
    assert (gamma["status"], gamma["message"], gamma["exit_code"]) == ("warning", "is offline", 0)
    assert set(step) == {"status", "subject", "organization", "message", "remedy", "image", "label", "exit_code"}


def test_params_are_filled_in(here: Path, capsys: Capture) -> None:
    text = FEDERATED.replace("defaults:", "params: {label: {type: string}}\ndefaults:")
    federated(
        here, text=text.replace("{method: partial_sum,", '{method: partial_sum, databases: ["{{ params.label }}"],')
    )
    assert call(capsys, "doctor", "federated.yaml", "-p", "label=default").code == 0
    assert call(capsys, "doctor", "federated.yaml", "-p", "label=other").code == 2
    said = call(capsys, "doctor", "federated.yaml")
    assert (said.code, "label" in said.err) == (2, True)


def test_there_must_be_something_to_look_at(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call(capsys, "doctor")
    assert (said.code, "--federation FILE" in said.err) == (2, True)
    write(here, small_yaml=SMALL)
    said = call(capsys, "doctor", "small.yaml", "-o", "json")
    assert (said.code, said.document["error"]["kind"]) == (2, "usage")
    federated(here)
    monkeypatch.setenv("V6FLOW_FEDERATION", "federation.yaml")
    assert call(capsys, "doctor").code == 0


def test_the_table_is_harmless_and_fits_a_terminal() -> None:
    found = [
        Finding("beta", "problem", "has \x1b[2Jno database " + "omop " * 20, "ask\u202e beta", 2),
        ok("a-subject-that-is-much-longer-than-all-others", "is well"),
        warning("gamma", "is offline"),
    ]
    lines = list(table(found, width=60))
    assert not {"\x1b", "\u202e"} & {*"".join(lines)}
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("problem  beta   has ")
    assert lines[1].startswith(" " * 16)
    assert list(table(found))[-1] == "warning  gamma  is offline"
