"""Under a policy with a smallest count, nothing that algorithms at a real server print or raise is kept or shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stage_live import Said, Stage

ROW = "patient 1"  # alpha's first patient
LEAK = """\
defaults: {image: probe, organizations: [alpha]}
steps:
  s: {task: {method: leak, kwargs: {how: @how@}}}
outputs: {s: "{{ steps.s.result }}"}
"""
GATED = """\
defaults: {image: quick, organizations: [alpha]}
steps:
  s: {task: {method: wait, kwargs: {value: {count: 9}, gate: @gate@}}}
"""
WITHHELD = "withheld, because the federation's policy sets min_count"


def under_a_policy(stage: Stage) -> None:
    with stage.federation_file.open("a", encoding="utf-8") as file:
        file.write("policy: {min_count: 5}\n")


def found_in(stage: Stage) -> list[str]:
    files = [each for each in (stage.folder / ".v6flow").rglob("*") if each.is_file()]
    return [each.name for each in files if ROW.encode() in each.read_bytes()]


def shown(stage: Stage) -> list[Said]:
    run = stage.run_id
    words = (
        ["status", run, "-o", "json"],
        ["explain", run, "s"],
        ["logs", run],
        ["logs", run, "s"],
        ["logs", "-f", run, "s"],
    )
    return [stage(*each) for each in words]


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        ("crash", 1, "the algorithm ended with an error (the details are withheld"),
        ("duplicate", 1, "a key stands twice in one object"),
        ("few", 1, "it is about fewer than 5"),
        ("well", 0, ""),
    ],
)
def test_of_task_runs_at_a_server_only_the_kind_is_kept(quick: Stage, how: str, code: int, told: str) -> None:
    under_a_policy(quick)
    quick.write(LEAK, how=how)
    said = quick("run", "w.yaml")
    assert said.code == code, said
    assert told in said.err
    everything = [said, *shown(quick)]
    assert not [each for each in everything if ROW in each.out + each.err]
    assert WITHHELD in everything[-1].err
    assert found_in(quick) == []


def test_without_a_policy_the_server_shows_them(quick: Stage) -> None:
    quick.write(LEAK, how="crash")
    assert f"ValueError: {ROW}" in quick("run", "w.yaml").err
    assert ROW in quick("logs", quick.run_id, "s").out
    assert found_in(quick)


def test_a_log_is_not_asked_of_the_server_while_the_algorithm_works(quick: Stage) -> None:
    under_a_policy(quick)
    quick.write(GATED)
    going = quick.begin()
    quick.wait_for({"s/alpha": ["active"]})
    for words in (["logs", quick.run_id, "s", "alpha"], ["logs", "-f", quick.run_id, "s"]):
        said = quick(*words)
        assert (said.code, said.out) == (0, "")
        assert WITHHELD in said.err
    quick.open_gate()
    assert going.end().code == 0
