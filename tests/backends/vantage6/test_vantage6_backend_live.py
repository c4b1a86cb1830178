"""The backend against a real server with real nodes, beyond what the contract asks of all backends."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "live"))
import federation as live_federation
from vantage6_world import Reports

from v6flow.backends.base import Accepted, Answered, Failed, FederationFile, Working
from v6flow.backends.vantage6 import configuration as files
from v6flow.backends.vantage6 import connecting, encryption
from v6flow.backends.vantage6.backend import ServerBackend
from v6flow.backends.vantage6.backoff import Times
from v6flow.core.execution.commands import TaskRequest
from v6flow.core.kinds.settings import DatabaseChoice
from v6flow.loading import read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from federation import LiveFederation, User

    from v6flow.backends.vantage6.connecting import Connected

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("V6FLOW_LIVE") == "0", reason="V6FLOW_LIVE=0: no tests with a real vantage6 server"
    ),
    pytest.mark.xdist_group("live-2"),
]
TIMES = Times(ladder=(0.0, 0.1), longest_retry=1.0)
needs_events = pytest.mark.skipif(
    importlib.util.find_spec("socketio") is None, reason="python-socketio is not installed: there are no events"
)


@pytest.fixture
def plain() -> LiveFederation:
    found = live_federation.shared().plain
    found.start()
    return found


@pytest.fixture
def gate(tmp_path: Path) -> tuple[dict[str, Any], Callable[[], object]]:
    path = tmp_path / "gate"
    os.mkfifo(path)
    return {"gate": str(path)}, lambda: path.write_text("open", encoding="utf-8")


@contextmanager
def opened(
    live: LiveFederation, folder: Path, *, user: User | None = None, **more: Any
) -> Iterator[tuple[ServerBackend, Reports, Connected]]:
    path = live.write_federation_file(folder / "federation.yaml", user=user)
    raw = read_document(path, kind="federation").value
    connected = connecting.connect(files.ServerFederation.parse(FederationFile(str(path), raw, str, str)))
    backend, reports = ServerBackend(connected, times=TIMES, **more), Reports()
    backend.open(reports)
    try:
        yield backend, reports, connected
    finally:
        backend.close()
        for task in {run.task for run in connected.api.open_runs()}:
            live.server.request("POST", "/kill/task", {"id": task})
        connected.close()


def ask(method: str, *names: str, image: str = live_federation.PROBE, **kwargs: Any) -> TaskRequest:
    token = uuid.uuid4().hex
    asked = dict.fromkeys(names, kwargs)
    return TaskRequest(token, "step", 1, image, method, asked, (DatabaseChoice("default"),), name="a run/step")


@pytest.mark.parametrize("events", [False, pytest.param(True, marks=needs_events)])
def test_a_run_goes_on_by_itself_when_the_server_is_back(
    plain: LiveFederation,
    tmp_path: Path,
    gate: tuple[dict[str, Any], Callable[[], object]],
    events: bool,
) -> None:
    with opened(plain, tmp_path, events=events) as (backend, reports, _):
        waiting = ask("wait", "alpha", **gate[0])
        backend.submit(waiting, again=False)
        began = reports.first(lambda each: isinstance(each, Working))
        assert isinstance(began, Working)
        assert (began.token, began.organization) == (waiting.token, "alpha")
        assert began.began is not None
        assert abs(began.began - time.time()) < 60
        plain.stop_server()
        during = ask("echo", "beta", value="sent while it was away")
        backend.submit(during, again=False)
        gate[1]()
        time.sleep(1.0)
        assert not [each for each in reports.all if isinstance(each, (Answered, Failed))]
        plain.start_server()
        assert reports.answer("alpha", waiting.token) == "gate opened"
        assert reports.answer("beta", during.token) == "sent while it was away"
        after = ask("echo", "gamma", value=1)
        backend.submit(after, again=False)
        assert reports.answer("gamma", after.token) == 1
        _, body = plain.server.request("GET", f"/task?description=%25{during.token}%25")
        assert len(body["data"]) == 1


def test_a_user_whose_lists_hide_runs_hears_of_all(plain: LiveFederation, tmp_path: Path) -> None:
    with opened(plain, tmp_path, user=plain.users.organization_view) as (backend, reports, _):
        request = ask("partial_sum", "alpha", "beta", "gamma", column="age")
        backend.submit(request, again=False)
        sums = {name: reports.answer(name, request.token)["sum"] for name in request.kwargs}
    assert sums == {"alpha": 6.0, "beta": 9.0, "gamma": 9.0}


def test_one_that_is_not_allowed_and_one_whose_node_keeps_its_log(plain: LiveFederation, tmp_path: Path) -> None:
    plain.stop_node("gamma")
    plain.start_node("gamma", share_algorithm_logs=False)
    with opened(plain, tmp_path) as (backend, reports, _):
        forbidden, silent = ask("echo", "alpha", image=live_federation.FORBIDDEN, value=1), ask("crash", "gamma")
        backend.submit(forbidden, again=False)
        backend.submit(silent, again=False)
        assert reports.failure("alpha", forbidden.token).kind == "not_allowed"
        failed = reports.failure("gamma", silent.token)
        assert (failed.kind, failed.log) == ("crashed", "")
        assert "does not share logs" in failed.message


def test_a_siblings_failure_is_a_consequence_and_the_others_are_waited_for(
    plain: LiveFederation, tmp_path: Path, gate: tuple[dict[str, Any], Callable[[], object]]
) -> None:
    request = ask("wait", "alpha", "beta", "delta", **gate[0])
    request = TaskRequest(**{**{name: getattr(request, name) for name in request.__struct_fields__},
                             "kwargs": {"alpha": gate[0], "beta": {}, "delta": {}}})  # fmt: skip
    with opened(plain, tmp_path) as (backend, reports, _):
        backend.submit(request, again=False)
        assert reports.failure("beta", request.token).kind == "crashed"
        consequence = reports.failure("delta", request.token)
        assert (consequence.kind, consequence.message.endswith("beta failed first (crashed)")) == (
            "consequence",
            True,
        )
        gate[1]()
        assert reports.answer("alpha", request.token) == "gate opened"


def test_one_whose_result_cannot_be_decrypted_failed(tmp_path: Path) -> None:
    live = live_federation.shared().encrypted
    live.start()
    with opened(live, tmp_path) as (backend, reports, connected):
        beta = encryption.load_private_key(live.server.private_key("beta").read_bytes(), "beta.pem")
        connected.api._key = beta
        request = ask("echo", "gamma", value="not for beta")
        backend.submit(request, again=False)
        failed = reports.failure("gamma", request.token)
    assert failed.kind == "garbage"
    assert "another key" in failed.message


def test_a_kill_that_is_not_allowed_is_noted(plain: LiveFederation, tmp_path: Path) -> None:
    with opened(plain, tmp_path, user=plain.users.researcher) as (backend, reports, _):
        request = ask("echo", "delta", value=1)
        backend.submit(request, again=False)
        reports.first(lambda each: isinstance(each, Accepted))
        backend.kill(request.token, ("delta",))
        backend.close()
    assert ["You lack the permission" in note for note in reports.notes()] == [True]


@needs_events
def test_an_answer_is_told_soon_after_it_can_be_read(plain: LiveFederation, tmp_path: Path) -> None:
    slow = Times(poll=30.0, slowest_poll=30.0, live_poll=30.0, slowest_live_poll=30.0, ladder=(0.0,))
    path = plain.write_federation_file(tmp_path / "federation.yaml")
    raw = read_document(path, kind="federation").value
    connected = connecting.connect(files.ServerFederation.parse(FederationFile(str(path), raw, str, str)))
    backend, reports = ServerBackend(connected, times=slow), Reports()
    backend.open(reports)
    plain.wait_for(lambda: backend._watcher is not None and backend._watcher._live, "events")
    began = time.monotonic()
    requests = [ask("echo", name, value=name) for name in ("alpha", "beta", "gamma")]
    for request in requests:
        backend.submit(request, again=False)
    assert [reports.answer(name, request.token) for request in requests for name in request.kwargs] == [
        "alpha",
        "beta",
        "gamma",
    ]
    assert time.monotonic() - began < 25.0, "only a poll found it"
    backend.close()
    connected.close()
