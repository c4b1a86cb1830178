"""Formatting: what changes, what never does, and that doing it twice changes nothing more."""

from __future__ import annotations

import functools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.language import document, formatting, layout
from v6flow.core.language.formatting import Order
from v6flow.core.language.problem import InvalidError
from v6flow.loading import read_schema

PROJECT = Path(__file__).parents[3]
SCHEMAS = {name: read_schema(name) for name in ("workflow", "federation", "test")}
ORDER = functools.partial(formatting.order, schemas=SCHEMAS)
WORKFLOW = ORDER({"v6flow": 1})
FILES = [
    file
    for files in (
        (PROJECT / "workflows").rglob("*.yaml"),
        (PROJECT / "runner" / "v6flow" / "templates").glob("*/*.yaml"),
        (PROJECT / "tests" / "schemas" / "valid").glob("*.yaml"),
    )
    for file in files
    if {"v6flow: 1", "v6flow_federation: 1", "v6flow_test: 1"} & set(file.read_text("utf-8").splitlines())
]


def formatted(text: str) -> str:
    found = formatting.formatted(text, "file.yaml", ORDER)
    assert formatting.formatted(found, "file.yaml", ORDER) == found, "a second time changes it again"
    return found


def refused(text: str) -> str:
    with pytest.raises(InvalidError) as caught:
        formatting.formatted(text, "file.yaml", ORDER)
    return str(caught.value)


# ------------------------------------------------------------------------------------------- the order of keys

MESSY = """\
# yaml-language-server: $schema=workflow.schema.json
#
# What this is for.
outputs:
    # the mean
    mean: "{{ steps.b.result }}"   # of all

# where it runs
federation: f.yaml

name: x
steps:
    # the second comes first: this is the reader's order
    b:
        # not for long
        timeout: 5m
        # computed here
        local: {function: "a.py:f"}   # our own

        # as often as this
        retry: 2
        # memory: 2G
    # the first
    a:
      quorum: {required: [alpha], min: 2}
      task:
            method: m
            kwargs: {z: 1, a: 2}
            organizations:
            - alpha
            # a new one
            -   beta
      description: >-
            Some
              words.


# the version
v6flow: 1
params: {z: {type: string}, a: {default: 1, type: integer}}
# the end
"""

TIDY = """\
# yaml-language-server: $schema=workflow.schema.json
#
# What this is for.
# the version
v6flow: 1

name: x
params: {z: {type: string}, a: {default: 1, type: integer}}

# where it runs
federation: f.yaml
steps:
  # the second comes first: this is the reader's order
  b:
    # computed here
    local: {function: "a.py:f"}   # our own

    # as often as this
    retry: 2
    # not for long
    timeout: 5m
    # memory: 2G
  # the first
  a:
    task:
      method: m
      kwargs: {z: 1, a: 2}
      organizations:
        - alpha
        # a new one
        - beta
    description: >-
      Some
        words.
    quorum: {required: [alpha], min: 2}

outputs:
  # the mean
  mean: "{{ steps.b.result }}"   # of all
# the end
"""


def test_keys_are_ordered_with_their_comments_and_two_spaces_stand_for_a_level() -> None:
    assert formatted(MESSY) == TIDY


def test_every_key_has_its_place() -> None:
    assert set(SCHEMAS["workflow"]["properties"]) <= set(formatting.TOP)
    workflow = formatting.order({"v6flow": 1}, SCHEMAS)
    assert workflow is not None
    assert workflow.keys == formatting.TOP
    steps = workflow.of("steps")
    assert steps is not None
    assert (steps.keys, workflow.of("finally"), workflow.of("outputs")) == ((), steps, None)
    step = steps.of("any name")
    assert step is not None
    assert step.keys[:2] == ("task", "local")
    properties = SCHEMAS["workflow"]["$defs"]["step"]["properties"]
    rest = step.keys[len(SCHEMAS["workflow"]["$defs"]["step"]["oneOf"]) :]
    assert set(step.keys) == set(properties)
    assert list(rest) == [key for key in properties if key in rest]
    at_server = formatting.order({"v6flow_federation": 1, "backend": "vantage6"}, SCHEMAS)
    assert at_server == Order(tuple(SCHEMAS["federation"]["$defs"]["vantage6"]["properties"]))
    assert formatting.order({"v6flow_federation": 1}, SCHEMAS) == Order(("v6flow_federation", "backend"))


