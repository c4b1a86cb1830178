"""A server, or a proxy before it, that answers something else than was requested: nothing of it is ever used."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from vantage6_fake import Asked, Fake, Say, Vantage6, jwt, say, session
from vantage6_world import COLLABORATION, IDS, PATIENCE, QUICK, Reports, World, connected, opened, posts, request

from v6flow.backends.base import Answered, Broken, Failed, Remarked
from v6flow.backends.vantage6 import configuration as files
from v6flow.backends.vantage6 import encryption, paging, server_names
from v6flow.backends.vantage6.access import ServerAccess
from v6flow.backends.vantage6.backend import ServerBackend
from v6flow.backends.vantage6.calls import Api
from v6flow.backends.vantage6.dialects import Dialect, TaskDraft, Version
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import AmbiguousError
from v6flow.core.kinds.settings import DatabaseChoice
from v6flow.errors import PersonNeededError

if TYPE_CHECKING:
    from collections.abc import Callable


NO_IDS: list[Any] = [None, "1001", True, 1001.0, [1001], {"id": "1001"}]
"""What is no id, though it may look like one."""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.002)


def body(said: Say) -> Any:
    return json.loads(list(said.pieces)[1])


class Mixing(World):
    """It answers some reads with something else: `mixed` changes the answer to a path, `left` times at most."""

    mixed: dict[str, Callable[[Any], Any]]
    left: float

    def begin(self, left: float = float("inf"), **mixed: Callable[[Any], Any]) -> None:
        self.left = left
        self.mixed = {path.replace("__", "/"): change for path, change in mixed.items()}

    def __call__(self, asked: Asked) -> Say:
        said = super().__call__(asked)
        change = getattr(self, "mixed", {}).get(asked.path.removeprefix("/api/"))
        if asked.method != "GET" or change is None or self.left <= 0:
            return said
        self.left -= 1
        return say(change(body(said)))


def told(reports: Reports) -> list[Answered | Failed]:
    return [each for each in reports.all if isinstance(each, (Answered, Failed))]


def disagreement(reports: Reports) -> StrangeError:
    error = reports.broken()
    assert isinstance(error, StrangeError), error
    assert error.exit_code == 6
    assert error.kind == "person_needed"
    assert "mixes up answers" in (error.hint or "")
    return error


def foreign_result(value: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {**value, "result": "NjY2", **change}


# ------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize(
    "change",
    [
        {"id": 424242, "run": {"id": 999999}},
        {"id": 424242},
        {"run": {"id": 999999}},
        {"task": {"id": 999}},
        *[{"id": odd} for odd in NO_IDS],
        *[{"run": odd} for odd in NO_IDS],
        {"task": {"id": "101"}},
    ],
    ids=str,
)
def test_a_result_of_another_run_is_never_an_answer(change: dict[str, Any]) -> None:
    world = Mixing()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        world.begin(result__1001=lambda value: foreign_result(value, **change))
        world.finish(1001, 1)
        error = disagreement(reports)
        assert told(reports) == []
        assert len([asked for asked in fake.asked if asked.path == "/api/result/1001"]) == 4, "a few looks, no more"
        assert posts(fake) == ["t0ken"]
        assert "run" in error.message or "result" in error.message
        world.begin()
        world.finish(1002, 2)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=True)
        assert [reports.answer(name) for name in ("alpha", "beta")] == [1, 2]
        assert posts(fake) == [], "nobody is asked again"


@pytest.mark.parametrize(
    "results",
    [
        lambda mine: [{**mine, "id": 7, "run": {"id": 7}, "result": "NjY2"}],
        lambda mine: [mine, {**mine, "result": "NjY2"}],
        lambda mine: [{**mine, "run": {"id": 7}, "result": "NjY2"}],
        lambda mine: [{**mine, "task": {"id": 7}, "result": "NjY2"}],
        lambda mine: [{**mine, "id": True, "result": "NjY2"}],
    ],
)
def test_results_that_come_with_a_task_are_compared_as_well(
    results: Callable[[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "results": [other for mine in value["results"] for other in results(mine)]}

    world = Mixing()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        reports.accepted()
        world.begin(task__101=change)
        world.finish(1001, "mine")
        assert reports.answer("alpha") == "mine", "read by itself, with its own id"


def test_an_answer_that_is_mixed_up_once_is_read_again() -> None:
    world = Mixing()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        world.begin(2, result__1001=lambda value: foreign_result(value, id=1002, run={"id": 1002}))
        for number in (1001, 1002):
            world.finish(number, number)
        assert [reports.answer(name) for name in ("alpha", "beta")] == [1001, 1002]


def test_a_result_that_was_encrypted_for_us_belongs_to_a_run_by_its_ids_only() -> None:
    key = encryption.load_private_key(encryption.generate_private_key(2048), "ours.pem")
    secret = encryption.encrypt(b'"of another run"', key.public_text, "us")
    world = Mixing()
    with Fake(world) as fake:
        there = connected(fake)
        organizations = tuple(replace(each, public_key=key.public_text) for each in there.directory.organizations)
        collaboration = replace(there.directory.collaboration, encrypted=True)
        known = replace(there.directory, organizations=organizations, collaboration=collaboration)
        api = Api(there.session, there.api.dialect, key=key)
        backend, reports = ServerBackend(replace(there, directory=known, api=api), times=QUICK), Reports()
        backend.open(reports)
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        world.begin(result__1001=lambda value: foreign_result(value, run={"id": 1002}, result=secret))
        world.finish(1001, 1)
        disagreement(reports)
        assert told(reports) == []
        backend.close()
        there.close()


# ---------------------------------------------------------------------------------------------------- runs, tasks


def strange_run(value: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {**value, "status": "completed", "finished_at": "2026-01-01T00:00:00", **change}


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1002},
        {"task": {"id": 999}},
        {"organization": {"id": IDS["gamma"]}},
        {"organization": None},
        {"task": None},
        *[{"id": odd} for odd in NO_IDS],
    ],
    ids=str,
)
def test_a_run_stays_the_run_of_its_task_and_organization(change: dict[str, Any]) -> None:
    world = Mixing(own=IDS["gamma"])  # no list shows our runs: each is read by itself
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        world.begin(run__1001=lambda value: strange_run(value, **change))
        disagreement(reports)
        assert told(reports) == []
        assert posts(fake) == ["t0ken"]


def test_a_list_of_open_runs_that_is_mixed_up_is_done_without() -> None:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "data": [{**run, "organization": {"id": IDS["gamma"]}} for run in value["data"]]}

    world = Mixing()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        world.begin(run=change)
        until(reports.notes)
        assert [note[:50] for note in reports.notes()] == ["the server's list of open runs is not used, since "]
        for number in (1001, 1002):
            world.finish(number, number)
        assert [reports.answer(name) for name in ("alpha", "beta")] == [1001, 1002]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: {**value, "id": 7},
        lambda value: {**value, "id": "101"},
        lambda value: {**value, "runs": [{**run, "task": {"id": 7}} for run in value["runs"]]},
        lambda value: {**value, "runs": [value["runs"][0], {**value["runs"][0], "status": "crashed"}]},
        lambda value: {**value, "collaboration": {"id": "3"}},
        lambda value: None,
        lambda value: {"msg": "hello"},
    ],
)
def test_a_task_is_the_one_that_was_requested(change: Callable[[Any], Any]) -> None:
    world = Mixing()
    world.begin(task__101=change)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        disagreement(reports)
        assert told(reports) == []
        assert posts(fake) == ["t0ken"]


def test_an_organization_with_two_runs_in_a_task_has_no_answer() -> None:
    world = World()

    def create(body: dict[str, Any]) -> Say:
        task = world.create(body)
        world.add_run(task["id"], IDS["alpha"], body["organizations"][0]["input"])
        for number, value in ((1001, 1), (1002, 2)):
            world.finish(number, value)
        return say(task, 201)

    world.on_create = create
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        error = reports.broken()
        assert isinstance(error, PersonNeededError)
        assert "asks alpha more than once" in error.message
        assert told(reports) == []


def test_a_second_run_that_shows_up_later_is_seen_before_the_first_one_counts() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        reports.accepted()
        until(lambda: fake.asked[-1].path == "/api/run")
        world.add_run(101, IDS["alpha"], world.runs[1001]["input"])
        for number, value in ((1001, 1), (1002, 2)):
            world.finish(number, value)
        assert "several runs for alpha" in disagreement(reports).message
        assert told(reports) == []


@pytest.mark.parametrize("kind", ["task", "run", "result"])
def test_that_something_else_is_not_there_is_no_answer(kind: str) -> None:
    elsewhere = say({"msg": f"{kind} id=7 not found"}, 404)
    world = World(own=IDS["gamma"])
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        reports.accepted()
        until(lambda: "/api/run" in [asked.path for asked in fake.asked])
        number = 101 if kind == "task" else 1001
        world.on_read = lambda asked: elsewhere if asked.path == f"/api/{kind}/{number}" else None
        if kind == "task":
            with pytest.raises(StrangeError, match="7 not found; 101 was requested"):
                connected(fake).api.task_with_runs(101)
            return
        world.finish(1001, 1)
        assert "1001 was requested" in disagreement(reports).message
        assert told(reports) == [], "nobody says that it was deleted"


@pytest.mark.parametrize(
    ("has_jobs", "what"), [(True, "task 200 as part of job 5101"), (False, "task 200 as a subtask of task 101")]
)
def test_subtasks_are_those_of_their_parent(has_jobs: bool, what: str) -> None:
    child = {"id": 200, "name": "n", "description": "", "image": "image", "parent": {"id": 7}, "databases": []}
    listed = {"data": [child], "links": {}}
    world = Mixing()
    world.has_jobs = has_jobs
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(central=True), again=False)
        reports.accepted()
        world.begin(task=lambda value: listed)
        world.finish(1001, 1)
        assert what in disagreement(reports).message
        assert told(reports) == []


def test_runs_of_a_task_are_its_own() -> None:
    run = {"id": 1, "status": "completed", "organization": {"id": 11}, "task": {"id": 7}}
    with Fake(Vantage6({"/run": lambda _: say({"data": [run], "links": {}})})) as fake:
        here = Api(session(fake), Dialect(Version("4.15.2", (4, 15, 2))))
        with pytest.raises(StrangeError, match="run 1 of task 7"):
            here.runs_of(5)


# ------------------------------------------------------------------------------------------ tasks by their tokens


def test_the_answer_to_a_creation_is_the_task_that_was_created() -> None:
    world = World()

    def create(body: dict[str, Any]) -> Say:
        world.create(body)
        return say(world.create({**body, "description": "somebody else's"}), 201)

    world.on_create = create
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert reports.accepted() == "task 101", "found by its token"
        world.finish(1001, 1)
        world.finish(1002, 2)
        assert reports.answer("alpha") == 1
        assert posts(fake) == ["t0ken"]
        draft = TaskDraft("t0ken", "name", "", "image", 3, {11: "aW4="})
        with pytest.raises(AmbiguousError, match="does not carry its token"):
            connected(fake).api.create_task(draft)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "another"}, "its image is another"),
        ({"collaboration": {"id": COLLABORATION + 1}}, "another collaboration"),
        ({"init_user": {"id": 8}}, "another user made it"),
        ({"init_org": {"id": 12}}, "another user made it"),
        ({"parent": {"id": 9}}, "it is a subtask of task 9"),
        ({"databases": [{"label": "omop", "parameters": "{}"}]}, "its databases are not none"),
        ({"study": {"id": 4}}, "another study"),
    ],
)
def test_a_foreign_task_with_our_token_is_neither_adopted_nor_killed(change: dict[str, Any], words: str) -> None:
    world = World()
    with Fake(world) as fake:
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=False)
            reports.accepted()
        body = {**next(asked.json for asked in fake.asked if asked.path == "/api/task" and asked.method == "POST")}
        world.create(body, number=150)
        world.tasks[150] |= change
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=True)
            error = reports.broken()
    assert isinstance(error, PersonNeededError)
    assert words in error.message
    assert (world.killed, told(reports)) == ([], [])


def test_a_task_that_uses_its_database_in_another_way_is_another() -> None:
    choice = DatabaseChoice("omop", query="SELECT 1")
    world = World()
    with Fake(world) as fake:
        with opened(fake) as (backend, reports):
            backend.submit(request(databases=(choice,)), again=False)
            reports.first(lambda each: isinstance(each, Broken))  # this server keeps no databases
        world.tasks[101]["databases"] = [{"label": "omop", "parameters": '{"query":"SELECT 2"}'}]
        with opened(fake) as (backend, reports):
            backend.submit(request(databases=(choice,)), again=True)
            assert "in another way" in str(reports.broken())
        world.tasks[101]["databases"] = [{"label": "omop", "parameters": '{"query":"SELECT 1"}'}]
        with opened(fake) as (backend, reports):
            backend.submit(request(databases=(choice,)), again=True)
            assert reports.accepted() == "task 101"


def test_a_cancel_kills_no_task_of_somebody_else() -> None:
    world = World()
    with Fake(world) as fake:
        body = {"name": "n", "description": "t0ken", "image": "image", "organizations": [{"id": 11, "input": ""}]}
        world.create(body)
        world.tasks[101]["collaboration"] = {"id": COLLABORATION + 1}
        with opened(fake) as (backend, reports):
            backend.kill("t0ken", ("alpha",))
    assert world.killed == []
    (note,) = reports.all
    assert isinstance(note, Remarked)
    assert "could not be killed" in note.message
    assert "it belongs to another collaboration" in note.message


@pytest.mark.parametrize(
    "said",
    [
        say([1]),
        say({"ok": True}),
        say({"msg": "Task id=7 not found"}, 404),
        say({"msg": "Task 7 already finished with status 'completed', so cannot kill it!"}, 400),
    ],
)
def test_a_kill_that_is_not_confirmed_for_this_task_is_none(said: Say) -> None:
    with Fake(Vantage6({"/kill/task": lambda _: said})) as fake, pytest.raises(StrangeError):
        connected(fake).api.kill_task(101)


@pytest.mark.parametrize("strange", [say({"data": [{"id": True, "description": "t0ken"}]}), say({"data": [[]]})])
def test_look_ups_that_do_not_fit_need_a_person_and_nothing_is_sent_again(strange: Say) -> None:
    world = World(on_read=lambda asked: strange if "description" in asked.params else None)
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=True)
        error = reports.broken()
        assert isinstance(error, PersonNeededError)
        assert "whether the task of step step for alpha exists at the server is unknown" in error.message
        assert posts(fake) == []


def test_the_log_of_an_organization_is_that_of_its_only_run() -> None:
    world = World()
    with Fake(world) as fake:
        there = connected(fake)
        task = world.create({"name": "n", "description": "t0ken", "image": "i",
                             "organizations": [{"id": 11, "input": ""}]})  # fmt: skip
        world.runs[1001]["log"] = "first"
        access = ServerAccess.__new__(ServerAccess)
        access._connected = there
        assert access.log(None, "t0ken", "alpha") == "first"  # type: ignore[arg-type]  # all is at the server
        world.add_run(task["id"], 11)
        with pytest.raises(StrangeError, match="several runs for alpha"):
            access.log(None, "t0ken", "alpha")  # type: ignore[arg-type]
        there.close()


# ----------------------------------------------------------------------------------------------------------- blobs

BLOBS = ["0b5c5a0e-3f0e-4a41-9a0c-6f6d1c1f7f10", "1b5c5a0e-3f0e-4a41-9a0c-6f6d1c1f7f11"]


def blob_api(fake: Fake) -> Api:
    return Api(session(fake), Dialect(Version("4.15.2", (4, 15, 2)), blobs=True))


@pytest.mark.parametrize("name", ["../token", "abc", None, 7])
def test_an_upload_is_named_as_blobs_are(name: Any) -> None:
    with Fake(Vantage6({"/blobstream": lambda _: say({"uuid": name}, 201)})) as fake, pytest.raises(StrangeError):
        blob_api(fake).prepare_input(b"{}", "", "us")


def test_two_uploads_have_two_names() -> None:
    with Fake(Vantage6({"/blobstream": lambda _: say({"uuid": BLOBS[0]}, 201)})) as fake:
        here = blob_api(fake)
        here.prepare_input(b"1", "", "alpha")
        with pytest.raises(StrangeError, match="the same name"):
            here.prepare_input(b"2", "", "beta")


def test_two_runs_do_not_have_one_blob_as_their_result() -> None:
    def stored(number: int) -> Callable[[Asked], Say]:
        value = {"id": number, "run": {"id": number}, "result": BLOBS[0], "blob_storage_used": True}
        return lambda _: say(value)

    routes = {"/result/1": stored(1), "/result/2": stored(2), f"/blobstream/{BLOBS[0]}": lambda _: say(body=b"MQ==")}
    with Fake(Vantage6(routes)) as fake:
        here = blob_api(fake)
        assert here.result(1) == b"1"
        assert here.result(1) == b"1", "read again, it is the same"
        with pytest.raises(StrangeError, match="the result of run 1 as the result of run 2"):
            here.result(2)


# --------------------------------------------------------------------------------------------------- names and ids


def listed(*items: dict[str, Any]) -> Callable[[Asked], Say]:
    return lambda _: say({"data": list(items), "links": {}}, total_count=str(len(items)))


def names(**routes: Any) -> Vantage6:
    alpha = {"id": 11, "name": "alpha", "public_key": ""}
    known: dict[str, Callable[[Asked], Say]] = {
        "/user/7": lambda _: say({"id": 7, "username": "somebody", "organization": {"id": 11}}),
        "/organization/11": lambda _: say(alpha),
        "/organization": listed(alpha),
        "/collaboration": listed({"id": 3, "name": "hospitals", "encrypted": False}),
        "/node": listed({"id": 1, "name": "n", "organization": {"id": 11}, "collaboration": {"id": 3}}),
        "/study": listed({"id": 5, "name": "s", "collaboration": {"id": 3}}),
    }
    return Vantage6(known | {f"/{path.replace('__', '/')}": route for path, route in routes.items()})


HERE = files.ServerFederation("https://x/api", "hospitals", "u", "${env:P}", file="/f.yaml", study="s")


def test_names_that_fit_are_taken() -> None:
    with Fake(names()) as fake:
        assert server_names.read(session(fake), HERE).by_id().keys() == {11}


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({"user__7": lambda _: say({"id": 8, "username": "somebody", "organization": {"id": 11}})}, "user 8"),
        ({"user__7": lambda _: say({"id": True, "username": "somebody", "organization": {"id": 11}})}, "is none"),
        ({"user__7": lambda _: say({"id": 7, "username": "other", "organization": {"id": 11}})}, "we are other"),
        ({"user__7": lambda _: say({"id": 7, "username": "somebody", "organization": {"id": True}})}, "organization"),
        ({"organization__11": lambda _: say({"id": 12, "name": "beta"})}, "organization 12 when organization 11"),
        ({"organization": listed({"id": True, "name": "alpha"})}, "without an id"),
        ({"collaboration": listed({"id": "3", "name": "hospitals"})}, "without an id"),
        ({"node": listed({"id": 1, "organization": {"id": 11}, "collaboration": {"id": 4}})}, "the node 1"),
        ({"node": listed({"id": 1, "organization": {"id": True}})}, "whose the node"),
        ({"study": listed({"id": 5, "name": "s", "collaboration": {"id": 4}})}, "the study 5"),
        (
            {
                "organization": lambda asked: listed(
                    {"id": 12 if "study_id" in asked.params else 11, "name": "beta", "public_key": ""}
                )(asked)
            },
            "organization 12 in the study s",
        ),
    ],
)
def test_names_and_ids_of_others_are_refused(routes: dict[str, Any], words: str) -> None:
    with Fake(names(**routes)) as fake, pytest.raises(StrangeError, match=words) as caught:
        server_names.read(session(fake), HERE)
    assert caught.value.exit_code == 6


def test_a_name_that_is_mixed_up_once_is_read_again() -> None:
    said = [say({"id": 8}), say({"id": 8}), say({"id": 7, "username": "somebody", "organization": {"id": 11}})]
    with Fake(names(user__7=lambda _: said.pop(0))) as fake:
        assert server_names.read_user(session(fake)).id == 7


def test_a_page_with_items_without_ids_is_refused() -> None:
    for odd in NO_IDS:
        with Fake(Vantage6({"/task": listed({"id": odd})})) as fake, pytest.raises(StrangeError):
            paging.items(session(fake), "/task")


def test_a_token_is_renewed_for_the_same_user() -> None:
    server = Vantage6({"/run": lambda _: say(1)})

    def answer(asked: Asked) -> Say:
        if asked.path == "/api/token/refresh":
            return say({"access_token": jwt(8), "refresh_token": "x"})
        return server(asked)

    with Fake(answer) as fake:
        here = session(fake)
        here.get("/run")
        server.valid.clear()
        with pytest.raises(StrangeError, match="the token of user 7 with one of user 8"):
            here.get("/run")
        assert all(asked.token != jwt(8) for asked in fake.asked)
