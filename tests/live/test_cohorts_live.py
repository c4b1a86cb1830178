"""Who crashed, is silent, too slow or sent what cannot be read is named, and the quorum decides, on a real server."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import federation
import pytest
import stage_live
from stage_live import Stage

import v6flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from federation import LiveFederation, User

ALGORITHMS = Path(__file__).parents[1] / "algorithms"

DEEDS = """\
params: {least: {type: integer}}
steps:
  ask:
    task:
      image: quick
      method: act
      kwargs:
        deed: "{{ @deeds@[organization] }}"
        value: "{{ organization }}"
        gate: @gate@
        words: out of order
    quorum: {min: "{{ params.least }}"}
    timeout: @timeout@
outputs: {who: "{{ steps.ask.responded }}", what: "{{ steps.ask.results }}"}
"""


def named(document: Any, step: str = "ask") -> tuple[list[str], list[str], list[str]]:
    """Who responded, failed and is missing."""
    found = document["steps"][step]
    return found["responded"], found["failed"], found["missing"]


def test_slow_and_offline_ones_are_missing_and_killed_at_the_server(quick: Stage) -> None:
    """Nobody waits for longer than the step's time; whoever was in time counts."""
    deeds = {"alpha": "give", "beta": "fail", "gamma": "wait", "delta": "give"}  # gamma waits at a gate that stays shut
    quick.write(DEEDS, deeds=deeds, timeout="20s")
    met, unmet = quick.begin("--param", "least=1"), quick.begin("--param", "least=2")
    late = quick.begin("--param", "least=1", "--deadline", "16s")  # which is over before the step's time
    done, failed, over = met.end(), unmet.end(), late.end()

    assert (over.code, over.document["status"]) == (124, "failed"), over
    assert over.document["error"]["kind"] == "deadline"
    assert done.code == 0, done
    assert done.document["status"] == "completed"
    assert done.document["outputs"] == {"who": ["alpha"], "what": ["alpha"]}
    assert named(done.document) == (["alpha"], ["beta"], ["gamma", "delta"])
    assert done.document["steps"]["ask"]["failures"]["beta"]["message"] == "ValueError: out of order"
    assert "about to fail" in done.document["steps"]["ask"]["failures"]["beta"]["log_tail"]
    (less,) = done.document["incomplete"]
    assert (less["kind"], less["organizations"]) == ("partial", ["beta", "gamma", "delta"])
    assert less["message"].startswith("1 of 4 answered (beta failed: ValueError: out of order; gamma did not answer in")
    assert f"incomplete: ask: {less['message']}" in done.err.splitlines()

    assert failed.code == 1, failed
    assert failed.document["status"] == "failed"
    assert failed.document["outputs"] == {}
    assert named(failed.document) == (["alpha"], ["beta"], ["gamma", "delta"])
    error = failed.document["error"]
    assert error["step"] == "ask"
    assert all(name in error["message"] for name in ("beta", "gamma", "delta")), error

    quick.wait_for(
        {
            "ask/alpha": ["completed"] * 3,
            "ask/beta": ["crashed"] * 3,
            "ask/gamma": ["killed by user"] * 3,
            "ask/delta": ["killed by user"] * 3,
        }
    )


@contextmanager
def another_key(live: LiveFederation, organization: str, whose: str) -> Iterator[None]:
    """The server has the public key of another for an organization, as if a colleague's client had put it there."""
    path = f"/organization/{live.organization_ids[organization]}"
    keys = [live.server.request("GET", f"/organization/{live.organization_ids[each]}")[1]["public_key"]
            for each in (organization, whose)]  # fmt: skip
    ours, theirs = keys
    try:
        assert live.server.request("PATCH", path, {"public_key": theirs})[0] == 200
        yield
    finally:
        assert live.server.request("PATCH", path, {"public_key": ours})[0] == 200


