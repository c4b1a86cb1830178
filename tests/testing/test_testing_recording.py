"""Tests written from runs: what is taken from a journal, and how it is written down."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.execution import events as ev
from v6flow.core.execution.state import replay
from v6flow.core.language import document
from v6flow.errors import UsageError
from v6flow.testing import judging, recording, samples, suites, trial, writing

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.execution.events import Event

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT.filter(bool), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(TEXT.filter(bool), JSON, min_size=1, max_size=5))
def test_what_is_written_is_read_as_it_was(value: dict[str, Any]) -> None:
    text = writing.dump(value)
    found = document.parse(text, "x.yaml").value
    assert json.dumps(found) == json.dumps(value)


@pytest.mark.parametrize(
    "text",
    ["no", "True", "~", "1e5", "010", "1_000", "12:30", "- a", "a: b", "a #b", "{{ x }}", "", "<<", "é", "\x85", " x"],
)
def test_texts_stay_texts_for_every_reader(text: str) -> None:
    dumped = writing.dump({"key": [text], text or "empty": 1})
    assert yaml.safe_load(dumped) == {"key": [text], text or "empty": 1}
    assert document.parse(dumped, "x.yaml").value == {"key": [text], text or "empty": 1}


def test_what_is_short_stands_on_one_line() -> None:
    value = {"a": {"n": 1, "after": "1h30m"}, "b": [{"long": "x" * 100, "n": 2}, []], "c": {}}
    assert writing.dump(value) == (
        'a: {"n": 1, after: 1h30m}\n'
        "b:\n"
        f"  - long: {'x' * 100}\n"
        '    "n": 2\n'
        "  - []\n"
        "c: {}\n"
    )  # fmt: skip


@given(JSON)
def test_made_up_values_fit_the_shape_and_so_does_the_real_one(value: Any) -> None:
    fits = jsonschema_rs.Draft7Validator(samples.schema(value)).is_valid
    assert fits(value)
    assert fits(samples.made_up(value))
    assert samples.schema(samples.made_up(value)) == samples.schema(value)


@given(st.dictionaries(TEXT, JSON, min_size=1), st.lists(JSON))
def test_other_shapes_do_not_fit(mapping: dict[str, Any], items: list[Any]) -> None:
    longer, smaller = [*items, None], dict(list(mapping.items())[1:])
    assert not jsonschema_rs.Draft7Validator(samples.schema(items)).is_valid(longer)
    assert not jsonschema_rs.Draft7Validator(samples.schema(longer)).is_valid(items)
    assert not jsonschema_rs.Draft7Validator(samples.schema(mapping)).is_valid(smaller)
    assert not jsonschema_rs.Draft7Validator(samples.schema(smaller)).is_valid(mapping)


def test_made_up_values_say_nothing() -> None:
    real = {"sum": 812.5, "n": 17, "who": "Jansen", "old": False, "none": None, "rows": [3, 2.5, float("nan")]}
    made = {"sum": 1.0, "n": 1, "who": "text", "old": True, "none": None, "rows": [1, 1.0, 1.0]}
    assert repr(samples.made_up(real)) == repr(made)


# ------------------------------------------------------------------------------------------ from a journal

WORKFLOW = """\
v6flow: 1
name: w
params: {column: {type: string, default: age}}
defaults: {image: probe, timeout: 2h, retry: {attempts: 3, delay: 1s}}
steps:
  one:
    task: {method: m, kwargs: {column: "{{ params.column }}", run: "{{ run.id }}"}}
    quorum: {min: 1}
    allow_nonfinite: true
  two:
    task:
      method: m
      kwargs: {of: "{{ steps.one.results }}", who: "{{ organization }}"}
      organizations: "{{ steps.one.responded }}"
    allow_cross_site: it is a test
