"""Cases of the list of faults that no other file here shows, each on a server that plays it on a real socket."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from vantage6_fake import RESET, Asked, Fake, Say, Vantage6, say
from vantage6_world import IDS, PATIENCE, QUICK, Reports, World, connected, opened, posts, request

from fakes import FakeJournal, engine, make
from v6flow.backends.base import Answered, Broken, Failed
from v6flow.backends.vantage6 import connecting, encryption
from v6flow.backends.vantage6.backend import ServerBackend
from v6flow.backends.vantage6.backoff import Times, backoff, not_sent_again
from v6flow.backends.vantage6.calls import Api
from v6flow.backends.vantage6.configuration import ServerFederation
from v6flow.backends.vantage6.encryption import KeyProblemError
from v6flow.backends.vantage6.executor import patiently
from v6flow.backends.vantage6.notifications import Notifications
from v6flow.backends.vantage6.refusals import AmbiguousError, NotSentError
from v6flow.backends.vantage6.sockets import Socket
from v6flow.clock import SystemClock
from v6flow.core.execution.state import RunState, replay
from v6flow.errors import AccessError, PersonNeededError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from v6flow.backends.base import Backend

LACKING = say({"msg": "You lack the permission to do that!"}, 401)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.002)


def ends(reports: Reports) -> list[Answered | Failed]:
    return [each for each in reports.all if isinstance(each, (Answered, Failed))]


def sent(fake: Fake) -> dict[str, Any]:
    """The body of the only POST of a task."""
    (body,) = [asked.json for asked in list(fake.asked) if (asked.method, asked.path) == ("POST", "/api/task")]
    return dict(body)


# ------------------------------------------------------------------------------------ exactly one task (3, 6, 7)


def test_while_look_ups_come_to_no_answer_nothing_is_sent_again() -> None:
    world = World(on_create=lambda body: RESET)
    looks = 0

    def look(asked: Asked) -> Say | None:
        nonlocal looks
        if "description" not in asked.params:
            return None
        looks += 1
        if looks == 12:
            world.create(sent(fake))
        return say({"msg": "away"}, 503) if looks % 2 else None

    world.on_read = look
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=False)
        assert reports.accepted() == "task 101"
        assert (posts(fake), looks) == (["t0ken"], 12)


def test_a_twin_from_before_a_resume_is_resolved_when_it_shows_up() -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(), again=True)
        until(lambda: [asked for asked in fake.asked if "/task/101" in asked.path])
        world.create(sent(fake), number=50)  # what an earlier process sent, and had no answer to
        world.finish(world.run_of("alpha", 101), {"from": 101})
        until(lambda: world.killed == [101])
        assert ends(reports) == []
        world.finish(world.run_of("alpha", 50), {"from": 50})
        assert reports.answer("alpha") == {"from": 50}
        assert len(posts(fake)) == 1
    assert len(ends(reports)) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"databases": [{"label": "other", "parameters": "{}"}]}, "its databases are not none"),
        ({"collaboration": {"id": 4}}, "it belongs to another collaboration"),
    ],
)
def test_an_adopted_task_is_where_and_on_what_was_asked(change: dict[str, Any], words: str) -> None:
    world = World()
    with Fake(world) as fake:
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=False)
            reports.accepted()
        world.tasks[101] |= change
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=True)
            error = reports.broken()
    assert isinstance(error, PersonNeededError)
    assert words in error.message
    assert (posts(fake), world.killed, ends(reports)) == (["t0ken"], [], [])


def test_an_adopted_task_asks_each_organization_once() -> None:
    world = World()
    with Fake(world) as fake:
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=False)
            reports.accepted()
        world.add_run(101, IDS["alpha"], world.runs[1001]["input"])
        for number, value in ((1001, 1), (1002, 2)):
            world.finish(number, value)
        with opened(fake) as (backend, reports):
            backend.submit(request(), again=True)
            told = reports.first(lambda each: isinstance(each, (Broken, Answered)))
    assert isinstance(told, Broken), told
    assert isinstance(told.error, PersonNeededError)


# --------------------------------------------------------------------- what a task says and what it is (9, 11, 12)


def test_a_completed_task_without_runs_has_failed_for_all_that_were_asked() -> None:
    world = World()

    def create(body: dict[str, Any]) -> Say:
        task = world.create(body, runs=False)
        task |= {"status": "completed", "finished_at": "2026-01-01T00:00:00"}
        return say(task, 201)

    world.on_create = create
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        assert [reports.failure(name).message for name in ("alpha", "beta")] == [
            "the server made no run for it in task 101"
        ] * 2
    assert not [each for each in reports.all if isinstance(each, Answered)]


SIBLING = "Marked as failed because sibling run id=1002 failed with status 'crashed'."
CRASH = "Traceback (most recent call last):\n  x\nZeroDivisionError: no\n"


def test_of_a_task_that_is_adopted_the_first_cause_is_told_first() -> None:
    world = World()
    with Fake(world) as fake:
        with opened(fake) as (backend, reports):
            backend.submit(request("alpha", "beta"), again=False)
            reports.accepted()
        world.finish(1001, status="failed", log=SIBLING)
        world.finish(1002, status="crashed", log=CRASH)
        with opened(fake) as (backend, reports):
            backend.submit(request("alpha", "beta"), again=True)
            reports.failure("alpha")
            reports.failure("beta")
    assert [(each.organization, each.kind) for each in ends(reports) if isinstance(each, Failed)] == [
        ("beta", "crashed"),
        ("alpha", "consequence"),
    ]


# ------------------------------------------------------------------------------------- odd results (13, 14, 22, 48)


@pytest.mark.parametrize("names", [("alpha",), ("alpha", "beta")])
@pytest.mark.parametrize("stored", [5, {"a": 1}, ["MQ=="], True])
def test_a_result_that_is_no_text_fails_its_organization(names: tuple[str, ...], stored: Any) -> None:
    world = World()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request(*names), again=False)
        reports.accepted()
        for number in list(world.runs):
            world.finish(number, 1)
        world.results[1001] = stored
        assert reports.failure("alpha").kind == "garbage"
        assert [reports.answer(name) for name in names[1:]] == [1] * len(names[1:])


def test_results_in_another_order_doubled_or_of_strangers_belong_to_who_gave_them() -> None:
    class Shuffled(World):
        def __call__(self, asked: Asked) -> Say:
            said = super().__call__(asked)
            if asked.method != "GET" or not asked.path.startswith("/api/task/"):
                return said
            value = json.loads(list(said.pieces)[1])
            value["runs"] = [*reversed(value["runs"]), *value["runs"]]
            value["results"] = [
                {"id": 77, "run": {"id": 77}, "result": "NzcsCg=="},
                *reversed(value["results"]),
                *value["results"],
            ]
            return say(value)

    world = Shuffled()
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("gamma", "alpha", "beta"), again=False)
        reports.accepted()
        for name in IDS:
            world.finish(world.run_of(name), name)
        assert {name: reports.answer(name) for name in IDS} == {name: name for name in IDS}
        backend.submit(request("alpha", token="alone"), again=False)
        until(lambda: len(world.runs) == 4)
        world.finish(world.run_of("alpha", 102), "alone")
        assert reports.answer("alpha", "alone") == "alone"
    assert len(ends(reports)) == 4


@pytest.fixture(scope="module")
def keys() -> tuple[encryption.PrivateKey, encryption.PrivateKey]:
    """Our private key and another."""
    made = (encryption.generate_private_key(2048) for _ in range(2))
    ours, other = (encryption.load_private_key(pem, "key.pem") for pem in made)
    return ours, other


@contextmanager
def encrypted(
    fake: Fake, key: encryption.PrivateKey, *, times: Times = QUICK
) -> Iterator[tuple[ServerBackend, Reports]]:
    """A backend for an encrypted collaboration in which all have our key."""
    there = connected(fake)
    found = replace(
        there.directory,
        collaboration=replace(there.directory.collaboration, encrypted=True),
        organizations=tuple(replace(each, public_key=key.public_text) for each in there.directory.organizations),
    )
    api = Api(there.session, there.api.dialect, key=key)
    backend, reports = ServerBackend(replace(there, directory=found, api=api), times=times), Reports()
    backend.open(reports)
    try:
        yield backend, reports
    finally:
        backend.close()
        there.close()


@pytest.mark.parametrize("names", [("alpha",), ("alpha", "beta")])
@pytest.mark.parametrize("stored", ["for another", "in the clear", "damaged"])
def test_what_cannot_be_decrypted_fails_its_organization_and_goes_no_further(
    names: tuple[str, ...], stored: str, keys: tuple[encryption.PrivateKey, encryption.PrivateKey]
) -> None:
    ours, other = keys
    good = encryption.encrypt(b'"good"', ours.public_text, "us")
    body = b'{"planted": "0123456789 0123456789 0123456789"}'
    bad = {
        "for another": encryption.encrypt(body, other.public_text, "them"),
        "in the clear": base64.b64encode(body).decode(),
        "damaged": encryption.encrypt(body, ours.public_text, "us")[:-6],
    }[stored]
    world = World()
    with Fake(world) as fake, encrypted(fake, ours) as (backend, reports):
        backend.submit(request(*names), again=False)
        reports.accepted()
        for number in list(world.runs):
            world.finish(number, 1)
            world.results[number] = good
        world.results[1001] = bad
        failed = reports.failure("alpha")
        assert [reports.answer(name) for name in names[1:]] == ["good"] * len(names[1:])
    assert failed.kind == "garbage"
    assert "its result is refused" in failed.message
    assert bad.split("$")[-1][:12] not in repr(reports.all)
    assert "planted" not in repr(reports.all)
    assert b"kwargs" not in base64.b64decode(sent(fake)["organizations"][0]["input"].split("$")[2])


class Sparing(Api):
    """It accepts results of a megabyte at most."""

    def result(self, run: int, *, limit: int = 1_000_000, patience: float | None = None) -> bytes | None:
        return super().result(run, limit=limit, patience=patience)


def test_a_result_that_unpacks_to_more_than_is_accepted_fails_its_organization() -> None:
    def bomb(head: bytes, millions: int) -> Say:
        packed = gzip.compress(head + b"A" * (millions * 1_000_000) + b'"}', compresslevel=1)
        return say(body=packed, Content_Encoding="gzip")

    world = World()
    bombs = {
        "/api/task/101": bomb(b'{"runs": "', 68),
        "/api/result/1001": bomb(b'{"id": 1001, "run": {"id": 1001}, "result": "', 20),
    }
    with Fake(world) as fake:
        there = connected(fake)
        sparing = replace(there, api=Sparing(there.session, there.api.dialect))
        backend, reports = ServerBackend(sparing, times=QUICK), Reports()
        backend.open(reports)
        backend.submit(request(), again=False)
        until(lambda: "/api/run" in [asked.path for asked in fake.asked])
        world.on_read = lambda asked: bombs.get(asked.path)
        world.finish(1001, 1)
        failed = reports.failure("alpha")
        world.on_read = lambda asked: None
        backend.submit(request("beta", token="after"), again=False)
        until(lambda: len(world.runs) == 2)
        world.finish(world.run_of("beta"), 2)
        assert reports.answer("beta", "after") == 2
        backend.close()
        there.close()
    assert failed.kind == "garbage"
    assert "larger than" in failed.message


# --------------------------------------------------------------------------------------------------- our key (15)


def test_a_key_that_does_not_fit_is_refused_and_the_servers_is_not_written_over(
    keys: tuple[encryption.PrivateKey, encryption.PrivateKey], tmp_path: Path
) -> None:
    pem = encryption.generate_private_key(2048)
    (tmp_path / "ours.pem").write_bytes(pem)
    (tmp_path / "password").write_text("password")

    def listed(*items: dict[str, Any]) -> Callable[[Asked], Say]:
        return lambda _: say({"data": list(items), "links": {}}, total_count=str(len(items)))

    alpha = {"id": 11, "name": "alpha", "public_key": keys[1].public_text}
    server = Vantage6(
        {
            "/version": lambda _: say({"version": "4.15.2"}),
            "/user/7": lambda _: say({"id": 7, "username": "u", "organization": {"id": 11}}),
            "/organization/11": lambda _: say(alpha),
            "/organization": listed(alpha),
            "/collaboration": listed({"id": 3, "name": "hospitals", "encrypted": True}),
            "/node": listed(),
            "/blobstream/status": lambda _: say({"blob_store_enabled": False}),
        }
    )
    with Fake(server) as fake:
        federation = ServerFederation(
            f"{fake.origin}/api", "hospitals", "u", "${file:password}", file=str(tmp_path / "f.yaml"),
            private_key=str(tmp_path / "ours.pem"),
        )  # fmt: skip
        with pytest.raises(KeyProblemError, match="not the one whose public key the server has of alpha") as caught:
            connecting.connect(federation)
        alpha["public_key"] = encryption.load_private_key(pem, "ours.pem").public_text
        connecting.connect(federation).close()
        written = {(asked.method, asked.path) for asked in fake.asked if asked.method != "GET"}
    assert caught.value.exit_code == 2
    assert written == {("POST", "/api/token/user")}


# -------------------------------------------------------------------------- tokens that end or go astray (28, 41)


def test_a_log_in_that_ended_for_good_stops_the_run_and_a_later_one_takes_it_up() -> None:
    @dataclass
    class Closing(World):
        closed: bool = False

        def __call__(self, asked: Asked) -> Say:
            if not self.closed:
                return super().__call__(asked)
            if asked.path == "/api/token/user":
                self.logins += 1
                return say({"msg": "Failed to login"}, 401)
            return say({"msg": "Token has expired"}, 401)

    world = Closing()
    with Fake(world) as fake:
        with opened(fake) as (backend, reports):
            backend.submit(request("alpha", "beta"), again=False)
            reports.accepted()
            before, world.closed = world.logins, True
            error = reports.broken()
            time.sleep(0.05)
        assert isinstance(error, AccessError)
        assert (error.exit_code, world.logins - before) == (4, 1)
        assert ends(reports) == []
        world.closed = False
        for number in list(world.runs):
            world.finish(number, number)
        with opened(fake) as (backend, reports):
            backend.submit(request("alpha", "beta"), again=True)
            assert [reports.answer(name) for name in ("alpha", "beta")] == [1001, 1002]
        assert posts(fake) == ["t0ken"]


@pytest.mark.parametrize("where", ["polling", "websocket"])
def test_the_socket_takes_no_token_elsewhere(where: str) -> None:
    pytest.importorskip("socketio")
    pytest.importorskip("websocket")
    opening = {"sid": "s", "upgrades": ["websocket"], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 10**6}

    with Fake(lambda _: say({})) as other:

        def answer(asked: Asked) -> Say:
            upgrade = "upgrade" in asked.headers
            if asked.token and upgrade is (where == "websocket"):
                return say({}, 302, Location=f"{'ws' if upgrade else 'http'}://127.0.0.1:{other.port}/elsewhere")
            if asked.method == "POST":
                return say(body=b"OK")
            if "sid" not in asked.params:
                return say(body=b"0" + json.dumps(opening).encode())
            return say(body=b"1")  # it is over

        there = Vantage6()
        with Fake(lambda asked: there(asked) if asked.path.startswith("/api") else answer(asked)) as fake:
            session = connected(fake).session
            heard = Notifications(lambda *_: None, QUICK)
            socket = Socket(session, 3, heard, live=lambda now: None, random=lambda: 1.0)
            wanted = [where == "websocket"]
            until(lambda: [each for each in fake.asked if each.token and ["upgrade" in each.headers] == wanted])
            time.sleep(0.2)
            socket.close(5.0)
            session.transport.close()
        assert other.asked == []


# --------------------------------------------------------------------------------------- refusals and waits (43–45)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refusal_of_a_task_is_told_in_the_servers_words_and_not_repeated(status: int) -> None:
    world = World(on_create=lambda body: say({"msg": "no such image", "errors": {"image": ["is odd"]}}, status))
    with Fake(world) as fake, opened(fake) as (backend, reports):
        backend.submit(request("alpha", "beta"), again=False)
        failures = [reports.failure(name) for name in ("alpha", "beta")]
        assert posts(fake) == ["t0ken"]
    assert all(each.kind == "not_allowed" and "no such image; image: is odd" in each.message for each in failures)


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (86_400.0, 120.0), (0.0, 0.5), (None, 0.5)])
def test_who_asks_us_to_wait_is_waited_for_and_not_without_end(asked: float | None, waited: float) -> None:
    errors = [AmbiguousError("x", retry_after=asked)]

    def read() -> int:
        if errors:
            raise errors.pop()
        return 1

    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    assert asyncio.run(patiently(read, backoff(Times(), lambda: 1.0), sleep=note)) == 1
    assert waits == [waited]
    assert not_sent_again(NotSentError("x", retry_after=asked), backoff(Times(), lambda: 1.0)) == waited


@pytest.mark.parametrize("random", [0.0, 1.0])
def test_a_server_that_is_away_for_ten_minutes_is_waited_for_with_longer_and_uneven_waits(random: float) -> None:
    waited: list[float] = []

    def read() -> str:
        if sum(waited) < 600:
            raise AmbiguousError("away")
        return "back"

    async def note(seconds: float) -> None:
        waited.append(seconds)

    times = Times()
    assert asyncio.run(patiently(read, backoff(times, lambda: random), sleep=note)) == "back"
    longest = [min(times.retry * 2.0**number, times.longest_retry) for number in range(len(waited))]
    assert waited == [each * (0.5 + 0.5 * random) for each in longest]
    assert sum(waited) >= 600


# ---------------------------------------------------------------------------- a whole run on it (8, 12, 51, 52)


@dataclass
class Keeping(World):
    """It keeps which databases a task names, and makes one task after the other."""

    one: Lock = field(default_factory=Lock)

    def create(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        with self.one:
            task = super().create(body, **more)
        task["databases"] = body["databases"]
        return task


def carry_on(text: str, fake: Fake) -> RunState:
    """The state in which a run of this workflow ends, by the machine's clock."""
    there = connected(fake)
    journal = FakeJournal()
    backend: Backend = ServerBackend(there, times=QUICK)
    made = make(text)
    here = engine(made, journal, backend, clock=SystemClock())  # type: ignore[arg-type]  # no fakes, for once
    here.run()
    there.close()
    return replay(journal.events())


