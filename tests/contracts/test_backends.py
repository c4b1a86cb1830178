"""What every backend must do, whatever it talks to.

A stage brings a federation and says which image and which of its methods do what; the suite knows no more.
To have another backend tested, write its stage and add a line to STAGES.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from v6flow.backends.base import (
    Accepted,
    Answered,
    Backend,
    Broken,
    Dispatched,
    Failed,
    FederationFile,
    Looked,
    Remarked,
    Report,
)
from v6flow.core.execution.commands import TaskRequest
from v6flow.core.kinds.settings import DatabaseChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from v6flow.core.directory import Directory
    from v6flow.core.json import Json

PATIENCE = 120.0  # seconds until a test says that something will never happen


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
        """The first report of some kind."""

        def found() -> list[Report]:
            return [each for each in self.all if wanted(each)]

        with self._changed:
            assert self._changed.wait_for(found, PATIENCE), f"never reported; there were only {self.all}"
            return found()[0]

    def end(self, token: str, organization: str) -> Answered | Failed:
        """How an organization ended."""

        def ends() -> list[Report]:
            return [each for each in self.all if isinstance(each, Broken) or key(each) == (token, organization)]

        with self._changed:
            assert self._changed.wait_for(ends, PATIENCE), f"never reported; there were only {self.all}"
            end = ends()[0]
        assert isinstance(end, (Answered, Failed)), end
        return end


def key(report: Report) -> tuple[str, str] | None:
    """Whose end is reported, None if no end is."""
    return (report.token, report.organization) if isinstance(report, (Answered, Failed)) else None


@dataclass(frozen=True)
class Stage:
    """A federation that a backend can be tried on, with data of known sums."""

    open: Callable[[Callable[[Report], None]], AbstractContextManager[Backend]]
    """A backend that is open until the context ends; a second one finds what the first one left."""
    image: str
    sums: dict[str, float]  # of the column `age` at each organization that is online
    offline: str  # an organization that is not
    databases: tuple[DatabaseChoice, ...]
    gate: Callable[[], tuple[dict[str, Any], Callable[[], object]]]
    """The arguments of a method that waits, and what to call to let it end."""
    methods: dict[str, str] = field(
        default_factory=lambda: {
            "echo": "echo",  # returns its argument `value`
            "sum": "partial_sum",  # {"sum", "count"} of its argument `column`
            "mean": "central_mean",  # over all that are `organizations` (ids), by subtasks of `sum`
            "of": "central_of",  # the results of `method` with `kwargs` at `organizations`
            "nested": "nested_mean",  # `mean`, as a subtask at the first of `organizations`
            "counts": "central_counts",  # sends `echo` to each of some `rounds` of organizations
            "gives_up": "central_gives_up",  # crashes while two subtasks of it wait at each of `organizations`
            "crash": "crash",  # divides by zero
            "wait": "wait",  # ends when told to
            "nan": "not_a_number",  # returns NaN
            "nothing": "leave_at_once",  # ends well without a result
            "none": "there_is_no_such_method",
        }
    )


@contextmanager
def embedded(folder: Path) -> Iterator[Stage]:
    """A federation simulated here."""
    pytest.importorskip("vantage6.algorithm.tools", reason="the embedded backend runs vantage6's own tools")
    from itertools import count
    from pathlib import Path

    from v6flow.backends.embedded.backend import EmbeddedBackend
    from v6flow.backends.embedded.configuration import Algorithm, Database, EmbeddedFederation, EmbeddedOrganization

    values = {"alpha": [1, 2, 3], "beta": [4, 5], "gamma": [9], "delta": [0]}
    for name, numbers in values.items():
        (folder / f"{name}.csv").write_text("age\n" + "\n".join(map(str, numbers)) + "\n", encoding="utf-8")
    federation = EmbeddedFederation(
        file=str(folder / "federation.yaml"),
        collaboration="hospitals",
        organizations=tuple(
            EmbeddedOrganization(
                name, id_, (Database("default", str(folder / f"{name}.csv")),), offline=name == "delta"
            )
            for id_, name in enumerate(values, start=1)
        ),
        algorithms={"probe": Algorithm("probe", "v6_probe", str(Path(__file__).parents[1] / "algorithms"))},
    )
    gates = count()

    @contextmanager
    def opened(emit: Callable[[Report], None]) -> Iterator[Backend]:
        backend = EmbeddedBackend(federation, folder / "run")
        backend.open(emit)
        try:
            yield backend
        finally:
            backend.close()

    def gate() -> tuple[dict[str, Any], Callable[[], object]]:
        path = folder / f"gate{next(gates)}"
        os.mkfifo(path)
        return {"gate": str(path)}, lambda: path.write_text("open", encoding="utf-8")

    yield Stage(
        open=opened,
        image="probe",
        sums={"alpha": 6.0, "beta": 9.0, "gamma": 9.0},
        offline="delta",
        databases=(DatabaseChoice("default"),),
        gate=gate,
    )


class _OwnTokens:
    """A backend whose tokens are unlike those of all other tests: what was asked once is at the server for ever."""

    def __init__(self, backend: Backend, prefix: str) -> None:
        self._backend = backend
        self._prefix = prefix

    def directory(self) -> Directory:
        return self._backend.directory()

    def open(self, emit: Callable[[Report], None]) -> None:
        def without(report: Report) -> None:
            if not isinstance(report, (Broken, Remarked)):
                report = replace(report, token=report.token.removeprefix(self._prefix))
            emit(report)

        self._backend.open(without)

    def submit(self, request: TaskRequest, *, again: bool) -> None:
        self._backend.submit(replace(request, token=self._prefix + request.token), again=again)

    def look(self, token: str) -> None:
        self._backend.look(self._prefix + token)

    def kill(self, token: str, organizations: tuple[str, ...]) -> None:
        self._backend.kill(self._prefix + token, organizations)

    def forget(self, token: str, organization: str) -> None:
        self._backend.forget(self._prefix + token, organization)

    def close(self) -> None:
        self._backend.close()


@contextmanager
def server(folder: Path, *, encrypted: bool = False) -> Iterator[Stage]:
    """A real vantage6 server with real nodes."""
    import uuid
    from itertools import count

    import federation as live_federation

    from v6flow.backends.vantage6 import configuration as files
    from v6flow.backends.vantage6 import connecting
    from v6flow.backends.vantage6.backend import ServerBackend
    from v6flow.backends.vantage6.backoff import Times
    from v6flow.loading import read_document

    live = live_federation.shared().encrypted if encrypted else live_federation.shared().plain
    live.start()
    path = live.write_federation_file(folder / "federation.yaml")
    raw = read_document(path, kind="federation").value
    written = files.ServerFederation.parse(FederationFile(str(path), raw, str, str))
    connected = connecting.connect(written)
    prefix = f"{uuid.uuid4().hex}-"
    gates = count()

    @contextmanager
    def opened(emit: Callable[[Report], None]) -> Iterator[Backend]:
        backend = _OwnTokens(ServerBackend(connected, times=Times(ladder=(0.0, 0.05))), prefix)
        backend.open(emit)
        try:
            yield backend
        finally:
            backend.close()

    def gate() -> tuple[dict[str, Any], Callable[[], object]]:
        fifo = folder / f"gate{next(gates)}"
        os.mkfifo(fifo)
        return {"gate": str(fifo)}, lambda: fifo.write_text("open", encoding="utf-8")

    try:
        yield Stage(
            open=opened,
            image=live_federation.PROBE,
            sums={name: float(sum(live_federation.AGES[name])) for name in ("alpha", "beta", "gamma")},
            offline=live_federation.OFFLINE,
            databases=(DatabaseChoice("default"),),
            gate=gate,
        )
    finally:
        for task in {run.task for run in connected.api.open_runs()}:
            connected.api.kill_task(task)
        connected.close()


@contextmanager
def toy(folder: Path) -> Iterator[Stage]:
    """A backend of another package, found by its entry point."""
    from itertools import count

    import installing
    from v6flow import backends, loading

    installing.install(installing.TOYS / "toy_backend", folder / "site")
    file, gates = folder / "federation.yaml", count()
    file.write_text(
        "v6flow_federation: 1\nbackend: toy\noffline: [delta]\n"
        "numbers: {alpha: [1, 2, 3], beta: [4, 5], gamma: [9], delta: [0]}\n",
        encoding="utf-8",
    )

    @contextmanager
    def opened(emit: Callable[[Report], None]) -> Iterator[Backend]:
        access = backends.reach(loading.read_federation(file))
        backend = access.backend(folder / "run")
        backend.open(emit)
        try:
            yield backend
        finally:
            backend.close()
            access.close()

    def gate() -> tuple[dict[str, Any], Callable[[], object]]:
        path = folder / f"gate{next(gates)}"
        return {"gate": str(path)}, path.touch

    with installing.importable(folder / "site"):
        yield Stage(
            open=opened,
            image="toy",
            sums={"alpha": 6.0, "beta": 9.0, "gamma": 9.0},
            offline="delta",
            databases=(),
            gate=gate,
        )


STAGES: dict[str, Callable[[Path], AbstractContextManager[Stage]]] = {
    "embedded": embedded,
    "toy": toy,
    "server": server,
    "server_encrypted": partial(server, encrypted=True),
}
LIVE = (
    pytest.mark.skipif(
        os.environ.get("V6FLOW_LIVE") == "0", reason="V6FLOW_LIVE=0: no tests with a real vantage6 server"
    ),
    pytest.mark.xdist_group("live-2"),
)
MARKS = {"server": LIVE, "server_encrypted": LIVE}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in STAGES])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with STAGES[request.param](tmp_path) as found:
        yield found


def ask(stage: Stage, method: str, *organizations: str, token: str = "question-1", **kwargs: Json) -> TaskRequest:
    """A request for one of the stage's methods, with the same arguments at each organization."""
    return TaskRequest(
        token=token,
        step="step",
        attempt=1,
        image=stage.image,
        method=stage.methods[method],
        kwargs=dict.fromkeys(organizations or tuple(stage.sums), kwargs),
        databases=stage.databases,
        name="contract/step",
        central=method in ("mean", "of", "nested", "counts", "gives_up"),
    )


