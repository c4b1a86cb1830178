"""Central functions: their subtasks, the server they talk to, and who waits for whom."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from embedded_stage import IMAGE, PATIENCE, ask, federation, fifo, gate_opens, opened, organization

from v6flow.backends.base import Accepted
from v6flow.backends.embedded.configuration import Faults
from v6flow.backends.embedded.server import Server

if TYPE_CHECKING:
    from pathlib import Path

    from v6flow.core.execution.events import Subtask

pytest.importorskip("vantage6.algorithm.tools", reason="the embedded backend runs vantage6's own tools")


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def statuses(subtasks: tuple[Subtask, ...]) -> list[tuple[str, str]]:
    return [(subtask.organization, subtask.status) for subtask in subtasks]


def test_a_central_function_averages_what_its_subtasks_return(tmp_path: Path) -> None:
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("central_mean", column="age"), again=False)
        answer = reports.answer("t1", "alpha")
    assert json.loads(answer.body) == {"mean": 4.0, "answers": 3}
    assert statuses(answer.subtasks) == [
        ("alpha", "completed"),
        ("beta", "completed"),
        ("gamma", "completed"),
    ]


def test_subtasks_of_subtasks_are_listed_too(tmp_path: Path) -> None:
    with opened(federation(tmp_path), tmp_path / "run", jobs=1) as (backend, reports):
        backend.submit(ask("nested_mean", "beta", column="age", organizations=[1, 3]), again=False)
        answer = reports.answer("t1", "beta")
    assert json.loads(answer.body) == [{"mean": 3.75, "answers": 2}]
    assert statuses(answer.subtasks) == [
        ("alpha", "completed"),
        ("alpha", "completed"),
        ("gamma", "completed"),
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_central_functions_do_not_wait_for_each_other_for_ever(tmp_path: Path, jobs: int) -> None:
    with opened(federation(tmp_path), tmp_path / "run", jobs=jobs) as (backend, reports):
        for name in ("alpha", "beta", "gamma"):
            backend.submit(ask("central_rounds", name, token=name, organizations=[1, 2, 3], rounds=2), again=False)
        assert [reports.answer(name, name).body for name in ("alpha", "beta", "gamma")] == [b"6"] * 3


def test_a_crashed_subtask_is_told_and_the_others_are_waited_for(tmp_path: Path) -> None:
    gate = fifo(tmp_path / "gate")
    where = federation(
        tmp_path,
        organization(tmp_path, "alpha", 1),
        organization(tmp_path, "beta", 2, faults=Faults(crash=True)),
        organization(tmp_path, "gamma", 3),
    )
    with opened(where, tmp_path / "run") as (backend, reports):
        kwargs: dict[str, Any] = {"organizations": [2, 3], "method": "wait", "kwargs": {"gate": str(gate)}}
        backend.submit(ask("central_of", **kwargs), again=False)
        gate_opens(gate)
        answer = reports.answer("t1", "alpha")
    assert json.loads(answer.body) == ["gate opened"]
    assert statuses(answer.subtasks) == [("beta", "crashed"), ("gamma", "completed")]
    assert "federation file injects" in answer.subtasks[0].message


def test_a_subtask_that_crashes_brings_its_message_and_its_log(tmp_path: Path) -> None:
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("central_of", organizations=[2], method="crash", kwargs={}), again=False)
        (subtask,) = reports.answer("t1", "alpha").subtasks
    assert (subtask.organization, subtask.status) == ("beta", "crashed")
    assert subtask.message == "ZeroDivisionError: division by zero"
    assert "about to divide" in subtask.log_tail


def test_a_central_function_that_dies_of_it_lists_its_subtasks_as_well(tmp_path: Path) -> None:
    where = federation(
        tmp_path,
        organization(tmp_path, "alpha", 1),
        organization(tmp_path, "beta", 2, faults=Faults(start_failed=1)),
    )
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("central_mean", column="age", organizations=[2]), again=False)
        failed = reports.failure("t1", "alpha")
    assert failed.message.startswith("ZeroDivisionError")
    assert statuses(failed.subtasks) == [("beta", "start failed")]


def test_a_garbled_subtask_is_no_answer(tmp_path: Path) -> None:
    where = federation(
        tmp_path,
        organization(tmp_path, "alpha", 1),
        organization(tmp_path, "beta", 2, faults=Faults(garbage=True)),
    )
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("central_of", organizations=[2], method="echo", kwargs={"value": 1}), again=False)
        answer = reports.answer("t1", "alpha")
    assert json.loads(answer.body) == [None]
    assert statuses(answer.subtasks) == [("beta", "failed")]


def test_an_offline_subtask_stays_pending_and_the_rest_is_told(tmp_path: Path) -> None:
    where = federation(
        tmp_path,
        organization(tmp_path, "alpha", 1),
        organization(tmp_path, "beta", 2, offline=True),
        organization(tmp_path, "gamma", 3, faults=Faults(no_answer=True)),
    )
    new = {
        "image": IMAGE,
        "collaboration_id": 1,
        "organizations": [{"id": id_, "input": encoded({"method": "echo"})} for id_ in (2, 3)],
    }
    calls = [
        {"method": "post", "path": "task", "json": new},
        {"path": "task/2/status"},
        {"path": "run?task_id=2"},
    ]
    with opened(where, tmp_path / "run", hold=0.05) as (backend, reports):
        backend.submit(ask("requests", calls=calls), again=False)
        answer = reports.answer("t1", "alpha")
    created, status, runs = json.loads(answer.body)
    assert created[0] == 201
    assert status == [200, {"status": "pending"}]
    assert [run["status"] for run in runs[1]["data"]] == ["pending", "pending"]
    assert statuses(answer.subtasks) == [("beta", "pending"), ("gamma", "pending")]


def test_what_is_left_behind_is_killed(tmp_path: Path) -> None:
    gate = fifo(tmp_path / "gate")
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("central_leaves", organizations=[2], gate=str(gate)), again=False)
        answer = reports.answer("t1", "alpha")
    assert answer.body == b'"left"'
    assert statuses(answer.subtasks) == [("beta", "killed by user")]


def test_the_server_answers_as_the_real_one(tmp_path: Path) -> None:
    where = federation(tmp_path, *[organization(tmp_path, f"org{id_}", id_) for id_ in range(1, 13)])
    new = {
        "name": "mine",
        "image": IMAGE,
        "collaboration_id": 1,
        "description": "",
        "organizations": [
            {"id": id_, "input": encoded({"method": "echo", "kwargs": {"value": id_}})} for id_ in (1, 2)
        ],
        "databases": [{"label": "default", "query": "SELECT 1"}],
    }
    paths = {
        "first page": "organization?collaboration_id=1",
        "second page": "organization?collaboration_id=1&page=2",
        "beyond": "organization?collaboration_id=1&page=3",
        "page 0": "organization?page=0",
        "page x": "organization?page=x",
        "organization": "organization/12",
        "no organization": "organization/99",
        "collaboration": "collaboration/1",
        "study": "study/1",
        "blobs": "blobstream/status",
        "status": "task/2/status",
        "task": "task/2",
        "task with all": "task/2?include=runs,results",
        "tasks": "task?parent_id=1",
        "runs": "run?task_id=2",
        "run": "run/2",
        "results": "result?task_id=2",
        "results of no task": "result",
        "result": "result/3",
        "no task": "task/99",
        "results of none": "result?task_id=99",
        "version": "version",
        "health": "health",
        "nothing": "nothing",
    }
    calls: list[dict[str, Any]] = [{"method": "post", "path": "task", "json": new}]
    calls += [{"path": path} for path in paths.values()]
    calls += [{"path": "task/1", "token": token} for token in ("", "Bearer nobody", "Bearer a.b.c")]
    calls += [{"method": "delete", "path": "task/1"}]
    with opened(where, tmp_path / "run") as (backend, reports):
        backend.submit(ask("requests", "org1", calls=calls), again=False)
        created, *rest = json.loads(reports.answer("t1", "org1").body)
    seen = dict(zip(paths, rest, strict=False))
    assert created[0] == 201
    assert created[1]["parent"]["id"] == created[1]["job_id"] == 1
    assert created[1]["databases"] == [{"label": "default", "parameters": '{"query":"SELECT 1"}'}]
    first, second = seen["first page"][1], seen["second page"][1]
    assert [each["id"] for each in first["data"] + second["data"]] == list(range(1, 13))
    assert set(first["links"]) == {"first", "self", "next", "last"}
    assert set(second["links"]) == {"first", "previous", "self", "last"}
    assert seen["beyond"] == [200, {"data": [], "links": seen["beyond"][1]["links"]}]
    assert seen["page 0"] == [500, {"msg": "page needs to be >= 1"}]
    assert seen["page x"][0] == 500
    assert seen["organization"][1]["name"] == "org12"
    assert seen["organization"][1]["public_key"] == ""
    assert seen["collaboration"][1]["name"] == "hospitals"
    assert seen["blobs"] == [200, {"blob_store_enabled": False}]
    assert seen["status"] == [200, {"status": "completed"}]
    assert seen["task"][1]["status"] == "completed"
    assert seen["task"][1]["finished_at"]
    assert [run["id"] for run in seen["task with all"][1]["runs"]] == [2, 3]
    assert [result["id"] for result in seen["task with all"][1]["results"]] == [2, 3]
    assert [task["id"] for task in seen["tasks"][1]["data"]] == [2]
    assert [run["id"] for run in seen["runs"][1]["data"]] == [3, 2]  # the newest first
    assert "wrapper for v6_probe" in seen["run"][1]["log"]
    assert seen["run"][1]["organization"]["id"] == 1
    assert [json.loads(base64.b64decode(each["result"])) for each in seen["results"][1]["data"]] == [2, 1]
    assert json.loads(base64.b64decode(seen["result"][1]["result"])) == 2
    assert [seen[name][0] for name in ("results of no task", "results of none")] == [400, 400]
    assert [seen[name][0] for name in ("no organization", "study", "no task", "nothing")] == [404] * 4
    assert all("msg" in seen[name][1] for name in ("no organization", "study", "no task", "nothing"))
    assert seen["version"][1] == {"version": "4.15.2"}
    assert seen["health"][1] == {"database": True}
    assert [status for status, _ in rest[len(paths) : len(paths) + 3]] == [401] * 3
    assert rest[-1][0] == 405


GOOD = {
    "image": IMAGE,
    "collaboration_id": 1,
    "organizations": [{"id": 1, "input": encoded({"method": "echo"})}],
}
BAD: dict[str, tuple[Any, int, str]] = {
    "not a mapping": ([], 400, "Request body is incorrect"),
    "unknown field": (GOOD | {"parent_id": 1}, 400, "Unknown field."),
    "no image": ({name: GOOD[name] for name in GOOD if name != "image"}, 400, "Missing data"),
    "other image": (GOOD | {"image": "registry.example/other"}, 401, "Container-token is not valid"),
    "no organizations": (GOOD | {"organizations": []}, 400, "At least one organization is required"),
    "organization without id": (
        GOOD | {"organizations": [{"input": ""}]},
        400,
        "Organization id is required",
    ),
    "foreign organization": (GOOD | {"organizations": [{"id": 9, "input": "e30="}]}, 400, "not within"),
    "twice": (GOOD | {"organizations": [{"id": 1, "input": "e30="}] * 2}, 400, "named twice"),
    "no input": (GOOD | {"organizations": [{"id": 1}]}, 400, "cannot be parsed"),
    "input is no base64": (GOOD | {"organizations": [{"id": 1, "input": "{}"}]}, 400, "cannot be parsed"),
    "databases are text": (GOOD | {"databases": "default"}, 400, "Not a valid value."),
    "database without label": (GOOD | {"databases": [{"query": "x"}]}, 400, "label is required"),
    "database with more": (GOOD | {"databases": [{"label": "a", "uri": "b"}]}, 400, "unknown keys"),
    "other collaboration": (GOOD | {"collaboration_id": 2}, 404, "Collaboration id=2 not found"),
    "study": (GOOD | {"study_id": 4}, 404, "Study id=4 not found"),
    "neither": ({name: GOOD[name] for name in GOOD if name != "collaboration_id"}, 400, "is required"),
    "name is a number": (GOOD | {"name": "12"}, 400, "name"),
}


def test_a_task_that_the_server_would_refuse_is_refused(tmp_path: Path) -> None:
    calls = [{"method": "post", "path": "task", "json": body} for body, _, _ in BAD.values()]
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("requests", calls=calls), again=False)
        answer = reports.answer("t1", "alpha")
    for (name, (_, status, words)), seen in zip(BAD.items(), json.loads(answer.body), strict=True):
        assert seen[0] == status, name
        assert words in json.dumps(seen[1]), name
    assert answer.subtasks == ()


def test_an_algorithm_sees_only_its_own_job(tmp_path: Path) -> None:
    gate, here = fifo(tmp_path / "gate"), fifo(tmp_path / "here")
    with opened(federation(tmp_path), tmp_path / "run") as (backend, reports):
        backend.submit(ask("meet", token="other", gate=str(gate), here=str(here)), again=False)
        here.read_text(encoding="utf-8")
        accepted = reports.first(lambda each: isinstance(each, Accepted) and each.token == "other")
        assert accepted == Accepted("other", "task 1")
        calls = [{"path": path} for path in ("task/1", "task/1/status", "run/1", "result/1", "run?task_id=1", "run")]
        backend.submit(ask("requests", token="mine", calls=calls), again=False)
        seen = json.loads(reports.answer("mine", "alpha").body)
        gate_opens(gate)
        reports.answer("other", "alpha")
    assert [status for status, _ in seen] == [404, 404, 404, 404, 400, 200]
    assert [run["id"] for run in seen[-1][1]["data"]] == [2]


def test_a_question_about_a_status_is_held_until_the_task_has_ended(tmp_path: Path) -> None:
    alpha = organization(tmp_path, "alpha", 1)
    server = Server()
    settings: dict[str, Any] = {"name": "", "description": "", "image": IMAGE, "databases": ()}
    (caller,) = server.create(**settings, asked=[(alpha, "t", b"{}")]).runs
    task = server.create(**settings, asked=[(alpha, "u", b"{}")], parent=caller)
    waiter = threading.Thread(target=server.wait, args=(task, caller, 10 * PATIENCE))
    waiter.start()
    assert waiter.is_alive()
    with server.changed:
        task.runs[0].status, task.runs[0].ended = "completed", True
        server.changed.notify_all()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
