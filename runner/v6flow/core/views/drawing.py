"""The graph of a workflow, as Mermaid and as Graphviz DOT; picture.py draws it for the terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from v6flow.core.kinds import STEP_KINDS
from v6flow.core.patterns import pattern
from v6flow.core.views.base import View
from v6flow.core.views.by_kind import details, view_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v6flow.core.language.model import Step, Workflow

MAX_LABEL = 60  # characters of a free text in a label


class Node(View, frozen=True):
    """A step in a graph.

    step: its name
    kind: its kind
    within: the step that it is nested in, or null
    final: whether it is under `finally`
    file: the file that it runs, or null
    needs: the steps that it waits for by itself
    """

    HIDDEN = ("shape", "texts", "tooltip", "above")
    NAMES: ClassVar = {"final": "finally"}
    step: str
    kind: str
    within: str | None
    final: bool
    file: str | None
    needs: tuple[str, ...]
    shape: str  # `task`, `central`, `local`, `gate`, or another kind
    texts: tuple[str, ...]  # what it does, and what is nested in it
    tooltip: str
    above: tuple[str, ...]  # the steps from which a line is drawn to it


class Graph(View, frozen=True):
    """The steps of a workflow and what each needs.

    workflow: the workflow's name
    steps: its steps in the order of the file
    """

    workflow: str
    steps: tuple[Node, ...]

    @property
    def outermost(self) -> dict[str, Node]:
        """The steps that are nested in none: a drawing shows them, and what is in them as text."""
        return {each.step: each for each in self.steps if each.within is None}

    @property
    def layers(self) -> list[list[str]]:
        """The outermost steps by how many come before them, at the most, one after the other."""
        return layers_of({name: each.above for name, each in self.outermost.items()})


def graph_of(workflow: Workflow, needs: Mapping[str, Sequence[str]], drawn: Mapping[str, Sequence[str]]) -> Graph:
    """The graph of a workflow; `needs` has for each step those it waits for, `drawn` those above it in a drawing."""

    def node(name: str, step: Step) -> Node:
        view, inside = view_of(step.kind), _inside(workflow, name)
        return Node(
            step=name,
            kind=step.kind,
            within=step.common.parent or None,
            final=step.common.final,
            file=view.file(step),
            needs=tuple(needs[name]),
            shape=view.shape(step),
            texts=(*details(step), *([inside] if inside else [])),
            tooltip=step.common.description or name,
            above=tuple(drawn[name]),
        )

    return Graph(workflow.name, tuple(node(name, step) for name, step in workflow.steps.items()))


def _inside(workflow: Workflow, outer: str) -> str:
    """The names of the steps in a step, each with those in it."""
    told = []
    for name, step in workflow.steps.items():
        if step.common.parent == outer:
            inner = _inside(workflow, name) if STEP_KINDS[step.kind].nests else ""
            told.append(name.rpartition(".")[2] + (f" ({inner})" if inner else ""))
    return ", ".join(told)


def layers_of(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The steps by how many come before them, at the most, one after the other. There is no cycle."""
    depth: dict[str, int] = {}
    for root in needs:
        waiting = [root]
        while waiting:
            name = waiting[-1]
            unknown = [source for source in needs[name] if source not in depth]
            if unknown:
                waiting += unknown
                continue
            waiting.pop()
            depth[name] = 1 + max((depth[source] for source in needs[name]), default=-1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in needs:
        layers[depth[name]].append(name)
    return layers


def visible(text: str) -> str:
    """A free text on one line, without anything that does not print, at a length that fits a label."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[: MAX_LABEL + 1]
    )
    return shown if len(shown) <= MAX_LABEL else shown[: MAX_LABEL - 1] + "…"


# -- Mermaid

_MERMAID_SHAPES = {"gate": ('{{"', '"}}'), "task": ('["', '"]'), "central": ('[["', '"]]'), "local": ('("', '")')}
_MERMAID_UNSAFE = pattern(r"[^\w .,:/()=+-]", re.ASCII)
_MERMAID_WORDS = pattern(
    r"(^|_)(end|graph|flowchart|subgraph|style|linkstyle|classdef|class|click|call|href|default|direction"
    r"|interpolate|accdescr|acctitle)",
    re.IGNORECASE,
)


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart."""
    ids = {name: _mermaid_id(name, place) for place, name in enumerate(graph.outermost, 1)}
    lines = ["flowchart TD"]
    for name, step in graph.outermost.items():
        opened, closed = _MERMAID_SHAPES.get(step.shape, _MERMAID_SHAPES["task"])
        label = "<br/>".join(_mermaid_text(text) for text in (name, *step.texts))
        lines.append(f"    {ids[name]}{opened}{label}{closed}")
    lines += [f"    {ids[source]} --> {ids[name]}" for name, step in graph.outermost.items() for source in step.above]
    return "\n".join(lines) + "\n"


def _mermaid_id(name: str, place: int) -> str:
    """A step's name, or its place where the name has a word of Mermaid's in it: no name is a number."""
    return str(place) if _MERMAID_WORDS.search(name) else name


def _mermaid_text(text: str) -> str:
    """A text within a quoted label: whatever could end it, or be HTML or Markdown, is written by its code."""
    return "".join(
        f"#{ord(char)};" if ord(char) < 128 and _MERMAID_UNSAFE.match(char) else char for char in visible(text)
    )


# -- Graphviz

_DOT_SHAPES = {
    "gate": "shape=hexagon",
    "task": "shape=box",
    "central": "shape=box, peripheries=2",
    "local": 'shape=box, style="rounded"',
}


def dot(graph: Graph) -> str:
    """The graph in Graphviz's DOT language; a step's description is its tooltip."""
    lines = [f"digraph {_dot_text(graph.workflow)} {{", "    rankdir=TB;", '    node [fontname="sans-serif"];']
    for name, step in graph.outermost.items():
        shape = _DOT_SHAPES.get(step.shape, _DOT_SHAPES["task"])
        label = _dot_text(name, *step.texts)
        tooltip = _dot_text(step.tooltip)
        lines.append(f"    {_dot_text(name)} [label={label}, {shape}, tooltip={tooltip}];")
    lines += [
        f"    {_dot_text(source)} -> {_dot_text(name)};"
        for name, step in graph.outermost.items()
        for source in step.above
    ]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(*lines: str) -> str:
    """A quoted text of these lines, in which backslashes, quotes and entities are just themselves."""
    escaped = (visible(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines)
    return '"' + "\\n".join(escaped) + '"'