def value(end: Answered | Failed) -> Any:
    assert isinstance(end, Answered), end
    return json.loads(end.body)


def test_the_directory_names_who_there_is_without_being_open(stage: Stage) -> None:
    with stage.open(Reports()) as backend:
        directory = backend.directory()
    assert set(directory.organizations) == {*stage.sums, stage.offline}
    assert set(directory.ids) == set(directory.organizations)
    assert len(set(directory.ids.values())) == len(directory.ids)
    assert directory.offline == (stage.offline,)
    assert directory.identity


def test_every_organization_answers_once(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "sum", column="age"), again=False)
        sums = {name: value(reports.end("question-1", name))["sum"] for name in stage.sums}
    assert sums == stage.sums
    assert sorted(each[1] for each in map(key, reports.all) if each) == sorted(stage.sums)
    assert [each.token for each in reports.all if isinstance(each, Accepted)] == ["question-1"]
    assert all(each.remote for each in reports.all if isinstance(each, Accepted))


@pytest.mark.parametrize("given", [None, True, 0.1, "ä\u2028", [], {"a": [1, {"b": None}]}, 2**60, "{{ 7*7 }}"])
def test_values_arrive_and_return_unchanged(stage: Stage, given: Json) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "echo", "alpha", value=given), again=False)
        assert value(reports.end("question-1", "alpha")) == given


