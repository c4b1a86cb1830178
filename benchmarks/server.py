"""Measurements at a real vantage6 server: v6flow compared with a script that uses the official client."""

from __future__ import annotations

import os
import shutil
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import collaboration
from measure import Sample, measure
from report import Row, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collaboration import Collaboration, Idle, Traffic
    from experiments import Bench

# the targets
GAP_LIMIT = 0.1  # times the official client
GAP_CEILING = 0.1  # seconds: "tens of milliseconds"
WALL_LIMIT = 1.0  # times the official client
GROWTH_CEILING = 1.0  # of requests, from the fewest open tasks to the most

CHAIN, WAITING = "Chain at a vantage6 server", "Waiting at a vantage6 server"
OFFICIAL = "official client"
COST_REQUESTS = 100
KB = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes of the measurements."""

    rounds: int  # of the chain
    open_tasks: Sequence[int]  # at once, for each measurement
    seconds: float  # of measured waiting


FULL = Size(4, (1, 10, 50, 200), 10.0)
QUICK = Size(1, (1, 5), 4.0)


@dataclass(frozen=True, slots=True)
class _Round:
    sample: Sample
    gaps: Sequence[float]
    traffic: Traffic


def experiment(bench: Bench, size: Size) -> Iterator[Row]:
    """The chain, then tasks that stay open."""
    with collaboration.collaboration() as world:
        lost = world.cost(COST_REQUESTS)
        bench.notes.append(
            f"vantage6 server: 4.15.2 with three nodes, medians of {size.rounds} rounds; all requests go through a "
            f"proxy that counts them and adds {lost * 1000:.1f} ms to each, whoever sends it."
        )
        yield from _chain(bench, world, size.rounds)
        yield from _waiting(bench, world, size)


def _chain(bench: Bench, world: Collaboration, rounds: int) -> Iterator[Row]:
    contenders: dict[str, Callable[[], _Round]] = {
        "a task for each": lambda: _v6flow(bench, world, "organization", tasks=len(collaboration.NODES)),
        "one task for all": lambda: _v6flow(bench, world, "task", tasks=1),
        OFFICIAL: lambda: _official(bench, world),
    }
    progress(f"  {', '.join(contenders)}")
    found: dict[str, list[_Round]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, once in contenders.items():
            found[name].append(once())
    theirs = found.pop(OFFICIAL)
    for how, ours in found.items():
        yield _row(f"wall time, {how}", "s", ours, theirs, lambda each: each.sample.wall, limit=WALL_LIMIT)
        yield _row(f"gap, {how}", "s", ours, theirs, lambda each: statistics.median(each.gaps), limit=GAP_LIMIT)
        high = [[_high([gap for each in rounds_ for gap in each.gaps])] for rounds_ in (ours, theirs)]
        yield Row(CHAIN, f"gap, {how}: 95th of 100", "s", high[0], OFFICIAL, high[1], ceiling=GAP_CEILING)
        yield _row(f"requests, {how}", "", ours, theirs, lambda each: each.traffic.requests)
        yield _row(f"sent and received, {how}", "kB", ours, theirs, lambda each: each.traffic.bytes / KB)
        yield _row(f"processor, {how}", "s", ours, theirs, lambda each: each.sample.cpu)
        yield _row(f"peak memory, {how}", "MiB", ours, theirs, lambda each: each.sample.memory)


def _waiting(bench: Bench, world: Collaboration, size: Size) -> Iterator[Row]:
    seconds = f"{size.seconds:g} s"
    found: dict[int, tuple[Idle, Idle, Idle]] = {}
    for tasks in size.open_tasks:
        progress(f"  {tasks} open: v6flow with events, without, {OFFICIAL}")
        world.kill_all()
        folder = bench.folder()
        world.write_waiting(folder, tasks)
        hearing, polling = world.wait(bench.v6flow, folder, tasks, size.seconds)
        found[tasks] = (hearing, polling, world.wait_officially(folder, tasks, size.seconds))
        shutil.rmtree(folder)
    fewest, most = min(found), max(found)
    for index, how in enumerate(("events", "polling")):
        for tasks, idle in found.items():
            ours, theirs = idle[index].traffic, idle[2].traffic
            what = f"{how}, {tasks} open, {seconds}"
            yield Row(WAITING, f"{what}: requests", "", [ours.requests], OFFICIAL, [theirs.requests])
            yield Row(WAITING, f"{what}: kB", "kB", [ours.bytes / KB], OFFICIAL, [theirs.bytes / KB])
        growth = found[most][index].traffic.requests / max(found[fewest][index].traffic.requests, 1)
        yield Row(WAITING, f"{how}: requests, {most} open over {fewest}", "×", [growth], ceiling=GROWTH_CEILING)
    for tasks, idle in found.items():
        yield Row(WAITING, f"memory, {tasks} open", "MiB", [idle[1].memory], OFFICIAL, [idle[2].memory])


def _v6flow(bench: Bench, world: Collaboration, isolation: str, *, tasks: int) -> _Round:
    folder = bench.folder()
    world.write_chain(folder, isolation=isolation)
    os.sync()
    with world.gaps("ours", tasks) as gaps, world.traffic("ours") as traffic:
        sample = measure(collaboration.run_command(bench.v6flow), folder, bench.v6flow.environment)
    world.check_chain(folder)
    shutil.rmtree(folder)
    return _Round(sample, gaps, traffic[0])


def _official(bench: Bench, world: Collaboration) -> _Round:
    folder = bench.folder()
    world.write_official(folder)
    environment = collaboration.official_environment(folder)
    os.sync()
    with world.gaps("theirs", 1) as gaps, world.traffic("theirs") as traffic:
        sample = measure(collaboration.official_command(), folder, environment)
    world.check_official(folder)
    shutil.rmtree(folder)
    return _Round(sample, gaps, traffic[0])


def _row(
    what: str,
    unit: str,
    ours: Sequence[_Round],
    theirs: Sequence[_Round],
    figure: Callable[[_Round], float],
    *,
    limit: float | None = None,
) -> Row:
    return Row(CHAIN, what, unit, [*map(figure, ours)], OFFICIAL, [*map(figure, theirs)], limit=limit)


def _high(figures: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return sorted(figures)[-(-95 * len(figures) // 100) - 1]