outputs: {it: "{{ steps.two.results }}"}
"""
NAMES = ("alpha", "beta", "gamma")


class Story:
    """The events of a run of WORKFLOW, told one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "w.yaml").write_text(WORKFLOW)
        pinned: dict[str, Any] = {
            "file": str(folder / "w.yaml"), "text": WORKFLOW, "folder": str(folder), "params": {"column": "bmi"},
            "organizations": list(NAMES), "studies": [["heart", ["beta"]], [1, ["beta"]]], "defaults": {},
            "deadline": None, "steps": ["one", "two"],
        }  # fmt: skip
        self.events: list[Event] = [ev.RunStarted(1000.0, "w-20261121-0523-k3f9", "w", pinned)]
        self.at = 1000.0
        self._attempts: dict[tuple[str, str], int] = {}

    def start(self, step: str, *asked: str) -> None:
        self.events.append(ev.StepStarted(self.at, step, asked))

    def ask(self, step: str, *organizations: str) -> None:
        for name in organizations:
            attempt = self._attempts[step, name] = self._attempts.get((step, name), 0) + 1
            token = f"{step}-{name}-{attempt}"
            self.events.append(ev.TaskRequested(self.at, step, (name,), attempt, token, ""))

    def answer(self, step: str, name: str, value: Any, *subtasks: ev.Subtask) -> None:
        self.events.append(ev.TaskAnswered(self.at, step, name, self._attempts[step, name], value, None, subtasks))

    def fail(self, step: str, name: str, kind: str, message: str = "secret") -> None:
        failure = ev.Failure(kind, message, step, name)
        self.events.append(ev.TaskFailed(self.at, step, name, self._attempts[step, name], failure))

    def complete(self, step: str) -> None:
        self.events.append(ev.StepCompleted(self.at, step))

    def end(self, **outputs: Any) -> None:
        self.events.append(ev.RunCompleted(self.at, outputs))

    def record(self, *, values: bool = False) -> dict[str, Any]:
        """The case that is written of it."""
        file = self.folder / "w.test.yaml"
        self.notes = recording.write(file, replay(self.events), self.events, values=values)
        case: dict[str, Any] = document.parse(file.read_bytes(), str(file)).value["cases"]["recorded"]
        return case

    def complaints(self) -> list[str]:
        """What is wrong with the test when it is run."""
        suite = suites.read(self.folder / "w.test.yaml")
        (case,) = suite.cases
        return [str(each) for each in judging.judge(case, trial.run(suite, case))]


@pytest.fixture(name="story")
def a_story(tmp_path: Path) -> Story:
    story = Story(tmp_path)
    story.start("one", *NAMES)
    story.ask("one", *NAMES)
    return story


def second_step(story: Story, *names: str, value: Any = 7) -> None:
    story.complete("one")
    story.start("two", *names)
    story.ask("two", *names)
    for name in names:
        story.answer("two", name, value)
    story.complete("two")
    story.end(it=[value] * len(names))


def test_answers_come_as_late_as_they_came(story: Story) -> None:
    story.answer("one", "alpha", {"n": 3})
    story.at += 90
    story.answer("one", "beta", {"n": 4})
    story.at += 0.7
    story.fail("one", "gamma", "crashed")
    second_step(story, "alpha", "beta")
    case = story.record()
    assert case["answers"]["one"] == {
        "alpha": {"value": {"n": 1}},
        "beta": {"value": {"n": 1}, "after": "1m30s"},
        "gamma": {"crash": "the algorithm crashed", "after": "1m31s"},
    }
    assert case["expect"]["steps"]["one"]["failed"] == {"gamma": "crashed"}
    assert story.complaints() == []
    assert story.notes == []


def test_what_was_reused_is_answered(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.events.append(ev.StepReused(story.at, "one", "w-0", "one", 900.0, dict.fromkeys(NAMES, 3.5)))
    second_step(story, *NAMES)
    case = story.record(values=True)
    assert case["answers"]["one"] == {name: {"value": 3.5} for name in NAMES}
    assert story.complaints() == []


def test_what_was_sent_is_expected_as_far_as_it_is_known_beforehand(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, 3.5)
    second_step(story, *NAMES)
    case = story.record()
    three = {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}}
    sent = case["expect"]["sent"]
    assert sent["one"] == {"default": {"column": "bmi", "run": {"matches": {"type": "string"}}}}
    assert sent["two"] == {name: {"of": {"matches": three}, "who": name} for name in NAMES}
    assert story.complaints() == []
    (story.folder / "w.test.yaml").unlink()
    sent = story.record(values=True)["expect"]["sent"]
    assert sent["one"] == {"default": {"column": "bmi", "run": {"matches": {"type": "string"}}}}
    assert sent["two"]["beta"] == {"of": [3.5, 3.5, 3.5], "who": "beta"}
    assert story.complaints() == []


def test_attempts_are_a_list_and_silence_stays_silent(story: Story) -> None:
    story.fail("one", "alpha", "start_failed")
    story.ask("one", "alpha")
    story.answer("one", "alpha", 3)
    story.fail("one", "beta", "unknown")
    story.ask("one", "beta")
    second_step(story, "alpha")
    answers = story.record(values=True)["answers"]["one"]
    assert answers == {
        "alpha": [{"start_failed": "secret"}, {"value": 3}],
        "beta": [{"unknown": "secret"}, "no_answer"],
        "gamma": "no_answer",
    }
    assert story.complaints() == []