def test_a_federation() -> None:
    text = "organizations:\n    b: {databases: {z: 1, a: 2}}\n    a: {}\nbackend: embedded\nv6flow_federation: 1\n"
    tidy = "v6flow_federation: 1\nbackend: embedded\norganizations:\n  b: {databases: {z: 1, a: 2}}\n  a: {}\n"
    assert formatted(text) == tidy


def test_a_test_file() -> None:
    text = """\
cases:
    # why it fails
    one:
        expect:
            sent: {z: {default: {b: 1, a: 2}}, a: null}
            steps: {z: {missing: [], status: failed}, a: {error: x}}   # theirs
            status: failed
        decisions: {z: {after: 1h, decision: approve}, a: reject}
        answers:
            parts:
                beta:
                  - {after: 1h, crash: no}
                  - {log: l, value: {b: 1, a: 2}}
                alpha: {after: 1h, value: {b: 1, a: 2}}
        description: a case
answers: {z: {default: {after: 1h, body: x}}, a: {}}
workflow: w.yaml
v6flow_test: 1
"""
    tidy = """\
v6flow_test: 1
workflow: w.yaml
answers: {z: {default: {body: x, after: 1h}}, a: {}}
cases:
  # why it fails
  one:
    description: a case
    answers:
      parts:
        beta:
          - {crash: no, after: 1h}
          - {value: {b: 1, a: 2}, log: l}
        alpha: {value: {b: 1, a: 2}, after: 1h}
    decisions: {z: {decision: approve, after: 1h}, a: reject}
    expect:
      status: failed
      steps: {z: {status: failed, missing: []}, a: {error: x}}   # theirs
      sent: {z: {default: {b: 1, a: 2}}, a: null}
"""
    assert formatted(text) == tidy


def test_mappings_in_braces_on_one_line() -> None:
    text = (
        "steps: {a: {timeout: 5m, local: {value: {z: 1, a: 2}} , needs: [b]}, b: {local: {value: 1}}}  # c\nv6flow: 1\n"
    )
    tidy = (
        "v6flow: 1\nsteps: {a: {local: {value: {z: 1, a: 2}}, needs: [b] , timeout: 5m}, b: {local: {value: 1}}}  # c\n"
    )
    assert formatted(text) == tidy
    whole = '{steps: {a: {retry: 2, local: {function: "a:b"}}}, v6flow: 1}'
    assert formatted(whole) == '{v6flow: 1, steps: {a: {local: {function: "a:b"}, retry: 2}}}\n'


def test_braces_over_several_lines_keep_their_order() -> None:
    text = "v6flow: 1\nsteps:\n    a: {timeout: 5m, # not long\n        local: {value: 1},\n    }\n"
    assert formatted(text) == "v6flow: 1\nsteps:\n  a: {timeout: 5m, # not long\n      local: {value: 1},\n  }\n"


def test_unknown_keys_come_last_and_keep_their_order() -> None:
    assert formatted("b: 1\na: 1\nsteps: {}\nv6flow: 1\n") == "v6flow: 1\nsteps: {}\nb: 1\na: 1\n"


def test_nested_steps_have_their_order_too() -> None:
    text = "v6flow: 1\nfinally:\n  r:\n    repeat: {steps: {a: {retry: 2, local: {value: 1}}}, max: 3}\n"
    tidy = text.replace("{retry: 2, local: {value: 1}}", "{local: {value: 1}, retry: 2}")
    assert formatted(text) == tidy


