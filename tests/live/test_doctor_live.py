"""What `doctor` and the preflight find of a real server with real nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from v6flow.backends.vantage6 import checkup, connecting, rights
from v6flow.backends.vantage6.configuration import ServerFederation
from v6flow.cli.main import main
from v6flow.core.checks import findings
from v6flow.core.planning import planner
from v6flow.loading import parse_workflow, read_federation

if TYPE_CHECKING:
    from pathlib import Path

    from federation import LiveFederation, User

    from v6flow.core.checks.findings import Finding

DELTA = "warning: delta: is offline, and was never seen: which databases and images it has is not known"
WORKFLOW = """\
v6flow: 1
name: average
defaults: {image: probe, organizations: [alpha, beta, gamma]}
steps:
  partial: {task: {method: partial_sum, kwargs: {column: age}}}
"""


class Doctor:
    """Runs the command on a federation file of ours, with changes to its text."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.code = 0

    def __call__(
        self,
        live: LiveFederation,
        *,
        user: User | None = None,
        change: tuple[str, str] = ("", ""),
        text: str | None = None,
    ) -> list[str]:
        """What is not well, as sentences."""
        file = live.write_federation_file(self.folder / "federation.yaml", user=user)
        file.write_text(file.read_text("utf-8").replace(*change), encoding="utf-8")
        words = ["doctor", "-f", str(file), "-o", "json"]
        if text is not None:
            (self.folder / "w.yaml").write_text(text, encoding="utf-8")
            words.append(str(self.folder / "w.yaml"))
        self._capsys.readouterr()
        self.code = main(words)
        document: Any = json.loads(self._capsys.readouterr().out)
        assert document["exit_code"] == self.code
        self.found = document["findings"]
        return [
            f"{each['status']}: {each['subject']}: {each['message']}" for each in self.found if each["status"] != "ok"
        ]

    def told(self, subject: str) -> str:
        (one,) = [each["message"] for each in self.found if each["subject"] == subject]
        assert isinstance(one, str)
        return one


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(tmp_path, capsys)


def read(live: LiveFederation, folder: Path, *, user: User | None = None) -> ServerFederation:
    found = read_federation(live.write_federation_file(folder / "federation.yaml", user=user))
    assert isinstance(found, ServerFederation)
    return found


def test_all_is_well_but_for_who_is_off(live: LiveFederation, doctor: Doctor) -> None:
    assert doctor(live) == [DELTA]
    assert doctor.code == 0
    assert doctor.told("server") == f"{live.server_url} is vantage6 4.15.2"
    assert doctor.told("log-in") == "as alpha-everything of alpha"
    assert doctor.told("beta") == "is online; databases: default, hospital; any image may run"
    assert "agree on the time" in doctor.told("clock")
    assert doctor(live, text=WORKFLOW) == [DELTA]
    assert doctor.code == 0
    assert doctor(live, text=WORKFLOW.replace("gamma]", "delta]")) == [DELTA], "who is off may come back"


def test_all_is_well_where_it_is_encrypted(live_encrypted: LiveFederation, doctor: Doctor) -> None:
    assert doctor(live_encrypted, text=WORKFLOW) == [DELTA]
    assert "is encrypted" in doctor.told("collaboration")
    assert "belongs to the public key" in doctor.told("private key")


def test_a_key_of_somebody_else(live_encrypted: LiveFederation, doctor: Doctor) -> None:
    assert doctor(live_encrypted, change=("alpha.pem", "beta.pem")) == [
        "problem: private key: our private key is not the one whose public key the server has of alpha",
        DELTA,
    ]
    assert doctor.code == 2


def test_an_image_that_a_node_does_not_allow(live: LiveFederation, doctor: Doctor) -> None:
    live.stop_node("gamma")
    live.start_node("gamma", allowed_algorithms=[r"^registry\.example/.*$"])
    reason = r"does not allow the image probe; it allows ^registry\.example/.*$"
    step, gamma, delta = doctor(live, text=WORKFLOW)
    assert step == f"problem: step partial: it cannot succeed, since all 3 must answer, and gamma {reason}"
    assert (gamma, delta) == (f"problem: gamma: {reason}", DELTA)
    assert doctor.code == 4
    assert doctor(live, text=WORKFLOW.replace("probe", "registry.example/hospital-stats:1.0")) == [DELTA]
    assert doctor(live, text=WORKFLOW.replace("age}}", "age}}, quorum: 2")) == [f"warning: gamma: {reason}", DELTA]
    assert doctor.code == 0
    (run,) = live.ended(live.create_task("echo", {"value": 1}, ["gamma"])).values()
    assert run["status"] == "not allowed", "the node does as it says"


def test_a_database_that_a_node_does_not_have(live: LiveFederation, doctor: Doctor) -> None:
    text = WORKFLOW.replace("kwargs:", "databases: [omop], kwargs:")
    short = '"gamma": {"name": "gamma"}'
    mapped = '"gamma": {"name": "gamma", "databases": {"omop": "hospital"}}'
    reason = "has no database omop; it has default, hospital"
    assert doctor(live, text=text, change=(short, mapped)) == [
        f"problem: step partial: it cannot succeed, since all 3 must answer, and each of alpha and beta {reason}",
        f"problem: alpha: {reason}",
        f"problem: beta: {reason}",
        DELTA,
    ]
    assert doctor.code == 2


