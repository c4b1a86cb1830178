"""What no schema can say of a workflow; tests/schemas/invalid has a file for each rule too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core import reading
from v6flow.core.checks import soundness
from v6flow.core.language import document, places
from v6flow.core.language.problem import Position, Problem
from v6flow.core.planning import dependencies


def problems(text: str) -> list[Problem]:
    return soundness.check(reading.parse(document.parse(f"v6flow: 1\n{text}", "w.yaml")))


def said(text: str) -> list[str]:
    return [f"{each.position.line}:{each.position.column} {each.rule}" for each in problems(text)]


def test_a_sound_workflow_has_no_problems() -> None:
    assert (
        problems("""
params: {n: {type: integer, default: 1}}
steps:
  a: {task: {method: m, kwargs: {x: "{{ organization }}", y: "{{ params.n }} {{ run.started }}"}}}
  b: {local: {value: "{{ steps.a.status }} {{ steps.c.result | default(1) }}"}, needs: [c], on_failure: continue}
  c: {task: {method: m, organization: "{{ federation.organizations[0] }}", central: true, kwargs: {s: "{{ params }}"}}}
  d: {local: {value: "{{ steps.c.subtasks }}"}}
outputs: {o: "{{ steps.a.by_organization['St. Alpha'].x }}", p: {value: "{{ steps.b.result }}", mixed_cohorts: so}}
""")
        == []
    )


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("task: {method: m}", "results by_organization asked responded failed missing failures status error"),
        ("task: {method: m, organization: a}", "result asked responded failed missing failures status error"),
        (
            "task: {method: m, organizations: [a]}",
            "result asked responded failed missing failures status error",
        ),
        (
            "task: {method: m, organization: a, central: true}",
            "result subtasks asked responded failed missing failures status error",
        ),
        (
            "task: {method: m, organization: a, central: false}",
            "result asked responded failed missing failures status error",
        ),
        ("local: {value: 1}", "result status error"),
    ],
)
def test_what_a_step_offers(kind: str, attributes: str) -> None:
    every = [
        "result",
        "results",
        "by_organization",
        "asked",
        "responded",
        "failed",
        "missing",
        "failures",
        "status",
        "error",
        "subtasks",
    ]
    for attribute in every:
        text = f"steps:\n  a:\n    {kind}\n  b:\n    local: {{value: '{{{{ steps.a.{attribute} }}}}'}}"
        assert said(text) == ([] if attribute in attributes.split() else ["6:32 unknown-attribute"])


def test_all_problems_come_at_once_in_the_files_order() -> None:
    assert said("""
params:
  x: {type: integer, default: y}
steps:
  b:
    local: {value: "{{ steps.a.result }} {{ params.z }}"}
  B:
    local: {value: "{{ 1 + }}"}
    timeout: 1h
  a:
    local: {value: "{{ steps.b.result }}"}
    needs: [q]
outputs: {o: "{{ organization }}"}
""") == [
        "4:31 param-default", "6:3 cycle", "7:52 unknown-param", "8:3 name-case", "9:26 expression-syntax",
        "10:5 wrong-modifier", "13:13 unknown-step", "14:18 wrong-scope",
    ]  # fmt: skip


def test_the_same_mistake_twice_in_a_text_is_told_once() -> None:
    assert said("steps:\n  a:\n    local: {value: '{{ params.x + params.x }}'}") == ["4:31 unknown-param"]


def test_a_default_is_judged_once_and_where_it_stands() -> None:
    assert said("""
defaults: {image: "{{ params.x }}", organizations: "{{ steps.q.responded }}"}
steps:
  a: {task: {method: m}}
  b: {task: {method: m}}
""") == ["3:30 unknown-param", "3:62 unknown-step"]


def test_defaults_make_edges_unless_a_step_has_its_own() -> None:
    text = """
defaults: {organizations: "{{ steps.first.responded }}", quorum: {min: "{{ steps.n.result }}"}}
steps:
  first: {task: {method: m, organizations: [a]}, quorum: 1}
  second: {task: {method: m}}
  n: {local: {value: 1}}
