"""A fake server with tasks, runs and results that a test changes as it likes, and a backend that talks to it."""

from __future__ import annotations

import base64
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vantage6_fake import Asked, Fake, Say, Vantage6, say, session

from v6flow.backends.base import Accepted, Answered, Broken, Failed, Remarked, Report
from v6flow.backends.vantage6.backend import ServerBackend
from v6flow.backends.vantage6.backoff import Times
from v6flow.backends.vantage6.calls import Api
from v6flow.backends.vantage6.connecting import Connected
from v6flow.backends.vantage6.dialects import Dialect, Version
from v6flow.backends.vantage6.server_names import Collaboration, Organization, ServerDirectory, User
from v6flow.core import json
from v6flow.core.execution.commands import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from v6flow.backends.vantage6.encryption import PrivateKey

PATIENCE = 20.0  # seconds until a test says that something will never happen
IDS = {"alpha": 11, "beta": 12, "gamma": 13}
COLLABORATION = 3
QUICK = Times(
    ladder=(0.0, 0.0, 0.0),
    runs=(0.0, 0.001),
    poll=0.002,
    slowest_poll=0.01,
    finishing=(0.0, 0.001),
    silent_finish=(0.001, 0.001),
    retry=0.002,
    longest_retry=0.01,
    farewell=2.0,
)