def test_one_that_crashes_says_why_and_harms_no_other(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "crash", "alpha"), again=False)
        backend.submit(ask(stage, "echo", "beta", token="question-2", value=1), again=False)
        failed = reports.end("question-1", "alpha")
        assert value(reports.end("question-2", "beta")) == 1
    assert isinstance(failed, Failed)
    assert failed.kind == "crashed"
    assert "division by zero" in failed.message
    assert "Traceback" in failed.log


def test_an_unknown_method_is_a_failure(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "none", "alpha"), again=False)
        failed = reports.end("question-1", "alpha")
    assert isinstance(failed, Failed)
    assert failed.kind == "crashed"


def test_an_unknown_image_is_a_failure(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(replace(ask(stage, "echo", "alpha"), image="registry.invalid/none"), again=False)
        failed = reports.end("question-1", "alpha")
    assert isinstance(failed, Failed)
    assert failed.kind == "no_image"


def test_an_end_without_a_result_is_no_answer(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "nothing", "alpha"), again=False)
        failed = reports.end("question-1", "alpha")
    assert isinstance(failed, Failed)
    assert failed.kind == "garbage"


def test_what_is_not_json_is_left_for_the_engine_to_judge(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "nan", "alpha"), again=False)
        answer = reports.end("question-1", "alpha")
    assert isinstance(answer, Answered)
    assert b"NaN" in answer.body


