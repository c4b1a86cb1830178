"""The overhead of iterations of a `repeat` step and of items of a `foreach` step.

All but replaying is timed as whole processes: a long run less a short one, by what the long one has more of.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hospitals
import peers
from measure import Sample, measure, settled
from report import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from experiments import Bench

ORGANIZATIONS = 10
PACKAGE = "bench_count"
AT_ONCE = 20  # items, v6flow's default
ROUNDS, ITEMS = "Rounds of a repeat", "Items of a foreach"
ALONE, FORKS, COMMITS, LOOP, NOTHING = "backend alone", "bare forks", "bare commits", "loop", "python -c pass"
ROWS, TEXT, PROCESSES = "rows parsed", "text of its rows", "plain process"

REPEAT = """\
v6flow: 1
name: rounds
federation: federation.yaml
steps:
  fit:
    repeat:
      state: 0
      max: {rounds}
      on_max: continue
      steps: {{part: {{task: {{image: {package}, method: count, kwargs: {{state: "{{{{ loop.state }}}}"}}}}}}}}
      update: "{{{{ loop.state + sum(steps.part.results, attribute='n') }}}}"
outputs: {{total: "{{{{ steps.fit.result }}}}"}}
"""
FOREACH = """\
v6flow: 1
name: items
steps:
  doubled:
    foreach:
      over: "{{{{ range({items}) }}}}"
      steps: {{value: {{local: {local}}}}}
      result: "{{{{ steps.value.result }}}}"
outputs: {{total: "{{{{ sum(steps.doubled.results) }}}}"}}
"""
VALUE = '{value: "{{ each.item * 2 }}"}'
FUNCTION = '{function: "doubling.py:double", kwargs: {x: "{{ each.item }}"}}'
DOUBLING = '''\
"""The function that a local step calls for each item."""


def double(x):
    """Twice a number."""
    return x * 2
'''


PROCESSES_BOUND = (
    "A round on the embedded backend is bound by starting its processes, on all processors; after that by the disk, "
    "for which the engine waits 31 times (a log and its folder for each answer, 11 durable commits), and the children "
    "20 times."
)
OTHERS_BOUND = (
    "A round answered at once is bound by the journal's commits, an item with a value by Python itself, in no single "
    "place, an item with a function by starting Python for it, a resume by starting v6flow; what grows with the rounds "
    "is reading and parsing the journal's rows."
)


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes of the measurements; the first of each pair is the short run."""

    rounds: tuple[int, int]
    middle: int  # an iteration whose part of the journal is compared with that of the last iteration
    cuts: tuple[int, int]  # iterations after which a run is killed and then resumed
    values: tuple[int, int]
    functions: tuple[int, int]


FULL = Size((10, 200), 50, (5, 150), (500, 5_000), (20, 200))
QUICK = Size((3, 12), 5, (2, 8), (100, 600), (4, 12))


def experiment(bench: Bench, size: Size) -> Iterator[Row]:
    """Iterations, their journals and their resumption; then items."""
    bench.notes.extend((PROCESSES_BOUND, OTHERS_BOUND))
    if hospitals.available():
        yield from _rounds(bench, size)
        yield from _engine(bench, size)
        yield from _resume(bench, size)
    else:
        bench.notes.append("Rounds were not measured: vantage6's algorithm tools are not installed.")
    yield from _values(bench, size)
    yield from _functions(bench, size)


