"""The backend on a server that loses, doubles, hides and denies what a real one does not on demand."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from vantage6_fake import RESET, Asked, Fake, Say, say
from vantage6_world import IDS, PATIENCE, World, opened, posts, request

from v6flow.backends.base import Accepted, Answered, Dispatched, Failed, Remarked, Working
from v6flow.backends.vantage6 import classification, reconciliation, records
from v6flow.backends.vantage6.backend import THREADS
from v6flow.backends.vantage6.backoff import Backoff, Times
from v6flow.backends.vantage6.notifications import Notifications
from v6flow.backends.vantage6.refusals import AmbiguousError, DeniedError
from v6flow.errors import AccessError, PersonNeededError

if TYPE_CHECKING:
    from collections.abc import Callable


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.002)


def losing(world: World, lost: Say, *, commits: bool = True) -> Callable[[dict[str, Any]], Say | None]:
    """The first POST is carried out (or not), and its answer is lost."""
    remaining = [lost]

    def create(body: dict[str, Any]) -> Say | None:
        if not remaining:
            return None
        if commits:
            world.create(body)
        return remaining.pop()

    return create


def finish_all(world: World) -> None:
    for number in list(world.runs):
        world.finish(number, {"n": number})


@pytest.mark.parametrize("lost", [RESET, say({"msg": "x"}, 502), say({"msg": "x"}, 504), say({}, 201)])
def test_a_task_whose_answer_was_lost_is_adopted_by_its_token(lost: Say) -> None:
    world = World()
    world.on_create = losing(world, lost)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert reports.accepted() == "task 101"
        finish_all(world)
        assert reports.answer("alpha") == {"n": 1001}
        assert posts(fake) == ["t0ken"]


def test_a_commit_that_lands_late_is_found() -> None:
    world = World()
    looks: list[Asked] = []
    bodies: list[dict[str, Any]] = []

    def read(asked: Asked) -> Say | None:
        if "description" in asked.params:
            looks.append(asked)
            if len(looks) == 3:
                world.create(bodies[0])
        return None

    world.on_read = read

    def create(body: dict[str, Any]) -> Say:
        bodies.append(body)
        return RESET

    world.on_create = create
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert reports.accepted() == "task 101"
        assert (len(looks), posts(fake)) == (3, ["t0ken"])


def test_what_certainly_is_not_there_is_sent_again_under_the_same_token_and_a_late_twin_is_resolved() -> None:
    world = World()
    world.on_create = losing(world, RESET, commits=False)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        until(lambda: reports.all and world.runs)
        time.sleep(0.05)
        body = next(asked.json for asked in fake.asked if asked.path == "/api/task" and asked.method == "POST")
        world.create(body, number=50)  # the first one lands at last, and has the lower id
        world.finish(world.run_of("alpha", 101), {"from": 101})
        until(lambda: world.killed == [101])
        world.finish(world.run_of("alpha", 50), {"from": 50})
        assert reports.answer("alpha") == {"from": 50}
        assert posts(fake) == ["t0ken", "t0ken"]
    assert ["exists twice" in note for note in reports.notes()] == [True]
    assert len([each for each in reports.all if isinstance(each, Answered)]) == 1


def test_what_is_lost_twice_and_not_there_needs_a_person() -> None:
    world = World(on_create=lambda body: RESET)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        error = reports.broken()
        assert isinstance(error, PersonNeededError)
        assert "--resubmit step/alpha" in (error.hint or "")
        assert posts(fake) == ["t0ken", "t0ken"]


@pytest.mark.parametrize("refusal", [say({"msg": "You lack the permission to do that!"}, 401), say({"msg": "no"}, 400)])
def test_a_look_up_that_is_refused_needs_a_person_and_nothing_is_sent_again(refusal: Say) -> None:
    world = World(on_read=lambda asked: refusal if "description" in asked.params else None)
    world.on_create = losing(world, RESET)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert isinstance(reports.broken(), PersonNeededError)
        assert posts(fake) == ["t0ken"]


def test_look_ups_that_come_to_no_answer_do_not_count() -> None:
    answers: list[AmbiguousError | tuple[records.Task, ...]] = [
        AmbiguousError("x", retry_after=7.0),
        (),
        AmbiguousError("x"),
        (),
        (),
        (),
    ]

    def look() -> tuple[records.Task, ...]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    climbing = reconciliation.climb(look, (0.1, 0.3, 1.0), Backoff(0.5, 30.0, random=lambda: 1.0), sleep=note)
    found = asyncio.run(climbing)
    assert found == ()
    assert waits == pytest.approx([0.1, 7.0, 0.1, 0.2, 0.5, 0.1, 0.2, 0.7])
    assert answers == []


def test_the_ladder_is_the_measured_one() -> None:
    assert Times().ladder == (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def test_of_twins_the_lowest_id_is_kept() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        body = {"name": "n", "description": "t0ken", "image": "image",
                "organizations": [{"id": 11, "input": "eyJtZXRob2QiOiAibWVhbiIsICJrd2FyZ3MiOiB7fX0="}]}  # fmt: skip
        sent = _sent(fake, world)
        body["organizations"] = sent["organizations"]
        world.tasks.clear()
        world.runs.clear()
        for number in (9, 7, 8):
            world.create(body, number=number)
        backend.submit(request(), again=True)
        assert reports.accepted() == "task 7"
        assert world.killed == [8, 9]
        assert posts(fake) == ["first"]
    assert ["exists twice" in note for note in reports.notes()] == [True, True]


def _sent(fake: Fake, world: World, *names: str) -> dict[str, Any]:
    """What is sent for a request, found out under another token."""
    with opened(fake) as (backend, reports):
        backend.submit(request(*names, token="first"), again=False)
        reports.accepted()
    body: dict[str, Any] = next(
        asked.json for asked in fake.asked if asked.method == "POST" and asked.path == "/api/task"
    )
    return {**body, "description": "t0ken"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "another"}, "its image is another"),
        ({"organizations": "strangers"}, "organizations that were not asked (beta)"),
        ({"method": "other"}, "it asks alpha something else"),
    ],
)
def test_an_adopted_task_must_be_what_was_asked(change: dict[str, str], words: str) -> None:
    world = World()
    with Fake(world) as fake:
        body = _sent(fake, world)
        world.tasks.clear()
        world.runs.clear()
        if "organizations" in change:
            body["organizations"] = [*body["organizations"], {**body["organizations"][0], "id": 12}]
        elif "image" in change:
            body["image"] = change["image"]
        world.create(body)
        asked = request(**({"method": "other"} if "method" in change else {}))
        with opened(fake) as (backend, reports):
            backend.submit(asked, again=True)
            error = reports.broken()
    assert isinstance(error, PersonNeededError)
    assert words in error.message
    assert (posts(fake), world.killed) == (["first"], [])


def test_an_answer_that_is_there_is_told_before_the_task_is_accepted() -> None:
    world = World()
    with Fake(world) as fake:
        body = _sent(fake, world)
        world.tasks.clear()
        world.runs.clear()
        world.create(body)
        finish_all(world)
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=True)
            reports.accepted()
    assert [type(each) for each in reports.all] == [Answered, Accepted]
    assert posts(fake) == ["first"]


def test_what_was_never_sent_is_sent_after_empty_look_ups() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=True)
        assert reports.accepted() == "task 101"
        assert posts(fake) == ["t0ken"]
        before = [asked for asked in fake.asked if "description" in asked.params and asked.method == "GET"]
    assert len(before) >= 3


@pytest.mark.parametrize("status", ["pending", "completed"])
def test_organizations_without_a_run_are_named_whatever_the_task_says(status: str) -> None:
    world = World()

    def create(body: dict[str, Any]) -> Say:
        task = world.create({**body, "organizations": [each for each in body["organizations"] if each["id"] == 11]})
        task["status"] = status
        return say(task, 201)

    world.on_create = create
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        failed = reports.failure("beta")
        assert (failed.kind, failed.message) == ("unknown", "the server made no run for it in task 101")
        finish_all(world)
        assert reports.answer("alpha") == {"n": 1001}


def test_runs_that_appear_after_their_task_are_waited_for() -> None:
    world = World()
    reads: list[Asked] = []

    def read(asked: Asked) -> Say | None:
        if asked.path == "/api/task/101":
            reads.append(asked)
            if len(reads) == 2:
                world.add_run(101, 11)
        return None

    world.on_read = read
    world.on_create = lambda body: say(world.create(body, runs=False), 201)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert "something else" in str(reports.broken()), "an input that is not ours is noticed"


@pytest.mark.parametrize("status", [None, "thinking", ""])
def test_a_status_nobody_knows_ends_nothing(status: str | None) -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        reports.accepted()
        world.runs[1001]["status"] = status
        count = len(fake.asked)
        until(lambda: len(fake.asked) > count + 5)
        assert [type(each) for each in reports.all] == [Accepted, Remarked], "it is said once"
        world.runs[1001]["finished_at"] = "2026-01-01T00:00:00"  # not even then
        count = len(fake.asked)
        until(lambda: len(fake.asked) > count + 5)
        assert [type(each) for each in reports.all] == [Accepted, Remarked]
        finish_all(world)
        assert reports.answer("alpha") == {"n": 1001}


@pytest.mark.parametrize(
    "bad", [say({"msg": "x"}, 500), say(body=b"<p>down</p>", status=404), say(body=b"{", status=200)]
)
def test_a_server_that_is_away_is_waited_for(bad: Say) -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        world.on_read = lambda asked: bad
        finish_all(world)
        count = len(fake.asked)
        until(lambda: len(fake.asked) > count + 5)
        assert not [each for each in reports.all if not isinstance(each, Accepted)]
        world.on_read = lambda asked: None
        assert reports.answer("alpha") == {"n": 1001}
        assert reports.answer("beta") == {"n": 1002}


def test_what_has_certainly_not_arrived_is_sent_until_it_does() -> None:
    world = World()
    busy = [say({"msg": "later"}, 429, retry_after="0")] * 4
    world.on_create = lambda body: busy.pop() if busy else None
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert reports.accepted() == "task 101"
        assert posts(fake) == ["t0ken"] * 5
        assert not [asked for asked in fake.asked if "description" in asked.params]


def test_what_the_server_refuses_fails_and_is_not_repeated() -> None:
    world = World(on_create=lambda body: say({"msg": "organization has no node"}, 400))
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        failed = reports.failure("alpha")
        assert (failed.kind, posts(fake)) == ("not_allowed", ["t0ken"])
        assert "organization has no node" in failed.message


def test_a_missing_right_stops_everything() -> None:
    world = World(on_create=lambda body: say({"msg": "You lack the permission to do that!"}, 401))
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert isinstance(reports.broken(), AccessError)


@pytest.mark.parametrize("hides", ["others", "all", "denied"])
def test_runs_that_the_lists_hide_are_found_another_way(hides: str) -> None:
    world = World(own={"others": 11, "all": 99}.get(hides))
    if hides == "denied":
        refusal = say({"msg": "You lack the permission to do that!"}, 401)
        world.on_read = lambda asked: refusal if asked.path == "/api/run" else None
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta", "gamma"), again=False)
        reports.accepted()
        count = len(fake.asked)
        until(lambda: len(fake.asked) > count + 10)
        assert not [each for each in reports.all if not isinstance(each, Accepted)]
        finish_all(world)
        assert [reports.answer(name)["n"] for name in IDS] == [1001, 1002, 1003]


def test_each_organization_is_waited_for_though_the_task_has_failed() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta", "gamma"), again=False)
        reports.accepted()
        world.tasks[101]["status"] = "failed"
        world.runs[1002]["status"] = "active"
        world.finish(
            1003,
            status="failed",
            log="Marked as failed because sibling run id=1001 failed with status 'crashed'.",
        )
        world.finish(1001, status="crashed", log="Traceback (most recent call last):\n  x\nValueError: no\n")
        crashed, sibling = reports.failure("alpha"), reports.failure("gamma")
        assert (crashed.kind, crashed.message) == ("crashed", "ValueError: no")
        assert "as a consequence: alpha failed first (crashed)" in sibling.message
        assert reports.first(lambda each: isinstance(each, Working)) == Working("t0ken", "beta")
        world.finish(1002, 2)
        assert reports.answer("beta") == 2


@pytest.mark.parametrize(
    ("moment", "began"),
    [
        ("2026-11-21T05:23:01.5", 1795238581.5),
        ("2026-11-21T06:23:01.5+01:00", 1795238581.5),
        ("2026-11-21T05:23:01.500000Z", 1795238581.5),
        (None, None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        (17, None),
    ],
)
def test_when_an_organization_began_is_told_though_it_has_ended_since(moment: Any, began: float | None) -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha"), again=False)
        reports.accepted()
        world.runs[1001]["started_at"] = moment
        world.finish(1001, 7)
        assert reports.answer("alpha") == 7
        told = [each for each in reports.all if isinstance(each, Working)]
        assert told == ([] if began is None else [Working("t0ken", "alpha", began)])


@pytest.mark.parametrize("stored", [None, "", "!", "MQ==$MQ==$MQ==", "gASVAA=="])
def test_a_result_that_is_none_fails_its_organization(stored: str | None) -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        finish_all(world)
        world.results[1001] = stored
        world.runs[1001]["finished_at"] = "now"
        failed = reports.failure("alpha")
        assert failed.kind == "garbage"
        assert reports.answer("beta") == {"n": 1002}


def test_a_task_that_was_deleted_or_killed_failed() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha"), again=False)
        backend.submit(request("beta", token="other"), again=False)
        until(lambda: len([each for each in reports.all if isinstance(each, Accepted)]) == 2)
        run = world.run_of("alpha")
        task = world.runs[run]["task"]["id"]
        del world.tasks[task], world.runs[run]
        world.finish(world.run_of("beta"), status="killed by user", log="")
        assert "deleted" in reports.failure("alpha").message
        assert reports.failure("alpha").kind == reports.failure("beta", "other").kind == "killed"


def test_a_kill_ends_the_task_and_nothing_is_told_of_it() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        until(lambda: fake.asked[-1].path == "/api/run")
        backend.kill("t0ken", ("alpha",))
        assert world.killed == [], "beta is still waited for"
        backend.kill("t0ken", ("beta",))
        until(lambda: world.killed == [101])
        finish_all(world)
    assert [type(each) for each in reports.all] == [Accepted]


def test_a_kill_is_sent_although_the_backend_closes_at_once_and_a_refused_one_is_noted() -> None:
    world = World()
    with Fake(world) as fake:
        body = _sent(fake, world)
        world.create(body)
        with opened(fake) as (backend, reports):
            backend.kill("t0ken", ("alpha",))  # of an earlier process
        assert world.killed == [102]
        world._post = lambda asked, path: say({"msg": "You lack the permission to do that!"}, 401)  # type: ignore[method-assign]
        with opened(fake) as (backend, reports):
            backend.kill("t0ken", ("alpha",))
    (note,) = reports.all
    assert isinstance(note, Remarked)
    assert "task 102 could not be killed and may continue at the server: the server does not allow" in note.message
    assert isinstance(note.error, AccessError)


def test_what_is_killed_before_it_was_sent_is_never_sent() -> None:
    world = World()
    with Fake(world) as fake, opened(fake, times=Times(ladder=(0.05, 0.1))) as (backend, reports):
        backend.submit(request(), again=True)
        backend.kill("t0ken", ("alpha",))
        time.sleep(0.2)
    assert (posts(fake), reports.all) == ([], [])


def test_what_is_killed_while_it_waits_for_its_turn_is_never_sent() -> None:
    gate = threading.Event()

    def create(body: dict[str, Any]) -> None:
        gate.wait(PATIENCE)

    world = World(on_create=create)
    tokens = [f"t0ken-{number}" for number in range(40)]
    with Fake(world) as fake, opened(fake) as (backend, _):
        for token in tokens:
            backend.submit(request(token=token), again=False)
        until(lambda: len(posts(fake)) == THREADS)
        for token in tokens:
            backend.kill(token, ("alpha",))
        gate.set()
        until(lambda: len(world.killed) == THREADS)
    assert len(posts(fake)) == THREADS


def test_one_list_serves_all_open_tasks() -> None:
    world = World()
    slow = Times(poll=0.02, slowest_poll=0.02, ladder=(0.0,))
    with Fake(world) as fake, opened(fake, times=slow) as (backend, reports):
        for number in range(30):
            backend.submit(request(token=f"t{number}"), again=False)
        until(lambda: len([each for each in reports.all if isinstance(each, Accepted)]) == 30)
        until(lambda: all(each.path == "/api/run" for each in fake.asked[-5:]))  # what followed the posts is done
        count = len(fake.asked)
        until(lambda: len(fake.asked) > count + 5)
        asked = {each.path for each in fake.asked[count:]}
        assert asked - {"/socket.io/"} == {"/api/run"}  # there are no events; now and then they are tried again
        finish_all(world)
        for number in range(30):
            assert reports.end("alpha", f"t{number}")


@pytest.mark.parametrize("has_jobs", [True, False])
def test_subtasks_are_told_with_what_they_dispatched(has_jobs: bool) -> None:
    world = World(has_jobs=has_jobs)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(central=True), again=False)
        reports.accepted()
        sub = world.create({"name": "n", "description": "", "image": "image", "parent": {"id": 101},
                            "organizations": [{"id": 12, "input": ""}, {"id": 77, "input": ""}]})  # fmt: skip
        world.finish(world.run_of("beta"), status="crashed", log="Traceback (most recent call last):\n x\nE: no\n")
        world.finish(max(world.runs), 1)
        world.dispatch(sub["id"], "gamma", by="beta")
        world.finish(world.run_of("alpha"), {"mean": 1})
        end = reports.end("alpha")
    assert [(each.organization, each.status, each.message) for each in end.subtasks] == [
        ("beta", "crashed", "E: no"),
        ("organization 77", "completed", ""),
        ("gamma", "pending", ""),
    ]
    gamma = end.subtasks[2]
    assert (gamma.parent, gamma.by) == (end.subtasks[0].task, "beta")
    assert end.subtasks[0].ended is not None
    assert world.killed == [103]  # what was left open of it
    assert reports.notes() == ["step step: ended 1 subtask of attempt 1 that was still open: gamma"]


def looks(fake: Fake) -> list[dict[str, str]]:
    """The questions after what tasks have dispatched."""
    return [each.params for each in list(fake.asked) if each.path == "/api/task" and each.method == "GET"
            and ("parent_id" in each.params or "job_id" in each.params)]  # fmt: skip


def test_each_task_is_looked_at_once_for_what_it_dispatched() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta", "gamma"), again=False)
        backend.submit(request("alpha", token="other"), again=False)
        until(lambda: len(world.runs) == 4)
        finish_all(world)
        for name in ("alpha", "beta", "gamma"):
            assert reports.end(name).subtasks == ()
        assert reports.end("alpha", "other").subtasks == ()
    assert sorted(each["parent_id"] for each in looks(fake)) == ["101", "102"]


def test_a_task_that_dispatched_without_saying_so_takes_one_request_more() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        reports.accepted()
        world.dispatch(101, "beta")
        world.finish(world.run_of("beta"), 1)
        world.finish(world.run_of("alpha"), 2)
        assert [each.organization for each in reports.end("alpha").subtasks] == ["beta"]
    assert [sorted(each) for each in looks(fake)] == [
        ["page", "parent_id", "per_page"],
        ["include", "job_id", "page", "per_page"],
    ]


def test_what_the_server_does_not_end_is_named() -> None:
    """It takes a task for finished in which one run has failed, and a user may not be allowed to kill."""
    refusals = {
        "the server takes their task for finished": say(
            {"msg": "Task 102 already finished with status 'crashed'"}, 400
        ),
        "the server does not allow": say({"msg": "You lack the permission to do that!"}, 401),
    }
    for words, refusal in refusals.items():
        world = World()
        world.on_kill = lambda _, refusal=refusal: refusal  # type: ignore[misc]
        with Fake(world) as fake, opened(fake) as (backend, reports):
            backend.submit(request(central=True), again=False)
            reports.accepted()
            world.dispatch(101, "beta", "gamma")
            world.finish(world.run_of("beta"), status="crashed")
            world.finish(world.run_of("alpha"), status="crashed", log="Traceback (most recent call last):\n x\nE: no\n")
            assert reports.failure("alpha").message == "E: no"
            (note,) = reports.notes()
        assert note.startswith("step step: could not end 1 subtask of attempt 1 that is still open: gamma (")
        assert words in note


def test_a_kill_ends_all_that_was_dispatched_and_names_it() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(central=True), again=False)
        reports.accepted()
        world.dispatch(world.dispatch(101, "beta"), "gamma", by="beta")
        backend.kill("t0ken", ("alpha",))
        until(reports.notes)
    assert world.killed == [101, 103]  # the server ends with a task what that has dispatched, and no more
    assert reports.notes() == ["step step: ended 2 subtasks of attempt 1 that were still open: beta, gamma"]


def test_whom_a_task_of_an_earlier_process_asked_is_ended_with_it() -> None:
    world = World()
    with Fake(world) as fake:
        world.create(
            {"name": "n", "description": "t0ken", "image": "image", "organizations": [{"id": 11, "input": ""}]}
        )
        world.dispatch(101, "beta")
        with opened(fake) as (backend, reports):
            backend.kill("t0ken", ("alpha",))
        assert world.killed == [101]
        assert reports.notes() == ["ended 1 subtask of task 101 that was still open: beta"]


def test_what_is_dispatched_is_reported_while_the_task_goes_on() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(central=True), again=False)
        reports.accepted()
        world.runs[world.run_of("alpha")]["status"] = "active"
        world.dispatch(101, "beta")
        seen = reports.first(lambda each: isinstance(each, Dispatched) and bool(each.subtasks))
        assert isinstance(seen, Dispatched)
        assert [(each.organization, each.status) for each in seen.subtasks] == [("beta", "pending")]
        backend.kill("t0ken", ("alpha",))


def run(status: str, log: str) -> records.Run:
    return records.Run(1, 1, 11, status, log, None, None, "x", None, blob=False)


@pytest.mark.parametrize(
    ("status", "log", "kind", "words"),
    [
        ("crashed", "", "crashed", "does not share logs"),
        ("crashed", classification.UNSHARED, "crashed", "does not share logs"),
        ("crashed", "info > x\nerror > Method 'y' not found!\n", "crashed", "Method 'y' not found!"),
        ("crashed", "Traceback (most recent call last):\n x\nKeyError: 'OMOP_DATABASE_URI'", "no_database", "omop"),
        ("start failed", "no memory", "start_failed", "could not start the algorithm: no memory"),
        ("non-existing Docker image", "", "no_image", "no image the-image"),
        ("not allowed", "", "not_allowed", "does not allow the image the-image"),
        ("killed by user", "", "killed", "somebody killed it"),
        ("unknown error", "", "unknown", "'unknown error'"),
        ("failed", "\x1b[31mCould not", "unknown", "'failed': [31mCould not"),
    ],
)
def test_why_it_failed_in_peoples_words(status: str, log: str, kind: str, words: str) -> None:
    cause = classification.of(run(status, log), "the-image", {})
    assert cause.kind == kind
    assert words in cause.message


def test_a_failure_that_stops_everything_is_told_and_others_close_in_time() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        reports.accepted()
        world.on_read = lambda asked: say({"msg": "You lack the permission to do that!"}, 401)
        assert isinstance(reports.broken(), DeniedError)
        began = time.monotonic()
        backend.close()
        backend.close()
        assert time.monotonic() - began < 1.0
    assert not [each for each in reports.all if isinstance(each, (Answered, Failed))]


def test_an_end_that_was_told_is_looked_for_by_the_measured_rule() -> None:
    times = Times()
    looks: list[tuple[int, tuple[float, ...]]] = []
    signals = Notifications(lambda *look: looks.append(look), times)
    signals.updated({"run_id": 5})
    signals.status_changed({"run_id": 5, "status": "active"})
    signals.updated({"run_id": 5})
    assert looks == [(5, (0.5,)), (5, (0.5,))]
    looks.clear()
    signals.status_changed({"run_id": 5, "status": "completed"})
    signals.updated({"run_id": 5})
    signals.updated({"run_id": 5})
    assert looks == [(5, times.silent_finish), (5, times.finishing), (5, (0.5,))]
    nonsense: tuple[Any, ...] = (None, "x", {}, {"run_id": "5"}, {"run_id": True}, [])
    for strange in nonsense:
        signals.updated(strange)
        signals.status_changed(strange)
    assert len(looks) == 3