def test_comments_stay_with_what_they_are_about() -> None:
    text = """\
v6flow: 1
steps:
  a:
    timeout: 1m

    # about the task

    # right above it
    task:
      method: m
      # image: x
    # the end of a
  # about b
  b: {local: {value: 1}}
"""
    tidy = """\
v6flow: 1
steps:
  a:
    # about the task

    # right above it
    task:
      method: m
      # image: x

    timeout: 1m
    # the end of a
  # about b
  b: {local: {value: 1}}
"""
    assert formatted(text) == tidy


def test_a_comment_at_the_top_that_a_blank_line_follows_is_about_the_file() -> None:
    text = "# the file\n\n# its name\nname: x\nv6flow: 1\nsteps: {}\n"
    assert formatted(text) == "# the file\n\nv6flow: 1\n# its name\nname: x\nsteps: {}\n"
    text = "---\n# about the file\nname: x\nv6flow: 1\n...\n"
    assert formatted(text) == "---\n# about the file\nv6flow: 1\nname: x\n...\n"


def test_a_comment_does_not_become_part_of_the_text_above_it() -> None:
    text = "v6flow: 1\nname: |-\n      x\n     # c\n"
    assert formatted(text) == "v6flow: 1\nname: |-\n  x\n# c\n"
    assert formatted("v6flow: 1\n     # c\n") == "v6flow: 1\n  # c\n"


# --------------------------------------------------------------------------------------------------- the layout


def in_value(text: str) -> str:
    """How a value is formatted, given by the lines behind `value:`."""
    head = "v6flow: 1\nsteps:\n  a:\n    local:\n      value:"
    return formatted(head + text).removeprefix(head)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("\n       - 1\n       -   2\n", "\n        - 1\n        - 2\n"),
        ("\n      - a: 1\n        b: 2\n", "\n        - a: 1\n          b: 2\n"),
        ("\n      -    a: 1\n           b: 2\n", "\n        - a: 1\n          b: 2\n"),
        ("\n      - - 1\n        - 2\n      - 3\n", "\n        - - 1\n          - 2\n        - 3\n"),
        ("\n      -\n          a: 1\n", "\n        -\n          a: 1\n"),
        ("\n      - # one\n          a: 1\n", "\n        - # one\n          a: 1\n"),
        ("\n            a: {b: 1,\n                c: 2}\n", "\n        a: {b: 1,\n            c: 2}\n"),
        ("\n          some\n           words\n", "\n        some\n         words\n"),
        ("\n              some\n       words\n", "\n        some\n        words\n"),
        (' "some\n\n\n   words"\n', ' "some\n\n\n        words"\n'),
        (" 'some   \n        words'\n", " 'some   \n        words'\n"),
        ("\n         'a'   # c  \n", "\n        'a'   # c\n"),
        (" |\n            some\n              words\n\n\n", " |\n        some\n          words\n"),
        (
            "\n            x: |\n                some\n\n                 \n",
            "\n        x: |\n          some\n\n           \n",
        ),
        (" |\n\n                some\n                  more\n", " |\n\n        some\n          more\n"),
        ("\n            x: |2\n                some\n", "\n        x: |2\n            some\n"),
        ("\n            - >-\n                some\n", "\n        - >-\n          some\n"),
        (" |+\n        some\n\n\n", " |+\n        some\n\n\n"),
        (" |\n        some\n\n\n\n        more\n", " |\n        some\n\n\n\n        more\n"),
        ("   1    \n\n\n\n  # c\n", "   1\n\n  # c\n"),
        (" 1", " 1\n"),
        (" |\n        some", " |\n        some"),
        (" |\n       some  \n", " |\n        some  \n"),
    ],
)
def test_indentation_and_blanks(text: str, tidy: str) -> None:
    assert in_value(text) == tidy


def test_blank_lines() -> None:
    assert formatted("\n\n# c\n\n\nv6flow: 1   \n\n \n\nsteps: {}\n\n\n") == "# c\n\nv6flow: 1\n\nsteps: {}\n"