"""
    found = reading.parse(document.parse(f"v6flow: 1\n{text}", "w.yaml"))
    assert soundness.check(found) == []
    assert dependencies.needs(found) == {"first": [], "second": ["first", "n"], "n": []}


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ("isolation: task}", []),
        ("isolation: task}, quorum: all", []),
        ("isolation: task}, quorum: {min: all, required: [a]}", []),
        ("isolation: task}, quorum: {required: [a]}, retry: 1", []),
        ("isolation: task}, retry: {attempts: 1, delay: 5s}", []),
        ("isolation: task}, quorum: '{{ params.q }}'", []),  # judged by the plan, when the value is known
        ("isolation: task}, quorum: '50%'", ["isolation-quorum"]),
        ("isolation: task}, quorum: {min: 1}, retry: 2", ["isolation-quorum", "isolation-retry"]),
        ("isolation: organization}, quorum: 1, retry: 2", []),
    ],
)
def test_isolation(settings: str, rules: list[str]) -> None:
    text = f"params: {{q: {{default: all}}}}\nsteps:\n  a: {{task: {{method: m, {settings}}}"
    assert [each.rule for each in problems(text)] == rules


def test_names_without_their_root_get_the_remedy() -> None:
    hints = {each.position: each.hint for each in problems("""
params: {n: {default: 1}}
steps:
  a: {local: {value: "{{ n + b.result }}"}}
  b: {local: {value: "{{ b }} {{ m }}"}}
""")}  # fmt: skip
    assert hints[Position(5, 26)] == "n is a param: write params.n"
    assert hints[Position(6, 26)] == "b is a step: write steps.b.result"
    assert "params.NAME" in (hints[Position(6, 34)] or "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("a", "results"), ("a.result", "results"), ("a.responded", "responded"), ("b", "result"), ("b.mean", "result")],
)
def test_a_step_without_its_root_is_named_with_what_it_offers(written: str, meant: str) -> None:
    (problem,) = problems(f"""
steps:
  a: {{task: {{method: m}}}}
  b: {{task: {{method: m, organization: x}}}}
outputs: {{o: "{{{{ {written} }}}}"}}
""")
    assert problem.hint == f"{written[0]} is a step: write steps.{written[0]}.{meant}"


# -- places

SOLID = st.text("ab'\"\\é{}:#", min_size=1, max_size=4)
WORDS = st.lists(SOLID, min_size=1, max_size=6)


def literal(words: list[str]) -> str:
    return "|\n" + "".join(f"        {'  ' * (n % 2)}{word}\n" for n, word in enumerate(words))


def folded(words: list[str]) -> str:
    return ">-\n" + "".join(f"        {word}\n" for word in words)


def single(words: list[str]) -> str:
    return "'" + "\n      ".join(word.replace("'", "''") for word in words) + "'\n"


def double(words: list[str]) -> str:
    def written(word: str) -> str:
        return word.replace("\\", "\\\\").replace('"', '\\"').replace("é", "\\u00e9").replace("#", "\\x23")

    return '"' + "\\n\\t\n      ".join(map(written, words)) + '"\n'


@pytest.mark.parametrize("style", [literal, folded, single, double])
@given(WORDS)
def test_every_character_is_found_where_it_is_written(style: object, words: list[str]) -> None:
    assert callable(style)
    text = f"v6flow: 1\nsteps:\n  a:\n    local:\n      value: {style(words)}      more: x\n"
    found = document.parse(text, "w.yaml")
    path = ("steps", "a", "local", "value")
    value = places.text(found, path)
    assert "".join(value.split()) == "".join(words)
    escapes = (
        {"é": "\\u00e9", "#": "\\x23", "\\": "\\\\", '"': '\\"'}
        if style is double
        else {"'": "''"}
        if style is single
        else {}
    )
    for offset, character in enumerate(value):
        if character not in " \t\n":
            at = places.place(found, path, offset)
            written = found.line(at.line)[at.column - 1 :]
            shown = escapes.get(character, character)
            assert written.startswith((shown, shown[1:]) if style is double and len(shown) == 2 else (character, shown))
    assert places.place(found, path, len(value) + 5) == places.place(found, path, len(value.rstrip()) - 1)


def test_what_is_no_text_is_found_at_its_beginning() -> None:
    found = document.parse("v6flow: 1\nsteps:\n  a: [1, {b: 2}]\n", "w.yaml")
    assert places.place(found, ("steps", "a", 1, "b")) == Position(3, 14)
    assert places.place(found, ("steps", "a"), 3) == Position(3, 6)
