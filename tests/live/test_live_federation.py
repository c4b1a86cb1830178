"""The live server, its nodes and its users do what tests of the vantage6 backend will rely on."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

import federation
import psutil
import pytest
from federation import AGES, FORBIDDEN, OFFLINE, UNKNOWN
from program import http

from v6flow.loading import check_federation

if TYPE_CHECKING:
    from collections.abc import Callable

    from federation import LiveFederation, LiveServer

ONLINE = tuple(name for name in AGES if name != OFFLINE)
SUMS = {name: {"sum": float(sum(AGES[name])), "count": len(AGES[name])} for name in ONLINE}


@pytest.fixture(params=["live", "live_encrypted"])
def either(request: pytest.FixtureRequest) -> LiveFederation:
    """Each of the two federations."""
    found: LiveFederation = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def gate(tmp_path: Path) -> tuple[str, Callable[[], object]]:
    """What the probe's `wait` waits for, and what to call to let it end."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return str(path), lambda: path.write_text("open", encoding="utf-8")


def at_work(live: LiveFederation, task: int, name: str) -> None:
    live.wait_for(lambda: live.runs(task)[name]["status"] == "active", f"{name} to work on task {task}")


def algorithm_at_work(live: LiveFederation, gate: tuple[str, Callable[[], object]], name: str) -> tuple[int, int]:
    """A task whose algorithm waits at the gate, and that algorithm's process."""
    here = Path(f"{gate[0]}.pid")
    task = live.create_task("meet", {"gate": gate[0], "here": str(here)}, [name])
    at_work(live, task, name)
    live.wait_for(lambda: here.exists() and here.read_text() != "", "the algorithm to say that it is there")
    return task, int(here.read_text())