def test_the_ends_of_lines_are_kept() -> None:
    assert formatted("name: x\r\nv6flow: 1\r\n") == "v6flow: 1\r\nname: x\r\n"


# ------------------------------------------------------------------------------------------------- what is refused


def test_what_our_reader_refuses_is_refused() -> None:
    assert "already at 1:1" in refused("v6flow: 1\nv6flow: 1\n")
    assert "this is no workflow, federation or test file" in refused("a: 1\n")


@pytest.mark.parametrize(
    "text",
    [
        "? name\n: x\n? v6flow\n: 1\n",
        "? v6flow\n: 1\n",
        "v6flow: 1\nname: |\n  x\nsteps:\n    ? a\n    : {}\n",
    ],
)
def test_what_would_change_is_refused(text: str) -> None:
    assert "cannot be formatted without changing what it says" in refused(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"v6flow": 1}, {"v6flow": True}),
        ({"v6flow": 1}, {"v6flow": 1.0}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}),
        ({"steps": {"x": {}, "y": {}}}, {"steps": {"y": {}, "x": {}}}),
        ({"steps": {"x": {"task": {"a": 1, "b": 2}}}}, {"steps": {"x": {"task": {"b": 2, "a": 1}}}}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"a": 1}, {"a": 1, "b": 2}),
    ],
)
def test_what_counts_as_a_change(before: Any, after: Any) -> None:
    assert not formatting._same(before, after, WORKFLOW)
    assert formatting._same(before, before, WORKFLOW)


def test_the_order_of_our_own_keys_does_not_count() -> None:
    before = {"v6flow": 1, "steps": {"x": {"needs": [], "task": {}}}}
    after = {"steps": {"x": {"task": {}, "needs": []}}, "v6flow": 1}
    assert formatting._same(before, after, WORKFLOW)


# ------------------------------------------------------------------------------------------------ for every file


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_that_there_are(file: Path) -> None:
    text = file.read_text("utf-8")
    found = formatted(text)
    assert Counter(line.strip() for line in found.splitlines()) == Counter(line.strip() for line in text.splitlines())
    if "tests" not in file.parts:
        assert found == text, "it is not formatted"


_WORDS = st.sampled_from(["a", "b", "c1", "task", "local", "needs", "retry", "steps", "x y", "- z", "#q", "k: v", "é"])
_KEYS = st.sampled_from(["a", "b", "c1", "task", "local", "needs", "retry", "timeout", "quorum", "steps", "finally"])
_TEXTS = st.one_of(_WORDS, st.text(st.sampled_from("ab \n#:-'\"{}[],|>\\"), max_size=12))
_LEAVES = st.one_of(st.integers(-9, 9), st.booleans(), st.none(), st.floats(0, 1).map(lambda x: round(x, 2)), _TEXTS)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)
_TOPS = ["name", "description", "params", "federation", "defaults", "steps", "finally", "outputs"]
_FILES = st.dictionaries(st.sampled_from(_TOPS), _VALUES, max_size=6)