def _rounds(bench: Bench, size: Size) -> Iterator[Row]:
    """Task runs in processes: v6flow, its backend alone, and only the processes."""
    kept: dict[int, int] = {}
    journals: dict[int, _Journal] = {}

    def look(folder: Path, rounds: int) -> None:
        journals[rounds] = _Journal(bench.v6flow.journal(folder))
        kept[rounds] = bench.v6flow.kept(folder)

    contenders: dict[str, Callable[[], Sample]] = {}
    for rounds in size.rounds:
        tools = {
            "v6flow": (bench.v6flow.run(), lambda folder, rounds=rounds: look(folder, rounds)),
            ALONE: (_program("ask_rounds.py", rounds, PACKAGE, "count"), None),
            FORKS: (_program("fork_rounds.py", rounds, ORGANIZATIONS, PACKAGE), None),
        }
        for name, (command, after) in tools.items():
            contenders[f"{name} {rounds}"] = _once(
                bench,
                command,
                lambda folder, rounds=rounds: _write_rounds(folder, rounds),
                rounds * ORGANIZATIONS,
                after,
            )
    samples = _measured(bench, contenders)
    ours = _each(samples, "v6flow", size.rounds)
    for peer in (ALONE, FORKS):
        theirs = _each(samples, peer, size.rounds)
        yield Row(ROUNDS, "a round, embedded", "s", _walls(ours), peer, _walls(theirs))
        yield Row(ROUNDS, "a round, embedded: processor", "s", _cpus(ours), peer, _cpus(theirs))
    few, many = (journals[rounds] for rounds in size.rounds)
    more = size.rounds[1] - size.rounds[0]
    text = sum(many.texts[-more:]) / more
    yield Row(ROUNDS, "journal, a round: events", "", [(many.events - few.events) / more])
    yield Row(ROUNDS, "journal, a round: bytes", "B", [(many.bytes - few.bytes) / more], TEXT, [text])
    last = size.rounds[1]
    yield Row(
        ROUNDS,
        f"text of the journal's rows, round {last}",
        "B",
        [many.texts[last]],
        f"round {size.middle}",
        [many.texts[size.middle]],
    )
    all_ = (kept[size.rounds[1]] - kept[size.rounds[0]]) / more
    yield Row(ROUNDS, "the run's folder, a round", "B", [all_], "its journal", [(many.bytes - few.bytes) / more])


def _engine(bench: Bench, size: Size) -> Iterator[Row]:
    """Organizations that answer at once, so only v6flow's own time is left; compared with its journal's commits."""
    contenders: dict[str, Callable[[], Sample]] = {}
    commits: dict[int, list[tuple[int, bool]]] = {}
    recorded: list[Path] = []
    for rounds in size.rounds:
        total = rounds * ORGANIZATIONS
        folder = bench.folder()
        recorded.append(folder)
        _write_rounds(folder, rounds)
        measure(_program("instant.py", total, "commits", *_run()), folder, bench.v6flow.environment)
        commits[rounds] = json.loads((folder / "commits").read_text())
        bare = _program("commit_rows.py", bench.v6flow.journal(folder), folder / "commits")
        contenders[f"v6flow {rounds}"] = _once(
            bench,
            _program("instant.py", total, "-", *_run()),
            lambda folder, rounds=rounds: _write_rounds(folder, rounds),
            total,
        )
        rows = sum(events for events, _ in commits[rounds])
        contenders[f"{COMMITS} {rounds}"] = _once(bench, bare, lambda _: None, rows)
    samples = _measured(bench, contenders)
    for folder in recorded:
        shutil.rmtree(folder)
    ours, theirs = (_each(samples, name, size.rounds) for name in ("v6flow", COMMITS))
    yield Row(ROUNDS, "a round, answered at once", "s", _walls(ours), COMMITS, _walls(theirs))
    yield Row(ROUNDS, "a round, answered at once: processor", "s", _cpus(ours), COMMITS, _cpus(theirs))
    few, many = (commits[rounds] for rounds in size.rounds)
    more = size.rounds[1] - size.rounds[0]
    durable = (sum(each for _, each in many) - sum(each for _, each in few)) / more
    made = (len(many) - len(few)) / more
    yield Row(ROUNDS, "a round, answered at once: commits", "", [made], "durable ones", [durable])


