"""A real vantage6 server with nodes, all behind `between`, and the same work for it as a workflow and as a script.

The server is that of `tests/live`. The nodes of alpha, beta and gamma are at work; delta's never is, so that what is
asked there stays open.
"""

from __future__ import annotations

import json
import re
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import peers
import psutil
from between import Between, Side
from measure import CommandFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from between import Exchange

LIVE = peers.HERE.parent / "tests" / "live"
sys.path.insert(0, str(LIVE))

import environment  # noqa: E402  stands in that folder
import federation  # noqa: E402
from environment import EnvironmentFailedError  # noqa: E402
from program import LiveError, http, surroundings  # noqa: E402

NODES = ("alpha", "beta", "gamma")
STEPS = 5
ANSWER = len(NODES) ** (STEPS - 1)  # each step returns the sum of what the one before returned
PATIENCE = 120.0  # seconds
MIB = 2**20
TASK = "/api/task"
ONE_TASK = re.compile(TASK + r"/\d+")


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic through a side in some time: requests, and bytes in both directions."""

    requests: int
    events: int  # the Socket.IO requests among them
    bytes: int


@dataclass(frozen=True, slots=True)
class Idle:
    """The cost of a process that waits for tasks: its traffic, and its memory at the end in MiB."""

    traffic: Traffic
    memory: float


class Collaboration:
    """The server, and its sides: `ours` for v6flow, `theirs` for the official client, `nodes`."""

    def __init__(self, server: federation.LiveServer, between: Between) -> None:
        self.live = server.plain
        self.between = between

    def side(self, name: str) -> Side:
        return self.between.sides[name]

    # -- a chain of steps

    def write_chain(self, folder: Path, *, isolation: str) -> None:
        """The chain for v6flow."""
        lines = [
            "v6flow: 1",
            "name: chain",
            "defaults:",
            f"  {{image: {federation.PROBE}, organizations: [{', '.join(NODES)}], isolation: {isolation}}}",
            "steps:",
        ]
        for step in range(STEPS):
            value = f'"{{{{ sum(steps.s{step - 1}.results) }}}}"' if step else "1"
            lines.append(f"  s{step}: {{task: {{method: echo, kwargs: {{value: {value}}}}}}}")
        lines += ["outputs:", f'  last: "{{{{ steps.s{STEPS - 1}.results }}}}"']
        self._write(folder, lines)

    def check_chain(self, folder: Path) -> None:
        """Raises WrongAnswerError unless v6flow's output is right."""
        name, _, value = (folder / "stdout").read_text().partition(": ")
        peers.compare("v6flow", {name: json.loads(value)}, {"last": [ANSWER] * len(NODES)})

    def write_official(self, folder: Path, tasks: Sequence[int] = ()) -> None:
        """The input of the programs with the official client; `tasks` are the tasks to wait for."""
        user = self.live.users.everything
        given = {
            "port": self.side("theirs").port,
            "username": user.username,
            "password": user.password,
            "collaboration": self.live.collaboration_id,
            "organizations": [self.live.organization_ids[name] for name in NODES],
            "image": federation.PROBE,
            "steps": STEPS,
            "tasks": list(tasks),
        }
        file = folder / "official.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(given), encoding="utf-8")

    def check_official(self, folder: Path) -> None:
        """Raises WrongAnswerError unless the script's answer is right."""
        found = json.loads((folder / "stdout").read_text().splitlines()[-1])
        peers.compare("the official client", found, [ANSWER] * len(NODES))

    @contextmanager
    def gaps(self, side: str, tasks: int) -> Iterator[list[float]]:
        """The seconds from each step's last answer to the first POST of the next, in the list once it is over.

        An answer counts as arrived when its node's PATCH has been answered. `tasks` is the number of tasks in one step.
        """
        clients, nodes = self.side(side).exchanges, self.side("nodes").exchanges
        before, before_nodes = len(clients), len(nodes)
        found: list[float] = []
        yield found
        posts = [each for each in clients[before:] if (each.method, each.path, each.status) == ("POST", TASK, 201)]
        peers.compare(f"tasks made ({side})", len(posts), tasks * STEPS)
        patches = [each for each in nodes[before_nodes:] if each.method == "PATCH"]
        found += [post.arrived - _last_before(patches, post) for post in posts[tasks::tasks]]

    # -- tasks that stay open

    def write_waiting(self, folder: Path, tasks: int) -> None:
        """A workflow of tasks that nobody answers."""
        lines = [
            "v6flow: 1",
            "name: waiting",
            f"defaults: {{image: {federation.PROBE}, organizations: [{federation.OFFLINE}]}}",
            "steps:",
        ]
        lines += [f"  t{number}: {{task: {{method: echo, kwargs: {{value: {number}}}}}}}" for number in range(tasks)]
        self._write(folder, lines)

    def wait(self, tool: peers.V6flow, folder: Path, tasks: int, seconds: float) -> tuple[Idle, Idle]:
        """Let v6flow submit all tasks, and measure some seconds: with events, and then without."""
        sent = self.side("ours").exchanges
        before = len(sent)

        def all_open() -> bool:
            new = [each for each in sent[before:] if each.answered]
            made = sum((each.method, each.path) == ("POST", TASK) for each in new)
            known = sum(bool(ONE_TASK.fullmatch(each.path)) for each in new)
            return made == tasks <= known and bool(self.side("ours").sockets)

        with _process(run_command(tool), folder, tool.environment) as process:
            _until(all_open, process)
            hearing = self._idle(process, "ours", seconds)
            self.between.deafen("ours", deaf=True)
            try:
                return hearing, self._idle(process, "ours", seconds)
            finally:
                self.between.deafen("ours", deaf=False)

    def wait_officially(self, folder: Path, tasks: int, seconds: float) -> Idle:
        """Measure the official client while it waits for the open tasks."""
        found = self.open_tasks()
        peers.compare("open tasks", len(found), tasks)
        self.write_official(folder, found)
        with _process(_official("wait_official.py"), folder, surroundings(folder)) as process:
            _until(lambda: "ready" in (folder / "stdout").read_text(), process)
            return self._idle(process, "theirs", seconds)

    def open_tasks(self) -> list[int]:
        """All tasks that are open."""
        status, body = self.live.server.request("GET", "/run?state=open&per_page=1000")
        peers.compare("the status of a list", status, 200)
        return sorted({run["task"]["id"] for run in body["data"] if run["status"] == "pending"})

    def kill_all(self) -> None:
        """Kill the open tasks."""
        for task in self.open_tasks():
            self.live.server.request("POST", "/kill/task", {"id": task})

    def _idle(self, process: subprocess.Popen[bytes], side: str, seconds: float) -> Idle:
        with self.traffic(side) as traffic:
            time.sleep(seconds)
        return Idle(traffic[0], psutil.Process(process.pid).memory_info().rss / MIB)

    def _write(self, folder: Path, workflow: Sequence[str]) -> None:
        (folder / "workflow.yaml").write_text("\n".join(workflow) + "\n")
        url = f"http://127.0.0.1:{self.side('ours').port}/api"
        self.live.write_federation_file(folder / "federation.yaml", server=url)

    # -- traffic

    @contextmanager
    def traffic(self, name: str) -> Iterator[list[Traffic]]:
        """The traffic through a side, in the list at the end."""
        side = self.side(name)
        requests, counted = len(side.exchanges), side.bytes
        found: list[Traffic] = []
        yield found
        new = side.exchanges[requests:]
        found.append(Traffic(len(new), sum(each.is_event for each in new), side.bytes - counted))

    def cost(self, times: int) -> float:
        """The seconds that `between` adds to a request."""
        ports = (self.live.server.port, self.side("theirs").port)
        took: dict[int, list[float]] = {port: [] for port in ports}
        for _ in range(times):
            for port in ports:
                began = time.perf_counter()
                http("GET", f"http://127.0.0.1:{port}/api/version")
                took[port].append(time.perf_counter() - began)
        straight, through = (statistics.median(took[port]) for port in ports)
        return through - straight


