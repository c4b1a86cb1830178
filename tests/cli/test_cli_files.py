"""Workflows that run other workflow files, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    call,
    end,
    run_ids,
    start,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

INNER = """\
v6flow: 1
name: inner
params:
  n: {type: integer}
  by: {type: integer, default: 2}
steps:
  product: {local: {function: "times.py:times", kwargs: {a: "{{ params.n }}", b: "{{ params.by }}"}}}
outputs: {product: "{{ steps.product.result }}"}
"""
TIMES = "def times(a, b):\n    return a * b\n"
OUTER = """\
v6flow: 1
name: outer
steps:
  first: {workflow: {file: shared/inner.yaml, params: {n: 4}}}
  second: {workflow: {file: shared/inner.yaml, params: {n: "{{ steps.first.result.product }}", by: 10}}}
outputs: {all: "{{ [steps.first.result.product, steps.second.result.product] }}"}
"""


@pytest.fixture
def project(here: Path) -> Path:
    (here / "shared").mkdir()
    (here / "shared" / "inner.yaml").write_text(INNER, "utf-8")
    (here / "shared" / "times.py").write_text(TIMES, "utf-8")
    write(here, outer_yaml=OUTER)
    return here


def test_a_file_is_one_step_with_params_in_and_outputs_out(project: Path, capsys: Capture) -> None:
    said = call(capsys, "run", "outer.yaml")
    assert (said.code, said.out) == (0, "all: [8,80]\n")
    assert "first.product: computes here" in said.err
    document = call(capsys, "status", "-o", "json").document
    assert list(document["steps"]) == ["first", "second"]
    assert call(capsys, "validate", "outer.yaml").code == 0
    assert "shared/inner.yaml" in call(capsys, "graph", "outer.yaml").out


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("{n: x}", "param n"),
        ("{}", "shared/inner.yaml needs the param n"),
        ("{n: 1, m: 2}", "no param 'm': shared/inner.yaml has n, by"),
    ],
)
def test_params_that_do_not_fit(params: str, words: str, project: Path, capsys: Capture) -> None:
    write(project, outer_yaml=OUTER.replace("{n: 4}", params))
    said = call(capsys, "run", "outer.yaml")
    assert said.code in (1, 2)
    assert words in said.err


def test_what_is_wrong_in_the_other_file_is_told_with_its_place(project: Path, capsys: Capture) -> None:
    (project / "shared" / "inner.yaml").write_text(INNER.replace("params.by", "params.bye"), "utf-8")
    said = call(capsys, "validate", "outer.yaml")
    assert said.code == 2
    assert "the workflow shared/inner.yaml is not sound" in said.err
    assert "inner.yaml:7:" in said.err
    assert "no param 'bye'" in said.err


def test_files_that_run_each_other_are_refused(project: Path, capsys: Capture) -> None:
    inner = INNER + "  # a step more\n"
    text = inner.replace("outputs:", "  back: {workflow: {file: ../outer.yaml}}\noutputs:").replace(
        "  # a step more\n", ""
    )
    (project / "shared" / "inner.yaml").write_text(text, "utf-8")
    said = call(capsys, "validate", "outer.yaml")
    assert said.code == 2
    assert "these files run each other: outer.yaml → inner.yaml → outer.yaml" in said.err


def test_another_file_sees_nothing_of_what_is_around_it(project: Path, capsys: Capture) -> None:
    (project / "shared" / "inner.yaml").write_text(INNER.replace("params.by", "steps.first.status"), "utf-8")
    said = call(capsys, "validate", "outer.yaml")
    assert said.code == 2
    assert "no step 'first'" in said.err


def test_a_run_goes_on_within_a_file_and_not_if_that_was_changed(project: Path, capsys: Capture) -> None:
    waiting = INNER.replace("steps:", "steps:\n  wait: {local: {command: [cat, gate]}, needs: [product]}")
    (project / "shared" / "inner.yaml").write_text(waiting, "utf-8")
    process = start("run", "outer.yaml", until="first.wait: computes here")
    process.kill()
    end(process)
    (run,) = run_ids(project)
    (project / "shared" / "times.py").write_text(TIMES.replace("*", "+"), "utf-8")
    said = call(capsys, "resume", run)
    assert said.code == 2
    assert "step first.product has completed, and its function's source, or its files, changed" in said.err
    (project / "shared" / "times.py").write_text(TIMES, "utf-8")
    (project / "shared" / "gate").write_text("1", "utf-8")
    said = call(capsys, "resume", run)
    assert (said.code, said.out) == (0, "all: [8,80]\n")


SHARED = """\
v6flow: 1
params:
  n: {type: integer, default: 3}
  by: {type: integer, default: 5}
