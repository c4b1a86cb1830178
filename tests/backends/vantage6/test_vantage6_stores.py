"""Algorithm stores that are away, are no stores, or want more of us than they get."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from vantage6_fake import Asked, Fake, Say, Time, Vantage6, say, session, transport

from v6flow.backends.vantage6 import stores
from v6flow.backends.vantage6.server_names import StoreLink
from v6flow.core.checks.declarations import Argument, DeclaredAlgorithm, DeclaredFunction, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE = "registry.example/stats:1"
MISSING = say({"msg": "Missing Authorization header"}, 401)


@pytest.fixture
def vantage6() -> Vantage6:
    return Vantage6()


@pytest.fixture
def server(vantage6: Vantage6) -> Iterator[Fake]:
    with Fake(vantage6) as fake:
        yield fake


def algorithm(number: int = 1, image: str = IMAGE, **more: Any) -> dict[str, Any]:
    return {"id": number, "image": image, "digest": "sha256:a", "functions": [], **more}


def function(**more: Any) -> dict[str, Any]:
    return {"name": "f", "type": "federated", "arguments": [], "databases": [], **more}


def page(*found: object, more: bool = False) -> Say:
    return say({"data": list(found), "links": {"next": "/algorithm?page=2"} if more else {}})


def answered(server: Fake, answer: Say | Callable[[Asked], Say], image: str = IMAGE) -> tuple[Any, list[Asked]]:
    """What is known of an image by a store that answers like this, and what it was asked."""
    with Fake(answer if callable(answer) else lambda _: answer) as fake:
        link = StoreLink(1, "hospitals", f"{fake.origin}/api")
        return stores.declared(session(server), link, [image])[image], fake.asked


def test_a_public_store_gets_no_token(server: Fake, vantage6: Vantage6) -> None:
    found, asked = answered(server, page(algorithm()))
    assert isinstance(found, DeclaredAlgorithm)
    assert [(each.path, each.token) for each in asked] == [("/api/algorithm", None)]
    assert asked[0].headers["server-url"] == f"{server.origin}/api"
    assert vantage6.logins == 0


def test_a_store_that_wants_to_know_who_asks_gets_the_token_for_all_pages(server: Fake, vantage6: Vantage6) -> None:
    def answer(asked: Asked) -> Say:
        if asked.token is None:
            return MISSING
        second = asked.params["page"] == "2"
        return page(algorithm(2, "other")) if second else page(algorithm(), more=True)

    found, asked = answered(server, answer)
    assert isinstance(found, DeclaredAlgorithm)
    (token,) = vantage6.valid
    assert [each.token for each in asked] == [None, token, token]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            say(body=b"<h1>401</h1>", status=401),
            "something in front of the vantage6 server refuses GET /algorithm (401)",
        ),
        (
            say({"msg": "Server 'x' you are trying to authenticate with is not whitelisted"}, 403),
            "it says: Server 'x' you are trying to authenticate with is not whitelisted",
        ),
        (say(status=302, Location="https://elsewhere.example.org/"), "v6flow does not follow"),
        (say({"msg": "An unexpected error occurred on the server!"}, 500), "answers GET /algorithm with 500"),
        (say(body=b"<!doctype html>"), "a web page"),
        (say(body=b'{"data": ['), "no sound JSON"),
        (say({"data": "none"}), "what the server gives as the list /algorithm is none"),
        (say({"data": [{"image": IMAGE}]}), "an item without an id"),
    ],
)
def test_what_is_no_answer_is_a_reason_and_gets_no_token(server: Fake, answer: Say, reason: str) -> None:
    found, asked = answered(server, answer)
    assert isinstance(found, Unknown)
    assert found.reason.startswith("the algorithm store hospitals cannot be read: ")
    assert reason in found.reason
    assert not found.absent
    assert {each.token for each in asked} == {None}


def test_a_token_is_not_followed_by_another_try(server: Fake) -> None:
    found, asked = answered(server, say({"msg": "You are not registered in this algorithm store"}, 401))
    assert found.reason.endswith("it says: You are not registered in this algorithm store")
    assert [each.token is None for each in asked] == [True, False]


def test_a_store_that_repeats_our_token_is_not_quoted(server: Fake, vantage6: Vantage6) -> None:
    def answer(asked: Asked) -> Say:
        return MISSING if asked.token is None else say({"msg": f"who is {asked.token}?"}, 403)

    found, _ = answered(server, answer)
    (token,) = vantage6.valid
    assert "who is" in found.reason
    assert token not in found.reason


def test_a_store_that_is_away_is_given_up_soon(server: Fake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    time = Time()
    link = StoreLink(1, "hospitals", f"http://127.0.0.1:{port}/api")
    found = stores.declared(session(server, time), link, [IMAGE, "other"])
    away = found[IMAGE]
    assert isinstance(away, Unknown)
    assert "nothing listens there" in away.reason
    assert found["other"] == away
    assert sum(time.slept) <= stores.PATIENCE


def test_an_address_as_it_was_before_4_8(server: Fake) -> None:
    with Fake(
        lambda asked: page(algorithm()) if asked.path == "/api/algorithm" else say(body=b"<html>", status=404)
    ) as fake:
        found = stores.declared(session(server), StoreLink(1, "hospitals", f"{fake.origin}/"), [IMAGE])[IMAGE]
    assert isinstance(found, DeclaredAlgorithm)
    assert [each.path for each in fake.asked] == ["/algorithm", "/api/algorithm"]


def test_a_store_without_algorithms_at_its_address(server: Fake) -> None:
    found, asked = answered(server, say(body=b"<html>", status=404))
    assert "(404)" in found.reason
    assert found.hint is None
    assert len(asked) == 1


def test_a_store_that_knows_the_server_by_another_address(server: Fake) -> None:
    found, _ = answered(server, say({"msg": "Server 'x' is not whitelisted"}, 403))
    assert found.hint.startswith("a store knows servers by their exact addresses")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://store.example.org/api", "http://store.example.org/api is plain http"),
        ("http://localhost:7602/api", "is this machine, not the server's"),
        ("https://127.0.0.1/api", "is this machine, not the server's"),
        ("https://[::1]:7602/api", "is this machine, not the server's"),
        ("ftp://store.example.org", "none that can be used"),
        ("https://somebody:secret@store.example.org", "none that can be used"),
        ("https://store.example.org/?token=", "none that can be used"),
        ("", "none that can be used"),
    ],
)
def test_addresses_that_are_not_gone_to(server: Fake, url: str, reason: str) -> None:
    ours = session(server)
    ours.transport = transport("https://v6.example.org/api")
    found = stores.declared(ours, StoreLink(1, "hospitals", url), [IMAGE])[IMAGE]
    assert isinstance(found, Unknown)
    assert reason in found.reason
    assert "secret" not in found.reason
    assert server.asked == []


def test_plain_http_is_gone_to_where_it_is_allowed(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    ours = session(server)
    ours.transport = transport("https://v6.example.org/api")
    with Fake(lambda _: page(algorithm())) as fake:
        link = StoreLink(
            1, "hospitals", f"http://0.0.0.0:{fake.port}/api"
        )  # no name for this machine, but it gets there
        assert isinstance(stores.declared(ours, link, [IMAGE])[IMAGE], Unknown)
        assert fake.asked == []
        assert isinstance(stores.declared(ours, link, [IMAGE], allow_http=True)[IMAGE], DeclaredAlgorithm)


# -------------------------------------------------------------------------------------------- what is in there


@pytest.mark.parametrize(
    "functions",
    [
        None,
        "f",
        ["f"],
        [{"type": "federated", "arguments": [], "databases": []}],
        [function(type="preprocessing")],
        [function(arguments=None)],
        [function(arguments=[{"type": "string"}])],
        [function(databases=[{"name": 3}])],
        [function(arguments=[{"name": "x", "allowed_values": "any"}])],
    ],
)
def test_an_algorithm_that_is_none_is_unknown_and_the_others_are_not(server: Fake, functions: object) -> None:
    listed = page(algorithm(1, functions=functions), algorithm(2, "other", functions=[function()]))
    found, _ = answered(server, listed)
    assert isinstance(found, Unknown)
    assert found.reason.startswith(f"what the algorithm store hospitals declares of {IMAGE} cannot be read: ")
    found, _ = answered(server, listed, "other")
    assert found.functions == (DeclaredFunction("f", central=False),)


def test_what_an_old_store_leaves_out(server: Fake) -> None:
    arguments = [{"name": "x", "type": "string"}, {"name": "y", "type": 3, "default_value": 3}]
    listed = [algorithm(functions=[function(type="central", arguments=arguments)], digest=None)]
    found, _ = answered(server, say(listed))
    assert found.functions == (DeclaredFunction("f", central=True, arguments=(Argument("x", "string"), Argument("y"))),)
    assert not any(each.required for each in found.functions[0].arguments)
    assert found.digest is None


def test_the_latest_of_several_and_the_build_that_is_asked_for(server: Fake) -> None:
    listed = page(algorithm(3, digest="sha256:b"), algorithm(10, digest="sha256:c"), algorithm(2, digest="sha256:d"))
    found, _ = answered(server, listed)
    assert found.digest == "sha256:c"
    found, _ = answered(server, listed, f"{IMAGE}@sha256:d")
    assert found.digest == "sha256:d"
    found, _ = answered(server, listed, f"{IMAGE}@sha256:e")
    assert found.absent


@pytest.mark.parametrize(
    ("kept", "asked", "same"),
    [
        ("v6/stats", "v6/stats:latest", True),
        ("v6/stats:latest", "docker.io/v6/stats", True),
        ("v6/stats:1", "index.docker.io/v6/stats:1", True),
        ("localhost:5000/stats", "localhost:5000/stats:latest", True),
        ("v6/stats:1", "v6/stats", False),
        ("ghcr.io/v6/stats", "v6/stats", False),
        ("docker.io", "", False),
    ],
)
def test_names_of_images(server: Fake, kept: str, asked: str, same: bool) -> None:
    found, _ = answered(server, page(algorithm(image=kept)), asked)
    assert isinstance(found, DeclaredAlgorithm) is same


def test_the_image_of_a_task_by_way_of_a_store() -> None:
    assert stores.is_same_image("v6/stats:1@sha256:a", "docker.io/v6/stats:1")
    assert stores.is_same_image("v6/stats@sha256:a", "v6/stats:latest")
    assert stores.is_same_image("v6/stats:1@sha256:a", "v6/stats:1@sha256:a")
    assert not stores.is_same_image("v6/stats:1@sha256:a", "v6/stats:1@sha256:b")
    assert not stores.is_same_image("v6/stats:1@sha256:a", "v6/stats:2")


def test_what_a_store_says_is_shown_on_one_line(server: Fake) -> None:
    listed = page(algorithm(functions=[function(name="f\x1b[31m\n" + "g" * 1000)]))
    found, _ = answered(server, listed)
    name = found.functions[0].name
    assert name.isprintable()
    assert len(name) <= 501
    found, _ = answered(server, page(algorithm(image="evil\n\x1b[31m")), "evil")
    assert found.hint is not None
    assert found.hint.isprintable()
