from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow.core import reading
from v6flow.core.language import document
from v6flow.core.planning import dependencies
from v6flow.core.views.drawing import _assign_tracks, _Net, dot, layers_of, mermaid, picture

if TYPE_CHECKING:
    from v6flow.core.language.model import Workflow

VARIANCE = """
v6flow: 1
name: variance
steps:
  moments: {task: {method: partial_moments, organizations: [alpha, beta]}}
  pooled: {local: {function: "pool.py:pool", kwargs: {of: "{{ steps.moments.results }}"}}}
  central_mean: {task: {method: mean, central: true, organization: alpha}}
  variance:
    description: around the pooled mean
    task:
      method: partial_variance
      kwargs: {m: "{{ steps.pooled.result }}", n: "{{ steps.moments.results | length }}"}
"""
HOSTILE = [
    '"]--> x["',
    "<script>alert(1)</script>",
    "a\nb",
    "\x1b[31m\u202ered",
    "`md`",
    "#quot; &lt; %%{init}%%",
    "\\N \\",
]


def read(text: str) -> tuple[Workflow, dict[str, list[str]]]:
    workflow = reading.parse(document.parse(text, "w.yaml"))
    return workflow, dependencies.needs(workflow)


def locals_of(needs: dict[str, list[str]]) -> tuple[Workflow, dict[str, list[str]]]:
    """A workflow of local steps that need each other so."""
    steps = {name: {"needs": sources, "local": {"value": 1}} for name, sources in needs.items()}
    return read(json.dumps({"v6flow": 1, "name": "w", "steps": steps}))


# -- a reader of Mermaid and one of DOT, for what is drawn here

_NODE = re.compile(r' {4}(\w+)(\[\["|\["|\(")([^"\]\[`<>{}]*(?:<br/>[^"\]\[`<>{}]*)*)("\]\]|"\]|"\))')
_EDGE = re.compile(r" {4}(\w+) --> (\w+)")


def read_mermaid(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """The labels by the steps' names, and the edges between names; fails on any line it does not know."""
    first, *lines = text.splitlines()
    assert first == "flowchart TD"
    labels: dict[str, str] = {}
    names: dict[str, str] = {}
    edges = set()
    for line in lines:
        if node := _NODE.fullmatch(line):
            label = "\n".join(re.sub(r"#(\d+);", lambda m: chr(int(m[1])), part) for part in node[3].split("<br/>"))
            names[node[1]] = label.split("\n")[0]
            labels[names[node[1]]] = label
        else:
            edge = _EDGE.fullmatch(line)
            assert edge, line
            edges.add((names[edge[1]], names[edge[2]]))
    return labels, edges


_QUOTED = r'"((?:[^"\\]|\\.)*)"'


def read_dot(text: str) -> tuple[dict[str, dict[str, str]], set[tuple[str, str]]]:
    """The attributes by the steps' names, and the edges; fails on any line it does not know."""
    first, *lines, last = text.splitlines()
    assert re.fullmatch(rf"digraph {_QUOTED} {{", first)
    assert last == "}"
    nodes: dict[str, dict[str, str]] = {}
    edges = set()
    for line in lines[2:]:
        if edge := re.fullmatch(rf" {{4}}{_QUOTED} -> {_QUOTED};", line):
            edges.add((edge[1], edge[2]))
            continue
        node = re.fullmatch(rf" {{4}}{_QUOTED} \[label={_QUOTED}, ([^\"]*(?:\"rounded\")?), tooltip={_QUOTED}\];", line)
        assert node, line
        nodes[node[1]] = {"label": node[2], "shape": node[3], "tooltip": node[4]}
    return nodes, edges


EDGES = {("moments", "pooled"), ("pooled", "variance"), ("moments", "variance")}


def test_mermaid() -> None:
    text = mermaid(*read(VARIANCE))
    labels, edges = read_mermaid(text)
    assert labels == {
        "moments": "moments\ntask partial_moments\nalpha, beta",
        "pooled": "pooled\nlocal pool",
        "central_mean": "central_mean\ncentral mean\nalpha",
        "variance": "variance\ntask partial_variance",
    }
    assert edges == EDGES
    assert '    moments["' in text
    assert '    pooled("' in text
    assert '    central_mean[["' in text


def test_dot() -> None:
    nodes, edges = read_dot(dot(*read(VARIANCE)))
    assert edges == EDGES
    assert nodes["moments"]["label"] == "moments\\ntask partial_moments\\nalpha, beta"
    assert nodes["variance"]["tooltip"] == "around the pooled mean"
    assert len({node["shape"] for node in nodes.values()}) == 3


def hostile(text: str) -> tuple[Workflow, dict[str, list[str]]]:
    """A workflow with a text wherever a file may have free text, and names that Mermaid has a meaning for."""
    step = {"task": {"method": text, "organizations": [text, "alpha"]}, "description": text}
    steps = dict.fromkeys(("end", "graph", "x_End", "subgraph1", "o1"), step)
    last = {"local": {"command": [text]}, "needs": list(steps)}
    return read(json.dumps({"v6flow": 1, "name": text, "steps": {**steps, "last": last}}))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_their_labels(text: str) -> None:
    workflow, needs = hostile(text)
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    labels, edges = read_mermaid(mermaid(workflow, needs))
    assert edges == {(name, "last") for name in needs["last"]}
    assert labels["end"] == f"end\ntask {shown}"[:64] + f"\n{shown}, alpha"
    nodes, edges = read_dot(dot(workflow, needs))
    assert edges == {(name, "last") for name in needs["last"]}
    assert nodes["end"]["tooltip"] == shown.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


@given(
    st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), min_size=1, max_size=80).filter(
        lambda text: "{{" not in text and "{%" not in text and "{#" not in text
    )
)
@settings(max_examples=50, deadline=None)
def test_any_text_gives_a_graph_that_can_be_read(text: str) -> None:
    workflow, needs = hostile(text.replace("\0", "?"))
    edges = {(name, "last") for name in needs["last"]}
    assert read_mermaid(mermaid(workflow, needs))[1] == edges
    assert read_dot(dot(workflow, needs))[1] == edges
    assert all(line.isprintable() for line in picture(workflow, needs, 300).splitlines())


