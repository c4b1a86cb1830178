"""The example files fit together: paths lead somewhere, images have packages, parameters are explained."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from v6flow.cli.main import main

WORKFLOWS = Path(__file__).parents[2] / "workflows"
FILES = sorted(file for file in WORKFLOWS.glob("*.yaml") if not file.stem.endswith(".test"))
FEDERATION = WORKFLOWS / "federations" / "hospitals.yaml"


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_workflow_explains_itself_and_runs_without_being_told_anything(file: Path) -> None:
    workflow = load(file)
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schemas/workflow.schema.json"
    assert workflow["name"] == file.stem
    assert workflow["description"]
    assert (file.parent / workflow["federation"]).is_file()
    for parameter in workflow.get("params", {}).values():
        assert parameter["description"]
        assert "default" in parameter


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_workflow_names_images_and_methods_that_there_are(file: Path) -> None:
    workflow, images = load(file), load(FEDERATION)["algorithms"]
    for step in workflow["steps"].values():
        if "task" in step:
            image = step["task"].get("image", workflow.get("defaults", {}).get("image"))
            package = FEDERATION.parent / images[image]["path"] / images[image]["package"]
            listed = ast.parse((package / "__init__.py").read_text(encoding="utf-8")).body[-1]
            assert isinstance(listed, ast.Assign)
            assert step["task"]["method"] in ast.literal_eval(listed.value)


def test_the_federation_leads_to_its_data_and_algorithms() -> None:
    federation = load(FEDERATION)
    assert list(federation["organizations"]) == ["alpha", "beta", "gamma"]
    for organization in federation["organizations"].values():
        for path in organization["databases"].values():
            assert (FEDERATION.parent / path).is_file()
        assert all(isinstance(value, str) for value in organization["environment"].values())
    for algorithm in federation["algorithms"].values():
        folder = FEDERATION.parent / algorithm["path"]
        assert f"ENV PKG_NAME={algorithm['package']}\n" in (folder / "Dockerfile").read_text(encoding="utf-8")


def test_the_readme_names_every_workflow() -> None:
    readme = (WORKFLOWS / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in FILES if f"]({file.name})" not in readme] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_tests_of_a_workflow_pass(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = path.with_name(f"{path.stem}.test.yaml")
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schemas/test.schema.json"
    assert load(file)["workflow"] == path.name
    assert main(["test", str(file)]) == 0, capsys.readouterr().out


def test_every_test_file_is_run_here() -> None:
    assert {file.name for file in WORKFLOWS.glob("*.test.yaml")} == {f"{path.stem}.test.yaml" for path in FILES}