def test_messages_are_values_too(story: Story) -> None:
    story.answer("one", "alpha", 3)
    story.fail("one", "beta", "not_allowed")
    story.fail("one", "gamma", "")
    second_step(story, "alpha")
    answers = story.record()["answers"]["one"]
    assert (answers["beta"], answers["gamma"]) == ("not_allowed", "unknown")
    assert ["gamma failed step one" in note for note in story.notes] == [True]
    assert "secret" not in (story.folder / "w.test.yaml").read_text()


def test_what_a_later_try_made_void_is_left_out(story: Story) -> None:
    story.answer("one", "alpha", 3)
    story.fail("one", "beta", "crashed")
    story.events.append(ev.TaskWithdrawn(story.at, "one", "one-gamma-1"))
    story.events.append(ev.RunInterrupted(story.at, ev.Failure("interrupted", "interrupted"), 130))
    story.events.append(ev.RunResumed(story.at, 60.0))
    story.fail("one", "gamma", "killed")
    story.ask("one", "gamma")
    story.answer("one", "gamma", 5)
    story.complete("one")
    story.start("two", "alpha", "gamma")
    story.ask("two", "alpha", "gamma")
    story.answer("two", "alpha", 7)
    story.fail("two", "gamma", "crashed")
    failure = ev.Failure("crashed", "secret", "two", "gamma")
    story.events += [ev.StepFailed(story.at, "two", failure), ev.RunFailed(story.at, failure)]
    story.events.append(ev.RunResumed(story.at, 60.0, retry=("two",)))
    story.ask("two", "gamma")
    story.answer("two", "gamma", 8)
    story.complete("two")
    story.end(it=[7, 8])
    answers = story.record(values=True)["answers"]
    assert answers["one"] == {"alpha": {"value": 3}, "beta": {"crash": "secret"}, "gamma": {"value": 5}}
    assert answers["two"] == {"alpha": {"value": 7}, "gamma": {"value": 8}}
    assert story.complaints() == []


def test_a_step_that_was_done_anew_is_as_it_was_last(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, 1)
    story.complete("one")
    story.events.append(ev.RunResumed(story.at, 0.0, reset=("one",)))
    story.start("one", *NAMES)
    story.ask("one", *NAMES)
    for name in NAMES:
        story.answer("one", name, 2)
    second_step(story, *NAMES)
    assert story.record(values=True)["answers"]["one"] == {name: {"value": 2} for name in NAMES}


def test_subtasks_and_what_failed_for_them(story: Story) -> None:
    """One step is no central one: whoever dispatched subtasks failed by that, and fails so again in the test."""
    subtask = ev.Subtask("beta", "completed", task="7")
    nested = ev.Subtask("gamma", "completed", task="8", parent="7", by="beta")
    again = ev.Subtask("beta", "failed", task="9")
    for name, subtasks in (("alpha", (subtask, nested, again)), ("beta", (subtask,))):
        failure = ev.Failure("central_undeclared", "secret", "one", name)
        story.events.append(ev.TaskFailed(story.at, "one", name, 1, failure, None, subtasks))
    story.answer("one", "gamma", 3)
    second_step(story, "gamma")
    assert story.record()["answers"]["one"] == {
        "alpha": {"value": 0, "subtasks": [
            {"beta": {"status": "completed", "subtasks": {"gamma": "completed"}}}, {"beta": "failed"}]},
        "beta": {"value": 0, "subtasks": {"beta": "completed"}},
        "gamma": {"value": 1},
    }  # fmt: skip
    assert story.complaints() == []


@pytest.mark.parametrize("value", [{"n": math.nan}, [math.inf], "a\0b", {"a\0b": 1}])
def test_what_no_yaml_file_can_hold_is_written_as_the_text_of_its_json(story: Story, value: Any) -> None:
    for name in NAMES:
        story.answer("one", name, value)
    second_step(story, *NAMES)
    body = story.record(values=True)["answers"]["one"]["alpha"]["body"]
    assert repr(json.loads(body)) == repr(value)
    assert story.complaints() == []


def test_a_run_that_no_file_can_hold_is_refused(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, 1)
    second_step(story, *NAMES)
    assert isinstance(story.events[0], ev.RunStarted)
    story.events[0].value["params"] = {"column": "a\0b"}
    with pytest.raises(UsageError, match="cannot be written to a test file"):
        story.record()


def test_outputs_that_look_like_matchers_are_taken_as_they_are(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, 1)
    second_step(story, *NAMES, value={"approx": 3})
    assert story.record(values=True)["expect"]["outputs"] == {"it": {"equals": [{"approx": 3}] * 3}}
    assert story.complaints() == []