class _Writer:
    """Writes a value as YAML in one of the many ways to write it, with comments and blank lines."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.comments = 0

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def noise(self, indent: int) -> list[str]:
        lines = []
        for _ in range(self.pick(0, 0, 0, 1, 2)):
            self.comments += 1
            odd = self.pick(0, 0, 0, 1, -1, 3)
            lines.append(self.pick("", "  ", " " * max(indent + odd, 0) + f"# comment {self.comments}"))
        return lines

    def end(self) -> str:
        return str(self.pick("", "", "", "   # c", "  "))

    def scalar(self, value: Any, indent: int, *, flow: bool) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        if value and not flow and value.strip(" \n") == value and "\n" in value and self.pick(True, False):
            deep = " " * (indent + self.pick(1, 2, 4))
            body = "\n".join(deep + line if line else "" for line in value.split("\n"))
            return f"{self.pick('|-', '|-  # c')}\n{body}"
        if value.isalnum() and self.pick(True, False):
            return value
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        if not flow and " " in quoted.strip(" ") and self.pick(True, False):
            at = quoted.index(" ", len(quoted) - len(quoted.lstrip(" ")))
            if quoted[at + 1 : at + 2] not in (" ", "") and quoted[at - 1 : at] not in (" ", "\\"):
                return f'"{quoted[:at]}\n{" " * (indent + self.pick(1, 3))}{quoted[at + 1 :]}"'
        return f'"{quoted}"'

    def flow(self, value: Any, indent: int) -> str:
        gap: str = self.pick(" ", "  ", "\n" + " " * (indent + 3))
        if isinstance(value, dict):
            return "{" + f",{gap}".join(f"{key}: {self.flow(item, indent)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + f",{gap}".join(self.flow(item, indent) for item in value) + "]"
        return self.scalar(value, indent, flow=True)

    def value(self, value: Any, indent: int) -> str:
        """What stands behind a colon or a dash, at the indentation of the mapping or list that it is in."""
        is_scalar = not isinstance(value, (dict, list))
        if is_scalar or not value or self.pick(True, False, False):
            written = self.scalar(value, indent, flow=False) if is_scalar else self.flow(value, indent)
            if "\n" in written:
                return f" {written}"
            if self.pick(True, False, False, False):
                return f"\n{' ' * (indent + self.pick(1, 2, 5))}{written}{self.end()}"
            return f" {written}{self.end()}"
        deeper = indent + self.pick(1, 2, 2, 3, 4)
        return self.end() + "\n" + "\n".join(self.block(value, deeper))

    def block(self, value: Any, indent: int) -> list[str]:
        lines = []
        for key in value if isinstance(value, dict) else range(len(value)):
            lines += self.noise(indent)
            item = value[key]
            if isinstance(value, dict):
                lines.append(f"{' ' * indent}{key}:{self.value(item, indent)}")
            elif isinstance(item, dict) and item and self.pick(True, False):
                gap = self.pick(1, 1, 3)
                inner = self.block(item, indent + 1 + gap)
                while inner and (not inner[0].strip() or inner[0].lstrip().startswith("#")):
                    inner.pop(0)
                lines.append(f"{' ' * indent}-{' ' * gap}{inner[0].lstrip(' ')}")
                lines += inner[1:]
            else:
                lines.append(f"{' ' * indent}-{self.value(item, indent)}")
        return lines


@st.composite
def _texts(draw: Any) -> str:
    value: dict[str, Any] = draw(_FILES)
    items = draw(st.permutations([("v6flow", 1), *value.items()]))
    writer = _Writer(draw)
    return "\n".join([*writer.block(dict(items), 0), *writer.noise(0)]) + str(writer.pick("", "\n", "\n\n\n"))


@given(_texts())
def test_nothing_is_lost_or_changed_and_twice_is_once(text: str) -> None:
    try:
        before = document.parse(text, "file.yaml").value
    except InvalidError:
        return  # not every way to write is one that our reader takes
    found = formatting.formatted(text, "file.yaml", ORDER)
    assert formatting.formatted(found, "file.yaml", ORDER) == found
    after = document.parse(found, "file.yaml").value
    assert formatting._same(before, after, WORKFLOW)
    order = formatting.order(before, SCHEMAS)
    assert order is not None
    assert list(after) == sorted(
        before, key=lambda key: order.keys.index(key) if key in order.keys else len(order.keys)
    )
    assert Counter("".join(text.split())) == Counter("".join(found.split()))


def test_both_parsers_see_the_same_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    texts = [MESSY, TIDY, *(file.read_text("utf-8") for file in FILES)]
    found = [layout.layout(text) for text in texts]
    monkeypatch.setattr(layout, "_LOADER", yaml.SafeLoader)
    assert [layout.layout(text) for text in texts] == found
