"""What is found of a server that a real one will not be on demand: wrong clocks, web pages, old versions, odd nodes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from vantage6_fake import Asked, Fake, Say, Vantage6, say, session

from v6flow.backends.vantage6 import checkup, connecting, encryption, policies, rights, server_names
from v6flow.backends.vantage6.configuration import ServerFederation, ServerOrganization
from v6flow.backends.vantage6.transport import Limits
from v6flow.core import reading
from v6flow.core.checks import findings, soundness
from v6flow.core.language import document
from v6flow.core.planning import planner
from v6flow.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from v6flow.core.checks.findings import Finding
    from v6flow.core.directory import Directory
    from v6flow.core.planning.plan import Plan

UNKNOWN = "which databases and images it has is not known"
NOW = 1_800_000_000.0
ENVIRON = {"PASSWORD": "planted-secret"}
HURRIED = Limits(patience=0.0, total=20.0)
ONLINE = {"database_labels": ["default", "omop_v2"], "allowed_algorithms": ["all"]}
RULES = [
    ("task", "create"),
    ("task", "view"),
    ("run", "view"),
    ("event", "receive"),
    ("event", "send"),
    ("node", "view"),
]


def node(organization: int, status: Any = "online", **config: list[str]) -> dict[str, Any]:
    told = [{"key": key, "value": value} for key, values in (config or ONLINE).items() for value in values]
    return {
        "id": organization, "name": f"node {organization}", "organization": {"id": organization}, "status": status,
        "last_seen": "2027-01-15T06:00:00.5", "config": told if status == "online" else [],
    }  # fmt: skip


def listed(found: list[dict[str, Any]]) -> Callable[[Asked], Say]:
    return lambda _: say({"data": found, "links": {}})


def rules(scopes: dict[tuple[str, str], str]) -> list[dict[str, Any]]:
    return [
        {"id": number, "name": name, "operation": operation.upper(), "scope": scope.upper()}
        for number, ((name, operation), scope) in enumerate(scopes.items(), start=1)
    ]


@dataclass
class World(Vantage6):
    """A server with the organizations alpha (ours), beta and gamma in an unencrypted collaboration."""

    date: str | None = formatdate(NOW)
    version: str = "4.15.2"
    encrypted: bool = False
    keys: dict[int, str] = field(default_factory=dict)
    nodes: list[dict[str, Any]] = field(default_factory=lambda: [node(11), node(12), node(13)])
    rules: list[dict[str, Any]] = field(default_factory=lambda: rules(dict.fromkeys(RULES, "collaboration")))
    held: list[int] | None = None  # ids of the user's rules; None: all that there are
    answers: dict[str, Say] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Say:
        path = asked.path.removeprefix("/api")
        if path in self.answers:
            return self.answers[path]
        if path == "/version":
            said = say({"version": self.version})
            return said if self.date is None else say({"version": self.version}, Date=self.date)
        organizations = [
            {"id": number, "name": name, "public_key": self.keys.get(number, "")}
            for number, name in ((11, "alpha"), (12, "beta"), (13, "gamma"))
        ]
        user: dict[str, Any] = {"id": 7, "username": "somebody", "organization": {"id": 11}}
        if "include_permissions" in asked.params:
            user["permissions"] = {"rules": [each["id"] for each in self.rules] if self.held is None else self.held}
        self.routes = {
            "/user/7": lambda _: say(user),
            "/organization/11": lambda _: say(organizations[0]),
            "/organization": listed(organizations),
            "/collaboration": listed([{"id": 3, "name": "hospitals", "encrypted": self.encrypted}]),
            "/node": listed(self.nodes),
            "/rule": listed(self.rules),
        }
        return super().__call__(asked)


def federation(fake: Fake, **changes: Any) -> ServerFederation:
    there = ServerFederation(f"{fake.origin}/api", "hospitals", "somebody", "${env:PASSWORD}", file="/nowhere/f.yaml")
    return replace(there, **changes)


def make(text: str) -> Callable[[Callable[..., Directory]], Plan]:
    workflow = reading.parse(document.parse(f"v6flow: 1\nname: w\n{text}", "w.yaml"))
    assert not soundness.check(workflow)
    return lambda look: planner.make(workflow, {}, look(), folder="/work")


def examine(world: Callable[[Asked], Say], *, text: str | None = None, **changes: Any) -> list[Finding]:
    with Fake(world) as fake:
        return checkup.examine(
            federation(fake, **changes),
            plan=make(text) if text is not None else None,
            limits=HURRIED,
            environ=ENVIRON,
            now=lambda: NOW,
        )


def about(found: list[Finding], subject: str) -> Finding:
    (one,) = [each for each in found if each.subject == subject]
    return one


def bad(found: list[Finding]) -> list[str]:
    """What is not well, as sentences."""
    return [f"{each.status}: {each.subject}: {each.message}" for each in findings.ordered(found) if each.status != "ok"]


def test_all_is_well() -> None:
    found = examine(World())
    assert bad(found) == []
    assert {each.subject for each in found} == {
        "server", "clock", "log-in", "collaboration", "rights", "alpha", "beta", "gamma",
    }  # fmt: skip
    assert about(found, "log-in").message == "as somebody of alpha"
    assert about(found, "beta").message == "is online; databases: default, omop_v2; any image may run"


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(0, None), (29, None), (-29, None), (90, "1m30s behind"), (-3600, "1h00m ahead of")],
)
def test_clocks_that_differ_are_told(ahead: int, words: str | None) -> None:
    found = about(examine(World(date=formatdate(NOW + ahead))), "clock")
    assert found.status == ("ok" if words is None else "warning")
    assert words is None or words in found.message


@pytest.mark.parametrize("date", [None, "yesterday", "Thu, 99 Xxx 9999 99:99:99 GMT"])
def test_a_server_without_a_clock_is_no_worry(date: str | None) -> None:
    assert about(examine(World(date=date)), "clock").status == "ok"


def test_a_newer_server_is_a_warning_and_another_generation_a_problem() -> None:
    assert about(examine(World(version="4.16.0")), "server").status == "warning"
    found = examine(World(version="5.0.3"))
    assert findings.exit_code(found) == 2
    assert "is vantage6 5.0.3" in about(found, "server").message
    assert about(found, "not checked").message == "log-in, rights, collaboration and organizations"


def test_a_web_page_in_place_of_a_server() -> None:
    found = examine(lambda _: say(body=b"<html>Welcome</html>"))
    assert findings.exit_code(found) == 2
    assert [each.subject for each in found] == ["server", "not checked"]


def test_a_server_that_is_away_and_one_that_falls_silent() -> None:
    nowhere = ServerFederation("http://127.0.0.1:9/api", "hospitals", "somebody", "${env:PASSWORD}", file="/f.yaml")
    found = checkup.examine(nowhere, limits=HURRIED, environ=ENVIRON)
    assert (findings.exit_code(found), len(found)) == (5, 2)
    found = examine(World(answers={"/collaboration": Say((), "reset")}))
    assert findings.exit_code(found) == 5
    assert about(found, "collaboration").status == "problem"
    assert about(found, "rights").status == "ok", "what was learned until then is told"


def test_a_log_in_that_fails_is_never_tried_again() -> None:
    world = World(answers={"/token/user": say({"msg": "Failed to login"}, 401)})
    with Fake(world) as fake:
        found = checkup.examine(federation(fake), limits=HURRIED, environ=ENVIRON, now=lambda: NOW)
    assert [asked.path for asked in fake.asked].count("/api/token/user") == 1
    assert findings.exit_code(found) == 4
    assert about(found, "not checked").message == "rights, collaboration and organizations"
    assert "planted-secret" not in str(found)


def test_a_second_factor_that_is_missing() -> None:
    asks = say({"msg": "Please include your two-factor authentication code"})
    found = about(examine(World(answers={"/token/user": asks})), "log-in")
    assert (found.exit_code, "totp_secret" in (found.remedy or "")) == (4, True)


def test_a_password_that_is_nowhere_is_a_fault_of_the_federation() -> None:
    found = about(examine(World(), password="${env:NOWHERE_SET}"), "log-in")
    assert (found.status, found.exit_code) == ("problem", 2)
    assert "NOWHERE_SET" in found.message


def test_what_the_log_in_lacks_is_told_though_the_server_is_away() -> None:
    there = ServerFederation(
        "http://127.0.0.1:9/api", "hospitals", "${env:USER_NAME}", "${env:PASSWORD}", file="/f.yaml"
    )
    there = replace(there, totp_secret="${env:TOTP}")
    found = checkup.examine(there, limits=HURRIED, environ=ENVIRON)
    assert [(each.status, each.subject) for each in found] == [
        ("problem", "server"),
        ("problem", "log-in"),
        ("problem", "log-in"),
        ("warning", "not checked"),
    ]
    assert findings.exit_code(found) == 5
    assert [each.message for each in found[1:3]] == [
        "the environment variable USER_NAME is not set",
        "the environment variable TOTP is not set",
    ]
    assert "${env:TOTP} refers to it" in (found[2].remedy or "")
    assert "planted-secret" not in str(found)
    found = checkup.examine(replace(there, password="${keyring:v6/me}"), limits=HURRIED, environ={"USER_NAME": ""})
    assert [each.message for each in found[1:2]] == ["the environment variable TOTP is not set"]


def test_all_that_the_log_in_lacks_is_told_at_once() -> None:
    with Fake(World()) as fake:
        there = replace(federation(fake, password="${env:PASS_WORD}"), username="${env:USER_NAME}")
        found = checkup.examine(there, limits=HURRIED, environ={}, now=lambda: NOW)
    assert [each.message for each in found if each.subject == "log-in"] == [
        "the environment variable USER_NAME is not set",
        "the environment variable PASS_WORD is not set",
    ]


def test_rights_are_the_widest_of_all_rules() -> None:
    scopes = {("task", "create"): "collaboration", ("run", "view"): "organization"}
    wider = [{"id": 9, "name": "run", "operation": "VIEW", "scope": "GLOBAL"}]
    with Fake(World(rules=rules(scopes) + wider)) as fake:
        found = rights.read(session(fake))
    assert found.scope("run", "view") == "global"
    assert (found.may("run", "view", "collaboration"), found.may("task", "create", "global")) == (True, False)
    assert (found.scope("event", "send"), found.may("event", "send", "own")) == (None, False)
    with Fake(World(rules=rules(scopes) + wider, held=[1, 2])) as fake:
        assert rights.read(session(fake)).scope("run", "view") == "organization", "only rules that the user has count"


def test_rights_of_a_server_that_does_not_number_them_are_at_least_those_it_lists() -> None:
    user = say({"id": 7, "username": "somebody", "organization": {"id": 11}})
    with Fake(World(rules=rules({("run", "view"): "glo"}), answers={"/user/7": user})) as fake:
        found = rights.read(session(fake))
    assert [asked.params.get("user_id") for asked in fake.asked if asked.path == "/api/rule"] == ["7"]
    assert found.scope("run", "view") == "global"
    assert (found.scope("event", "send"), found.may("event", "send", "own")) == ("unknown", None)


@pytest.mark.parametrize(
    "answer",
    [
        say(body=b"<html>404</html>", status=404),
        say({"msg": "database is locked"}, 500),
        say({"msg": "You lack the permission to do that!"}, 401),
        say({"msg": "hello"}),
        say([{"id": 1, "name": "run", "operation": "VIEW", "scope": "GLOBAL"}]),
    ],
    ids=["absent", "broken", "denied", "odd", "incomplete"],
)
def test_rights_that_cannot_be_read_are_unknown(answer: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "PATIENCE", 0.0)
    with Fake(World(answers={"/rule": answer}, held=[1, 2])) as fake:
        assert rights.read(session(fake)).scope("event", "send") == "unknown"
    found = examine(World(answers={"/rule": answer}, held=[1, 2]))
    assert bad(found) == [
        "warning: rights: the server does not report what this user may do: a missing right shows only when it is used"
    ]


def test_a_server_that_goes_while_rights_are_read_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "PATIENCE", 0.0)
    with Fake(World(answers={"/rule": Say((), "reset")})) as fake, pytest.raises(UnreachableError):
        rights.read(session(fake))


@pytest.mark.parametrize(
    ("lacking", "status", "code", "words"),
    [
        ({("task", "create"): "organization"}, "problem", 4, "may not create tasks"),
        ({("run", "view"): None}, "problem", 4, "may not see runs"),
        ({("run", "view"): "organization"}, "warning", 0, "lists only runs of this user's own organization"),
        ({("task", "view"): "own"}, "warning", 0, "central function"),
        ({("event", "receive"): "organization"}, "warning", 0, "so v6flow polls"),
        ({("event", "send"): "organization"}, "warning", 0, "may not kill"),
        ({("run", "view"): "own"}, "ok", 0, "may create"),
        ({("run", "view"): "global"}, "ok", 0, "may create"),
    ],
)
def test_each_right_that_is_missing_is_told(
    lacking: dict[tuple[str, str], str | None], status: str, code: int, words: str
) -> None:
    scopes = {right: scope for right, scope in (dict.fromkeys(RULES, "collaboration") | lacking).items() if scope}
    found = about(examine(World(rules=rules(scopes))), "rights")
    assert (found.status, found.exit_code) == (status, code)
    assert words in found.message


def test_who_asks_no_central_function_is_told_that_one_would_go_unnoticed() -> None:
    scopes = dict.fromkeys(RULES, "collaboration") | {("task", "view"): "own"}
    text = "steps: {a: {task: {method: m, image: i%s}}}"
    (told,) = bad(examine(World(rules=rules(scopes)), text=text % ""))
    assert told.startswith("warning: rights")
    assert "a step that does not say `central: true` goes unnoticed" in told
    assert len(bad(examine(World(rules=rules(scopes)), text=text % ", organization: beta, central: true"))) == 1


def test_a_user_whose_organization_is_elsewhere() -> None:
    scopes = {**dict.fromkeys(RULES, "global"), ("collaboration", "view"): "global"}
    world = World(rules=rules(scopes))
    only = (ServerOrganization("beta"),)
    assert bad(examine(world, organizations=only)) == []

    def elsewhere(asked: Asked) -> Say:
        if "organization_id" in asked.params:
            return say({"data": [], "links": {}})
        return world(asked)

    (told,) = bad(examine(elsewhere, organizations=only))
    assert told.startswith("problem: collaboration: alpha, the organization of somebody, is not in hospitals")


def test_nodes_that_are_off_are_warnings() -> None:
    found = examine(World(nodes=[node(11), node(12, "offline"), {**node(13, None), "last_seen": None}]))
    assert bad(found) == [
        f"warning: beta: is offline, last seen 2h00m ago (2027-01-15 06:00 UTC): {UNKNOWN}",
        f"warning: gamma: is offline, and was never seen: {UNKNOWN}",
    ]
    assert findings.exit_code(found) == 0


@pytest.mark.parametrize(
    "seen", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "99999-01-01", "soon", "0000-00-00"]
)
def test_a_node_that_was_seen_at_no_time_that_there_is(seen: str) -> None:
    found = examine(World(nodes=[node(11), {**node(12, "offline"), "last_seen": seen}, node(13)]))
    assert bad(found) == [f"warning: beta: is offline, last seen {seen}: {UNKNOWN}"]


def test_a_node_that_shares_nothing_may_have_everything() -> None:
    world = World(nodes=[node(11), node(12), {**node(13), "config": []}])
    found = examine(world, text="steps: {a: {task: {method: m, image: i}}}")
    assert bad(found) == []
    assert "does not report" in about(found, "gamma").message


def test_nodes_that_this_user_may_not_see() -> None:
    found = examine(World(answers={"/node": say({"msg": "You lack the permission to do that!"}, 401)}))
    assert [each.split(":")[1] for each in bad(found)] == [" nodes"]


def test_an_organization_without_a_node_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "PATIENCE", 0.0)
    found = examine(World(nodes=[node(11), node(12)]))
    assert bad(found) == ["problem: gamma: has no node in the collaboration hospitals"]
    assert findings.exit_code(found) == 2
    unknown = examine(World(nodes=[node(11), node(12)], answers={"/rule": say({"msg": "no"}, 500)}))
    assert about(unknown, "gamma").status == "warning"


def test_what_a_plan_needs_is_looked_for_at_each_node() -> None:
    text = "steps: {a: {task: {method: m, image: reg.example/x:1, databases: [default, omop]}, quorum: 2}}"
    nodes = [node(11), node(12), node(13, allowed_algorithms=[r"^other/.*$"], database_labels=["default"])]
    mapped = tuple(
        ServerOrganization(name, databases={"omop": "omop_v2"} if name != "beta" else {})
        for name in ("alpha", "beta", "gamma")
    )
    found = examine(World(nodes=nodes), text=text, organizations=mapped)
    beta, gamma = "has no database omop; it has default, omop_v2", "has no database omop_v2 (for omop); it has default"
    assert bad(found) == [
        f"problem: step a: it cannot succeed, since 2 of 3 must answer, and beta {beta}; gamma {gamma}",
        f"problem: beta: {beta}",
        f"problem: gamma: {gamma}",
        "problem: gamma: does not allow the image reg.example/x:1; it allows ^other/.*$",
    ]
    assert "did you mean omop_v2?" in (about(found, "beta").remedy or "")
    assert findings.exit_code(found) == 4


def test_what_no_step_fails_of_is_a_warning() -> None:
    text = "steps: {a: {task: {method: m, image: reg.example/x:1}, quorum: 2}}"
    found = examine(World(nodes=[node(11), node(12), node(13, database_labels=["other"])]), text=text)
    assert bad(found) == ["warning: gamma: has no database default; it has other"]


def test_where_a_store_or_a_digest_may_count_an_image_is_not_called_refused() -> None:
    nodes = [node(11), node(12), node(13, allowed_algorithms=["reg.example/x:2"])]
    found = examine(World(nodes=nodes), text="steps: {a: {task: {method: m, image: reg.example/x:1}}}")
    assert bad(found) == ["warning: gamma: may not allow the image reg.example/x:1; it allows reg.example/x:2"]
    text = "steps: {a: {task: {method: m, image: reg.example/y:1, store: s}}}"
    stores = say({"data": [{"id": 1, "name": "s", "url": "https://s/api"}], "links": {}})
    found = examine(World(nodes=nodes, answers={"/algorithmstore": stores}), text=text)
    assert all(each.startswith("warning: gamma: may not allow") for each in bad(found))


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"allowed_users": ["7"]}, False),
        ({"allowed_users": ["8"]}, True),
        ({"allowed_users": ["8"], "allowed_orgs": ["11"]}, False),
        ({"allowed_orgs": ["alpha"]}, False),
        ({"allowed_orgs": ["12", "beta"]}, True),
        ({"allowed_users": ["somebody-else"]}, False),
    ],
)
def test_a_node_that_takes_tasks_of_some_users_only(config: dict[str, list[str]], refused: bool) -> None:
    found = about(examine(World(nodes=[node(11), node(12), node(13, "online", **ONLINE, **config)])), "gamma")
    assert (found.status, found.exit_code) == (("problem", 4) if refused else ("ok", 0))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    pem = encryption.generate_private_key(2048)
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(pem)
    return path, encryption.load_private_key(pem, "key.pem").public_text


def test_an_encrypted_collaboration_needs_all_keys(key: tuple[Path, str]) -> None:
    path, public = key
    world = World(encrypted=True, keys={11: public, 12: public})
    found = examine(world, private_key=str(path))
    assert about(found, "private key").status == "ok"
    assert bad(found) == [
        "problem: gamma: cannot be sent anything encrypted: the server has no public key of gamma",
    ]
    found = examine(World(encrypted=True, keys={12: public, 13: public}), private_key=str(path))
    assert about(found, "private key").exit_code == 2
    found = examine(world)
    assert "names no private key" in about(found, "private key").message
    found = examine(world, private_key="/nowhere/key.pem")
    assert "cannot be read" in about(found, "private key").message


def test_a_workflow_that_does_not_fit_is_told_beside_the_rest() -> None:
    found = examine(World(), text="steps: {a: {task: {method: m, image: i, organizations: [alhpa]}}}")
    assert about(found, "workflow").exit_code == 2
    assert "did you mean alpha?" in about(found, "workflow").message
    assert about(found, "gamma").status == "ok"


def test_names_that_are_not_there_end_it() -> None:
    found = examine(World(), collaboration="hospitalz")
    assert (about(found, "collaboration").exit_code, about(found, "rights").status) == (2, "ok")
    found = examine(World(), organizations=(ServerOrganization("delta"),))
    assert about(found, "organizations").exit_code == 2


def test_the_preflight_asks_three_times() -> None:
    with Fake(World()) as fake:
        connected = connecting.connect(federation(fake), environ=ENVIRON)
        before = len(fake.asked)
        plan = make("steps: {a: {task: {method: m, image: i}}}")(connected.directory.directory)
        found = checkup.preflight(connected, plan, now=lambda: NOW)
        asked = [each.path for each in fake.asked[before:]]
        connected.close()
    assert sorted(asked) == ["/api/rule", "/api/user/7", "/api/version"]
    assert bad(found) == []


@pytest.mark.parametrize(
    ("patterns", "image", "verdict"),
    [
        ([], "x", True),
        (["all"], "x", True),
        (["reg.example/x"], "reg.example/x", True),
        (["reg.example/x"], "reg.example/x:1", True),
        (["reg.example/x"], "reg.example/x@sha256:ab", True),
        (["reg.example/x"], "reg.example/x:1@sha256:ab", True),
        (["x"], "docker.io/x:1", True),
        (["x"], "index.docker.io/x:1", True),
        (["localhost:5000/x"], "localhost:5000/x:2", True),
        (["reg.example/x"], "reg.example/y:1", False),
        (["reg.example/x"], "regXexample/x:1", None),  # older nodes: a pattern
        (["reg.example/x"], "reg.example/xy:1", None),
        (["reg.example/x:1"], "reg.example/x:2", None),  # the same image if the digests are
        (["reg.example/x:1"], "reg.example/x@sha256:ab", None),
        ([r"^reg\.example/.*$"], "reg.example/x:1", True),
        ([r"reg\.example/[a-z]+"], "reg.example/x:1", True),  # from the beginning, not to the end
        ([r"example/.*"], "reg.example/x:1", False),
        ([r"^a$", r"^b$"], "c", False),
        ([r"^a$", r"reg.example/x:1"], "reg.example/x:2", None),
        ([r"^a$", r"c"], "c", True),
        ([r"(unclosed"], "c", None),
        ([r"^(reg\.example|other)/(x|y)(:\d)?$"], "other/y:1", True),
        ([r"(a+)+$"], "a" * 60 + "!", None),
        ([r"a*a*a*a*a*a*a*a*b"], "a" * 200, None),
        ([r"(a|a)?" * 40 + "b"], "a" * 40, None),
        ([r".*"], "x" * 2000, None),
    ],
)
def test_which_images_a_node_allows(patterns: list[str], image: str, verdict: bool | None) -> None:
    began = time.monotonic()
    assert policies.allows(patterns, image) is verdict
    assert time.monotonic() - began < 5.0


def test_a_central_function_that_a_step_does_not_declare_is_known_by_the_store_that_it_names() -> None:
    functions = [{"name": name, "type": kind, "arguments": [], "databases": []}
                 for name, kind in (("mean", "central"), ("part", "federated"))]  # fmt: skip
    algorithm = {"id": 1, "image": "i", "digest": "sha256:a", "functions": functions}
    text = "steps: {a: {task: {method: %s, image: i, store: hub, databases: []}}}"
    with Fake(listed([algorithm])) as store:
        link = {"id": 4, "name": "hub", "url": f"{store.origin}/api"}
        world = World(answers={"/algorithmstore": listed([link])(Asked("GET", "/", {}, {}, b""))})
        told = about(examine(world, text=text % "mean"), "step a")
        assert (told.status, told.exit_code) == ("problem", 2)
        assert told.message == (
            "mean is a central function, and this step does not say so: "
            "each of 3 organizations would send its subtasks to all"
        )
        assert "central: true" in (told.remedy or "")
        assert bad(examine(world, text=text % "part")) == []
        with Fake(world) as fake:
            connected = connecting.connect(federation(fake), environ=ENVIRON)
            plan = make(text % "mean")(lambda **_: replace(connected.directory, stores=server_names.read_stores(
                connected.session, connected.directory.collaboration)).directory())  # fmt: skip
            assert about(checkup.preflight(connected, plan, now=lambda: NOW), "step a") == told
            connected.close()
