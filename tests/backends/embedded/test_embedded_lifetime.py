"""Answers outlive their processes, and processes never outlive their backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from embedded_stage import PATIENCE, Reports, ask, federation, fifo, gate_opens, opened, organization
from msgspec.structs import replace

from v6flow.backends.base import Accepted, Answered, Failed, Working
from v6flow.backends.embedded import responses
from v6flow.backends.embedded.backend import EmbeddedBackend
from v6flow.backends.embedded.configuration import EmbeddedFederation, Faults
from v6flow.backends.embedded.responses import child_token
from v6flow.core.execution.events import Subtask

if TYPE_CHECKING:
    from collections.abc import Iterable

pytest.importorskip("vantage6.algorithm.tools", reason="the embedded backend runs vantage6's own tools")
psutil = pytest.importorskip("psutil")


def counted(folder: Path) -> EmbeddedFederation:
    """A federation where each organization counts how often it was asked."""
    folder.mkdir(exist_ok=True)
    return federation(
        folder,
        *[
            organization(folder, name, id_, environment={"NOTE_FILE": str(folder / f"{name}.notes")})
            for id_, name in enumerate(("alpha", "beta", "gamma"), start=1)
        ],
    )


def times(folder: Path, name: str) -> int:
    path = folder / f"{name}.notes"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def children() -> list[Any]:
    return list(psutil.Process().children(recursive=True))


def all_gone(processes: Iterable[Any]) -> bool:
    _, alive = psutil.wait_procs(list(processes), timeout=PATIENCE)
    return not alive


def test_an_answer_is_adopted_and_nobody_asked_again(tmp_path: Path) -> None:
    where = counted(tmp_path)
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("echo", "alpha", "beta", value=1), again=False)
        first = {name: reports.answer("t1", name) for name in ("alpha", "beta")}
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("echo", "alpha", "beta", value=1), again=True)
        second = {name: reports.answer("t1", name) for name in ("alpha", "beta")}
        assert not [each for each in reports.all if isinstance(each, Working)]
        backend.submit(ask("echo", token="t2", value=1), again=True)
        reports.answer("t2", "alpha")
    assert first == second
    assert "wrapper for v6_probe" in second["alpha"].log
    assert (times(tmp_path, "alpha"), times(tmp_path, "beta")) == (2, 1)


def test_an_adopted_central_answer_brings_its_subtasks(tmp_path: Path) -> None:
    where = counted(tmp_path)
    ends = []
    for _ in range(2):
        with opened(where, tmp_path / "run") as (backend, reports):
            backend.submit(ask("nested_mean", column="age", organizations=[2, 3]), again=True)
            ends.append(reports.answer("t1", "alpha"))
    assert ends[0] == ends[1]
    assert len(ends[1].subtasks) == 3
    assert times(tmp_path, "gamma") == 1


def test_a_token_in_flight_is_not_started_twice(tmp_path: Path) -> None:
    where = counted(tmp_path)
    gate = fifo(tmp_path / "gate")
    with opened(where, tmp_path / "run") as (backend, reports):
        for again in (False, True, True):
            backend.submit(ask("wait", gate=str(gate)), again=again)
        gate_opens(gate)
        reports.answer("t1", "alpha")
    assert times(tmp_path, "alpha") == 1
    assert len([each for each in reports.all if isinstance(each, Answered)]) == 1
    assert len([each for each in reports.all if isinstance(each, Accepted)]) == 3


ENGINE = """
import json, sys, threading
from pathlib import Path
from embedded_stage import ask, federation, opened
from test_embedded_lifetime import counted
folder = Path(sys.argv[1])
with opened(counted(folder), folder / "run") as (backend, reports):
    backend.submit(ask("echo", "beta", token="done", value="kept"), again=False)
    reports.answer("done", "beta")
    for method, token, kwargs in json.loads(sys.argv[2]):
        backend.submit(ask(method, token=token, **kwargs), again=False)
    threading.Event().wait()
