"""A kind of step that exists only in the documentation: read, checked, planned, formatted and drawn like the others."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from v6flow import loading, plugins
from v6flow.cli.main import main
from v6flow.core.checks import lint
from v6flow.core.directory import Directory
from v6flow.core.kinds import BUILT_IN, STEP_KINDS, register
from v6flow.core.language.problem import InvalidError
from v6flow.core.planning import planner, question
from v6flow.core.views.preview import preview
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from v6flow.core.kinds.base import StepKind

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
SECTION = PAGE.partition("## A kind of step")[2].partition("\n## ")[0]
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))
WORKFLOW = f"v6flow: 1\ndefaults: {{image: i, timeout: 1h}}\n{BLOCKS['yaml']}"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StepKind]:
    """The kind of the page, as an installed package would bring it."""
    (tmp_path / "v6flow_note.py").write_text(BLOCKS["python"], "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import v6flow_note  # type: ignore[import-not-found]  # it is written just above

    kind: StepKind = v6flow_note.KIND
    monkeypatch.setattr(plugins, "load", lambda group, name: {("v6flow.step_kinds", "note"): kind}.get((group, name)))
    yield kind
    STEP_KINDS.pop("note", None)
    sys.modules.pop("v6flow_note", None)


def problems(text: str) -> list[str]:
    """What is wrong with a workflow."""
    try:
        loading.parse_workflow(text, "w.yaml")
    except InvalidError as error:
        return [str(each) for each in error.problems]
    return []


def file(folder: Path, text: str = WORKFLOW) -> str:
    (folder / "w.yaml").write_text(text, "utf-8")
    return str(folder / "w.yaml")


@pytest.mark.usefixtures("toy")
def test_it_is_validated(tmp_path: Path, capsys: Capture) -> None:
    assert main(["validate", file(tmp_path)]) == 0, capsys.readouterr().err


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("note: {text:", "note: {texd:", "unknown key `texd`"),
        ("steps.parts.responded", "steps.nobody.responded", "no step 'nobody'"),
        ("steps.parts.responded", "loop.state", "loop cannot be used here"),
        ("steps.told.result", "steps.told.results", "step told does not offer 'results'"),
    ],
)
def test_what_is_wrong_with_it_is_reported(old: str, new: str, message: str) -> None:
    assert any(message in each for each in problems(WORKFLOW.replace(old, new)))


@pytest.mark.usefixtures("toy")
def test_it_stands_in_other_steps() -> None:
    inner = "v6flow: 1\nsteps:\n  a:\n    foreach: {over: [1], steps: {b: {note: {text: x}}}, result: 1}\n"
    workflow = loading.parse_workflow(inner, "w.yaml")
    assert workflow.steps["a.b"].kind == "note"


def test_no_package_has_it() -> None:
    found = problems("v6flow: 1\nsteps: {a: {notes: {text: x}}}")
    assert any("unknown key `notes`" in each for each in found)
    assert "note" not in STEP_KINDS


def test_packages_are_not_looked_through_for_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda *_: pytest.fail("looked through"))
    repeat = "{state: 1, max: 1, steps: {b: {local: {value: 1}}}, update: 1, until: '{{ true }}'}"
    assert problems(f"v6flow: 1\nsteps: {{a: {{repeat: {repeat}}}}}") == []


def test_an_entry_point_for_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda *_: "no kind")
    with pytest.raises(UsageError, match="is no kind of step"):
        loading.parse_workflow("v6flow: 1\nsteps: {a: {note: {text: x}}}", "w.yaml")


def test_a_key_is_taken_once(toy: StepKind) -> None:
    register(toy)
    register(toy)
    with pytest.raises(ValueError, match="there is a kind of step `note` already"):
        register(type(toy)())


@pytest.mark.usefixtures("toy")
def test_it_is_planned_and_previewed() -> None:
    workflow = loading.parse_workflow(WORKFLOW, "w.yaml")
    plan = planner.make(workflow, {}, Directory(("alpha",)))
    assert plan.needs["told"] == ["parts"]
    shown: dict[str, Any] = next(each for each in preview(plan) if each["step"] == "told")
    assert (shown["kind"], shown["importance"]) == ("note", "normal")
    assert shown["text"] == {"$later": "{{ steps.parts.responded | length }} hospitals answered"}
    asked = question.fingerprints(plan, {})["told"].asked
    assert (asked["text"], "importance" in asked) == ("{{ steps.parts.responded | length }} hospitals answered", False)


@pytest.mark.usefixtures("toy")
def test_what_organizations_answered_goes_through_it() -> None:
    text = WORKFLOW.replace("steps.parts.responded | length", "steps.parts.results").partition("outputs")[0] + (
        "  next: {task: {method: m, kwargs: {a: '{{ steps.told.result }}'}}}\n"
    )
    (found,) = problems(text)
    assert "cross-site" in found or "would reach others, not aggregated" in found


@pytest.mark.usefixtures("toy")
def test_it_is_drawn(tmp_path: Path, capsys: Capture) -> None:
    assert main(["graph", file(tmp_path), "--format", "mermaid"]) == 0
    assert "parts --> told" in capsys.readouterr().out


@pytest.mark.usefixtures("toy")
def test_it_is_formatted(tmp_path: Path, capsys: Capture) -> None:
    written = file(tmp_path, "v6flow: 1\nsteps:\n  told:\n    description: why\n    note: {text: x}\n")
    assert main(["fmt", written]) == 0, capsys.readouterr().err
    assert Path(written).read_text("utf-8") == (
        "v6flow: 1\nsteps:\n  told:\n    note: {text: x}\n    description: why\n"
    )


@pytest.mark.usefixtures("toy")
def test_it_is_run(tmp_path: Path, capsys: Capture) -> None:
    text = "v6flow: 1\nname: w\nsteps:\n  told:\n    note: {text: '{{ 1 + 1 }} hospitals'}\n"
    text += "outputs: {note: '{{ steps.told.result }}'}\n"
    words = ["run", file(tmp_path, text), "--store", str(tmp_path / "store"), "--output", "json"]
    assert main(words) == 0, capsys.readouterr().err
    assert '"note": "2 hospitals"' in capsys.readouterr().out


@pytest.mark.usefixtures("toy")
def test_it_is_linted() -> None:
    workflow = loading.parse_workflow(WORKFLOW.replace("told", "Told"), "w.yaml")
    assert [each.message for each in lint.lint(workflow) if each.rule == "mixed-case-name"] == [
        "the name Told has capital letters"
    ]


def test_the_published_schema_has_each_built_in_kind() -> None:
    definitions = loading.read_schema("workflow")["$defs"]
    assert [each["required"] for each in definitions["step"]["oneOf"]] == [[key] for key in STEP_KINDS]
    assert definitions.keys() >= BUILT_IN
    assert loading.workflow_schema() is loading.read_schema("workflow")