def test_one_whose_result_is_encrypted_for_another_key(quick_encrypted: Stage) -> None:
    """Our public key is overwritten at the server while gamma works: what gamma then sends, we cannot read."""
    stage = quick_encrypted
    deeds = {"alpha": "give", "beta": "fail", "gamma": "wait"}
    stage.write("defaults: {organizations: [alpha, beta, gamma]}\n" + DEEDS, deeds=deeds, timeout="5m")
    met, unmet = stage.begin("--param", "least=1"), stage.begin("--param", "least=2")
    stage.wait_for({"ask/alpha": ["completed"] * 2, "ask/beta": ["crashed"] * 2, "ask/gamma": ["active"] * 2})
    with another_key(stage.live, "alpha", "beta"):
        stage.open_gate()
        stage.wait_for({"ask/gamma": ["completed"] * 2})
        done, failed = met.end(), unmet.end()
    for said, code, status in ((done, 0, "completed"), (failed, 1, "failed")):
        assert said.code == code, said
        assert said.document["status"] == status
        assert named(said.document) == (["alpha"], ["beta", "gamma"], [])
        failures = said.document["steps"]["ask"]["failures"]
        assert "encrypted for another key than ours" in failures["gamma"]["message"]
        assert failures["beta"]["message"] == "ValueError: out of order"
    assert done.document["outputs"] == {"who": ["alpha"], "what": ["alpha"]}
    assert all(name in failed.document["error"]["message"] for name in ("beta", "gamma"))


CENTRAL = """\
params: {subtasks: {type: string, default: fail}}
steps:
  mean:
    task:
      image: probe
      method: central_mean
      central: true
      subtasks: @subtasks@
      organization: @at@
      databases: [default]
      kwargs: {column: age, organizations: "{{ ['alpha', 'beta'] | organization_ids }}"}
outputs: {mean: "{{ steps.mean.result }}", subtasks: "{{ steps.mean.subtasks }}"}
"""
SUM = sum(federation.AGES["alpha"]) + sum(federation.AGES["beta"])
COUNT = len(federation.AGES["alpha"]) + len(federation.AGES["beta"])


def test_a_failed_subtask_of_a_central_function(live: LiveFederation, tmp_path: Path) -> None:
    """The function gives a mean of those who answered and says nothing; v6flow does."""
    (tmp_path / "other.csv").write_text("years\n4\n")
    databases = {"default": {"uri": str(tmp_path / "other.csv"), "type": "csv"}}
    live.stop_node("beta")
    live.start_node("beta", databases=databases)
    stages = {}
    for subtasks in ("fail", "partial"):
        stages[subtasks] = Stage(live, tmp_path / subtasks)
        stages[subtasks].write(CENTRAL, subtasks=subtasks, at="alpha")
    going = {subtasks: stage.begin() for subtasks, stage in stages.items()}
    failed, partial = (each.end() for each in going.values())

    assert failed.code == 1, failed
    error = failed.document["error"]
    assert (error["kind"], error["step"], error["organization"]) == ("subtask_failed", "mean", "beta")
    assert "KeyError: 'age'" in error["message"]
    assert failed.document["outputs"] == {}

    assert partial.code == 0, partial
    outputs = partial.document["outputs"]
    assert outputs["mean"] == {"mean": 2.0, "answers": 1}  # alpha's alone
    assert outputs["subtasks"] == {"alpha": "completed", "beta": "crashed"}
    (less,) = partial.document["incomplete"]
    assert (less["kind"], less["step"], less["organizations"]) == ("partial", "mean", ["beta"])
    for stage in stages.values():
        stage.close()


STUDY = """\
steps:
  sums: {task: {image: probe, method: partial_sum, study: @study@, databases: [default], kwargs: {column: age}}}
outputs: {who: "{{ steps.sums.asked }}", sums: "{{ steps.sums.by_organization }}"}
"""


