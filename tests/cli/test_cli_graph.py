"""`v6flow graph`: three ways to draw a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    SMALL,
    call,
    child,
    environment,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

NESTED = """\
v6flow: 1
name: nested
steps:
  one: {local: {value: [1, 2]}}
  every:
    foreach:
      over: "{{ steps.one.result }}"
      steps:
        file: {workflow: {file: inner.yaml}}
        after: {local: {value: "{{ steps.file.result.o }}"}}
finally:
  last: {local: {value: 3}}
"""


def test_the_picture(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "graph", "small.yaml")
    assert (said.code, said.err) == (0, "")
    assert said.out.index("double") < said.out.index("▼") < said.out.index("greet")


def test_mermaid(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "graph", "small.yaml", "--format", "mermaid")
    assert said.out.startswith("flowchart ")
    assert "double --> greet" in said.out


def test_dot(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "graph", "small.yaml", "--format=dot")
    assert said.out.startswith('digraph "small" {')
    assert '"double" -> "greet";' in said.out


def test_another_format_is_refused(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "graph", "small.yaml", "--format", "svg")
    assert (said.code, said.out) == (2, "")
    assert "mermaid" in said.err


def test_where_lines_cannot_be_written_ascii_is_drawn(here: Path) -> None:
    write(here, small_yaml=SMALL)
    said = child("graph", "small.yaml", env=environment(PYTHONIOENCODING="ascii"))
    assert said.code == 0
    assert said.out.isascii()
    assert "double" in said.out
    assert "\\u" not in said.out


def test_a_document(here: Path, capsys: Capture) -> None:
    write(here, inner_yaml='v6flow: 1\nsteps: {v: {local: {value: 1}}}\noutputs: {o: "{{ steps.v.result }}"}\n')
    write(here, nested_yaml=NESTED)
    document = call(capsys, "graph", "nested.yaml", "-o", "json").document
    assert document["workflow"] == "nested"
    steps = {each.pop("step"): each for each in document["steps"]}
    assert {name: (each["kind"], each["within"], each["needs"]) for name, each in steps.items()} == {
        "one": ("local", None, []),
        "every": ("foreach", None, ["one"]),
        "every.file": ("workflow", "every", []),
        "every.after": ("local", "every", ["every.file"]),
        "last": ("local", None, []),
    }
    assert steps["every.file"]["file"] == "inner.yaml"
    assert [name for name, step in steps.items() if step["finally"]] == ["last"]