def test_a_node_that_keeps_its_details_to_itself(live: LiveFederation, doctor: Doctor) -> None:
    live.stop_node("gamma")
    live.start_node("gamma", share_config=False)
    live.wait_for(lambda: not live.node("gamma")["config"], "the node to keep its details to itself")
    assert doctor(live, text=WORKFLOW.replace("kwargs:", "databases: [omop], organizations: [gamma], kwargs:")) == [
        DELTA
    ]
    assert "does not report" in doctor.told("gamma")


def test_a_node_that_was_stopped(live: LiveFederation, doctor: Doctor) -> None:
    live.stop_node("gamma")
    live.wait_for(lambda: live.node("gamma")["status"] == "offline", "gamma to be offline")
    gamma, delta = doctor(live, text=WORKFLOW)
    assert gamma.startswith("warning: gamma: is offline, last seen ")
    assert (delta, doctor.code) == (DELTA, 0)


def test_a_wrong_password(live: LiveFederation, doctor: Doctor) -> None:
    user = replace(live.users.two_factor, password="not the password", totp_secret=None)
    assert doctor(live, user=user) == [
        "problem: log-in: login failed: the user name or the password is wrong, or the account is locked for a while",
        "warning: not checked: rights, collaboration and organizations",
    ]
    assert doctor.code == 4


def test_names_that_are_not_there(live: LiveFederation, doctor: Doctor) -> None:
    problem, rest = doctor(live, change=('"hospitals"', '"hospitalz"'))
    assert problem.startswith("problem: collaboration: no collaboration with the name 'hospitalz'")
    assert (rest, doctor.code) == ("warning: not checked: organizations", 2)
    (problem,) = doctor(live, change=('"name": "delta"', '"name": "dleta"'))
    assert problem.startswith("problem: organizations: no organization with the name 'dleta'")


def test_a_user_who_sees_only_the_own_organization(live: LiveFederation, doctor: Doctor) -> None:
    told = doctor(live, user=live.users.organization_view, text=WORKFLOW)
    assert [each.split(";")[0].split(", so")[0] for each in told] == [
        "warning: rights: the server lists only runs of this user's own organization",
        "warning: rights: this user does not see whom a central function asks, nor who of them answers",
        "warning: rights: this user gets no events of other organizations' runs",
        DELTA,
    ]
    assert doctor.code == 0


def test_a_user_who_may_kill_nothing(live: LiveFederation, doctor: Doctor) -> None:
    kill, delta = doctor(live, user=live.users.researcher, text=WORKFLOW)
    assert kill.startswith("warning: rights: this user may not kill tasks")
    assert (delta, doctor.code) == (DELTA, 0)


RIGHTS = (("task", "create"), ("run", "view"), ("event", "receive"), ("event", "send"))


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("everything", ["global", "global", "global", "global"]),
        ("researcher", ["collaboration", "collaboration", "collaboration", None]),
        ("organization_view", ["collaboration", "organization", "organization", "collaboration"]),
    ],
)
def test_rights_are_those_that_the_server_gives(
    name: str, scopes: list[str | None], live: LiveFederation, tmp_path: Path
) -> None:
    connected = connecting.connect(read(live, tmp_path, user=getattr(live.users, name)))
    may = rights.read(connected.session)
    connected.close()
    assert may.whole
    assert [may.scope(*right) for right in RIGHTS] == scopes


def test_the_server_is_down(live: LiveFederation, doctor: Doctor) -> None:
    live.stop_server()
    assert doctor(live) == [
        f"problem: server: {live.server_url} cannot be reached: nothing listens there",
        "warning: not checked: log-in, rights, collaboration and organizations",
    ]
    assert doctor.code == 5


def test_the_preflight_finds_what_the_doctor_finds(live: LiveFederation, tmp_path: Path) -> None:
    live.stop_node("gamma")
    live.start_node("gamma", allowed_algorithms=["^other$"])
    federation = read(live, tmp_path)
    workflow = parse_workflow(WORKFLOW, str(tmp_path / "w.yaml"))
    connected = connecting.connect(federation)
    try:
        plan = planner.make(workflow, {}, connected.directory.directory(), folder=str(tmp_path))
        found = findings.weigh(plan, checkup.preflight(connected, plan))
    finally:
        connected.close()

    def bad(told: list[Finding]) -> list[tuple[str, str]]:
        return [(each.status, each.subject) for each in findings.ordered(told) if each.status != "ok"]

    assert bad(found) == [("problem", "step partial"), ("problem", "gamma"), ("warning", "delta")]
    examined = checkup.examine(federation, plan=lambda look: planner.make(workflow, {}, look(), folder=str(tmp_path)))
    assert bad(examined) == bad(found)
