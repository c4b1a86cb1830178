"""A run on a real server that is killed at any moment and resumed ends like one that was not, and asks nobody twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import federation
import pytest
import stage_live
from stage_live import Forks, Said, Stage

from v6flow.core.execution import events
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation

    from v6flow.core.execution.events import Event

WORKFLOW = """\
defaults: {image: quick, organizations: [alpha, beta]}
steps:
  first: {task: {method: give, kwargs: {value: "{{ {'alpha': 30, 'beta': 12}[organization] }}", mark: @name@/first}}}
  total: {local: {value: "{{ steps.first.results | sum }}"}}
  second: {task: {method: give, kwargs: {value: "{{ [organization, steps.total.result] }}", mark: @name@/second}}}
outputs: {total: "{{ steps.total.result }}", second: "{{ steps.second.results }}"}
"""
EXPECTED = {"total": 42, "second": [["alpha", 42], ["beta", 42]]}
ONCE = {f"{step}/{name}": ["completed"] for step in ("first", "second") for name in ("alpha", "beta")}

# the first step is closed while beta still works on it, which is then killed at the server
CLOSING = """\
defaults: {image: quick, organizations: [alpha, beta]}
steps:
  first:
    task: {method: act, kwargs: {deed: "{{ 'wait' if organization == 'beta' else 'give' }}", value: 1, gate: @gate@}}
    quorum: {min: 1, wait: quorum}
  second:
    task: {method: give, kwargs: {value: "{{ steps.first.results }}"}, organizations: "{{ steps.first.responded }}"}
    allow_cross_site: they only give it back
outputs: {second: "{{ steps.second.results }}", missing: "{{ steps.first.missing }}"}
"""

WRITES = 19  # how often such a run writes to its journal, the first time when it is made
POINTS = [
    *(f"POST /task:{number}:{when}" for number in (1, 4) for when in ("before", "amid", "after")),
    *(f"GET /task/#:{number}:{when}" for number, when in ((1, "before"), (1, "after"), (4, "after"))),
    "GET /run:1:after",
    "POST /token/user:1:after",
    f"journal:{WRITES}:after",
]
KILLS = [f"POST /kill/task:1:{when}" for when in ("before", "amid", "after")]
CHAINS = ["journal:2:after", "journal:3:before"]  # the first write of one that is resumed says so
RUN = ("run", "w.yaml", "--quiet", "--output", "json", "--skip-preflight")
RESUME = ("resume", "--quiet", "--output", "json")


@dataclass(frozen=True)
class Outcome:
    """How a run was killed, at the first time and perhaps again, and taken up until it came to its end."""

    stage: Stage
    killed: list[Said]
    end: Said
    written: list[str]
    """The last event in the journal at each time."""


def kill_and_resume(forks: Forks, stage: Stage, point: str, *, again: bool) -> Outcome:
    """`again`: whoever resumes it is killed there too, as long as it comes there."""
    killed, written = [forks(stage.folder, point, *RUN)], []
    while True:
        written += [type(event).__name__ for event in list(journal(stage))[-1:]]
        # killed before there was a run: whoever sees that starts another
        words = (*RESUME, stage.run_id) if stage.run_ids else RUN
        found = forks(stage.folder, point if again else "none", *words)
        if found.code != -9:
            return Outcome(stage, killed, found, written)
        killed.append(found)


def journal(stage: Stage) -> Iterator[Event]:
    if stage.run_ids:
        yield from FolderStore(stage.folder / ".v6flow").find(stage.run_id).events()


@pytest.fixture(scope="module")
def live() -> LiveFederation:
    return stage_live.begin_quick(federation.shared().plain)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    found = Forks()
    yield found
    found.close()


@pytest.fixture
def stage(live: LiveFederation, tmp_path: Path) -> Iterator[Stage]:
    found = Stage(live, tmp_path)
    found.write(WORKFLOW)
    yield found
    found.close()


def is_whole(outcome: Outcome) -> None:
    """It came to the same end, and nobody was asked twice."""
    stage = outcome.stage
    assert {each.code for each in outcome.killed} == {-9}, f"the run came to its end before: {outcome.killed}"
    assert outcome.end.code == 0, outcome.end
    assert outcome.end.document["outputs"] == EXPECTED
    assert stage.asked() == ONCE
    tokens = [task["description"].split()[0] for task in stage.tasks()]
    assert len(set(tokens)) == len(tokens) == len(ONCE)
    requested = [event.token for event in journal(stage) if isinstance(event, events.TaskRequested)]
    assert sorted(requested) == sorted(tokens)
    for name in ("alpha", "beta"):
        marks = [mark for mark in stage_live.notes(stage.live, name) if mark.startswith(stage.name)]
        assert sorted(marks) == [f"{stage.name}/first", f"{stage.name}/second"], f"what {name} ran"


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_resumes_to_the_same_end(point: str, forks: Forks, stage: Stage) -> None:
    is_whole(kill_and_resume(forks, stage, point, again=False))


@pytest.mark.parametrize("point", CHAINS)
def test_a_chain_of_kills_from_write_to_write(point: str, forks: Forks, stage: Stage) -> None:
    """Each process is killed after its first write that gets the run on, or before the next."""
    outcome = kill_and_resume(forks, stage, point, again=True)
    is_whole(outcome)
    assert len(outcome.killed) > 8
    accepted = "TaskStarted" if point.endswith("before") else "TaskAccepted"  # a resumed run soon hears of both
    wanted = {"TaskRequested", accepted, "TaskAnswered", "StepCompleted"}
    assert wanted <= set(outcome.written), outcome.written


@pytest.mark.parametrize("point", KILLS)
def test_one_killed_while_it_kills_kills_when_it_is_resumed(point: str, forks: Forks, stage: Stage) -> None:
    stage.write(CLOSING)
    outcome = kill_and_resume(forks, stage, point, again=False)
    assert [each.code for each in outcome.killed] == [-9], f"the run came to its end before: {outcome.killed}"
    assert outcome.end.code == 0, outcome.end
    assert outcome.end.document["outputs"] == {"second": [[1]], "missing": ["beta"]}
    assert stage.asked() == {
        "first/alpha": ["completed"],
        "first/beta": ["killed by user"],
        "second/alpha": ["completed"],
    }


def test_the_points_reach_to_the_end_of_the_run(forks: Forks, stage: Stage) -> None:
    """If the run has come to write more often, or less, the points above are no longer the right ones."""
    whole = forks(stage.folder, f"journal:{WRITES + 1}:before", *RUN)
    assert whole.code == 0
    assert whole.document["outputs"] == EXPECTED
    assert sum(1 for _ in journal(stage)) > WRITES