defaults: {timeout: 7m, image: "{{ params.picture }}"}
"""


def test_params_and_defaults_can_be_shared(here: Path, capsys: Capture) -> None:
    (here / "shared").mkdir()
    (here / "shared" / "defaults.yaml").write_text(SHARED, "utf-8")
    (here / "more.yaml").write_text("v6flow: 1\nparams: {by: {type: integer, default: 6}}\n", "utf-8")
    text = """\
v6flow: 1
name: sharing
include: [shared/defaults.yaml, more.yaml]
federation: federation.yaml
params: {picture: {type: string, default: probe}}
steps:
  value: {local: {value: "{{ params.n * params.by }}"}}
  ask: {task: {method: echo, kwargs: {value: 1}}, on_failure: continue}
outputs: {value: "{{ steps.value.result }}"}
"""
    federation = """\
v6flow_federation: 1
backend: embedded
organizations: {alpha: {}}
algorithms: {probe: {package: v6_probe}}
"""
    write(here, sharing_yaml=text, federation_yaml=federation)
    planned = {each["step"]: each for each in call(capsys, "plan", "sharing.yaml", "-o", "json").document["steps"]}
    assert planned["value"]["value"] == 18, "the last file that is included wins"
    assert (planned["ask"]["image"], planned["ask"]["timeout"]) == ("probe", 420)
    (here / "more.yaml").write_text("v6flow: 1\nsteps: {}\n", "utf-8")
    said = call(capsys, "validate", "sharing.yaml")
    assert said.code == 2
    assert "sharing.yaml:3:33: more.yaml cannot be included" in said.err
    (here / "shared" / "defaults.yaml").write_text(SHARED.replace("params.picture", "params.pictur"), "utf-8")
    said = call(capsys, "validate", "sharing.yaml")
    assert "sharing.yaml:3:11: no param 'pictur'" in said.err


def test_a_step_of_a_file_that_an_item_has_not_come_to_can_be_explained(here: Path, capsys: Capture) -> None:
    inner = """\
v6flow: 1
params: {n: {type: integer}}
steps:
  agreed: {gate: {message: "is {{ params.n }} fine?"}}
  after: {local: {value: "{{ params.n }}"}, needs: [agreed]}
outputs: {n: "{{ steps.after.result }}"}
"""
    outer = """\
v6flow: 1
name: nested
steps:
  fit:
    repeat:
      state: [1, 2]
      max: 3
      on_max: continue
      steps:
        tab:
          foreach:
            over: "{{ loop.state }}"
            as: n
            steps: {sub: {workflow: {file: inner.yaml, params: {n: "{{ each.n }}"}}}}
            result: "{{ steps.sub.result.n }}"
      update: "{{ steps.tab.results }}"
"""
    write(here, inner_yaml=inner, outer_yaml=outer)
    assert call(capsys, "run", "outer.yaml").code == 6
    (run,) = run_ids(here)
    for gate in ("fit[1].tab[1].sub.agreed", "fit[1].tab[2].sub.agreed"):
        assert f"step {gate} of run {run}: waiting\n" in call(capsys, "explain", run, gate).out
    items = call(capsys, "status", run, "-o", "json").document["steps"]["fit[1].tab"]["items"]
    assert items == {"total": 2, "completed": 0, "failed": 0, "skipped": 0, "open": 2}
    said = call(capsys, "explain", run, "fit[1].tab[1].sub.after")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"step fit[1].tab[1].sub.after of run {run}: pending\n")
    assert "it is waiting for fit[1].tab[1].sub.agreed (waiting)" in said.out
    assert call(capsys, "explain", run, "fit[1].tab[1].sub.after", "-o", "json").document["status"] == "pending"
    for wrong in (
        "fit[2].tab[1].sub.after",
        "fit[1].tab[3].sub.after",
        "fit[1].tab[0].sub.after",
        "fit[01].tab[1].sub.after",
        "fit[1].tab.sub.after",
        "fit[1].tab[1].sub[1].after",
        "fit[1].tab[1].sub.never",
    ):
        said = call(capsys, "explain", run, wrong)
        assert (said.code, f"has no step '{wrong}'" in said.err) == (2, True), wrong
