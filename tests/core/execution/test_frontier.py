"""The frontier that is kept up event by event is the one that follows from the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driver import Driver, drive, make
from hypothesis import given, settings
from hypothesis import strategies as st
from random_workflows import Files, load, sound
from random_workflows import make as planned
from world import World

from v6flow.core.execution.frontier import Frontier
from v6flow.core.kinds import ForeachPlan
from v6flow.core.planning import ids

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.execution.events import Event


def shown(frontier: Frontier, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What of a frontier follows from the state, without the steps of some iterations or items."""
    return {
        "waiting": {name: needs for name, needs in frontier.waiting.items() if not name.startswith(without or ("[",))},
        "levels": {
            prefix: (level.steps, level.open)
            for prefix, level in frontier.levels.items()
            if not prefix.startswith(without or ("[",))
        },
        "inside": {
            name: (
                {each for each in inside.numbers if ids.inside(name, each) not in without},
                {each for each in inside.settled if ids.inside(name, each) not in without},
            )
            for name, inside in frontier.inside.items()
            if not name.startswith(without or ("[",))
        },
    }


class Watched(Driver):
    """Compares the frontier after every event with one that is made anew."""

    def write(self, *events: Event) -> None:
        for event in events:
            super().write(event)
            kept, fresh = self.scheduler._run.frontier, Frontier(self.plan, self.state)
            fresh_at = {prefix for prefix in fresh.levels if prefix}
            # an item that was begun, and in which nothing was done yet when another failed, is not left out
            begun = tuple(
                prefix
                for prefix in kept.levels
                if prefix and prefix not in fresh_at and self._has_failed(ids.around(prefix)[0])
            )
            assert shown(kept, begun) == shown(fresh)
            assert set(kept.can_begin()) >= set(fresh.can_begin())

    def _has_failed(self, name: str) -> bool:
        step = self.plan.step(name)
        items = self.state.step(name).items or ()
        return (
            isinstance(step, ForeachPlan)
            and step.on_item_failure == "fail"
            and any(each.status == "failed" for each in items)
        )


@settings(max_examples=150)
@given(files=sound(), seed=st.integers(0, 1000), kill=st.floats(0, 0.99))
def test_it_follows_from_the_state_after_every_event(
    tmp_path_factory: Any, files: Files, seed: int, kill: float
) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    plan = planned(load(folder, files), folder)
    world = World(seed)
    run = world.play(Watched(plan))
    keep = 1 + int(kill * (len(run.events) - 1))
    World(seed).play(run.resume(keep=keep, now=run.events[keep - 1].at))


def test_what_can_begin_is_what_needs_nothing_that_is_not_settled() -> None:
    run = drive("steps:\n  a:\n    task: {method: m}\n  b:\n    local: {value: '{{ steps.a.results }}'}\n")
    frontier = Frontier(run.plan, run.state)
    assert (frontier.can_begin(), frontier.waiting) == ([], {"a": 0, "b": 1})
    assert Frontier(run.plan, Driver(run.plan).state).can_begin() == []
    fresh = make("steps:\n  a:\n    task: {method: m}\n  b:\n    local: {value: '{{ steps.a.results }}'}\n")
    assert Frontier(fresh, type(run.state)()).can_begin() == ["a"]