ALL = 'outputs: {s: "{{ steps.s.results }}"}\n'


def test_an_organization_without_a_run_keeps_the_step_from_completing() -> None:
    world = Keeping()

    def create(body: dict[str, Any]) -> Say:
        task = world.create({**body, "organizations": body["organizations"][:2]})
        for number in list(world.runs):
            world.finish(number, 1)
        return say(task, 201)

    world.on_create = create
    with Fake(world) as fake:
        state = carry_on(f"steps: {{s: {{task: {{method: mean, isolation: task}}}}}}\n{ALL}", fake)
    assert (state.status, state.outputs) == ("failed", {})
    assert (state.step("s").responded, state.step("s").failed) == (["alpha", "beta"], ["gamma"])
    assert state.failure is not None
    assert "gamma failed: the server made no run for it" in state.failure.message


@pytest.mark.parametrize("how", ["killed", "deleted"])
def test_what_somebody_killed_or_deleted_is_not_asked_again_by_itself(how: str) -> None:
    world = Keeping()
    gone: set[str] = set()

    def create(body: dict[str, Any]) -> Say:
        task = world.create(body)
        run = world.run_of("beta", task["id"]) if body["organizations"][0]["id"] == IDS["beta"] else None
        if run is None:
            world.finish(next(run for run in world.runs if world.runs[run]["task"]["id"] == task["id"]), 1)
        elif how == "killed":
            world.finish(run, status="killed by user", log="")
        else:
            gone.update({f"/api/task/{task['id']}", f"/api/run/{run}"})
        return say(task, 201)

    world.on_create = create
    world.on_read = lambda asked: say({"msg": "it is not found"}, 404) if asked.path in gone else None
    with Fake(world) as fake:
        state = carry_on(f"steps: {{s: {{task: {{method: mean}}, retry: 3}}}}\n{ALL}", fake)
        assert len(posts(fake)) == 3
    assert (state.status, state.step("s").failed) == ("failed", ["beta"])
    assert state.failure is not None
    assert state.failure.kind == "killed"


