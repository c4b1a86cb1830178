"""`v6flow validate`: everything that is wrong, with its place, and nothing is run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    PROJECT,
    SMALL,
    call,
    federated,
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
    assert (said.code, "cannot be read: it is a folder" in said.err) == (2, True)
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


# -- files that somebody else has written

SECRET = "hunter2"
FEDERATION = """\
v6flow_federation: 1
backend: vantage6
server: https://v6.example.org/api
collaboration: c
username: a
"""


@pytest.fixture(name="secrets")
def folder_with_secrets(here: Path) -> Path:
    """A project in `project`, and beside it files that it is not to have."""
    (here / "project").mkdir()
    write(here, creds_yaml=f"db: prod\npassword: {SECRET}\n{SECRET}: x\n", stolen_py="def f(): return 1\n")
    (here / ".env").write_text(f"PASSWORD={SECRET}\nhunter2 = 1\n")
    (here / "shadow").write_text(f"root:${SECRET}:19000:0:99999:7:::\n{SECRET}:x:\n")
    os.mkfifo(here / "fifo")
    return here


NAMING = {
    "workflow": 'steps: {{a: {{workflow: {{file: "{0}"}}}}}}',
    "include": 'include: ["{0}"]\nsteps: {{a: {{local: {{value: 1}}}}}}',
    "federation": 'federation: "{0}"\nsteps: {{a: {{task: {{method: m, image: i}}}}}}',
    "function": 'steps: {{a: {{local: {{function: "{0}:f"}}}}}}',
}


@pytest.mark.parametrize("file", ["creds.yaml", ".env", "shadow"])
@pytest.mark.parametrize("key", ["workflow", "include", "federation"])
def test_a_file_that_is_none_of_ours_is_never_quoted(secrets: Path, capsys: Capture, key: str, file: str) -> None:
    write(secrets / "project", w_yaml="v6flow: 1\n" + NAMING[key].format(f"../{file}") + "\n")
    for words in (["validate"], ["validate", "-o", "json"], ["run"], ["run", "-o", "json"], ["lint"], ["plan"]):
        said = call(capsys, *words, "project/w.yaml")
        assert SECRET not in said.out + said.err, words
        if words[0] != "lint" or key != "federation":  # which lint does not look at
            assert said.code == 2
            assert file in said.out + said.err


@pytest.mark.parametrize(
    "words",
    [["validate"], ["lint"], ["fmt"], ["fmt", "--check", "--diff"], ["plan"], ["run"], ["graph"], ["test"],
     ["run", "small.yaml", "--federation"], ["run", "small.yaml", "--params"], ["run", "small.yaml", "--sweep-file"],
     ["doctor", "--federation"], ["validate", "small.yaml", "--federation"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("file", ["creds.yaml", ".env", "shadow", "fifo", "."])
def test_a_file_that_is_named_and_none_of_ours_is_never_quoted(
    secrets: Path, capsys: Capture, words: list[str], file: str
) -> None:
    write(secrets, small_yaml=SMALL)
    said = call(capsys, *words, file)
    assert SECRET not in said.out + said.err
    if words[-1] != "--federation" or words[0] != "run":  # which this workflow does not need
        assert said.code == (5 if words == ["test"] and file == "." else 2)
    if file == "fifo":
        assert "it is a FIFO" in said.err or said.code == 0


@pytest.mark.parametrize("key", ["password", "totp_secret", "pasword", "api_key"])
@pytest.mark.parametrize("value", [SECRET, f"|\n  {SECRET}", f"[{SECRET}]", f"'{SECRET}\n  {SECRET}'"])
def test_a_secret_in_a_federation_file_is_refused_and_not_shown(
    here: Path, capsys: Capture, key: str, value: str
) -> None:
    write(here, f_yaml=f"{FEDERATION}{key}: {value}\njobs: x\n")
    for words in (["validate"], ["validate", "-o", "json"], ["doctor", "--federation"], ["fmt", "--diff"]):
        said = call(capsys, *words, "f.yaml")
        assert SECRET not in said.out + said.err
    said = call(capsys, "validate", "f.yaml")
    assert said.code == 2
    assert f"{key}: …" in said.err


def test_a_workflow_with_bad_syntax_still_shows_the_line(here: Path, capsys: Capture) -> None:
    write(here, bad_yaml=SMALL + "  x: [1, 2\n")
    said = call(capsys, "validate", "bad.yaml")
    assert "  x: [1, 2" in said.err


@pytest.mark.parametrize("key", NAMING)
def test_nothing_outside_of_the_root_is_read(secrets: Path, capsys: Capture, key: str) -> None:
    project = secrets / "project"
    (project / "link.yaml").symlink_to(secrets / "creds.yaml")
    (project / "link.py").symlink_to(secrets / "stolen.py")
    ending = "py" if key == "function" else "yaml"
    for name in ("../stolen.py", "link.py") if key == "function" else ("../creds.yaml", "link.yaml", "../nothing.yaml"):
        write(project, w_yaml="v6flow: 1\n" + NAMING[key].format(name) + "\n")
        said = call(capsys, "validate", "--root", "project", "project/w.yaml")
        assert said.code == 2, name
        assert f"is outside {project}, the folder that may be read" in said.err
        assert "hunter2" not in said.err
    assert call(capsys, "validate", "--root", ".", "project/w.yaml").err.count("lies outside") == 0
    said = call(capsys, "validate", "--root", "project", f"creds.{ending}")
    assert (said.code, "is outside" in said.err) == (2, True)


@pytest.mark.parametrize(
    "part",
    ["organizations: {a: {databases: {d: ../creds.yaml}}}", "organizations: {a: {databases: {d: 'sqlite:///../x.db'}}}",
     "organizations: {a: {}}\nalgorithms: {i: {package: p, path: ..}}",
     "organizations: {a: {}}\nalgorithms: {i: {package: p, python: ../python}}"],
)  # fmt: skip
def test_what_a_federation_names_lies_within_the_root(secrets: Path, capsys: Capture, part: str) -> None:
    write(secrets / "project", f_yaml=f"v6flow_federation: 1\nbackend: embedded\n{part}\n")
    said = call(capsys, "validate", "--root", "project", "project/f.yaml")
    assert (said.code, "is outside" in said.err) == (2, True)


def test_with_a_root_no_secret_is_resolved_and_no_server_asked(
    secrets: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", SECRET)
    references = "username: '${env:OURS}'\npassword: '${file:/nowhere/at/all}'\n"
    server = FEDERATION.replace("username: a\n", references).replace("https://v6.example.org", "https://127.0.0.1:9")
    embedded = "v6flow_federation: 1\nbackend: embedded\norganizations:\n  a: {databases: {d: '${env:OURS}'}}\n"
    write(secrets / "project", server_yaml=server, embedded_yaml=embedded,
          w_yaml="v6flow: 1\nfederation: embedded.yaml\nsteps: {a: {task: {method: m, image: i}}}\n")  # fmt: skip
    said = call(capsys, "validate", "--root", "project", "project/server.yaml", "project/embedded.yaml")
    assert (said.code, said.err) == (0, "")
    said = call(capsys, "validate", "--root", "project", "project/w.yaml", "--federation", "project/server.yaml")
    assert (said.code, said.err) == (0, "")
    said = call(capsys, "validate", "--root", "project", "project/w.yaml")
    assert SECRET not in said.err


def test_a_root_that_is_not_there(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "validate", "--root", "nowhere", "small.yaml")
    assert (said.code, "there is no folder nowhere" in said.err) == (2, True)
