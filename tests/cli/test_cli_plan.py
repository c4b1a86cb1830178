"""`v6flow plan`: what a run would send to whom, without sending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    FEDERATED,
    SMALL,
    call,
    federated,
    notes,
    write,
)

from v6flow.core.execution.events import Noted
from v6flow.stores.folder.store import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

TWO_PASSES = """\
v6flow: 1
name: two
federation: federation.yaml
params: {column: {type: string, default: age}}
defaults: {image: probe}
steps:
  sums: {task: {method: partial_sum, kwargs: {column: "{{ params.column }}"}}, quorum: 2, retry: 3}
  again:
    task:
      method: echo
      kwargs: {value: "{{ steps.sums.results }}", known: "{{ params.column }}", me: "{{ organization }}"}
      organizations: "{{ steps.sums.responded }}"
    allow_cross_site: it is an example
  here: {local: {command: [echo, "{{ steps.again.results | length }}"]}}
"""


def test_what_is_known_is_filled_in_and_the_rest_is_marked(here: Path, capsys: Capture) -> None:
    federated(here, text=TWO_PASSES, more={"gamma": "offline: true"})
    said = call(capsys, "plan", "federated.yaml", "-p", "column=bmi")
    assert (said.code, said.err) == (0, "")
    assert 'workflow two with column="bmi"' in said.out
    assert "organizations: alpha, beta, gamma" in said.out
    assert "offline: gamma" in said.out
    order = [said.out.index(each) for each in ("1. sums (task)", "2. again (task) after sums", "3. here (local)")]
    assert order == sorted(order)
    assert 'with {column: "bmi"}' in said.out
    assert "quorum 2" in said.out
    assert "up to 3 attempts" in said.out
    assert '"value":"{{ steps.sums.results }}"' in said.out
    assert "‹{{ steps.sums.responded }}›" in said.out


def test_nothing_is_submitted_and_nothing_kept(here: Path, capsys: Capture) -> None:
    federated(here, text=TWO_PASSES)
    call(capsys, "plan", "federated.yaml")
    call(capsys, "plan", "federated.yaml", "-o", "json")
    assert not (here / ".v6flow").exists()
    assert notes(here) == {"alpha": 0, "beta": 0, "gamma": 0}


def test_the_plan_as_a_document(here: Path, capsys: Capture) -> None:
    federated(here, text=TWO_PASSES)
    document = call(capsys, "plan", "federated.yaml", "--output", "json").document
    assert document["workflow"] == "two"
    assert document["params"] == {"column": "age"}
    assert document["federation"]["organizations"] == ["alpha", "beta", "gamma"]
    sums, again, here_ = document["steps"]
    assert (sums["step"], again["step"], here_["step"]) == ("sums", "again", "here")
    assert sums["organizations"] == ["alpha", "beta", "gamma"]
    assert again["needs"] == ["sums"]
    assert document["steps"] == call(capsys, "plan", "federated.yaml", "-o", "json").document["steps"]


def test_a_federation_is_needed_for_tasks(here: Path, capsys: Capture) -> None:
    write(here, federated_yaml=FEDERATED.replace("federation: federation.yaml\n", ""))
    said = call(capsys, "plan", "federated.yaml")
    assert (said.code, "--federation FILE" in said.err) == (2, True)


def test_what_does_not_fit_the_federation_is_told_with_its_place(here: Path, capsys: Capture) -> None:
    federated(
        here,
        text=FEDERATED.replace("{method:", "{organizations: [alhpa], method:").replace("results", "result"),
    )
    said = call(capsys, "plan", "federated.yaml")
    assert said.code == 2
    assert "federated.yaml:6:" in said.err
    assert "^" in said.err


def test_parameters_with_escapes_are_made_harmless(here: Path, capsys: Capture) -> None:
    federated(here, text=TWO_PASSES)
    said = call(capsys, "plan", "federated.yaml", "-p", "column=\x1b[2J\u202e\x9b")
    assert said.code == 0
    assert not {"\x1b", "\u202e", "\x9b"} & set(said.out)


def test_local_steps_alone_need_no_federation(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL.replace("name: small", "name: small\nfederation: nowhere.yaml"))
    for command in ("validate", "plan", "run"):
        assert call(capsys, command, "small.yaml").code == 0
    said = call(capsys, "run", "small.yaml", "--federation", "nowhere.yaml")
    assert (said.code, "no federation file nowhere.yaml" in said.err) == (2, True)


MIXING = """\
v6flow: 1
name: mixing
federation: federation.yaml
defaults: {image: probe, timeout: 60s}
steps:
  all: {task: {method: partial_sum, kwargs: {column: age}}}
  one: {task: {method: partial_sum, organization: alpha, kwargs: {column: age}}}
outputs:
  both: "{{ sum(steps.all.results, attribute='sum') / steps.one.result.sum }}"
"""
MIXED = "mixing.yaml:9:65: warning: output both would mix answers of different cohorts: all asks alpha, beta, gamma; "


def test_what_is_bound_to_mix_is_told_before_it_runs(here: Path, capsys: Capture) -> None:
    federated(here)
    write(here, mixing_yaml=MIXING)
    for command in ("plan", "validate"):
        said = call(capsys, command, "mixing.yaml")
        assert (said.code, said.err.startswith(MIXED), said.err.count(MIXED)) == (0, True, 1)
    said = call(capsys, "plan", "mixing.yaml", "-o", "json")
    (warning,) = said.document["warnings"]
    assert said.err == ""
    assert (warning["rule"], warning["severity"], warning["line"]) == ("cohorts-mix", "warning", 9)


def test_a_run_notes_it_once_and_keeps_the_note(here: Path, capsys: Capture) -> None:
    federated(here)
    write(here, mixing_yaml=MIXING)
    said = call(capsys, "run", "mixing.yaml", "--skip-preflight")
    assert (said.code, said.err.count(f"note: {MIXED}")) == (1, 1)
    assert said.err.index("note: mixing.yaml") < said.err.index("all: alpha answered")
    (folder,) = (here / ".v6flow" / "runs").iterdir()
    noted = [event.message for event in RunFolder(folder).events() if isinstance(event, Noted)]
    assert [message.startswith(MIXED) for message in noted] == [True]
    said = call(capsys, "resume", "--retry-failed", folder.name)
    assert "would mix" not in said.err


def test_so_does_a_run_that_goes_on_in_the_background(here: Path, capsys: Capture) -> None:
    federated(here)
    write(here, mixing_yaml=MIXING)
    said = call(capsys, "run", "mixing.yaml", "--detach")
    assert said.err.startswith(f"note: {MIXED}")
    assert call(capsys, "wait", said.out.strip()).code == 1
    folder = RunFolder(here / ".v6flow" / "runs" / said.out.strip())
    assert [event.message.startswith(MIXED) for event in folder.events() if isinstance(event, Noted)] == [True]


def test_organizations_that_are_known_only_later_stand_as_their_expressions(here: Path, capsys: Capture) -> None:
    text = (
        FEDERATED
        + """\
  rows:
    foreach:
      over: [alpha]
      steps: {one: {task: {method: echo, organization: "{{ each.item }}", kwargs: {value: "{{ organization }}"}}}}
"""
    )
    steps = text.replace('outputs: {total: "{{ steps.total.result }}"}\n', "")
    federated(here, text=steps)
    said = call(capsys, "plan", "federated.yaml")
    assert (said.code, said.err) == (0, "")
    assert "to ‹{{ each.item }}›" in said.out
    assert "{{ organization }}" in said.out
