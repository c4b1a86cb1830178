"""The lower half of the vantage6 backend against a real server with real nodes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import federation as live_federation
import pytest
from msgspec.structs import replace

from v6flow.backends.base import FederationFile
from v6flow.backends.vantage6 import configuration as files
from v6flow.backends.vantage6 import connecting, dialects, encryption
from v6flow.backends.vantage6.dialects import TaskDraft
from v6flow.backends.vantage6.refusals import AmbiguousError, DeniedError, RefusedError
from v6flow.backends.vantage6.second_factor import Person
from v6flow.core import json
from v6flow.core.kinds.settings import DatabaseChoice
from v6flow.errors import AccessError, FederationError
from v6flow.loading import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation, User

    from v6flow.backends.vantage6.configuration import ServerFederation
    from v6flow.backends.vantage6.connecting import Connected
    from v6flow.backends.vantage6.records import Task

TOKEN = "5ca1ab1e" * 4
SUMS = {
    name: {"sum": float(sum(ages)), "count": len(ages)}
    for name, ages in live_federation.AGES.items()
    if name != live_federation.OFFLINE
}


@pytest.fixture(params=["plain", "encrypted"])
def live(request: pytest.FixtureRequest) -> LiveFederation:
    found: LiveFederation = getattr(live_federation.shared(), request.param)
    found.start()
    return found


@pytest.fixture
def plain() -> LiveFederation:
    found = live_federation.shared().plain
    found.start()
    return found


def read(
    live: LiveFederation, folder: Path, *, user: User | None = None, server: str | None = None
) -> ServerFederation:
    path = live.write_federation_file(folder / "federation.yaml", user=user, server=server)
    raw = read_document(path, kind="federation").value
    return files.ServerFederation.parse(FederationFile(str(path), raw, lambda text: str(folder / text), str))


@pytest.fixture
def connected(live: LiveFederation, tmp_path: Path) -> Iterator[Connected]:
    found = connecting.connect(read(live, tmp_path))
    yield found
    found.close()


def draft(connected: Connected, method: str, names: tuple[str, ...], *, token: str = TOKEN, **kwargs: Any) -> TaskDraft:
    known = connected.directory.by_short()
    body = dialects.task_input(method, kwargs)
    return TaskDraft(
        token,
        "a step",
        "what it is for",
        live_federation.PROBE,
        connected.directory.collaboration.id,
        {known[name].id: connected.api.prepare_input(body, known[name].public_key, name) for name in names},
        databases=(DatabaseChoice("default"),),
    )


def created(connected: Connected, made: TaskDraft) -> Task:
    """The task that a request creates; a busy server may answer 500 to one that it takes a moment later."""
    try:
        return connected.api.create_task(made)
    except AmbiguousError:
        return connected.api.create_task(made)


def ended(live: LiveFederation, connected: Connected, task: Task) -> None:
    live.wait_for(
        lambda: all(run.phase in ("completed", "failed") for run in connected.api.task_with_runs(task.id).runs),
        "the end",
    )


def test_names_become_ids(live: LiveFederation, connected: Connected) -> None:
    found = connected.directory
    assert found.user.username == live.users.everything.username
    assert found.user.organization_name == "alpha"
    assert (found.collaboration.id, found.collaboration.encrypted) == (live.collaboration_id, live.is_encrypted)
    assert {each.short: each.id for each in found.organizations} == live.organization_ids
    plan = found.directory()
    assert plan.organizations == live_federation.ORGANIZATIONS
    assert plan.offline == (live_federation.OFFLINE,)
    alpha, delta = (found.node(live.organization_ids[name]) for name in ("alpha", "delta"))
    assert alpha is not None
    assert delta is not None
    assert "default" in (alpha.database_labels or ())
    assert (delta.status, delta.last_seen, delta.database_labels) == (None, None, None)
    assert connected.api.dialect.version.text == "4.15.2"
    assert not connected.api.dialect.blobs


def test_a_task_and_its_answers(live: LiveFederation, connected: Connected) -> None:
    names = tuple(SUMS)
    task = created(connected, draft(connected, "partial_sum", names, column="age"))
    assert connected.api.find_tasks_by_token(TOKEN)[-1].id == task.id
    assert connected.api.find_tasks_by_token("5ca1ab1e") == (), "part of a token is none"
    ended(live, connected, task)
    whole = connected.api.task_with_runs(task.id)
    organizations = connected.directory.by_id()
    answers = {
        organizations[run.organization].short: json.loads(connected.api.result(run.id) or b"") for run in whole.runs
    }
    assert answers == SUMS
    assert {organizations[run.organization].short for run in connected.api.runs_of(task.id)} == set(names)
    together = {run.id: json.loads(connected.api.decoded(whole.results[run.id])) for run in whole.runs}
    assert sorted(map(json.canonical, together.values())) == sorted(map(json.canonical, SUMS.values()))
    assert whole.task.databases[0].label == "default"
    assert connected.api.kill_task(task.id) == "finished"
    assert task.id not in {run.task for run in connected.api.open_runs()}


def test_a_large_result_goes_through_a_file(live: LiveFederation, connected: Connected, tmp_path: Path) -> None:
    text = "äb" * 1_000_000
    task = created(connected, draft(connected, "echo", ("beta",), value=text))
    ended(live, connected, task)
    (run,) = connected.api.task_with_runs(task.id).runs
    with (tmp_path / "result").open("wb") as sink:
        written = connected.api.result_into(run.id, sink)
    assert json.loads((tmp_path / "result").read_bytes()) == text
    assert written == (tmp_path / "result").stat().st_size > 2_000_000


def test_an_open_run_is_listed_and_killed(live: LiveFederation, connected: Connected) -> None:
    task = created(connected, draft(connected, "echo", (live_federation.OFFLINE,), value=1))
    (run,) = [run for run in connected.api.open_runs() if run.task == task.id]
    assert (run.phase, connected.api.log(run.id)) == ("pending", "")
    assert connected.api.result(run.id) is None
    assert connected.api.kill_task(task.id) == "killed"
    assert connected.api.kill_task(task.id) == "finished"
    assert connected.api.run(run.id).status == "killed by user"
    assert connected.api.kill_task(10**6) == "gone"
    with pytest.raises(RefusedError, match="not found") as caught:
        connected.api.task_with_runs(10**6)
    assert caught.value.status == 404


def test_what_the_official_client_sends_is_read_and_the_other_way_round(
    live: LiveFederation, connected: Connected
) -> None:
    theirs = live.create_task("echo", {"value": ["theirs"]}, ["beta"])
    live.ended(theirs)
    (run,) = connected.api.task_with_runs(theirs).runs
    assert json.loads(connected.api.result(run.id) or b"") == ["theirs"]
    ours = created(connected, draft(connected, "echo", ("beta",), value=["ours"]))
    assert live.results(ours.id) == {"beta": ["ours"]}


def test_a_crash_has_a_log_and_a_central_function_subtasks(live: LiveFederation, connected: Connected) -> None:
    crashed = created(connected, draft(connected, "crash", ("alpha",)))
    ended(live, connected, crashed)
    (run,) = connected.api.task_with_runs(crashed.id).runs
    assert (run.status, run.phase) == ("crashed", "failed")
    assert "ZeroDivisionError" in connected.api.log(run.id)
    ids = [live.organization_ids[name] for name in SUMS]
    central = created(connected, draft(connected, "central_mean", ("alpha",), column="age", organizations=ids))
    ended(live, connected, central)
    (subtask,) = connected.api.subtasks(central.id)
    assert {run.organization for run in connected.api.task_with_runs(subtask.id).runs} == set(ids)


def test_a_user_whose_lists_hide_runs_sees_all_with_the_task(plain: LiveFederation, tmp_path: Path) -> None:
    connected = connecting.connect(read(plain, tmp_path, user=plain.users.organization_view))
    task = created(connected, draft(connected, "partial_sum", tuple(SUMS), column="age"))
    ended(plain, connected, task)
    assert len(connected.api.runs_of(task.id)) == 1
    whole = connected.api.task_with_runs(task.id)
    assert len(whole.runs) == 3
    assert connected.api.task_with_runs(task.id, results=False).runs == whole.runs
    assert all(connected.api.result(run.id) for run in whole.runs)
    connected.close()


def test_a_missing_right_is_told_by_the_servers_words(plain: LiveFederation, tmp_path: Path) -> None:
    connected = connecting.connect(read(plain, tmp_path, user=plain.users.researcher))
    task = created(connected, draft(connected, "echo", (live_federation.OFFLINE,), value=1))
    with pytest.raises(DeniedError, match="You lack the permission"):
        connected.api.kill_task(task.id)
    connected.close()
    plain.server.request("POST", "/kill/task", {"id": task.id})


def test_names_that_are_not_there(plain: LiveFederation, tmp_path: Path) -> None:
    there = read(plain, tmp_path)
    with pytest.raises(FederationError, match="no collaboration with the name 'hospital_'") as caught:
        connecting.connect(replace(there, collaboration="hospital_"))  # _ is any character to the server
    assert caught.value.hint == "did you mean 'hospitals'?"
    wrong = files.ServerOrganization("alpha", name="alfa")
    with pytest.raises(FederationError, match="no organization with the name 'alfa'"):
        connecting.connect(replace(there, organizations=(wrong,)))
    with pytest.raises(FederationError, match="no collaboration with the id 999"):
        connecting.connect(replace(there, collaboration=999))
    with pytest.raises(FederationError, match="no study with the name 'none'"):
        connecting.connect(replace(there, study="none"))
    by_id = replace(there, collaboration=plain.collaboration_id, organizations=())
    connected = connecting.connect(by_id)
    assert connected.directory.directory().organizations == live_federation.ORGANIZATIONS
    connected.close()


def test_addresses(plain: LiveFederation, tmp_path: Path) -> None:
    there = read(plain, tmp_path)
    connected = connecting.connect(replace(there, server=there.server.removesuffix("/api")))
    assert connected.directory.server == there.server
    connected.close()
    with pytest.raises(FederationError, match=r"but 4\.15\.2 is at") as caught:
        connecting.connect(replace(there, server=there.server + "/v4"))
    assert caught.value.hint == f"write `server: {there.server}`"


def test_two_factor_log_in(plain: LiveFederation, tmp_path: Path) -> None:
    user = plain.users.two_factor
    with plain.server.two_factor() as url:
        there = read(plain, tmp_path, user=user, server=url)
        connected = connecting.connect(there)
        assert connected.directory.user.username == user.username
        connected.close()
        with pytest.raises(AccessError, match="wants a two-factor code"):
            connecting.connect(replace(there, totp_secret=None))
        (tmp_path / "wrong").write_text("JBSWY3DPEHPK3PXP")
        with pytest.raises(AccessError, match="does not accept the two-factor code"):
            connecting.connect(replace(there, totp_secret="${file:wrong}"))
        newcomer = read(plain, tmp_path, user=plain.users.organization_view, server=url)
        nobody = Person({"HOME": str(tmp_path)})
        with pytest.raises(AccessError, match="has just set up two-factor login") as caught:
            connecting.connect(newcomer, person=nobody)
        assert "otpauth" not in f"{caught.value.message}{caught.value.hint}"
        (kept,) = (tmp_path / ".config" / "v6flow").iterdir()
        connecting.connect(replace(newcomer, totp_secret=f"${{file:{kept}}}"), person=nobody).close()


def test_a_wrong_password(plain: LiveFederation, tmp_path: Path) -> None:
    there = read(plain, tmp_path)
    (tmp_path / "wrong").write_text("not the password")
    with pytest.raises(AccessError, match="the user name or the password is wrong") as caught:
        connecting.connect(replace(there, password="${file:wrong}"))
    assert "not the password" not in caught.value.message
    connecting.connect(there).close()


def test_tokens_are_renewed_and_a_useless_refresh_token_means_a_new_log_in(
    plain: LiveFederation, tmp_path: Path
) -> None:
    connected = connecting.connect(read(plain, tmp_path))
    session = connected.session
    first = session._current()
    assert first.refresh is not None
    session._tokens = replace(first, access=first.access[:-4] + "AAAA")  # its signature is wrong: 422
    session.get("/version")
    assert connected.api.open_runs() is not None
    second = session._current()
    assert second.generation == first.generation + 1
    session._tokens = replace(second, access="x.y.z", refresh=first.access)  # no refresh token: 422
    assert connected.api.open_runs() is not None
    assert session._current().generation == second.generation + 1
    connected.close()


def test_our_key_must_be_the_servers(tmp_path: Path) -> None:
    live = live_federation.shared().encrypted
    live.start()
    there = read(live, tmp_path)
    with pytest.raises(FederationError, match="names no private key"):
        connecting.connect(replace(there, private_key=None))
    other = live.server.private_key("beta")
    with pytest.raises(encryption.KeyProblemError, match="not the one whose public key the server has of alpha"):
        connecting.connect(replace(there, private_key=str(other)))


def test_what_is_not_encrypted_for_us_is_refused(tmp_path: Path) -> None:
    live = live_federation.shared().encrypted
    live.start()
    connected = connecting.connect(read(live, tmp_path))
    task = created(connected, draft(connected, "echo", ("beta",), value={"secret": 1}))
    ended(live, connected, task)
    (run,) = connected.api.task_with_runs(task.id).runs
    beta = encryption.load_private_key(live.server.private_key("beta").read_bytes(), "beta.pem")
    connected.api._key = beta
    with pytest.raises(encryption.DecryptionError, match="another key"):
        connected.api.result(run.id)
    connected.api._key = None
    with pytest.raises(encryption.DecryptionError, match="encrypted, but the collaboration is not"):
        connected.api.result(run.id)
    connected.close()


def test_an_input_in_the_clear_is_refused_by_an_encrypted_collaboration(tmp_path: Path) -> None:
    live = live_federation.shared().encrypted
    live.start()
    connected = connecting.connect(read(live, tmp_path))
    known = connected.directory.by_short()["beta"]
    clear = base64.b64encode(dialects.task_input("echo", {"value": 1})).decode()
    with pytest.raises(RefusedError, match="requires encryption") as caught:
        connected.api.create_task(replace(draft(connected, "echo", ("beta",), value=1), inputs={known.id: clear}))
    assert caught.value.status == 400
    connected.close()