def test_words_of_mermaid_are_not_names_of_its_nodes() -> None:
    text = mermaid(*hostile("m"))
    ids = set(re.findall(r"^    (\w+)[\[(]", text, re.MULTILINE))
    assert ids == {"1", "2", "3", "4", "o1", "last"}


# -- pictures


def test_a_picture() -> None:
    assert picture(*read(VARIANCE), 80).splitlines() == [
        " ┌───────────────────────┐   ╔═══════════════╗",
        " │        moments        │   ║ central_mean  ║",
        " │ task partial_moments  │   ║ central mean  ║",
        " │      alpha, beta      │   ║     alpha     ║",
        " └───────────────────────┘   ╚═══════════════╝",
        "             │",
        "       ┌─────┴─────┐",
        "       ▼           │",
        "╭─────────────╮    │",
        "│   pooled    │    │",
        "│ local pool  │    │",
        "╰─────────────╯    │",
        "       │           │",
        "       └────┐ ┌────┘",
        "            ▼ ▼",
        " ┌───────────────────────┐",
        " │       variance        │",
        " │ task partial_variance │",
        " └───────────────────────┘",
    ]


_ARMS = {
    "│": "ud", "─": "lr", "└": "ur", "┘": "ul", "┌": "dr", "┐": "dl", "├": "udr", "┤": "udl",
    "┬": "dlr", "┴": "ulr", "┼": "udlr", "▼": "u",
}  # fmt: skip
_MOVES = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}


def follow(text: str) -> Counter[tuple[str, str]]:
    """The edges that a person finds who follows the lines from each box down."""
    lines = text.splitlines()
    grid = {(row, column): char for row, line in enumerate(lines) for column, char in enumerate(line)}
    inside: dict[tuple[int, int], str] = {}
    for row, line in enumerate(lines):
        for box in re.finditer("[┌╭╔][─═]+[┐╮╗]", line):
            below = lines[row + 1] if row + 1 < len(lines) else ""
            found = re.fullmatch(r"[│║] +(\w+) +[│║]", below[box.start() : box.end()])
            if found is None:
                continue  # a bend in a line
            name = found[1]
            end = next(at for at in range(row + 1, len(lines)) if lines[at][box.start()] in "└╰╚")
            inside |= {(at, c): name for at in range(row, end + 1) for c in range(box.start(), box.end())}
    edges: Counter[tuple[str, str]] = Counter()
    for (row, column), name in inside.items():
        if (row + 1, column) not in inside and grid.get((row + 1, column)) in _ARMS:
            for target in _ends(grid, inside, (row + 1, column)):
                edges[name, target] += 1
    return edges