"""


def test_killing_the_engine_kills_all_and_loses_no_answer(tmp_path: Path) -> None:
    where = counted(tmp_path)
    gate, spawned, central_here = (fifo(tmp_path / name) for name in ("gate", "spawned", "central"))
    work: list[list[Any]] = [
        ["spawn_and_wait", "spawner", {"gate": str(gate), "here": str(spawned)}],
        [
            "central_then_wait",
            "central",
            {"organizations": [2, 3], "column": "age", "gate": str(gate), "here": str(central_here)},
        ],
    ]
    paths = [str(Path(__file__).parents[3] / "runner"), str(Path(__file__).parent)]
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(tmp_path), json.dumps(work)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        grandchild = psutil.Process(int(spawned.read_text(encoding="utf-8").split()[1]))
        central_here.read_text(encoding="utf-8")
        processes = [*psutil.Process(engine.pid).children(recursive=True), grandchild]
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait(PATIENCE)
    assert len({process.pid for process in processes}) >= 4  # a zygote, two task runs, and a program of one
    assert all_gone(processes)

    asked_before = {name: times(tmp_path, name) for name in ("alpha", "beta", "gamma")}
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("echo", "beta", token="done", value="kept"), again=True)
        assert reports.answer("done", "beta").body == b'"kept"'
        backend.submit(ask("central_then_wait", token="central", **work[1][2]), again=True)
        central_here.read_text(encoding="utf-8")
        gate_opens(gate)
        answer = reports.answer("central", "alpha")
    assert [each["sum"] for each in json.loads(answer.body)] == [9.0, 9.0]
    assert [subtask.status for subtask in answer.subtasks] == ["completed", "completed"]
    assert {name: times(tmp_path, name) for name in asked_before} == asked_before


def test_a_subtask_that_is_asked_something_else_is_asked(tmp_path: Path) -> None:
    parent = ("token", "alpha")
    question: dict[str, Any] = {"ordinal": 1, "organization": "beta", "databases": [], "input_": b"{}"}
    token = child_token(parent, **question)
    assert token == child_token(parent, **question)
    others: list[dict[str, Any]] = [
        {"ordinal": 2},
        {"organization": "gamma"},
        {"databases": [{"label": "a"}]},
        {"input_": b"[]"},
    ]
    tokens = {child_token(parent, **{**question, **other}) for other in others}
    tokens |= {child_token(("other", "alpha"), **question), child_token(("token", "beta"), **question), token}
    assert len(tokens) == 7


def test_kill_ends_the_processes_and_nothing_is_told(tmp_path: Path) -> None:
    gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
    with opened(federation(tmp_path), tmp_path / "run", jobs=1) as (backend, reports):
        backend.submit(ask("spawn_and_wait", gate=str(gate), here=str(here)), again=False)
        pids = [int(pid) for pid in here.read_text(encoding="utf-8").split()]
        processes = [psutil.Process(pid) for pid in pids]
        backend.submit(ask("echo", "beta", token="queued", value=1), again=False)
        backend.kill("queued", ("beta",))
        backend.kill("t1", ("alpha",))
        assert all_gone(processes)
        backend.submit(ask("echo", "beta", token="next", value=2), again=False)  # the place is free again
        assert reports.answer("next", "beta").body == b"2"
    told = [each for each in reports.all if isinstance(each, (Answered, Failed))]
    assert [each.token for each in told] == ["next"]


def test_kill_ends_subtasks_too(tmp_path: Path) -> None:
    gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
    kwargs = {"gate": str(gate), "here": str(here)}
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("central_of", organizations=[2], method="meet", kwargs=kwargs), again=False)
        process = psutil.Process(int(here.read_text(encoding="utf-8")))
        backend.kill("t1", ("alpha",))
        assert all_gone([process])
    assert not [each for each in reports.all if isinstance(each, (Answered, Failed))]


def test_a_program_that_an_algorithm_left_behind_is_ended(tmp_path: Path) -> None:
    here = fifo(tmp_path / "here")
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("spawn", here=str(here)), again=False)
        here.read_text(encoding="utf-8")
        pid = json.loads(reports.answer("t1", "alpha").body)
        with suppress(psutil.NoSuchProcess):
            assert all_gone([psutil.Process(pid)])


def test_close_ends_everything_and_may_be_repeated(tmp_path: Path) -> None:
    before, threads = children(), set(threading.enumerate())
    gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
    slow = organization(tmp_path, "beta", 2, faults=Faults(slow=3600))
    backend = EmbeddedBackend(federation(tmp_path, organization(tmp_path, "alpha", 1), slow), tmp_path / "run")
    reports = Reports()
    backend.open(reports)
    backend.submit(ask("meet", gate=str(gate), here=str(here)), again=False)
    backend.submit(ask("echo", "beta", token="slow", value=1), again=False)
    here.read_text(encoding="utf-8")
    started = [process for process in children() if process not in before]
    assert len(started) == 2
    backend.close()
    backend.close()
    assert all_gone(started)
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not [each for each in reports.all if isinstance(each, (Answered, Failed))]


def test_a_backend_that_did_nothing_closes(tmp_path: Path) -> None:
    EmbeddedBackend(federation(tmp_path), tmp_path / "run").close()


def test_the_process_that_forks_has_one_thread(tmp_path: Path) -> None:
    before = children()
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("partial_sum", column="age"), again=False)
        reports.answer("t1", "alpha")
        (zygote,) = [process for process in children() if process not in before]
        assert zygote.num_threads() == 1


def test_when_the_process_that_forks_is_lost_another_takes_its_place(tmp_path: Path) -> None:
    gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
    before = children()
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("meet", gate=str(gate), here=str(here)), again=False)
        process = psutil.Process(int(here.read_text(encoding="utf-8")))
        zygote = process.parent()
        assert zygote not in before
        zygote.kill()
        assert reports.failure("t1", "alpha").kind == "unknown"
        assert all_gone([process])
        backend.submit(ask("echo", token="t2", value=1), again=False)
        assert reports.answer("t2", "alpha").body == b"1"


def test_faults_befall_as_many_attempts_as_the_file_says(tmp_path: Path) -> None:
    from msgspec.structs import replace

    where = federation(tmp_path, organization(tmp_path, "alpha", 1, faults=Faults(start_failed=2)))
    with opened(where, tmp_path / "run") as (backend, reports):
        for attempt in (1, 2, 3):
            request = replace(ask("echo", token=f"a{attempt}", value=1), attempt=attempt)
            backend.submit(request, again=False)
        assert [reports.failure(f"a{attempt}", "alpha").kind for attempt in (1, 2)] == ["start_failed"] * 2
        assert reports.answer("a3", "alpha").body == b"1"


def test_a_slow_organization_begins_later_and_keeps_no_place(tmp_path: Path) -> None:
    where = federation(
        tmp_path,
        organization(tmp_path, "alpha", 1, faults=Faults(slow=0.3)),
        organization(tmp_path, "beta", 2),
        organization(tmp_path, "gamma", 3, faults=Faults(slow=3600)),
    )
    with opened(where, tmp_path / "run", jobs=1) as (backend, reports):
        backend.submit(ask("echo", "alpha", "beta", "gamma", value=1), again=False)
        backend.kill("t1", ("gamma",))
        reports.answer("t1", "alpha")
    assert [each.organization for each in reports.all if isinstance(each, Answered)] == ["beta", "alpha"]


def test_organizations_of_any_name_keep_their_answers_apart(tmp_path: Path) -> None:
    names = ["St. Alpha (NL)", "st. alpha (nl)", "../up", "a/b", "ä" * 200]
    where = federation(tmp_path, *[organization(tmp_path, f"o{id_}", id_) for id_ in range(5)])
    from msgspec.structs import replace

    renamed = [replace(each, name=name) for each, name in zip(where.organizations, names, strict=True)]
    where = replace(where, organizations=tuple(renamed))
    for again in (False, True):
        with opened(where, tmp_path / "run") as (backend, reports):
            request = replace(ask("echo"), kwargs={name: {"value": name} for name in names})
            backend.submit(request, again=again)
            assert [json.loads(reports.answer("t1", name).body) for name in names] == names
    assert {path.name for path in tmp_path.iterdir()} == {"run"} | {f"o{id_}.csv" for id_ in range(5)}


def test_a_folder_that_cannot_be_written_fails_the_task_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "answers").write_text("not a folder", encoding="utf-8")
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("echo", value=1), again=False)
        failed = reports.failure("t1", "alpha")
    assert failed.kind == "start_failed"
    assert "cannot be started" in failed.message


@pytest.mark.parametrize("other", [{"kwargs": {"alpha": {"value": 2}}}, {"databases": ()}, {"method": "whoami"}])
def test_an_answer_to_another_question_is_not_adopted(tmp_path: Path, other: dict[str, Any]) -> None:
    where, run = federation(tmp_path), tmp_path / "run"
    with opened(where, run) as (backend, reports):
        backend.submit(ask("echo", value=1), again=False)
        assert json.loads(reports.answer("t1", "alpha").body) == 1
    place = responses.place(run / "answers", "t1", "alpha")
    (place / responses.ANSWER).write_bytes(b"4711")
    with opened(where, run) as (backend, reports):
        backend.submit(ask("echo", value=1), again=True)
        assert json.loads(reports.answer("t1", "alpha").body) == 4711, "the same question is not asked twice"
    with opened(where, run) as (backend, reports):
        backend.submit(replace(ask("echo", value=1), **other), again=True)
        end = reports.first(lambda each: isinstance(each, (Answered, Failed)))
    assert not isinstance(end, Answered) or end.body != b"4711"


def test_an_answer_that_an_earlier_version_kept_is_adopted(tmp_path: Path) -> None:
    where, run = federation(tmp_path), tmp_path / "run"
    place = responses.place(run / "answers", "t1", "alpha")
    place.mkdir(parents=True)
    (place / responses.ANSWER).write_bytes(b"4711")
    with opened(where, run) as (backend, reports):
        backend.submit(ask("echo", value=1), again=True)
        assert json.loads(reports.answer("t1", "alpha").body) == 4711


def test_a_forgotten_answer_is_gone_with_all_that_it_was_made_of(tmp_path: Path) -> None:
    parent, child, other = (responses.place(tmp_path, token, "alpha") for token in ("parent", "child", "other"))
    for path in (parent, child, other):
        path.mkdir(parents=True)
        for name in (responses.ANSWER, responses.LOG):
            (path / name).write_text("4711", encoding="utf-8")
    responses.note_subtasks(parent, [Subtask("alpha", "completed", run="child")])
    responses.forget(tmp_path, "parent", "alpha")
    responses.forget(tmp_path, "never asked", "alpha")
    assert [path.exists() for path in (parent, child, other)] == [False, False, True]


@pytest.mark.parametrize("warm", [True, False])
def test_where_logs_are_withheld_none_is_kept(tmp_path: Path, warm: bool) -> None:
    from msgspec.structs import replace

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    where, central = federation(tmp_path), {"how": "crash"}
    with opened(where, tmp_path / "run", warm=warm) as (backend, reports):
        for token, method, kwargs in (("t1", "leak", {"how": "well"}), ("t2", "central_leak", central)):
            backend.submit(replace(ask(method, token=token, **kwargs), withheld=True), again=False)
        assert json.loads(reports.answer("t1", "alpha").body)["count"] == 1000
        assert reports.answer("t2", "alpha").subtasks[0].message == "the details are withheld"
        kept = files()
        assert responses.LOG not in kept
        assert not [name for name, body in kept.items() if b"patient" in body]
        backend.forget("t1", "alpha")
        backend.forget("t2", "alpha")
        backend.forget("t2", "alpha")
    backend.forget("t2", "alpha")
    assert not [name for name in files() if not name.startswith("interpreter-")]


def test_where_logs_are_not_withheld_they_are_kept_with_the_answer(tmp_path: Path) -> None:
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("leak", how="well"), again=False)
        assert "patient 1" in reports.answer("t1", "alpha").log
        kept = responses.place(tmp_path / "run" / "answers", "t1", "alpha") / responses.LOG
        assert b"patient 1" in kept.read_bytes()
