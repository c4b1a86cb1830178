"""The files around the code: hook, action, citation, licence, changelog."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from v6flow.version import __version__

PROJECT = Path(__file__).parents[1]
GOOD = "v6flow: 1\nsteps: {s: {local: {value: 1}}}\n"
BAD = "v6flow: 1\nsteps: {s: {locl: {value: 1}}}\n"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def read(name: str) -> Any:
    return yaml.safe_load((PROJECT / name).read_text("utf-8"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "good.yaml").write_text(GOOD)
    (tmp_path / "workflows" / "bad.yaml").write_text(BAD)
    return tmp_path


def hook(name: str) -> dict[str, str]:
    return next(each for each in read(".pre-commit-hooks.yaml") if each["id"] == name)


def run_hook(name: str, folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """As pre-commit runs it: the words of its entry, then the files that changed."""
    words = [*hook(name)["entry"].split(), *files]
    return subprocess.run(words, cwd=folder, env=ENVIRONMENT, text=True, capture_output=True, check=False)


def test_the_hook_passes_good_files_and_names_bad_ones(repository: Path) -> None:
    assert run_hook("v6flow-validate", repository, "workflows/good.yaml").returncode == 0
    found = run_hook("v6flow-validate", repository, "workflows/good.yaml", "workflows/bad.yaml")
    assert found.returncode == 2
    assert "workflows/bad.yaml:2:" in found.stdout + found.stderr


def test_the_hook_reads_nothing_outside_the_repository(repository: Path) -> None:
    outside = repository.parent / "outside.yaml"
    outside.write_text("private: text\n")
    (repository / "workflows" / "bad.yaml").write_text(f"v6flow: 1\nsteps: {{s: {{workflow: {{file: {outside}}}}}}}\n")
    found = run_hook("v6flow-validate", repository, "workflows/bad.yaml")
    assert found.returncode == 2
    assert "private" not in found.stdout + found.stderr


def test_the_hook_for_the_format_changes_nothing(repository: Path) -> None:
    path = repository / "workflows" / "good.yaml"
    path.write_text("steps: {s: {local: {value: 1}}}\nv6flow: 1\n")
    assert run_hook("v6flow-fmt", repository, "workflows/good.yaml").returncode == 1
    assert path.read_text() == "steps: {s: {local: {value: 1}}}\nv6flow: 1\n"


@pytest.mark.parametrize("name", ["workflows/a.yaml", "study/workflows/deep/a.yml", "a.v6flow.yaml"])
def test_the_hooks_take_workflows(name: str) -> None:
    assert all(re.search(each["files"], name) for each in read(".pre-commit-hooks.yaml"))


@pytest.mark.parametrize("name", [".github/dependabot.yaml", "config.yaml", "myworkflows/a.yaml"])
def test_the_hooks_leave_other_files(name: str) -> None:
    assert not any(re.search(each["files"], name) for each in read(".pre-commit-hooks.yaml"))


def run_action(folder: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """The last step of the action, with its inputs."""
    action = read("action.yml")
    inputs = {name: given.get(name, each["default"]) for name, each in action["inputs"].items()}
    step = action["runs"]["steps"][-1]
    values = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], text)
        for name, text in step["env"].items()
    }
    assert "${{" not in step["run"], "what an input says would be run"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder, env={**ENVIRONMENT, **values}, text=True, capture_output=True, check=False,
    )  # fmt: skip


def test_the_action_checks_what_its_patterns_name(repository: Path) -> None:
    found = run_action(repository)
    assert (found.returncode, "workflows/bad.yaml:2:" in found.stdout + found.stderr) == (2, True)
    assert run_action(repository, files="workflows/go*.yaml").returncode == 0


def test_an_input_of_the_action_is_no_code(repository: Path) -> None:
    run_action(repository, files="workflows/good.yaml; touch made $(touch made)", root=". $(touch made)")
    assert not (repository / "made").exists()


def test_versions_agree() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
    changelog = (PROJECT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[{re.escape(__version__)}\]", changelog, re.MULTILINE)
    assert {"## [Unreleased]"} <= set(changelog.splitlines())
    assert f"rev: v{__version__}" in (PROJECT / "docs" / "ci.md").read_text("utf-8")