def test_a_central_function_reports_its_subtasks(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        ids = [backend.directory().ids[name] for name in stage.sums]
        backend.submit(ask(stage, "mean", "alpha", column="age", organizations=ids), again=False)
        answer = reports.end("question-1", "alpha")
    assert value(answer) == {"mean": 4.0, "answers": 3}
    assert {(each.organization, each.status) for each in answer.subtasks} == {
        (name, "completed") for name in stage.sums
    }


def test_a_failed_subtask_is_reported_although_the_central_function_is_well(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        beta = backend.directory().ids["beta"]
        asked: dict[str, Json] = {"organizations": [beta], "method": stage.methods["crash"], "kwargs": {}}
        backend.submit(replace(ask(stage, "of", "alpha"), kwargs={"alpha": asked}), again=False)
        answer = reports.end("question-1", "alpha")
    assert isinstance(answer, Answered)
    (subtask,) = answer.subtasks
    assert (subtask.organization, subtask.status) == ("beta", "crashed")
    assert "division by zero" in subtask.message + subtask.log_tail


def test_a_subtask_brings_what_it_printed(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        ids = [backend.directory().ids[name] for name in ("alpha", "beta")]
        backend.submit(ask(stage, "mean", "alpha", column="age", organizations=ids), again=False)
        answer = reports.end("question-1", "alpha")
    assert all("summing age" in (each.log or "") for each in answer.subtasks)


def test_subtasks_are_seen_whether_or_not_it_is_called_a_central_function(stage: Stage) -> None:
    """Of an answer and of a crash; and of nothing that was not dispatched."""
    reports = Reports()
    with stage.open(reports) as backend:
        ids = [backend.directory().ids[name] for name in ("alpha", "beta")]
        said = replace(ask(stage, "mean", "gamma", column="age", organizations=ids), central=False)
        crashing = replace(
            ask(stage, "mean", "gamma", token="question-2", column="none", organizations=ids), central=False
        )
        backend.submit(said, again=False)
        backend.submit(crashing, again=False)
        backend.submit(ask(stage, "sum", "alpha", token="question-3", column="age"), again=False)
        answer, crash = reports.end("question-1", "gamma"), reports.end("question-2", "gamma")
        plain = reports.end("question-3", "alpha")
    assert {(each.organization, each.status) for each in answer.subtasks} == {
        ("alpha", "completed"),
        ("beta", "completed"),
    }
    assert isinstance(crash, Failed)
    assert {(each.organization, each.status) for each in crash.subtasks} == {("alpha", "crashed"), ("beta", "crashed")}
    assert plain.subtasks == ()


def test_of_a_task_to_several_each_has_its_own_subtasks(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        ids = backend.directory().ids
        request = ask(stage, "of", "alpha", "beta", "gamma")
        echo: dict[str, Json] = {"method": stage.methods["echo"], "kwargs": {"value": 1}}
        whom = {"alpha": "beta", "beta": "gamma", "gamma": "gamma"}
        kwargs = {name: {**echo, "organizations": [ids[other]]} for name, other in whom.items()}
        backend.submit(replace(request, kwargs=kwargs, central=False), again=False)
        for name in kwargs:
            reports.end("question-1", name)
        latest = {
            each.organization: [subtask.organization for subtask in each.subtasks]
            for each in reports.all
            if isinstance(each, (Answered, Dispatched)) and each.subtasks
        }
    assert latest == {"alpha": ["beta"], "beta": ["gamma"], "gamma": ["gamma"]}


def test_what_a_subtask_dispatched_is_below_it(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        ids = [backend.directory().ids[name] for name in ("beta", "gamma")]
        backend.submit(ask(stage, "nested", "alpha", column="age", organizations=ids), again=False)
        answer = reports.end("question-1", "alpha")
    outer, *inner = answer.subtasks
    assert (outer.organization, outer.parent, outer.by) == ("beta", "", "")
    assert {each.organization for each in inner} == {"beta", "gamma"}
    assert {(each.parent, each.by) for each in inner} == {(outer.task, "beta")}
    assert len({each.run for each in answer.subtasks if each.run}) == 3


def test_rounds_of_subtasks_are_told_apart_in_their_order(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        ids = backend.directory().ids
        rounds: Json = [[ids["alpha"], ids["beta"]], [ids["alpha"]]]
        backend.submit(ask(stage, "counts", "gamma", rounds=rounds), again=False)
        answer = reports.end("question-1", "gamma")
    tasks: dict[str, list[str]] = {}
    for each in answer.subtasks:
        tasks.setdefault(each.task, []).append(each.organization)
    assert [sorted(names) for names in tasks.values()] == [["alpha", "beta"], ["alpha"]]


def test_whom_a_central_function_waits_for_is_known_after_a_look(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        ids = [backend.directory().ids[name] for name in ("beta", stage.offline)]
        backend.submit(ask(stage, "mean", "alpha", column="age", organizations=ids), again=False)

        def waits() -> bool:
            backend.look("question-1")
            seen = [each for each in reports.all if isinstance(each, Dispatched)]
            found = {each.organization: each.status for each in seen[-1].subtasks} if seen else {}
            return found == {"beta": "completed", stage.offline: "pending"}

        until(waits)
        backend.kill("question-1", ("alpha",))
        reports.first(lambda each: isinstance(each, Remarked) and "that was still open" in each.message)
    (note,) = [each.message for each in reports.all if isinstance(each, Remarked) and "still open" in each.message]
    assert note == f"step step: ended 1 subtask of attempt 1 that was still open: {stage.offline}"


def test_subtasks_that_a_central_function_leaves_open_are_ended_and_named(stage: Stage, tmp_path: Path) -> None:
    kwargs, _ = stage.gate()
    here = tmp_path / "here"
    os.mkfifo(here)
    reports = Reports()
    with stage.open(reports) as backend:
        ids = [backend.directory().ids["beta"]]
        backend.submit(ask(stage, "gives_up", "alpha", organizations=ids, here=str(here), **kwargs), again=False)
        failed = reports.end("question-1", "alpha")
        notes = [each.message for each in reports.all if isinstance(each, Remarked)]
    assert isinstance(failed, Failed)
    assert failed.message == "ValueError: it gives up"
    assert "step step: ended 2 subtasks of attempt 1 that were still open: beta" in notes
    first = failed.subtasks[0]
    assert (first.organization, first.status, first.consequence) == ("beta", "killed by user", True)
    second = Reports()
    with stage.open(second) as backend:  # beta has nothing to do any more, and answers
        backend.submit(ask(stage, "echo", "beta", token="question-2", value=1), again=False)
        assert value(second.end("question-2", "beta")) == 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.05)


def test_an_offline_organization_is_silent_and_the_others_are_not(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "echo", "alpha", stage.offline, value=1), again=False)
        assert value(reports.end("question-1", "alpha")) == 1
        backend.kill("question-1", (stage.offline,))
    assert [key(each) for each in reports.all if key(each)] == [("question-1", "alpha")]


def test_a_token_submitted_again_is_answered_from_what_is_there(stage: Stage) -> None:
    kwargs, let_go = stage.gate()
    first, second = Reports(), Reports()
    with stage.open(first) as backend:
        backend.submit(ask(stage, "wait", "alpha", **kwargs), again=False)
        backend.submit(ask(stage, "wait", "alpha", **kwargs), again=True)
        let_go()  # one is let through: a second would wait for ever
        answer = value(first.end("question-1", "alpha"))
    with stage.open(second) as backend:
        backend.submit(ask(stage, "wait", "alpha", **kwargs), again=True)
        assert value(second.end("question-1", "alpha")) == answer
    assert len([each for each in first.all if key(each)]) == 1


def test_a_token_that_was_never_submitted_is_asked_with_again_too(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "echo", "alpha", value=5), again=True)
        assert value(reports.end("question-1", "alpha")) == 5


def test_what_is_forgotten_may_be_forgotten_again(stage: Stage) -> None:
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "sum", "alpha", column="age"), again=False)
        value(reports.end("question-1", "alpha"))
        for token in ("question-1", "question-1", "never-asked"):
            backend.forget(token, "alpha")


def test_after_a_look_all_that_was_there_has_been_reported(stage: Stage) -> None:
    kwargs, let_go = stage.gate()
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "echo", "alpha", value=1), again=False)
        backend.submit(ask(stage, "wait", "beta", token="question-2", **kwargs), again=False)
        assert value(reports.end("question-1", "alpha")) == 1
        for token in ("question-1", "question-2", "never-asked"):
            backend.look(token)
            reports.first(lambda each, token=token: each == Looked(token))  # type: ignore[misc]
        assert not [each for each in reports.all if key(each) == ("question-2", "beta")]
        let_go()
        reports.end("question-2", "beta")


def test_of_one_that_is_killed_nothing_is_heard(stage: Stage) -> None:
    kwargs, _ = stage.gate()
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "wait", "alpha", **kwargs), again=False)
        backend.kill("question-1", ("alpha",))
        backend.kill("question-1", ("alpha",))
        backend.kill("never-asked", ("alpha",))
        backend.submit(ask(stage, "echo", "alpha", token="question-2", value=1), again=False)
        assert value(reports.end("question-2", "alpha")) == 1
    assert [key(each) for each in reports.all if key(each)] == [("question-2", "alpha")]


def test_after_close_nothing_is_heard(stage: Stage) -> None:
    kwargs, _ = stage.gate()
    reports = Reports()
    with stage.open(reports) as backend:
        backend.submit(ask(stage, "wait", "alpha", **kwargs), again=False)
        backend.close()
        heard = len(reports.all)
        backend.close()
    assert len(reports.all) == heard
    assert not [each for each in reports.all if key(each)]