def _ends(grid: dict[tuple[int, int], str], inside: dict[tuple[int, int], str], start: tuple[int, int]) -> list[str]:
    found, seen, waiting = [], set(), [(start, "d")]
    while waiting:
        (row, column), heading = waiting.pop()
        char = grid.get((row, column), " ")
        if char == "▼":
            found.append(inside[row + 1, column])
            continue
        crossing = heading in "lr" and char == "│"  # the line that goes across is interrupted here
        turns = (
            heading
            if crossing
            else [arm for arm in _ARMS[char] if arm != {"u": "d", "d": "u", "l": "r", "r": "l"}[heading]]
        )
        for arm in turns:
            there = (row + _MOVES[arm][0], column + _MOVES[arm][1])
            if (there, arm) not in seen:
                seen.add((there, arm))
                waiting.append((there, arm))
    return found


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    size = draw(st.integers(1, 14))
    return {
        f"s{place}": [f"s{other}" for other in sorted(draw(st.sets(st.integers(0, place - 1), max_size=4)))]
        if place
        else []
        for place in range(size)
    }


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_whoever_follows_the_lines_finds_the_edges(needs: dict[str, list[str]]) -> None:
    found = follow(picture(*locals_of(needs), 2000))
    assert found == Counter((source, name) for name, sources in needs.items() for source in sources)


def test_lines_do_not_cross_where_they_need_not() -> None:
    sources = [f"s{place}" for place in range(8)]
    text = picture(*locals_of({**{name: [] for name in sources}, "last": sources}), 200)
    assert "─│─" not in text
    assert text.count("▼") == 8
    swapped = {"a": [], "b": [], "c": [], "x": ["c"], "y": ["b"], "z": ["a"]}
    assert "─" not in re.sub("[╭╰]─+[╮╯]", "", picture(*locals_of(swapped), 200))


def test_of_two_lines_to_the_same_side_the_inner_one_turns_first() -> None:
    outer, inner = _Net(0, [30], [30]), _Net(10, [40], [40])
    _assign_tracks([outer, inner])
    assert (inner.track, outer.track) == (1, 2)
    outer, inner = _Net(40, [10], [10]), _Net(30, [0], [0])
    _assign_tracks([outer, inner])
    assert (inner.track, outer.track) == (1, 2)


@given(graphs(), st.integers(10, 120))
@settings(max_examples=50, deadline=None)
def test_a_picture_is_no_wider_than_it_may_be_or_a_list(needs: dict[str, list[str]], width: int) -> None:
    text = picture(*locals_of(needs), width)
    assert text.startswith("layer 1\n") or max(map(len, text.splitlines())) <= width
    for name in needs:
        assert re.search(rf"\b{name}\b", text)


def test_a_graph_too_wide_is_drawn_without_details_and_then_listed() -> None:
    assert "partial_variance" in picture(*read(VARIANCE), 60)
    assert "partial_variance" not in picture(*read(VARIANCE), 45)
    assert "moments" in picture(*read(VARIANCE), 45)
    assert picture(*read(VARIANCE), 10) == (
        "layer 1\n  moments (task partial_moments; alpha, beta)\n  central_mean (central mean; alpha)\n"
        "layer 2\n  pooled (local pool) after moments\n"
        "layer 3\n  variance (task partial_variance) after pooled, moments\n"
    )


def test_a_graph_of_many_steps_is_listed() -> None:
    needs: dict[str, list[str]] = {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(3000)}
    lines = picture(*locals_of(needs), 80).splitlines()
    assert lines[:4] == ["layer 1", "  s0 (local value)", "layer 2", "  s1 (local value) after s0"]
    assert len(lines) == 6000


def test_layers_do_not_depend_on_the_order_of_the_file() -> None:
    assert layers_of({"c": ["b", "a"], "b": ["a"], "a": [], "d": []}) == [["a", "d"], ["b"], ["c"]]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = picture(*read(VARIANCE), 80, unicode=False)
    assert text.isascii()
    assert text.count("v\n") + text.count(" v ") >= 2


def test_wide_characters_keep_boxes_straight() -> None:
    workflow, needs = read(
        '{"v6flow": 1, "name": "w", "steps": {"a": {"task": {"method": "m", "organizations": ["病院"]}}}}'
    )
    text = picture(workflow, needs, 80)
    assert text.splitlines()[3] == "│  病院   │"
    assert {len(line) + line.count("病") + line.count("院") for line in text.splitlines()} == {11}


def test_steps_that_stand_in_others_are_named_in_their_box() -> None:
    text = picture(
        *read("""
v6flow: 1
steps:
  fit:
    repeat:
      state: 0
      max: 5
      on_max: continue
      steps:
        table: {foreach: {over: [1], as: column, steps: {look: {local: {value: 1}}}}}
        more: {local: {value: 1}}
      update: 1
  after: {local: {value: "{{ steps.fit.result }}"}}
"""),
        80,
    )
    assert "repeats 5 times at most" in text
    assert "table (look), more" in text
    assert follow(text) == Counter({("fit", "after"): 1})