class Reports:
    """Collects what a backend reports, and waits for more."""

    def __init__(self) -> None:
        self.all: list[Report] = []
        self._changed = threading.Condition()

    def __call__(self, report: Report) -> None:
        with self._changed:
            self.all.append(report)
            self._changed.notify_all()

    def first(self, wanted: Callable[[Report], bool]) -> Report:
        def found() -> Report | None:
            return next((report for report in list(self.all) if wanted(report)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, PATIENCE)
            report = found()
        assert report is not None, f"never reported; there were only {self.all}"
        return report

    def end(self, organization: str, token: str = "t0ken") -> Answered | Failed:
        report = self.first(
            lambda each: (
                isinstance(each, Broken)
                or (isinstance(each, (Answered, Failed)) and (each.token, each.organization) == (token, organization))
            )
        )
        assert isinstance(report, (Answered, Failed)), report
        return report

    def answer(self, organization: str, token: str = "t0ken") -> Any:
        end = self.end(organization, token)
        assert isinstance(end, Answered), end
        return json.loads(end.body)

    def failure(self, organization: str, token: str = "t0ken") -> Failed:
        end = self.end(organization, token)
        assert isinstance(end, Failed), end
        return end

    def broken(self) -> Exception:
        report = self.first(lambda each: isinstance(each, Broken))
        assert isinstance(report, Broken)
        return report.error

    def notes(self) -> list[str]:
        return [report.message for report in list(self.all) if isinstance(report, Remarked)]

    def accepted(self) -> str:
        report = self.first(lambda each: isinstance(each, Accepted))
        assert isinstance(report, Accepted)
        return report.remote


@dataclass
class World(Vantage6):
    """Tasks at a server. `on_create` may answer a POST in the server's place, and `create` is what the server does."""

    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    results: dict[int, str | None] = field(default_factory=dict)
    killed: list[int] = field(default_factory=list)
    own: int | None = None  # the only organization whose runs are listed
    has_jobs: bool = True  # tasks say which job they belong to, and can be listed by it
    on_kill: Callable[[int], Say | None] = lambda number: None
    on_create: Callable[[dict[str, Any]], Say | None] = lambda body: None
    on_read: Callable[[Asked], Say | None] = lambda asked: None

    def __call__(self, asked: Asked) -> Say:
        path = asked.path.removeprefix("/api")
        if path.startswith("/token"):
            return super().__call__(asked)
        said = self.on_read(asked) if asked.method == "GET" else None
        return said or self._answer(asked, path)

    def create(self, body: dict[str, Any], *, number: int | None = None, runs: bool = True) -> dict[str, Any]:
        number = number or max([100, *self.tasks]) + 1
        link = {"id": COLLABORATION}
        self.tasks[number] = {
            "id": number, "name": body["name"], "description": body["description"], "image": body["image"],
            "status": "pending", "collaboration": link, "init_org": {"id": 11}, "parent": body.get("parent"),
            "databases": [], "job_id": self._job(number, body.get("parent")) if self.has_jobs else None,
        }  # fmt: skip
        for each in body["organizations"] if runs else ():
            self.add_run(number, each["id"], each["input"])
        return self.tasks[number]

    def _job(self, number: int, parent: dict[str, Any] | None) -> int:
        return int(self.tasks[parent["id"]]["job_id"]) if parent is not None else number + 5000

    def dispatch(self, parent: int, *names: str, by: str = "alpha") -> int:
        """A task that a run of another has made; the number of it."""
        made = self.create({"name": "n", "description": "", "image": "image", "parent": {"id": parent},
                            "organizations": [{"id": IDS[name], "input": ""} for name in names]})  # fmt: skip
        made["init_org"] = {"id": IDS[by]}
        return int(made["id"])

    def add_run(self, task: int, organization: int, input_: str = "") -> int:
        number = max([1000, *self.runs]) + 1
        self.runs[number] = {"id": number, "status": "pending", "log": None, "organization": {"id": organization},
                             "task": {"id": task}, "input": input_, "finished_at": None}  # fmt: skip
        self.results[number] = None
        return number

    def finish(self, run: int, value: Any = None, *, status: str = "completed", log: str = "said") -> None:
        if status == "completed":
            self.results[run] = base64.b64encode(json.dumps(value).encode()).decode()
        self.runs[run] |= {"status": status, "log": log, "finished_at": "2026-01-01T00:00:00"}

    def end_runs(self, task: int) -> None:
        """What the server does to a task that is killed, and to those that it has dispatched itself."""
        children = [each["id"] for each in self.tasks.values() if (each["parent"] or {}).get("id") == task]
        for number in (task, *children):
            for run in self._runs_of(number):
                if run["finished_at"] is None:
                    run |= {"status": "killed by user", "finished_at": "2026-01-01T00:00:09"}

    def run_of(self, name: str, task: int | None = None) -> int:
        return next(
            number
            for number, run in self.runs.items()
            if run["organization"]["id"] == IDS[name] and task in (None, run["task"]["id"])
        )

    def _answer(self, asked: Asked, path: str) -> Say:
        _, kind, *rest = path.split("/")
        if asked.method == "POST":
            return self._post(asked, path)
        if kind == "task" and rest:
            task = self.tasks.get(int(rest[0]))
            if task is None:
                return say({"msg": f"task id={rest[0]} not found"}, 404)
            runs = self._runs_of(task["id"])
            results = [
                {"id": run["id"], "run": {"id": run["id"]}, "result": self.results[run["id"]]}
                for run in runs
                if "results" in asked.params.get("include", "")
            ]
            return say({**task, "runs": runs, "results": results})
        if kind == "task":
            found = self._tasks(asked.params)
            if "runs" in asked.params.get("include", ""):
                found = [{**task, "runs": self._runs_of(task["id"])} for task in found]
            return _listed(found)
        if kind == "run" and not rest:
            return _listed([
                run for run in self.runs.values()
                if run["finished_at"] is None and self.own in (None, run["organization"]["id"])
            ])  # fmt: skip
        number = int(rest[0])
        if number not in self.runs:
            return say({"msg": f"{kind} id={number} not found"}, 404)
        if kind == "run":
            return say(self.runs[number])
        return say({"id": number, "run": {"id": number}, "result": self.results[number]})

    def _runs_of(self, task: int) -> list[dict[str, Any]]:
        return [run for run in self.runs.values() if run["task"]["id"] == task]

    def _tasks(self, params: dict[str, str]) -> list[dict[str, Any]]:
        if "parent_id" in params:
            return [
                task for task in self.tasks.values() if (task["parent"] or {}).get("id") == int(params["parent_id"])
            ]
        if "job_id" in params:
            return [task for task in self.tasks.values() if task["job_id"] == int(params["job_id"])]
        token = params["description"].strip("%")
        return [task for task in self.tasks.values() if token in task["description"]]

    def _post(self, asked: Asked, path: str) -> Say:
        if path == "/kill/task":
            number = asked.json["id"]
            self.killed.append(number)
            said = self.on_kill(number)
            if said is None:
                self.end_runs(number)
            return said or say({"msg": "killed"})
        return self.on_create(asked.json) or say(self.create(asked.json), 201)


def _listed(data: list[dict[str, Any]]) -> Say:
    return say({"data": data, "links": {}}, total_count=str(len(data)))


def posts(fake: Fake) -> list[str]:
    """The tokens that were sent, in order."""
    return [
        asked.json["description"] for asked in list(fake.asked) if (asked.method, asked.path) == ("POST", "/api/task")
    ]


def request(*names: str, token: str = "t0ken", **more: Any) -> TaskRequest:
    given = {"step": "step", "attempt": 1, "image": "image", "method": "mean", **more}
    return TaskRequest(token, kwargs={name: {"column": "age"} for name in names or ("alpha",)}, **given)


def connected(fake: Fake, *, key: PrivateKey | None = None) -> Connected:
    here = session(fake, patience=0.0)
    organizations = tuple(Organization(number, name, f"Hospital {name}", "") for name, number in IDS.items())
    there = ServerDirectory(
        fake.origin,
        User(7, "somebody", 11, "Hospital alpha", ""),
        Collaboration(COLLABORATION, "hospitals", encrypted=False),
        None,
        organizations,
        None,
    )
    return Connected(here, there, Api(here, Dialect(Version("4.15.2", (4, 15, 2))), key=key))


@contextmanager
def opened(fake: Fake, *, times: Times = QUICK, **more: Any) -> Iterator[tuple[ServerBackend, Reports]]:
    there = connected(fake, **more)
    backend, reports = ServerBackend(there, times=times), Reports()
    backend.open(reports)
    try:
        yield backend, reports
    finally:
        backend.close()
        there.close()