def totp(secret: str, *, now: float) -> str:
    """The code of RFC 6238 for this moment."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", int(now) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def test_a_partial_returns_the_right_sums(either: LiveFederation) -> None:
    task = either.create_task("partial_sum", {"column": "age"})
    assert either.results(task) == SUMS
    assert {run["status"] for run in either.runs(task).values()} == {"completed"}


def test_what_is_encrypted_is_so_on_the_server(live_encrypted: LiveFederation) -> None:
    task = live_encrypted.create_task("echo", {"value": "not for the server"}, ["beta"])
    (run,) = live_encrypted.ended(task).values()
    _, result = live_encrypted.server.request("GET", f"/result/{run['id']}")
    for text in (run["input"], result["result"]):
        key, _, ciphertext = text.split("$")
        assert len(base64.b64decode(key)) == 256
        assert b"not for the server" not in base64.b64decode(ciphertext)
    assert live_encrypted.results(task) == {"beta": "not for the server"}


def test_a_central_function_creates_its_subtasks(either: LiveFederation) -> None:
    ids = [either.organization_ids[name] for name in ONLINE]
    task = either.create_task("central_mean", {"column": "age", "organizations": ids}, ["alpha"])
    assert either.results(task) == {"alpha": {"mean": 4.0, "answers": 3}}
    status, body = either.server.request("GET", f"/task?parent_id={task}")
    assert status == 200
    assert [each["status"] for each in body["data"]] == ["completed"]


def test_a_crash_is_reported_with_its_log(either: LiveFederation) -> None:
    (run,) = either.ended(either.create_task("crash", {}, ["alpha"])).values()
    assert run["status"] == "crashed"
    assert "about to divide" in run["log"]
    assert "ZeroDivisionError: division by zero" in run["log"]


def test_images_that_a_node_cannot_or_may_not_run(live: LiveFederation) -> None:
    for image, status in ((UNKNOWN, "non-existing Docker image"), (FORBIDDEN, "not allowed")):
        (run,) = live.ended(live.create_task("echo", {"value": 1}, ["alpha"], image=image)).values()
        assert run["status"] == status


def test_a_kill_ends_the_algorithm(live: LiveFederation, gate: tuple[str, Callable[[], object]]) -> None:
    task, pid = algorithm_at_work(live, gate, "alpha")
    status, body = live.server.request("POST", "/kill/task", {"id": task})
    assert status == 200, body
    assert live.ended(task)["alpha"]["status"] == "killed by user"
    live.wait_for(lambda: not psutil.pid_exists(pid), "the algorithm's process to end")


def test_the_server_keeps_its_data_while_it_is_stopped(
    live: LiveFederation, gate: tuple[str, Callable[[], object]]
) -> None:
    before = live.create_task("echo", {"value": "before"}, ["alpha"])
    live.ended(before)
    during = live.create_task("wait", {"gate": gate[0]}, ["beta"])
    at_work(live, during, "beta")
    live.stop_server()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", live.server.port), timeout=5)
    gate[1]()  # it ends while there is nobody to report to
    live.start_server()
    assert live.results(before) == {"alpha": "before"}
    assert live.results(during) == {"beta": "gate opened"}
    assert live.results(live.create_task("echo", {"value": "after"}, ["gamma"])) == {"gamma": "after"}


def test_a_node_that_is_off_does_its_work_when_it_is_back(live: LiveFederation) -> None:
    live.stop_node("beta")
    live.wait_for(lambda: live.node("beta")["status"] == "offline", "beta to be offline")
    assert live.node("beta")["config"] == []
    task = live.create_task("partial_sum", {"column": "age"}, ["beta", OFFLINE])
    assert {run["status"] for run in live.runs(task).values()} == {"pending"}
    assert live.node(OFFLINE)["status"] is None, "never seen"
    live.start_node("beta")
    live.wait_for(lambda: live.runs(task)["beta"]["status"] == "completed", "beta to do what it was asked")
    assert live.runs(task)[OFFLINE]["status"] == "pending"


def test_a_node_whose_power_is_cut_seems_to_be_online_for_a_while(
    live: LiveFederation, gate: tuple[str, Callable[[], object]]
) -> None:
    pid = algorithm_at_work(live, gate, "gamma")[1]
    live.stop_node("gamma", hard=True)
    live.wait_for(lambda: not psutil.pid_exists(pid), "its algorithm to end with it")
    assert live.node("gamma")["status"] == "online", "the server finds out by a missing ping, in a while"


def test_a_node_says_what_it_has(live: LiveFederation) -> None:
    live.stop_node("gamma")
    live.start_node("gamma", allowed_algorithms=["^probe$"])
    config = [(each["key"], each["value"]) for each in live.node("gamma")["config"]]
    assert {("database_labels", "default"), ("db_type_default", "csv"), ("columns_default", "age")} <= {*config}
    assert ("allowed_algorithms", "^probe$") in config
    (run,) = live.ended(live.create_task("echo", {"value": 1}, ["gamma"], image="probe:2")).values()
    assert run["status"] == "not allowed"


def test_a_node_may_keep_its_logs_and_its_details_to_itself(live: LiveFederation) -> None:
    live.stop_node("gamma")
    live.start_node("gamma", share_algorithm_logs=False, share_config=False)
    live.wait_for(lambda: not live.node("gamma")["config"], "the node to keep its details to itself")
    (run,) = live.ended(live.create_task("crash", {}, ["gamma"])).values()
    assert run["log"] == "Node does not allow sharing algorithm logs"


def test_a_node_has_an_environment_for_its_algorithms(live: LiveFederation, tmp_path: Path) -> None:
    live.stop_node("gamma")
    live.start_node("gamma", environment={"MINIMUM_ROWS": "5", "NOTE_FILE": str(tmp_path / "notes")})
    result = live.results(live.create_task("surroundings", {}, ["gamma"]))["gamma"]
    assert result["threshold"] == "5"
    live.ended(live.create_task("echo", {"value": 1}, ["gamma"]))
    assert (tmp_path / "notes").read_text() == "ran\n"


def test_users_see_what_their_rights_say(live: LiveFederation) -> None:
    task = live.create_task("echo", {"value": 1}, user=live.users.organization_view)
    live.ended(task)

    def seen(user: federation.User) -> tuple[int, int]:
        _, listed = live.server.request("GET", f"/run?task_id={task}", user=user)
        _, whole = live.server.request("GET", f"/task/{task}?include=runs,results", user=user)
        return len(listed["data"]), len(whole["runs"])

    assert seen(live.users.organization_view) == (1, 3)
    assert seen(live.users.researcher) == (3, 3)


def test_a_researcher_may_kill_nothing(live: LiveFederation, gate: tuple[str, Callable[[], object]]) -> None:
    task = live.create_task("wait", {"gate": gate[0]}, ["alpha"], user=live.users.researcher)
    at_work(live, task, "alpha")
    assert live.server.request("POST", "/kill/task", {"id": task}, user=live.users.researcher)[0] == 401
    assert live.server.request("POST", "/kill/task", {"id": task}, user=live.users.organization_view)[0] == 200


def test_a_second_factor_is_demanded(live_server: LiveServer) -> None:
    user = live_server.users.two_factor
    assert user.totp_secret is not None
    credentials = {"username": user.username, "password": user.password}
    with live_server.two_factor() as url:
        status, body = http("POST", f"{url}/token/user", credentials)
        assert (status, "access_token" in body) == (200, False)
        code = totp(user.totp_secret, now=time.time())
        wrong = f"{(int(code) + 500_000) % 1_000_000:06d}"
        assert http("POST", f"{url}/token/user", credentials | {"mfa_code": wrong})[0] == 401
        status, body = http("POST", f"{url}/token/user", credentials | {"mfa_code": code})
        assert (status, "access_token" in body) == (200, True)


def test_the_federation_file_is_valid(either: LiveFederation, tmp_path: Path) -> None:
    path = either.write_federation_file(tmp_path / "federation.yaml", user=either.users.two_factor)
    assert check_federation(path) == []
    assert either.users.two_factor.password not in path.read_text()


def test_nothing_outlives_the_process_that_started_it() -> None:
    script = Path(federation.__file__)
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        url, folder = (process.stdout.readline().decode().strip() for _ in range(2))
        started = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(started, timeout=30)
    shutil.rmtree(folder)  # not before: who is still alive writes into it
    assert len(started) == 1 + 2 * len(ONLINE)
    assert alive == []
    with pytest.raises(urllib.error.URLError, match="refused"):
        http("GET", f"{url}/version")