def test_a_study_of_the_collaboration(live: LiveFederation, tmp_path: Path) -> None:
    stage = Stage(live, tmp_path / "server")
    members = ("alpha", "gamma")
    ids = [live.organization_ids[name] for name in members]
    body = {"name": stage.name, "collaboration_id": live.collaboration_id, "organization_ids": ids}
    status, study = live.server.request("POST", "/study", body)
    assert status == 201, study
    try:
        stage.write(STUDY, study=stage.name)
        said = stage.run()
        assert said.code == 0, said
        tasks = stage.tasks()
        assert [task["study"]["id"] for task in tasks] == [study["id"]] * len(members)
        assert {*stage.asked()} == {f"sums/{name}" for name in members}
    finally:
        stage.close()
        assert live.server.request("DELETE", f"/study/{study['id']}?delete_dependents=true")[0] == 200
    assert said.document["outputs"] == {
        "who": [*members],
        "sums": {
            name: {"sum": float(sum(federation.AGES[name])), "count": len(federation.AGES[name])} for name in members
        },
    }
    assert said.document["outputs"] == embedded_study(tmp_path / "server", stage.name, members)


def embedded_study(folder: Path, study: str, members: tuple[str, ...]) -> dict[str, Any]:
    """What the same workflow gives on an embedded federation with the same study."""
    pytest.importorskip("vantage6.algorithm.tools")
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    for name in stage_live.ONLINE:
        (folder / f"{name}.csv").write_text("age\n" + "".join(f"{age}\n" for age in federation.AGES[name]))
        lines.append(f"  {name}: {{databases: {{default: {name}.csv}}}}")
    lines += [f"studies: {{{study}: [{', '.join(members)}]}}"]
    lines += ["algorithms:", f"  probe: {{package: v6_probe, path: '{ALGORITHMS}'}}"]
    (folder / "embedded.yaml").write_text("\n".join(lines) + "\n")
    result = v6flow.run(folder / "w.yaml", federation=folder / "embedded.yaml", store=folder / "embedded").check()
    return result.outputs


SUMS = """\
steps:
  sums: {task: {image: probe, method: partial_sum, databases: [default], kwargs: {column: age}}}
outputs: {sums: "{{ steps.sums.by_organization }}"}
"""


def limited(live: LiveFederation, folder: Path, user: User) -> Stage:
    """A stage without the organization that is off."""
    stage = Stage(live, folder, user=user)
    live.write_federation_file(stage.federation_file, user=user, organizations=stage_live.ONLINE)
    return stage


def test_a_user_whose_lists_hide_others_runs_has_the_same_results(live: LiveFederation, tmp_path: Path) -> None:
    stage = limited(live, tmp_path, live.users.organization_view)
    stage.write(SUMS)
    said = stage.run()
    assert said.code == 0, said
    assert said.document["outputs"]["sums"] == {
        name: {"sum": float(sum(federation.AGES[name])), "count": len(federation.AGES[name])}
        for name in stage_live.ONLINE
    }
    stage.close()


@pytest.mark.parametrize("at", ["alpha", "beta"])
def test_subtasks_that_a_user_may_not_see_are_not_taken_for_none(at: str, live: LiveFederation, tmp_path: Path) -> None:
    """Nothing is sent; if it is sent nonetheless, all subtasks count, or the run does not complete and says why."""
    stage = limited(live, tmp_path, live.users.organization_view)
    stage.write(CENTRAL, subtasks="fail", at=at)
    refused = stage.run()
    assert refused.code == 4, refused
    assert "does not see whom a central function asks" in refused.document["error"]["message"]
    assert stage.asked() == {}
    said = stage.run("--skip-preflight")
    if said.code == 0:
        outputs = said.document["outputs"]
        assert outputs["subtasks"] == {"alpha": "completed", "beta": "completed"}, said
        assert outputs["mean"] == {"mean": SUM / COUNT, "answers": 2}
    else:
        assert said.document["outputs"] == {}
        assert "may not see whom it asked" in said.document["error"]["message"], said
    stage.close()