def test_who_stays_offline_to_the_deadline_is_missing_and_its_task_is_killed() -> None:
    world = Keeping()

    def create(body: dict[str, Any]) -> Say:
        task = world.create(body)
        for run in [number for number, run in world.runs.items() if run["task"]["id"] == task["id"]]:
            if body["organizations"][0]["id"] != IDS["gamma"]:
                world.finish(run, 1)
        return say(task, 201)

    world.on_create = create
    with Fake(world) as fake:
        state = carry_on(f"steps: {{s: {{task: {{method: mean}}, timeout: 1s, quorum: 2}}}}\n{ALL}", fake)
        gamma = world.runs[world.run_of("gamma")]["task"]["id"]
    assert (state.status, state.outputs) == ("completed", {"s": [1, 1]})
    assert (state.step("s").missing, world.killed) == (["gamma"], [gamma])


def test_a_run_names_the_first_cause_first() -> None:
    world = Keeping()

    def create(body: dict[str, Any]) -> Say:
        task = world.create(body)
        world.finish(1001, status="failed", log=SIBLING)
        world.finish(1002, status="crashed", log=CRASH)
        world.finish(1003, 1)
        return say(task, 201)

    world.on_create = create
    with Fake(world) as fake:
        state = carry_on(f"steps: {{s: {{task: {{method: mean, isolation: task}}}}}}\n{ALL}", fake)
    assert state.failure is not None
    assert (state.failure.kind, state.failure.organization) == ("crashed", "beta")
    assert state.failure.message.startswith("beta crashed: ZeroDivisionError: no; alpha failed: ")
    assert "as a consequence: beta failed first (crashed)" in state.failure.message


def test_a_run_names_the_first_cause_first_though_it_is_read_last() -> None:
    world = Keeping()

    def read(asked: Asked) -> Say | None:
        if asked.path == "/api/run" and world.runs[1001]["status"] == "pending":  # the server ends both at once
            world.finish(1001, status="failed", log=SIBLING)
            world.finish(1002, status="crashed", log=CRASH)
            world.finish(1003, 1)
        if asked.path == "/api/run/1002":
            time.sleep(0.1)
        return None

    world.on_read = read
    with Fake(world) as fake:
        state = carry_on(f"steps: {{s: {{task: {{method: mean, isolation: task}}}}}}\n{ALL}", fake)
    assert state.failure is not None
    assert (state.failure.kind, state.failure.organization) == ("crashed", "beta")
