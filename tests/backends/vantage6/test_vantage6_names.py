"""Names, pages and versions of servers that are not always what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from vantage6_fake import Asked, Fake, Say, Vantage6, say, session, transport

from v6flow.backends.base import FederationFile
from v6flow.backends.vantage6 import configuration as files
from v6flow.backends.vantage6 import dialects, paging, server_names
from v6flow.backends.vantage6.dialects import Dialect, TaskDraft, Version
from v6flow.backends.vantage6.records import StrangeError
from v6flow.core.kinds.settings import DatabaseChoice
from v6flow.errors import FederationError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def page(asked: Asked, found: Sequence[dict[str, Any]], **headers: str) -> Say:
    """A page of a list as vantage6 4 gives it."""
    size, number = int(asked.params.get("per_page", 10)), int(asked.params.get("page", 1))
    part = found[(number - 1) * size : number * size]
    links = {"next": "/elsewhere?page=x"} if number * size < len(found) else {}
    return say({"data": list(part), "links": links}, **{"total_count": str(len(found)), **headers})  # type: ignore[arg-type]


def lists(**found: Sequence[dict[str, Any]]) -> dict[str, Callable[[Asked], Say]]:
    def route(items: Sequence[dict[str, Any]]) -> Callable[[Asked], Say]:
        return lambda asked: page(asked, items)

    return {f"/{name}": route(items) for name, items in found.items()}


def things(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in numbers]


def test_all_pages_are_read() -> None:
    with Fake(Vantage6(lists(task=things(*range(25))))) as fake:
        assert paging.items(session(fake), "/task", [("name", "a%b")], per_page=10) == things(*range(25))
    assert [asked.params["page"] for asked in fake.asked[1:]] == ["1", "2", "3"]
    assert {asked.params["name"] for asked in fake.asked[1:]} == {"a%b"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda found: found.insert(0, {"id": 99}), {*range(25), 99}),  # pushes an item to the next page: seen twice
        (lambda found: found.pop(0), set(range(1, 25))),  # pulls one to the page before: not seen
    ],
)
def test_pages_that_shift_show_each_item_once(change: Callable[[list[Any]], object], expected: set[int]) -> None:
    found = things(*range(25))

    def shifting(asked: Asked) -> Say:
        said = page(asked, found)
        if asked.params["page"] == "1" and not shifted:
            shifted.append(change(found))
        return said

    shifted: list[object] = []
    with Fake(Vantage6({"/task": shifting})) as fake:
        numbers = [item["id"] for item in paging.items(session(fake), "/task", per_page=10)]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == expected


@pytest.mark.parametrize(
    "answer", [say({"data": None}), say({"msg": "hello"}), say("text"), say([{"name": "no id"}]), say([1])], ids=repr
)
def test_a_list_that_is_none(answer: Say) -> None:
    with Fake(Vantage6({"/task": lambda _: answer})) as fake, pytest.raises(StrangeError):
        paging.items(session(fake), "/task")


def test_a_list_without_end_or_rest_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_PAGES", 20)
    endless = say({"data": things(1), "links": {"next": "/"}})
    with Fake(Vantage6({"/task": lambda _: endless})) as fake, pytest.raises(StrangeError, match="no end"):
        paging.items(session(fake), "/task")
    short = say({"data": things(1), "links": {}}, total_count="7")
    with Fake(Vantage6({"/task": lambda _: short})) as fake, pytest.raises(StrangeError, match="changes faster"):
        paging.items(session(fake), "/task")


COLLABORATIONS = [
    {"id": 1, "name": "hospital_", "encrypted": False},
    {"id": 2, "name": "hospitals", "encrypted": True},
    {"id": 3, "name": "Hospitals", "encrypted": None},
    {"id": 4, "name": "twice"},
    {"id": 5, "name": "twice"},
    {"id": 6, "name": "2"},
]
ORGANIZATIONS = [
    {"id": 12, "name": "St. Beta", "public_key": "b64"},
    {"id": 11, "name": "St. Alpha (NL)", "public_key": None},
    {"id": 13, "name": "gamma"},
]
NODES = [
    {"id": 1, "name": "n1", "organization": {"id": 11}, "status": "online", "last_seen": "2026-11-21T08:00:00",
     "config": [{"key": "database_labels", "value": "default"}, {"key": "database_labels", "value": "omop"}]},
    {"id": 2, "name": "n2", "organization": {"id": 12}, "status": "offline", "last_seen": None, "config": []},
]  # fmt: skip
THERE = files.ServerFederation("https://x/api", "hospitals", "u", "${env:P}", file="/f.yaml")


def world(**more: Callable[[Asked], Say]) -> Vantage6:
    routes = lists(collaboration=COLLABORATIONS, organization=ORGANIZATIONS, node=NODES, study=[{"id": 1, "name": "s"}])
    routes["/user/7"] = lambda _: say({"id": 7, "username": "somebody", "organization": {"id": 11, "link": "/"}})
    routes["/organization/11"] = lambda _: say(ORGANIZATIONS[1])
    return Vantage6(routes | {f"/{name}": answer for name, answer in more.items()})


@pytest.mark.parametrize(("wanted", "number"), [("hospitals", 2), ("hospital_", 1), ("Hospitals", 3), (4, 4), ("2", 6)])
def test_a_collaboration_is_found_by_exactly_its_name_or_its_id(wanted: str | int, number: int) -> None:
    with Fake(world()) as fake:
        found = server_names.find_collaboration(session(fake), wanted)
    assert found.id == number
    assert found.encrypted is (number != 1), "what does not say that it is not encrypted is"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("twice", r"several of the name 'twice' \(4, 5\)"), ("hospitalz", "no collaboration"), (99, "id 99")],
)
def test_a_collaboration_that_is_not_one(wanted: str | int, words: str) -> None:
    with Fake(world()) as fake, pytest.raises(FederationError, match=words):
        server_names.find_collaboration(session(fake), wanted)


def test_short_names_make_the_closed_list_and_its_order() -> None:
    gamma = files.ServerOrganization("gamma", id=13, databases={"default": "omop_v2"})
    alpha = files.ServerOrganization("alpha", name="St. Alpha (NL)")
    with Fake(world()) as fake:
        found = server_names.read(session(fake), replace(THERE, organizations=(gamma, alpha)))
    assert [(each.short, each.id, each.name) for each in found.organizations] == [
        ("gamma", 13, "gamma"), ("alpha", 11, "St. Alpha (NL)"),
    ]  # fmt: skip
    assert found.by_short()["gamma"].databases == {"default": "omop_v2"}
    assert found.directory().offline == ("gamma",)
    node = found.node(11)
    assert node is not None
    assert node.database_labels == ("default", "omop")
    assert (found.user.username, found.user.organization_name, found.user.public_key) == (
        "somebody",
        "St. Alpha (NL)",
        "",
    )


def test_without_short_names_all_are_there() -> None:
    with Fake(world()) as fake:
        found = server_names.read(session(fake), THERE)
    assert found.directory().organizations == ("St. Alpha (NL)", "St. Beta", "gamma")
    assert found.by_id()[12].public_key == "b64"


def test_identity_tells_servers_users_collaborations_and_studies_apart() -> None:
    with Fake(world()) as fake:
        first = server_names.read(session(fake), THERE)
        again = server_names.read(session(fake), THERE)
        other = server_names.read(session(fake), replace(THERE, collaboration="hospital_"))
        study = server_names.read(session(fake), replace(THERE, study="s"))
    with Fake(world()) as elsewhere:
        server = server_names.read(session(elsewhere), THERE)
    user = replace(first, user=replace(first.user, id=8))
    identities = [each.directory().identity for each in (first, other, study, server, user)]
    assert first.directory() == again.directory()
    assert len(set(identities)) == 5


def test_nodes_that_this_user_may_not_see_are_not_offline() -> None:
    with Fake(world(node=lambda _: say({"msg": "You lack the permission to do that!"}, 401))) as fake:
        found = server_names.read(session(fake), THERE)
    assert found.nodes is None
    assert found.directory().offline == ()


def test_an_organization_under_two_names_is_refused() -> None:
    twice = (files.ServerOrganization("a", id=13), files.ServerOrganization("b", name="gamma"))
    with Fake(world()) as fake, pytest.raises(FederationError, match="is there twice"):
        server_names.read(session(fake), replace(THERE, organizations=twice))


def test_the_federation_file_becomes_a_federation() -> None:
    raw = {
        "server": "https://x/api", "collaboration": 3, "study": "s", "username": "u", "password": "${env:P}",
        "organizations": {"alpha": {"name": "St. Alpha (NL)"}, "gamma": {"id": 12, "databases": {"default": "omop"}}},
        "private_key": "k.pem", "ca_file": "ca.pem", "allow_http": True, "jobs": 3, "defaults": {"image": "i"},
    }  # fmt: skip
    found = files.ServerFederation.parse(FederationFile("/d/f.yaml", raw, lambda text: f"/d/{text}", str))
    assert found == files.ServerFederation(
        "https://x/api", 3, "u", "${env:P}", file="/d/f.yaml", study="s",
        organizations=(
            files.ServerOrganization("alpha", name="St. Alpha (NL)"),
            files.ServerOrganization("gamma", id=12, databases={"default": "omop"}),
        ),
        private_key="/d/k.pem", ca_file="/d/ca.pem", allow_http=True, jobs=3, defaults={"image": "i"},
    )  # fmt: skip


def at(path: str, version: str) -> Callable[[Asked], Say]:
    def answer(asked: Asked) -> Say:
        if asked.path == f"{path}/version":
            return say({"version": version})
        return say(body=b"<html>no such page</html>", status=404)

    return answer


@pytest.mark.parametrize(("given", "there"), [("/api", "/api"), ("", "/api"), ("", ""), ("/v6/api", "/v6/api")])
def test_the_server_is_found_where_it_is(given: str, there: str) -> None:
    with Fake(at(there, "4.7.1")) as fake:
        found, version = dialects.find_server(transport(fake.origin + given))
    assert str(found.address) == fake.origin + there
    assert version == Version("4.7.1", (4, 7, 1))
    assert all(asked.token is None for asked in fake.asked)


@pytest.mark.parametrize(
    ("given", "there", "version", "words"),
    [
        ("/hq", "/hq", "5.0.3", r"is vantage6 5\.0\.3; this v6flow supports vantage6 4\.0 to 4\.15"),
        ("", "/hq", "5.0.3", r"is vantage6 5\.0\.3"),
        ("/api", "/hq", "5.0.3", r"is vantage6 5\.0\.3"),
        ("/api", "/api", "3.11.1", r"is vantage6 3\.11\.1"),
        ("/api", "/api", "2.3.4", r"is vantage6 2\.3\.4"),
        ("/wrong", "/api", "4.15.2", r"but 4\.15\.2 is at"),
        ("/api", "/nowhere", "4.15.2", "there is no vantage6 server at"),
        ("/api", "/api", "latest", "there is no vantage6 server at"),
    ],
)
def test_servers_that_are_named_and_refused(given: str, there: str, version: str, words: str) -> None:
    with Fake(at(there, version)) as fake, pytest.raises(FederationError, match=words) as caught:
        dialects.find_server(transport(fake.origin + given, patience=0.0))
    assert caught.value.exit_code == 2


def test_a_web_page_is_no_server_and_an_absent_one_is_unreachable() -> None:
    with Fake(lambda _: say(body=b"<html>Welcome</html>")) as fake, pytest.raises(FederationError, match="there is no"):
        dialects.find_server(transport(fake, patience=0.0))
    with pytest.raises(UnreachableError):
        dialects.find_server(transport("http://127.0.0.1:9", patience=0.0))


@pytest.mark.parametrize(
    ("answer", "blobs"),
    [
        (say({"blob_store_enabled": True}), True),
        (say({"blob_store_enabled": False}), False),
        (say(body=b"<html>404</html>", status=404), False),
    ],
)
def test_blob_storage_is_asked_for(answer: Say, blobs: bool) -> None:
    with Fake(Vantage6({"/blobstream/status": lambda _: answer})) as fake:
        assert dialects.detect(session(fake), Version("4.15.2", (4, 15, 2))).blobs is blobs


DRAFT = TaskDraft("t0ken", "w/s/alpha", "what for", "image:1", 3, {11: "aW4="})


def body(version: tuple[int, ...], draft: TaskDraft) -> dict[str, Any]:
    return dialects.task_body(Dialect(Version(".".join(map(str, version)), version)), draft)


def test_the_body_of_a_task() -> None:
    databases = (
        DatabaseChoice("default"),
        DatabaseChoice(
            "omop", query="SELECT 1", sheet_name="s", preprocessing=({"function": "f"},), arguments={"a": 1}
        ),
    )
    full = replace(DRAFT, databases=databases, study=4, store=5, server_url="https://x/api")
    assert body((4, 15, 2), full) == {
        "name": "w/s/alpha",
        "description": "t0ken what for",
        "image": "image:1",
        "collaboration_id": 3,
        "organizations": [{"id": 11, "input": "aW4="}],
        "databases": [
            {"label": "default"},
            {
                "label": "omop",
                "query": "SELECT 1",
                "sheet_name": "s",
                "preprocessing": [{"function": "f"}],
                "arguments": {"a": 1},
            },
        ],
        "study_id": 4,
        "store_id": 5,
        "server_url": "https://x/api",
    }
    assert set(body((4, 0, 0), DRAFT)) == {
        "name",
        "description",
        "image",
        "collaboration_id",
        "organizations",
        "databases",
    }


@pytest.mark.parametrize(
    ("before", "since", "change"),
    [
        ((4, 2, 9), (4, 3, 0), {"study": 4}),
        ((4, 5, 9), (4, 6, 0), {"store": 5}),
        ((4, 7, 9), (4, 8, 0), {"server_url": "https://x"}),
        ((4, 13, 9), (4, 14, 0), {"databases": (DatabaseChoice("d", arguments={"a": 1}),)}),
    ],
)
def test_what_a_server_does_not_know_is_not_sent(before: tuple[int, ...], since: tuple[int, ...], change: Any) -> None:
    draft = replace(DRAFT, **change)
    assert body(since, draft)
    with pytest.raises(FederationError, match="does not know"):
        body(before, draft)


def test_long_texts_are_cut_and_the_token_stays() -> None:
    long = body((4, 15, 2), replace(DRAFT, name="n" * 500, description="d" * 5000))
    assert len(long["name"]) == 128
    assert len(long["description"]) == 1024
    assert dialects.token_of(long["description"]) == "t0ken"
    assert dialects.token_of(body((4, 15, 2), replace(DRAFT, description=""))["description"]) == "t0ken"


@pytest.mark.parametrize("name", ["", "  ", "12", "٣"])
def test_names_that_a_server_does_not_take(name: str) -> None:
    assert body((4, 15, 2), replace(DRAFT, name=name))["name"] == f"step {name.strip()}".strip()