def _resume(bench: Bench, size: Size) -> Iterator[Row]:
    """Runs killed between iterations: the time until the command line submits the next iteration's first task."""
    cut: dict[int, Path] = {}
    for rounds in size.cuts:
        cut[rounds] = folder = bench.folder()
        _write_rounds(folder, size.rounds[1])
        measure(_program("instant.py", rounds * ORGANIZATIONS, "-", *_run()), folder, bench.v6flow.environment)
        found = len(_Journal(bench.v6flow.journal(folder)).texts) - 1
        peers.compare("rounds before the kill", found, rounds)
    few, many = size.cuts
    replayed: dict[int, list[Mapping[str, float]]] = {few: [], many: []}

    def replay(rounds: int) -> Sample:
        folder = bench.folder()
        command = _program("replay_rows.py", bench.v6flow.journal(cut[rounds]))
        sample = settled(command, folder, bench.v6flow.environment)
        replayed[rounds].append(json.loads((folder / "stdout").read_text()))
        return sample

    samples = bench.measure(
        {
            NOTHING: lambda: settled([sys.executable, "-c", "pass"], bench.folder(), bench.v6flow.environment),
            f"{few}": lambda: _resumed(bench, cut[few]),
            f"{many}": lambda: _resumed(bench, cut[many]),
            f"replay {few}": lambda: replay(few),
            f"replay {many}": lambda: replay(many),
        }
    )
    what = f"resume in round {many + 1}"
    ours = _walls(samples[f"{many}"])
    yield Row(ROUNDS, what, "s", ours, f"in round {few + 1}", _walls(samples[f"{few}"]))
    yield Row(ROUNDS, what, "s", ours, NOTHING, _walls(samples[NOTHING]))
    for rounds in (many, few):
        read = [[each[name] for each in replayed[rounds]] for name in ("replay", "rows")]
        yield Row(ROUNDS, f"journal of {rounds} rounds read and replayed", "s", read[0], ROWS, read[1])


def _values(bench: Bench, size: Size) -> Iterator[Row]:
    """Items that each compute a value."""
    contenders: dict[str, Callable[[], Sample]] = {}
    journals: dict[int, _Journal] = {}
    for items in size.values:
        total = items * (items - 1)
        contenders[f"v6flow {items}"] = _once(
            bench,
            bench.v6flow.run(),
            lambda folder, items=items: _write_items(folder, items, VALUE),
            total,
            lambda folder, items=items: journals.update({items: _Journal(bench.v6flow.journal(folder))}),
        )
        contenders[f"{LOOP} {items}"] = _once(bench, _program("loop_items.py", items, AT_ONCE), lambda _: None, total)
    samples = _measured(bench, contenders)
    ours, theirs = (_each(samples, name, size.values) for name in ("v6flow", LOOP))
    few, many = size.values
    yield Row(ITEMS, "value, an item", "s", _walls(ours), LOOP, _walls(theirs))
    yield Row(ITEMS, "value, an item: processor", "s", _cpus(ours), LOOP, _cpus(theirs))
    growth = (journals[many].bytes - journals[few].bytes) / (many - few)
    yield Row(ITEMS, "value, an item: journal", "B", [growth])
    peak, floor = ([each.memory for each in samples[f"{name} {many}"]] for name in ("v6flow", LOOP))
    yield Row(ITEMS, f"{many:,} values: peak memory", "MiB", peak, LOOP, floor)
    more = [(each.memory * (many - few)) for each in ours]
    yield Row(ITEMS, f"{many:,} values: memory beyond that of {few:,}", "MiB", more)


def _functions(bench: Bench, size: Size) -> Iterator[Row]:
    """Items that each call a function in a separate process."""
    contenders: dict[str, Callable[[], Sample]] = {}
    tools = {"v6flow": lambda _: bench.v6flow.run(), PROCESSES: lambda n: _program("start_items.py", n, "doubling.py")}
    for items in size.functions:
        for name, command in tools.items():
            contenders[f"{name} {items}"] = _once(
                bench,
                command(items),
                lambda folder, items=items: _write_items(folder, items, FUNCTION),
                items * (items - 1),
            )
    samples = _measured(bench, contenders)
    ours, theirs = (_each(samples, name, size.functions) for name in tools)
    yield Row(ITEMS, "function, an item", "s", _walls(ours), PROCESSES, _walls(theirs))
    yield Row(ITEMS, "function, an item: processor", "s", _cpus(ours), PROCESSES, _cpus(theirs))


