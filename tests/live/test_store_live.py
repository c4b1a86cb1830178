"""A real algorithm store, linked to a real server: what it declares, and tasks that are created by way of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import federation as live_federation
import pytest
import store as live_store
from federation import HOSPITAL_STATS, PROBE
from program import http
from store import DIGESTS, NAME, LiveStore, pinned

from v6flow.backends.base import FederationFile
from v6flow.backends.vantage6 import connecting, dialects, server_names, stores
from v6flow.backends.vantage6.configuration import ServerFederation
from v6flow.backends.vantage6.dialects import TaskDraft
from v6flow.backends.vantage6.refusals import RefusedError
from v6flow.core import json
from v6flow.core.checks.declarations import Argument, DeclaredAlgorithm, DeclaredFunction, Unknown
from v6flow.core.kinds.settings import DatabaseChoice
from v6flow.errors import FederationError
from v6flow.loading import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation

    from v6flow.backends.vantage6.connecting import Connected
    from v6flow.backends.vantage6.server_names import StoreLink


@pytest.fixture
def store(live: LiveFederation) -> LiveStore:
    return live.server.store


@pytest.fixture
def connected(live: LiveFederation, store: LiveStore, tmp_path: Path) -> Iterator[Connected]:
    path = live.write_federation_file(tmp_path / "federation.yaml", user=live.users.researcher)
    raw = read_document(path, kind="federation").value
    found = connecting.connect(
        ServerFederation.parse(FederationFile(str(path), raw, lambda text: str(tmp_path / text), str))
    )
    yield found
    found.close()


@pytest.fixture
def link(connected: Connected) -> StoreLink:
    return stores.find(connected.session, NAME, connected.directory.collaboration)


def test_a_store_is_found_by_name_and_by_id(store: LiveStore, connected: Connected, link: StoreLink) -> None:
    assert (link.id, link.name, link.url) == (store.id, NAME, store.url)
    assert stores.find(connected.session, store.id, connected.directory.collaboration) == link


def test_a_store_that_is_not_there(live: LiveFederation, connected: Connected) -> None:
    session, ours = connected.session, connected.directory.collaboration
    with pytest.raises(FederationError, match="no algorithm store with the name 'hospital_algorithms'") as caught:
        stores.find(session, "hospital_algorithms", ours)  # _ is any character to the server
    assert caught.value.hint == f"did you mean '{NAME}'?"
    with pytest.raises(FederationError, match="no algorithm store with the id 99"):
        stores.find(session, 99, ours)
    other = server_names.find_collaboration(session, live.server.encrypted.name)
    with pytest.raises(FederationError, match="the collaboration hospitals-encrypted has none"):
        stores.find(session, NAME, other)


def test_what_a_store_declares_of_images(connected: Connected, link: StoreLink) -> None:
    found = stores.declared(connected.session, link, [HOSPITAL_STATS, PROBE, f"docker.io/{PROBE}:latest"])
    hospital, probe = found[HOSPITAL_STATS], found[PROBE]
    assert isinstance(hospital, DeclaredAlgorithm)
    assert isinstance(probe, DeclaredAlgorithm)
    assert (hospital.image, hospital.digest) == (HOSPITAL_STATS, DIGESTS[HOSPITAL_STATS])
    assert hospital.store == f"the algorithm store {NAME}"
    column = Argument("column", "column", has_default=False)
    functions = {each.name: each for each in hospital.functions}
    assert functions.keys() == {each["name"] for each in live_store.ALGORITHMS[0]["functions"]}
    assert functions["partial_variance"] == DeclaredFunction(
        "partial_variance",
        central=False,
        arguments=(column, Argument("mean", "float", has_default=False)),
        databases=("patients",),
    )
    assert functions["central_average"] == DeclaredFunction(
        "central_average",
        central=True,
        arguments=(column, Argument("organizations", "organization_list", has_default=True)),
        databases=("patients",),
    )
    (flood,) = [each for each in probe.functions if each.name == "flood"]
    assert flood.arguments == (
        Argument("lines", "integer", has_default=True, default="3", allowed=("3", "300")),
        Argument("verbose", "boolean", has_default=True, frontend_only=True),
    )
    assert found[f"docker.io/{PROBE}:latest"] == probe


def test_what_a_store_does_not_have(connected: Connected, link: StoreLink) -> None:
    near, other = HOSPITAL_STATS.replace(":1.0", ":1.1"), f"{PROBE}@sha256:{'0' * 64}"
    found = stores.declared(connected.session, link, [near, other, pinned(PROBE)])
    called = f"the algorithm store {NAME}"
    assert found[near] == Unknown(
        f"{called} has no approved algorithm {near}", f"did you mean {HOSPITAL_STATS}?", absent=True
    )
    assert found[other] == Unknown(f"{called} has approved another build of {PROBE}, {DIGESTS[PROBE]}", absent=True)
    assert isinstance(found[pinned(PROBE)], DeclaredAlgorithm)


def test_the_store_shows_nothing_to_who_does_not_log_in(live: LiveFederation, store: LiveStore) -> None:
    status, said = http("GET", f"{store.url}/algorithm")
    assert (status, said["msg"]) == (400, "Missing Server-Url header")


def draft(connected: Connected, image: str, method: str, names: tuple[str, ...], **kwargs: Any) -> TaskDraft:
    known = connected.directory.by_short()
    body = base64.b64encode(dialects.task_input(method, kwargs)).decode()
    return TaskDraft(
        "5ca1ab1e" * 4,
        "a step",
        "",
        image,
        connected.directory.collaboration.id,
        {known[name].id: body for name in names},
        databases=(DatabaseChoice("default"),),
        store=stores.find(connected.session, NAME, connected.directory.collaboration).id,
        server_url=str(connected.session.transport.address),
    )


def results(live: LiveFederation, connected: Connected, task: int) -> list[Any]:
    live.wait_for(
        lambda: all(run.phase in ("completed", "failed") for run in connected.api.task_with_runs(task).runs), "the end"
    )
    runs = connected.api.task_with_runs(task).runs
    assert {run.status for run in runs} == {"completed"}, [run.log for run in runs]
    return [json.loads(connected.api.result(run.id) or b"") for run in runs]


def test_a_task_by_way_of_the_store(live: LiveFederation, connected: Connected) -> None:
    task = connected.api.create_task(draft(connected, PROBE, "partial_sum", ("alpha", "beta"), column="age"))
    assert task.image == pinned(PROBE)
    assert stores.is_same_image(task.image, PROBE)
    assert results(live, connected, task.id) == [{"sum": 6.0, "count": 3}, {"sum": 9.0, "count": 2}]


def test_a_central_function_by_way_of_the_store(live: LiveFederation, connected: Connected) -> None:
    ids = [live.organization_ids[name] for name in live_federation.AGES if name != live_federation.OFFLINE]
    kwargs: dict[str, Any] = {"column": "age", "organizations": ids}
    task = connected.api.create_task(draft(connected, PROBE, "central_mean", ("alpha",), **kwargs))
    assert results(live, connected, task.id) == [{"mean": 4.0, "answers": 3}]
    (subtask,) = connected.api.subtasks(task.id)
    assert subtask.image == pinned(PROBE)


def test_the_server_refuses_what_the_store_does_not_have(connected: Connected) -> None:
    with pytest.raises(RefusedError, match="Could not retrieve algorithm from store!") as caught:
        connected.api.create_task(draft(connected, "registry.example/unknown", "echo", ("alpha",), value=1))
    assert caught.value.status == 400