@contextmanager
def collaboration() -> Iterator[Collaboration]:
    """Start the server, and stop it at the end. Raises CommandFailedError."""
    try:
        with _brought_up() as found:
            yield found
    except (LiveError, EnvironmentFailedError) as error:
        raise CommandFailedError(str(error)) from error


@contextmanager
def _brought_up() -> Iterator[Collaboration]:
    server = federation.LiveServer()
    try:
        server.start()
        sides = {name: Side() for name in ("nodes", "ours", "theirs")}
        between = Between(server.port, **sides)
        for name in NODES:
            server.plain.start_node(name, port=sides["nodes"].port)
        try:
            yield Collaboration(server, between)
        finally:
            server.plain.stop()
            between.close()
    finally:
        server.close()


def run_command(tool: peers.V6flow) -> list[str]:
    """The command for v6flow."""
    return [*tool.run(), "--federation", "federation.yaml"]


def official_command() -> list[str]:
    """The command for the chain with the official client, in `official_environment`."""
    return _official("run_official.py")


def official_environment(folder: Path) -> dict[str, str]:
    """The environment variables for the official client."""
    return surroundings(folder)


def _official(program: str) -> list[str]:
    return [str(environment.interpreter()), str(peers.PROGRAMS / program)]


@contextmanager
def _process(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end; its output is left in `stdout` and `stderr`."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end or process.poll() is not None:
            raise CommandFailedError(f"{process.args!r} ended, or did not get on in {PATIENCE:.0f} s")
        time.sleep(0.05)


def _last_before(patches: Sequence[Exchange], post: Exchange) -> float:
    return max(each.answered for each in patches if each.arrived < post.arrived and each.answered is not None)