class _Journal:
    """A journal: its bytes, its events, and the bytes of text of each round; round 0 is the first state."""

    def __init__(self, path: Path) -> None:
        self.bytes = path.stat().st_size
        with closing(sqlite3.connect(path)) as journal:
            rows = journal.execute(
                "SELECT kind, length(kind) + length(data) + ifnull(length(value), 0) + length(checksum) "
                "FROM events ORDER BY seq"
            ).fetchall()
        self.events = len(rows)
        self.texts: list[int] = []
        text = 0
        for kind, length in rows:
            text += length
            if kind == "RoundEnded":
                self.texts.append(text)
                text = 0


def _measured(bench: Bench, contenders: Mapping[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
    for once in [*contenders.values()][: len(contenders) // 2]:  # the short runs
        once()  # not counted: the first may have to compile
    return bench.measure(contenders)


def _run() -> list[str]:
    return ["run", "workflow.yaml", "--quiet", "--store", "store"]


def _program(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(peers.PROGRAMS / name), *map(str, arguments)]


def _once(
    bench: Bench,
    command: Sequence[str],
    write: Callable[[Path], None],
    expected: int,
    after: Callable[[Path], None] | None = None,
) -> Callable[[], Sample]:
    """Run a command in a new folder; its last word must be a number. `after` checks the files that it left."""

    def once() -> Sample:
        folder = bench.folder()
        write(folder)
        environment = bench.v6flow.environment
        paths = [str(hospitals.ALGORITHMS), environment.get("PYTHONPATH", "")]
        environment = {**environment, "PYTHONPATH": ":".join(filter(None, paths))}
        sample = settled(command, folder, environment)
        found = (folder / "stdout").read_text().split()[-1]
        peers.compare(" ".join(command), found, str(expected))
        if after is not None:
            after(folder)
        shutil.rmtree(folder)
        return sample

    return once


def _resumed(bench: Bench, cut: Path) -> Sample:
    folder = bench.folder() / "copy"  # a resume changes the journal
    shutil.copytree(cut, folder)
    run = bench.v6flow.journal(folder).parent.name
    command = _program("instant.py", 0, "-", "resume", run, "--quiet", "--store", "store")
    sample = settled(command, folder, bench.v6flow.environment)
    with closing(sqlite3.connect(bench.v6flow.journal(folder))) as journal:
        (kind,) = journal.execute("SELECT kind FROM events ORDER BY seq DESC").fetchone()
    peers.compare("the last event before the first task of a resumed run", kind, "RunResumed")
    shutil.rmtree(folder.parent)
    return sample


def _write_rounds(folder: Path, rounds: int) -> None:
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    (folder / "table.csv").write_text("age\n1\n")
    lines += [f"  o{number}: {{databases: {{default: table.csv}}}}" for number in range(ORGANIZATIONS)]
    lines += ["algorithms:", f"  {PACKAGE}: {{package: {PACKAGE}, path: {json.dumps(str(hospitals.ALGORITHMS))}}}"]
    (folder / "federation.yaml").write_text("\n".join(lines) + "\n")
    (folder / "workflow.yaml").write_text(REPEAT.format(rounds=rounds, package=PACKAGE))


def _write_items(folder: Path, items: int, local: str) -> None:
    (folder / "workflow.yaml").write_text(FOREACH.format(items=items, local=local))
    (folder / "doubling.py").write_text(DOUBLING)


def _each(samples: Mapping[str, Sequence[Sample]], name: str, counts: tuple[int, int]) -> list[Sample]:
    """The cost of each iteration or item: the difference between a long run and a short one."""
    few, many = counts
    return [
        Sample(
            (most.wall - least.wall) / (many - few),
            (most.cpu - least.cpu) / (many - few),
            (most.memory - least.memory) / (many - few),
        )
        for least, most in zip(samples[f"{name} {few}"], samples[f"{name} {many}"], strict=True)
    ]


def _walls(samples: Sequence[Sample]) -> list[float]:
    return [sample.wall for sample in samples]


def _cpus(samples: Sequence[Sample]) -> list[float]:
    return [sample.cpu for sample in samples]
