"""A backend of another package: every command takes its federation files, and nothing of v6flow was edited for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    PROJECT,
    call,
    command,
    environment,
    federated,
    write,
)

import installing
from v6flow import plugins
from v6flow.backends import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Capture = pytest.CaptureFixture[str]
FEDERATION = "v6flow_federation: 1\nbackend: toy\nnumbers:\n  alpha: [10, 20]\n  beta: [30]\n  gamma: [40]\n"
WORKFLOW = FEDERATED.replace("image: probe", "image: toy")


@pytest.fixture
def toy(here: Path) -> Iterator[Path]:
    """The folder of a workflow on a toy federation, with its backend installed."""
    write(here, workflow_yaml=WORKFLOW)
    write(here, federation_yaml=FEDERATION)
    installing.install(installing.TOYS / "toy_backend", here / "site")
    with installing.importable(here / "site"):
        yield here


def test_a_run_from_validate_to_status(toy: Path, capsys: Capture) -> None:
    for words in (["workflow.yaml"], ["federation.yaml"], ["workflow.yaml", "-f", "federation.yaml"]):
        said = call(capsys, "validate", *words)
        assert (said.code, said.err) == (0, "")
    said = call(capsys, "doctor", "workflow.yaml")
    assert (said.code, said.err) == (0, "no problems found\n")
    assert "federation  3 organizations have numbers" in said.out
    assert call(capsys, "doctor", "-f", "federation.yaml").code == 0
    planned = call(capsys, "plan", "workflow.yaml", "--output", "json")
    assert planned.code == 0
    assert planned.document["steps"][0]["organizations"] == ["alpha", "beta", "gamma"]
    said = call(capsys, "run", "workflow.yaml", "--output", "json")
    assert (said.code, said.document["outputs"]) == (0, {"total": 100.0})
    run = said.document["run"]
    said = call(capsys, "status", run, "--output", "json")
    assert (said.code, said.document["status"]) == (0, "completed")
    assert call(capsys, "explain", run, "sums").code == 0
    assert call(capsys, "resume", run).code == 0
    assert call(capsys, "fmt", "--check", "federation.yaml").code == 0


def test_what_is_wrong_with_its_file_is_said_in_its_words(toy: Path, capsys: Capture) -> None:
    for old, new, told in (
        ("numbers:", "numbrs:", "unknown key `numbrs` (did you mean numbers?)"),
        ("[30]", "[x]", "expected a number, got text"),
        ("numbers:", "offline: [bet]\nnumbers:", "no organization 'bet' (did you mean beta?)"),
        ("numbers:", "databases: {}\nnumbers:", "allowed here: v6flow_federation, backend, numbers, offline, jobs"),
    ):
        write(toy, wrong_yaml=FEDERATION.replace(old, new))
        said = call(capsys, "validate", "wrong.yaml")
        assert said.code == 2
        assert told in said.err


def test_doctor_says_what_is_wrong_with_the_workflow_there(toy: Path, capsys: Capture) -> None:
    write(
        toy,
        other_yaml=WORKFLOW.replace(
            "{method: partial_sum,", "{method: partial_sum, organizations: [alpa, beta, gamma],"
        ),
    )
    said = call(capsys, "doctor", "other.yaml")
    assert said.code == 2
    assert "did you mean alpha?" in said.out
    write(toy, federation_yaml=FEDERATION + "offline: [beta]\n")
    assert "warning  beta" in call(capsys, "doctor", "workflow.yaml").out


def test_it_has_no_keys(toy: Path, capsys: Capture) -> None:
    said = call(capsys, "upload-key", "-f", "federation.yaml")
    assert (said.code, "federation.yaml has a backend that encrypts nothing" in said.err) == (2, True)


def test_an_unknown_backend_names_all_there_are_and_the_nearest(toy: Path, capsys: Capture) -> None:
    write(toy, federation_yaml=FEDERATION.replace("toy", "tuy"))
    said = call(capsys, "validate", "federation.yaml")
    assert said.code == 2
    assert 'expected embedded, vantage6 or toy, got "tuy" (did you mean toy?)' in said.err


NOT_ONE = "the entry point toy in v6flow.backends is no Federation (v6flow.backends.base) of that name"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nowhere:Toy", "cannot be loaded from nowhere:Toy: ModuleNotFoundError: No module named 'nowhere'"),
        ("toy_backend.backend:Nothing", "AttributeError: "),
        ("toy_backend.configuration:IMAGE", NOT_ONE),
        ("v6flow.backends.embedded.configuration:EmbeddedFederation", NOT_ONE),
    ],
)
def test_a_backend_that_cannot_be_used_is_a_problem_of_the_file(
    place: str, told: str, here: Path, capsys: Capture
) -> None:
    write(here, federation_yaml=FEDERATION)
    shutil.copytree(installing.TOYS / "toy_backend", here / "site")
    installing.declare(here / "site", "broken", "2.0", {"v6flow.backends": {"toy": place}})
    with installing.importable(here / "site"):
        said = call(capsys, "validate", "federation.yaml", "--output", "json")
    (problem,) = said.document["problems"]
    assert (said.code, problem["rule"], problem["line"]) == (2, "backend", 2)
    assert told in problem["message"]


def test_two_packages_of_one_name_are_refused(toy: Path, capsys: Capture) -> None:
    installing.declare(toy / "site", "another", "3.0", {"v6flow.backends": {"toy": "another:Toy"}})
    said = call(capsys, "validate", "federation.yaml")
    assert said.code == 2
    assert "another 3.0 and toy-backend 1.0 both declare toy in v6flow.backends" in said.err


def test_a_schema_that_cannot_be_used_is_named(toy: Path, capsys: Capture) -> None:
    (toy / "site" / "toy_backend" / "federation.schema.json").unlink()
    said = call(capsys, "validate", "federation.yaml")
    assert said.code == 2
    assert "federation.schema.json of the backend toy cannot be used: FileNotFoundError" in said.err


def modules(folder: Path, *words: str) -> set[str]:
    """The modules that a command has imported, in a process of its own."""
    program = "import sys, v6flow.cli.main as it; code = it.main(sys.argv[1:]); print(*sys.modules); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_only_what_a_file_needs_is_imported(here: Path) -> None:
    federated(here)
    write(here, local_yaml="v6flow: 1\nname: local\nsteps: {a: {local: {value: 1}}}\noutputs: {}\n")
    seen = modules(here, "validate", "local.yaml")
    assert not {name for name in seen if name.startswith(tuple(f"v6flow.backends.{name}" for name in BACKENDS))}
    assert not {"v6flow.backends.base", "v6flow.references"} & seen
    seen = modules(here, "validate", "federated.yaml")
    assert "v6flow.backends.embedded.configuration" in seen
    assert not {"v6flow.backends.embedded.backend", "v6flow.backends.vantage6"} & seen


def test_entry_points_are_not_read_for_what_is_built_in(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    federated(here)
    monkeypatch.setattr(plugins, "_declared", lambda group: pytest.fail(f"{group} is read"))
    for words in (["validate", "federated.yaml"], ["plan", "federated.yaml"], ["fmt", "--check", "federated.yaml"]):
        assert call(capsys, *words).code == 0


def test_a_backend_inside_the_package_is_one_folder_and_one_line(here: Path) -> None:
    """In a copy of v6flow, run as a program of its own."""
    backends = here / "copy" / "v6flow" / "backends"
    shutil.copytree(PROJECT / "runner", here / "copy")
    shutil.copytree(installing.TOYS / "toy_backend" / "toy_backend", backends / "toy")
    for file in (backends / "toy").glob("*.py"):  # as they would be written there
        file.write_text(file.read_text("utf-8").replace("toy_backend", "v6flow.backends.toy"), "utf-8")
    registry = backends / "__init__.py"
    before, line, after = registry.read_text("utf-8").partition("BACKENDS = {\n")
    line += '    "toy": "v6flow.backends.toy.configuration:ToyFederation",\n'
    registry.write_text(before + line + after, "utf-8")
    write(here, federation_yaml=FEDERATION, workflow_yaml=WORKFLOW)
    for verb in ("validate", "doctor", "plan", "run"):
        done = subprocess.run(
            command(verb, "workflow.yaml"),
            cwd=here,
            env=environment(PYTHONPATH=str(here / "copy")),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "total: 100.0\n"
