"""`v6flow validate`: everything that is wrong, with its place, and nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    PROJECT,
    SMALL,
    call,
    federated,
    folder_of_its_own,  # noqa: F401 - a fixture for all tests here
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

WRONG = """\
v6flow: 1
name: wrong
steps:
  a: {local: {value: "{{ params.x }}"}}
  b: {local: {value: "{{ steps.aa.result }}"}}
outputs: {o: "{{ steps.b.results }}"}
"""


def test_all_problems_are_told_each_with_its_line_and_a_caret(here: Path, capsys: Capture) -> None:
    write(here, wrong_yaml=WRONG)
    said = call(capsys, "validate", "wrong.yaml")
    assert (said.code, said.out) == (2, "")
    lines = said.err.splitlines()
    assert [line.split(":")[:2] for line in lines[0::3][:3]] == [
        ["wrong.yaml", "4"],
        ["wrong.yaml", "5"],
        ["wrong.yaml", "6"],
    ]
    assert lines[-1] == "3 problems"
    for place, line, caret in zip(lines[0::3], lines[1::3], lines[2::3], strict=False):
        column = int(place.split(":")[2])
        text = line.partition("| ")[2]
        assert text == WRONG.splitlines()[int(place.split(":")[1]) - 1]
        assert caret.index("^") - caret.index("| ") - 2 == column - 1
    assert "did you mean" in said.err


def test_problems_as_a_document(here: Path, capsys: Capture) -> None:
    write(here, wrong_yaml=WRONG)
    said = call(capsys, "validate", "wrong.yaml", "-o", "json")
    document = said.document
    assert (said.code, document["valid"], document["exit_code"], said.err) == (2, False, 2, "")
    assert [problem["line"] for problem in document["problems"]] == [4, 5, 6]
    assert document["problems"][0].keys() == {"file", "line", "column", "message", "hint", "rule", "severity"}


MIXING = """\
v6flow: 1
defaults: {image: i}
steps:
  ages: {task: {method: m}, quorum: 2}
  again: {task: {method: m, kwargs: {mean: "{{ mean(steps.ages.results) }}"}}}
"""


def test_a_warning_leaves_a_file_valid(here: Path, capsys: Capture) -> None:
    write(here, mixing_yaml=MIXING)
    said = call(capsys, "validate", "mixing.yaml")
    assert (said.code, said.out) == (0, "mixing.yaml: valid\n")
    assert said.err.startswith("mixing.yaml:5:64: warning: step again asks all again")
    document = call(capsys, "validate", "mixing.yaml", "-o", "json").document
    assert (document["valid"], [each["severity"] for each in document["problems"]]) == (True, ["warning"])


def test_several_files_and_a_federation(here: Path, capsys: Capture) -> None:
    federated(here)
    write(here, small_yaml=SMALL, wrong_yaml=WRONG)
    said = call(capsys, "validate", "small.yaml", "wrong.yaml", "federation.yaml", "federated.yaml")
    assert said.code == 2
    assert said.out == "small.yaml: valid\nfederation.yaml: valid\nfederated.yaml: valid\n"
    said = call(capsys, "validate", "small.yaml", "federation.yaml", "-o", "json")
    assert (said.code, said.document) == (0, {"valid": True, "exit_code": 0, "problems": []})


def test_what_a_federation_names_must_be_there(here: Path, capsys: Capture) -> None:
    federated(here)
    (here / "beta.csv").unlink()
    for words in (("federation.yaml",), ("federated.yaml",), ("federated.yaml", "-f", "federation.yaml")):
        said = call(capsys, "validate", *words)
        assert said.code == 2
        assert said.err.count("no database file beta.csv") == 1


def test_a_federation_that_is_missing_is_told_at_its_place(here: Path, capsys: Capture) -> None:
    write(here, federated_yaml=FEDERATED)
    said = call(capsys, "validate", "federated.yaml")
    assert said.code == 2
    assert said.err.startswith("federated.yaml:3:13: no federation file federation.yaml")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{method: partial_sum,", "{method: partial_sum, organizations: [alpha, bta],", "did you mean beta?"),
        ("image: probe", "image: prob", "did you mean probe?"),
        ("{method: partial_sum,", "{method: partial_sum, quorum: 4,", "quorum"),
    ],
)
def test_a_workflow_that_does_not_fit_its_federation(
    old: str, new: str, told: str, here: Path, capsys: Capture
) -> None:
    text = FEDERATED.replace(old, new).replace("quorum: 4, kwargs: {column: age}}", "kwargs: {column: age}}, quorum: 4")
    federated(here, text=text)
    said = call(capsys, "validate", "federated.yaml")
    assert said.code == 2
    assert "federated.yaml:" in said.err
    assert told in said.err
    assert not (here / ".v6flow").exists()


def test_a_secret_that_is_not_here_is_no_problem_of_the_file(here: Path, capsys: Capture) -> None:
    federated(here, more={"gamma": "offline: false"})
    text = (here / "federation.yaml").read_text().replace("gamma.csv", "'${env:NOWHERE_SET}'")
    (here / "federation.yaml").write_text(text)
    said = call(capsys, "validate", "federated.yaml")
    assert (said.code, said.out) == (0, "federated.yaml: valid\n")
    assert "warning: the environment variable NOWHERE_SET is not set" in said.err
    said = call(capsys, "validate", "federation.yaml", "-o", "json")
    assert (said.code, said.document["valid"]) == (0, True)
    assert [each["rule"] for each in said.document["problems"]] == ["reference"]


def test_a_file_that_is_missing_or_a_folder(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "validate", "smal.yaml")
    assert (said.code, "did you mean small.yaml?" in said.err) == (2, True)
    (here / "folder.yaml").mkdir()
    said = call(capsys, "validate", "folder.yaml")
    assert (said.code, "Is a directory" in said.err) == (2, True)
    assert call(capsys, "validate", "nowhere/small.yaml").code == 2


def test_a_function_that_is_not_there(here: Path, capsys: Capture) -> None:
    write(here, f_yaml="v6flow: 1\nname: f\nsteps: {a: {local: {function: 'f.py:tow'}}}\n",
          f_py="print('it was run')\ndef two(): pass\n")  # fmt: skip
    said = call(capsys, "validate", "f.yaml")
    assert said.code == 2
    assert "did you mean two?" in said.err
    assert "it was run" not in said.out + said.err


@pytest.mark.parametrize("path", sorted((PROJECT / "workflows").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path, capsys: Capture) -> None:
    said = call(capsys, "validate", str(path))
    assert (said.code, said.out, said.err) == (0, f"{path}: valid\n", "")