def test_the_deadline_and_studies_of_a_run(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, 1)
    second_step(story, *NAMES)
    assert isinstance(story.events[0], ev.RunStarted)
    story.events[0].value["deadline"] = 1000.0 + 5400
    assert story.record()["deadline"] == "1h30m"
    data = document.parse((story.folder / "w.test.yaml").read_bytes(), "x").value
    assert (data["studies"], data["organizations"]) == ({"heart": ["beta"]}, list(NAMES))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (None, "is not over"),
        (ev.RunInterrupted(1000.0, ev.Failure("interrupted", "interrupted"), 130), "is not over"),
        (ev.RunCancelled(1000.0), "was cancelled"),
    ],
)
def test_only_what_is_over_can_be_recorded(story: Story, event: Event | None, told: str) -> None:
    story.events += [event] if event is not None else []
    with pytest.raises(UsageError, match=told):
        story.record()
    assert not (story.folder / "w.test.yaml").exists()


def test_made_up_counts_are_as_large_as_the_policy_demands(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, {"count": 12, "sum": 3.5})
    second_step(story, *NAMES, value={"count": 12})
    assert isinstance(story.events[0], ev.RunStarted)
    story.events[0].value["policy"] = {"min_count": 10}
    assert story.record()["answers"]["one"]["beta"] == {"value": {"count": 10, "sum": 1.0}}
    assert story.complaints() == []


def test_of_counts_that_two_federation_files_declared_the_newest_are_recorded(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, {"count": 12, "n": 12})
    second_step(story, *NAMES, value={"count": 12, "n": 12})
    assert isinstance(story.events[0], ev.RunStarted)
    tables = [{"*": {"*": "{{ result.n }}"}}, {"*": {"*": "{{ result.count }}"}}]
    story.events[0].value["policy"] = {"min_count": 10, "counts": tables}
    story.record()
    assert suites.read(story.folder / "w.test.yaml").directory.policy.counts == (tables[0],)
    assert story.complaints() == []


GATED = WORKFLOW.replace(
    "  two:\n", '  agreed: {gate: {message: "go?", approvers: [anna, ben]}}\n  two:\n    needs: [agreed]\n'
)


def decided(story: Story, decision: str) -> None:
    """Everybody answers, and a person thinks for an hour."""
    (story.folder / "w.yaml").write_text(GATED)
    for name in NAMES:
        story.answer("one", name, 1)
    story.complete("one")
    story.events.append(ev.GateAsked(story.at, "agreed", "go?", ("anna", "ben")))
    story.events.append(ev.RunPaused(story.at, ("agreed",)))
    story.at += 3600
    story.events.append(ev.GateDecided(story.at, "agreed", decision, "ben", "Jansen is among them"))
    story.events.append(ev.RunResumed(story.at, 3600.0))


def test_what_people_decided_is_recorded_without_their_names_and_words(story: Story) -> None:
    decided(story, "rejected")
    failure = ev.Failure("rejected", "ben rejected it: Jansen is among them", step="agreed")
    story.events += [
        ev.StepFailed(story.at, "agreed", failure),
        ev.StepSkipped(story.at, "two", "agreed"),
        ev.RunFailed(story.at, failure, 1),
    ]
    case = story.record()
    assert case["decisions"] == {"agreed": {"decision": "reject", "after": "1h"}}
    assert "Jansen" not in (story.folder / "w.test.yaml").read_text()
    assert story.complaints() == []


def test_with_values_who_decided_and_why_is_recorded_too(story: Story) -> None:
    decided(story, "approved")
    story.events.append(ev.StepCompleted(story.at, "agreed", {"decision": "approved"}))
    story.start("two", *NAMES)
    story.ask("two", *NAMES)
    for name in NAMES:
        story.answer("two", name, 7)
    story.complete("two")
    story.end(it=[7, 7, 7])
    case = story.record(values=True)
    decision = {"decision": "approve", "by": "ben", "comment": "Jansen is among them", "after": "1h"}
    assert case["decisions"] == {"agreed": decision}
    assert story.complaints() == []


def test_what_is_incomplete_is_expected(story: Story) -> None:
    story.answer("one", "alpha", 1)
    story.answer("one", "beta", 1)
    story.fail("one", "gamma", "crashed")
    second_step(story, "alpha", "beta")
    case = story.record()
    assert case["expect"]["incomplete"] == {"one": "partial"}
    assert story.complaints() == []


def test_a_whole_run_is_expected_to_be_whole_also_where_a_result_was_reused(story: Story) -> None:
    for name in NAMES:
        story.answer("one", name, 1)
    second_step(story, *NAMES)
    story.events.insert(1, ev.StepReused(story.at, "zero", "w-0", "zero", 1.0))
    assert story.record()["expect"]["incomplete"] == "none"
    assert story.complaints() == []
