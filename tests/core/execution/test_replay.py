"""A run that is killed anywhere and taken up again ends as if nothing had happened, and asks nobody twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import random_workflows
from driver import Driver
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_workflows import KINDS, Files, load, make, sound
from world import World

from v6flow import loading
from v6flow.core.execution import events as ev
from v6flow.core.execution import reuse
from v6flow.core.execution.commands import Ask, Keep, Recall
from v6flow.core.views.incomplete import of_run
from v6flow.runs.resume import what_to_do_again

if TYPE_CHECKING:
    from v6flow.core.planning.plan import Plan

FLAT = ("value", "local", "task", "task", "gate")
NESTED = ("value", "local", "task", "repeat", "repeat", "foreach", "foreach")
TIMELESS = tuple(kind for kind in KINDS if kind != "gate")  # a gate's result says when it was decided
KILLS = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def planned(folder: Path, files: Files) -> Plan:
    return make(load(folder, files), folder)


def end(run: Driver) -> dict[str, Any]:
    """What must not depend on when a run was killed."""
    steps = {
        name: (
            *(step.status, step.value, step.responded, step.failed, step.carried, step.accepted, step.failure),
            *(step.properties, step.cause, step.reason, step.params, step.history, step.items, step.missing),
        )
        for name, step in run.state.steps.items()
    }
    found = {"status": run.state.status, "outputs": run.state.outputs, "steps": steps, "failure": run.state.failure}
    return found | {"incomplete": sorted(str(each) for each in of_run(run.state) if each.kind != "reused")}


def assert_nobody_is_asked_twice(run: Driver, before: list[ev.Event]) -> None:
    """No new question goes to an organization that had answered before the run was taken up again."""
    answered = {(event.step, event.organization) for event in before if isinstance(event, ev.TaskAnswered)}
    new = [command.request for command in run.commands if isinstance(command, Ask) and command.event is not None]
    assert not answered & {(request.step, name) for request in new for name in request.kwargs}


def uninterrupted(made: Plan, seed: int) -> tuple[Driver, World]:
    world = World(seed)
    return world.play(Driver(made)), world


def assert_it_goes_on_to_the_same_end(made: Plan, seed: int, kills: list[float]) -> None:
    whole, undisturbed = uninterrupted(made, seed)
    run, world = whole, World(seed)
    for kill in kills:
        keep = 1 + int(kill * (len(run.events) - 1))  # at least the start of the run, at most all but its end
        before = run.events[:keep]
        run = world.play(run.resume(keep=keep, now=before[-1].at))
        assert_nobody_is_asked_twice(run, before)
    assert end(run) == end(whole)
    assert world.computed <= undisturbed.computed  # no question that an undisturbed run would not have asked


@settings(max_examples=100)
@given(files=sound(FLAT), seed=st.integers(0, 1000), kills=KILLS)
def test_any_prefix_of_a_run_goes_on_to_the_same_end(folder: Path, files: Files, seed: int, kills: list[float]) -> None:
    assert_it_goes_on_to_the_same_end(planned(folder, files), seed, kills)


@settings(max_examples=100)
@given(files=sound(NESTED), seed=st.integers(0, 1000), kills=KILLS)
def test_any_prefix_of_a_run_with_rounds_and_items_goes_on_to_the_same_end(
    folder: Path, files: Files, seed: int, kills: list[float]
) -> None:
    assert_it_goes_on_to_the_same_end(planned(folder, files), seed, kills)


@settings(max_examples=150)
@given(files=sound(), seed=st.integers(0, 1000), kills=KILLS)
def test_any_prefix_of_a_run_of_several_files_goes_on_to_the_same_end(
    folder: Path, files: Files, seed: int, kills: list[float]
) -> None:
    assert_it_goes_on_to_the_same_end(planned(folder, files), seed, kills)


@settings(max_examples=150)
@given(files=sound(), seed=st.integers(0, 1000))
def test_retrying_what_failed_asks_only_whom_it_lacks(folder: Path, files: Files, seed: int) -> None:
    made = planned(folder, files)
    run, world = uninterrupted(made, seed)
    retry, reset = what_to_do_again(run.state, made)
    again = run.resume(retry=tuple(retry), reset=tuple(reset))
    again = world.play(again)
    done_anew = {
        name
        for name in again.state.steps
        if any(name == each or name.startswith((f"{each}[", f"{each}.")) for each in reset)
    }
    assert_nobody_is_asked_twice(
        again, [event for event in run.events if getattr(event, "step", None) not in done_anew]
    )
    old = {event.token for event in run.named(ev.TaskRequested)}
    assert not old & {event.token for event in again.events[len(run.events) :] if isinstance(event, ev.TaskRequested)}
    assert all(again.state.step(name).status in ("completed", "failed", "skipped") for name in made.nested(""))


@settings(max_examples=150)
@given(files=sound(TIMELESS), seed=st.integers(0, 1000), kills=KILLS)
def test_reuse_changes_nothing_but_who_is_asked(folder: Path, files: Files, seed: int, kills: list[float]) -> None:
    made = planned(folder, files)
    first = World(seed, calm=True).play(Driver(made, earlier={}))
    keys = [each.key.digest for each in first.commands if isinstance(each, Recall)]
    assume(len(set(keys)) == len(keys))  # else a step that failed would take what its twin came to
    # nor is it told which failure came first, or which items had begun before one failed: that is a matter of time
    assume(not any(step.status == "failed" or step.failure for step in first.state.steps.values()))
    results = reuse.results("w-0", first.events)
    earlier = {each.key.digest: results[each.step] for each in first.commands if isinstance(each, Keep)}
    run = World(seed, calm=True).play(Driver(made, earlier=earlier))
    for kill in [None, *kills]:
        if kill is not None:
            before = run.events[: 1 + int(kill * (len(run.events) - 1))]
            run = World(seed, calm=True).play(run.resume(keep=len(before), now=before[-1].at))
        assert end(run) == end(first)
        reused = {name for name, step in run.state.steps.items() if step.reused is not None}
        assert not reused & {event.step for event in run.named(ev.TaskRequested)}
        kept = [each.step for each in first.commands if isinstance(each, Keep)]
        assert reused == set(kept)


def test_every_key_of_the_language_is_drawn() -> None:
    parts = loading.read_schema("workflow")
    kinds = ("step", "task", "local", "repeat", "foreach", "workflow", "gate", "quorum", "retry", "disclosure", "check")
    named = [parts, parts["properties"]["defaults"], *(parts["$defs"][kind] for kind in kinds)]
    keys = {key for part in named for key in part["properties"]}
    drawn = Path(random_workflows.__file__).read_text("utf-8")
    assert {key for key in keys if f'"{key}"' not in drawn} == set()
