"""Measure what rounds and items cost beyond what is done in them: time, journal, memory, taking up again.

python benchmarks/rounds.py            # prints one JSON document
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import v6flow
from v6flow.core.state import replay
from v6flow.journals.store import Store

ROUNDS = 200
ORGANIZATIONS = 10
ITEMS = 5000
ROOT = Path(__file__).parent

REPEAT = """\
v6flow: 1
name: rounds
federation: federation.yaml
defaults: {image: bench}
steps:
  fit:
    repeat:
      state: 0
      max: %d
      on_max: continue
      steps: {part: {task: {method: count, kwargs: {x: "{{ loop.state }}"}}}}
      update: "{{ loop.state + length(steps.part.results) }}"
outputs: {o: "{{ steps.fit.result }}"}
"""
FOREACH = """\
v6flow: 1
name: items
steps:
  t:
    foreach:
      over: "{{ range(%d) }}"
      steps: {v: {local: {value: "{{ each.item * 2 }}"}}}
      result: "{{ steps.v.result }}"
outputs: {o: "{{ length(steps.t.results) }}"}
"""
ALGORITHM = """\
def count(x=None):
    return {"n": 1}
"""


def federation(folder: Path) -> None:
    """A federation of ten organizations with an algorithm that does nothing."""
    (folder / "bench").mkdir()
    (folder / "bench" / "__init__.py").write_text(ALGORITHM)
    (folder / "d.csv").write_text("a\n1\n")
    names = "".join(f"  o{number}: {{databases: {{default: d.csv}}}}\n" for number in range(ORGANIZATIONS))
    algorithms = "algorithms: {bench: {package: bench, path: .}}\n"
    (folder / "federation.yaml").write_text(
        f"v6flow_federation: 1\nbackend: embedded\norganizations:\n{names}{algorithms}"
    )


def rounds(folder: Path) -> dict[str, float]:
    """Time and journal of each round, and the time that a resume in round 150 takes to read where it was."""
    federation(folder)
    found: dict[str, float] = {}
    for count in (10, ROUNDS):
        (folder / "rounds.yaml").write_text(REPEAT % count)
        store = folder / f"store{count}"
        begun = time.perf_counter()
        v6flow.run(folder / "rounds.yaml", store=store).check()
        found[f"seconds_{count}"] = time.perf_counter() - begun
        journal = next(store.glob("runs/*/journal.sqlite"))
        found[f"bytes_{count}"] = journal.stat().st_size
    found["seconds_per_round"] = (found[f"seconds_{ROUNDS}"] - found["seconds_10"]) / (ROUNDS - 10)
    found["bytes_per_round"] = (found[f"bytes_{ROUNDS}"] - found["bytes_10"]) / (ROUNDS - 10)
    events = list(Store(folder / f"store{ROUNDS}").find(None).events())
    kept = events[: len(events) * 150 // ROUNDS]
    begun = time.perf_counter()
    replay(kept)
    found["events"] = len(events)
    found["replay_seconds_at_150"] = time.perf_counter() - begun
    return found


def items(folder: Path) -> dict[str, float]:
    """The cost of items of which each computes a value."""
    found: dict[str, float] = {}
    for count in (500, ITEMS):
        (folder / "items.yaml").write_text(FOREACH % count)
        begun = time.perf_counter()
        v6flow.run(folder / "items.yaml", store=folder / "store").check()
        found[f"seconds_{count}"] = time.perf_counter() - begun
        found[f"peak_mib_{count}"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["seconds_per_item"] = (found[f"seconds_{ITEMS}"] - found["seconds_500"]) / (ITEMS - 500)
    return found


def main() -> None:
    measured = {}
    for name, measure in (("items", items), ("rounds", rounds)):
        with tempfile.TemporaryDirectory() as folder:
            measured[name] = measure(Path(folder))
    json.dump(measured, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
