"""The experiments: each yields the rows of its table."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import graphs
import hospitals
import peers
from measure import Sample, interleave, measure, settled
from peers import Peer, Reference, V6flow
from report import Row, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from graphs import Graph

# the targets
PLAN_LIMIT = 1.5  # times doit
VALIDATE_LIMIT = 2.0  # times doit, for a small workflow
RUN_LIMIT = 0.5  # times parsl
MEMORY_CEILING = 150  # MiB
LINEAR_CEILING = 1.2  # times the time per step of the smaller graph

FIXED = 10  # steps of the small run whose time counts as the fixed cost of a run
TRIAL = 200  # steps of the graph that checks the tools before anything is timed


@dataclass(slots=True)
class Bench:
    """The shared settings of all experiments: sizes, repetitions, folders and tools."""

    work: Path
    repeat: int
    small: int
    large: int
    luigi_most: int  # luigi's time grows with the square of the steps; no larger graph is given to it
    rounds: Mapping[int, int]  # organizations → task steps of the longer workflow
    notes: list[str] = field(default_factory=list)
    v6flow: V6flow = field(default_factory=V6flow)
    doit: Peer = field(default_factory=peers.doit)
    doit_getargs: Peer = field(default_factory=peers.doit_getargs)
    parsl: Peer = field(default_factory=peers.parsl)
    luigi: Peer = field(default_factory=peers.luigi)
    reference: Reference = field(default_factory=Reference)

    def folder(self) -> Path:
        """A new folder on the project's disk: a file system in memory would make commits free."""
        return Path(tempfile.mkdtemp(dir=self.work))

    def measure(self, contenders: Mapping[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
        progress(f"  {', '.join(contenders)}")
        return interleave(contenders, self.repeat)


def agree(bench: Bench) -> None:
    """Let every tool run a small graph of every shape. Raises WrongAnswerError unless all are right."""
    for make in graphs.SHAPES.values():
        for tool in (bench.v6flow, bench.doit, bench.doit_getargs, bench.parsl, bench.luigi, bench.reference):
            _running(bench, tool, make(TRIAL))()


def startup(bench: Bench) -> Iterator[Row]:
    """Commands with almost no work."""
    folder, graph = bench.folder(), graphs.layered(FIXED)
    bench.v6flow.write(graph, folder)
    bench.doit.write(graph, folder)
    v6flow, environment = bench.v6flow.command, bench.v6flow.environment
    commands = {
        "python": ([sys.executable, "-c", "pass"], environment),
        "python -c 'import networkx, jinja2'": ([sys.executable, "-c", "import networkx, jinja2"], environment),
        "v6flow --version": ([*v6flow, "--version"], environment),
        "v6flow --help": ([*v6flow, "--help"], environment),
        "v6flow validate": ([*v6flow, "validate", "workflow.yaml"], environment),
        "v6flow plan": ([*v6flow, "plan", "workflow.yaml"], environment),
        "v6flow run": ([*v6flow, "run", "workflow.yaml", "--quiet"], environment),
        "v6flow list": ([*v6flow, "list"], environment),
        "doit --version": ([peers.DOIT, "--version"], bench.doit.environment),
        "doit help": ([peers.DOIT, "help"], bench.doit.environment),
        "doit list": ([peers.DOIT, "list", "--all"], bench.doit.environment),
    }
    contenders = {name: _command(command, folder, env) for name, (command, env) in commands.items()}
    interleave(contenders, 1)  # not counted: the first may have to compile
    walls = {name: _wall(samples) for name, samples in bench.measure(contenders).items()}
    for ours, peer in (("--version", "doit --version"), ("--help", "doit help"), ("validate", "doit list")):
        limit = {"--version": 1, "validate": VALIDATE_LIMIT}.get(ours)
        what = f"{ours}, {FIXED} steps" if ours == "validate" else ours
        yield Row("Start-up", what, "s", walls[f"v6flow {ours}"], peer, walls[peer], limit=limit)
        yield Row("Start-up", what, "s", walls[f"v6flow {ours}"], "python -c pass", walls["python"])
    bare = "python -c 'import networkx, jinja2'"  # what `plan` and `run` cannot do without
    for ours in ("plan", "run", "list"):
        yield Row("Start-up", f"{ours}, {FIXED} steps", "s", walls[f"v6flow {ours}"], bare, walls[bare])


def planning(bench: Bench) -> Iterator[Row]:
    """Reading a file and planning its run.

    doit's `list --all` loads and prints every task; with `--status` it finds out as well which of them would
    run, the nearest it has to a plan. Neither follows the edges.
    """
    for size in (bench.small, bench.large):
        graph, folder = graphs.layered(size), bench.folder()
        bench.v6flow.write(graph, folder)
        bench.doit.write(graph, folder)
        listed = _lists(folder, graph)
        v6flow, doit = bench.v6flow, [peers.DOIT, "list", "--all"]
        contenders = {
            "validate": _command([*v6flow.command, "validate", "workflow.yaml"], folder, v6flow.environment),
            "plan": _command([*v6flow.command, "plan", "workflow.yaml"], folder, v6flow.environment, listed),
            "doit list": _command(doit, folder, bench.doit.environment, listed),
            "doit list --status": _command([*doit, "--status"], folder, bench.doit.environment, listed),
        }
        samples = bench.measure(contenders)
        large = size == bench.large
        for ours, peer in (("validate", "doit list"), ("plan", "doit list"), ("plan", "doit list --status")):
            limit = PLAN_LIMIT if large and ours == "plan" and peer == "doit list" else None
            what = f"{ours}, {size:,} steps"
            yield Row("Validate and plan", what, "s", _wall(samples[ours]), peer, _wall(samples[peer]), limit=limit)
        yield Row(
            "Validate and plan",
            f"plan, {size:,} steps: peak memory",
            "MiB",
            _memory(samples["plan"]),
            "doit list",
            _memory(samples["doit list"]),
            ceiling=MEMORY_CEILING if large else None,
        )


def running(bench: Bench) -> Iterator[Row]:
    """A run from nothing to its outputs, with v6flow's journal on."""
    table, sizes = "Run", (bench.small, bench.large)
    for shape, make in graphs.SHAPES.items():
        contenders = {f"v6flow {FIXED}": _running(bench, bench.v6flow, make(FIXED))}
        for size in sizes:
            for tool in _runners(bench, size):
                contenders[f"{tool.name} {size}"] = _running(bench, tool, make(size))
        samples = bench.measure(contenders)
        fixed = samples[f"v6flow {FIXED}"]
        yield Row(table, f"{shape} of {FIXED}", "s", _wall(fixed))
        for size in sizes:
            yield from _run_rows(bench, table, f"{shape} of {size:,}", size, samples)
        growth = [
            (most.wall - least.wall) / (few.wall - least.wall) * bench.small / bench.large
            for least, few, most in zip(fixed, *(samples[f"v6flow {size}"] for size in sizes), strict=True)
        ]
        what = f"{shape}: time per step, {bench.large:,} over {bench.small:,}"
        yield Row(table, what, "×", growth, ceiling=LINEAR_CEILING)


def resuming(bench: Bench) -> Iterator[Row]:
    """A finished graph run again: nothing to compute, and every result must be found again."""
    graph = graphs.layered(bench.large)
    tools = (bench.v6flow, bench.doit, bench.doit_getargs, bench.parsl)
    finished = {tool.name: _finish(bench, tool, graph) for tool in tools}
    samples = bench.measure({tool.name: _again(bench, tool, graph, finished[tool.name]) for tool in tools})
    kept = {tool.name: tool.kept(finished[tool.name]) / len(graph.steps) for tool in tools}
    for peer in tools[1:]:
        what = f"resume, finished run of {bench.large:,}"
        yield Row("Resume", what, "s", _wall(samples["v6flow"]), peer.name, _wall(samples[peer.name]))
    journal = bench.v6flow.journal(finished["v6flow"]).stat().st_size / len(graph.steps)
    yield Row("Resume", "journal, a step", "B", [journal])
    for peer in tools[1:]:
        yield Row("Resume", "kept on disk, a step", "B", [kept["v6flow"]], peer.name, [kept[peer.name]])


def task_runs(bench: Bench) -> Iterator[Row]:
    """The cost of the embedded backend for each task run, compared with a separate process for each."""
    if not hospitals.available():
        bench.notes.append("Task runs were not measured: vantage6's algorithm tools are not installed.")
        return
    for organizations, steps in bench.rounds.items():
        contenders = {
            "one step": _asking(bench, organizations, 1),
            f"{steps} steps": _asking(bench, organizations, steps),
            "plain processes": _plain(bench, organizations),
        }
        one, many, plain = bench.measure(contenders).values()
        for what, figure in (("", _wall), (": processor", _cpu)):
            processes = [each / organizations for each in figure(plain)]
            cold = [each / organizations for each in figure(one)]
            warm = [
                (more - few) / (steps - 1) / organizations for more, few in zip(figure(many), figure(one), strict=True)
            ]
            for state, ours in (("cold", cold), ("warm", warm)):
                yield Row(
                    "Task runs",
                    f"{state}, {organizations} organizations{what}",
                    "s",
                    ours,
                    "plain process",
                    processes,
                )


EXPERIMENTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "startup": startup,
    "plan": planning,
    "run": running,
    "resume": resuming,
    "tasks": task_runs,
}


def _runners(bench: Bench, size: int) -> list[V6flow | Peer | Reference]:
    tools: list[V6flow | Peer | Reference] = [
        bench.v6flow,
        bench.doit,
        bench.doit_getargs,
        bench.parsl,
        bench.reference,
    ]
    return [*tools, bench.luigi] if size <= bench.luigi_most else tools


def _run_rows(bench: Bench, table: str, what: str, size: int, samples: Mapping[str, Sequence[Sample]]) -> Iterator[Row]:
    ours, large = samples[f"v6flow {size}"], size == bench.large
    for peer in _runners(bench, size)[1:]:
        limit = RUN_LIMIT if large and peer is bench.parsl else None
        yield Row(table, what, "s", _wall(ours), peer.name, _wall(samples[f"{peer.name} {size}"]), limit=limit)
    for name in ("doit", "parsl"):
        yield Row(table, f"{what}: processor", "s", _cpu(ours), name, _cpu(samples[f"{name} {size}"]))
    for name in ("doit", "parsl"):
        ceiling = MEMORY_CEILING if large and name == "parsl" else None
        theirs = _memory(samples[f"{name} {size}"])
        yield Row(table, f"{what}: peak memory", "MiB", _memory(ours), name, theirs, ceiling=ceiling)


def _running(bench: Bench, tool: V6flow | Peer | Reference, graph: Graph) -> Callable[[], Sample]:
    def once() -> Sample:
        folder = bench.folder()
        tool.write(graph, folder)
        sample = settled(tool.run(), folder, tool.environment)
        tool.check(graph, folder)
        shutil.rmtree(folder)
        return sample

    return once


def _finish(bench: Bench, tool: V6flow | Peer, graph: Graph) -> Path:
    """The folder of a finished run."""
    folder = bench.folder()
    tool.write(graph, folder)
    measure(tool.run(), folder, tool.environment)
    tool.check(graph, folder)
    return folder


def _again(bench: Bench, tool: V6flow | Peer, graph: Graph, finished: Path) -> Callable[[], Sample]:
    def once() -> Sample:
        folder = bench.folder() / "copy"  # some tools write a second record of reused results
        shutil.copytree(finished, folder)
        sample = settled(tool.run_again(folder), folder, tool.environment)
        tool.check(graph, folder, again=True)
        shutil.rmtree(folder.parent)
        return sample

    return once


def _asking(bench: Bench, organizations: int, steps: int) -> Callable[[], Sample]:
    def once() -> Sample:
        folder = bench.folder()
        hospitals.write(folder, organizations=organizations, steps=steps)
        sample = settled(bench.v6flow.run(), folder, bench.v6flow.environment)
        hospitals.check(folder, organizations=organizations, steps=steps)
        shutil.rmtree(folder)
        return sample

    return once


def _plain(bench: Bench, organizations: int) -> Callable[[], Sample]:
    def once() -> Sample:
        folder = bench.folder()
        hospitals.write_plain(folder, organizations=organizations)
        command = [sys.executable, str(peers.PROGRAMS / "run_plain.py")]
        sample = settled(command, folder, bench.v6flow.environment)
        hospitals.check_plain(folder, organizations=organizations)
        shutil.rmtree(folder)
        return sample

    return once


def _command(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    check: Callable[[], None] | None = None,
) -> Callable[[], Sample]:
    def once() -> Sample:
        sample = settled(command, folder, environment)
        if check is not None:
            check()
        return sample

    return once


def _lists(folder: Path, graph: Graph) -> Callable[[], None]:
    """Whether the output names every step."""

    def check() -> None:
        found = set(re.findall(r"\bs\d+\b", (folder / "stdout").read_text()))
        peers.compare("steps not listed", sorted({step.name for step in graph.steps} - found), [])

    return check


def _wall(samples: Sequence[Sample]) -> list[float]:
    return [sample.wall for sample in samples]


def _cpu(samples: Sequence[Sample]) -> list[float]:
    return [sample.cpu for sample in samples]


def _memory(samples: Sequence[Sample]) -> list[float]:
    return [sample.memory for sample in samples]
