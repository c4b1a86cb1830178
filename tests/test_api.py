"""The Python API: load, run, resume, and what a result offers."""

from __future__ import annotations

import math
import shlex
import threading
from typing import TYPE_CHECKING, Any

import pytest

import v6flow
from v6flow.core.language.problem import InvalidError
from v6flow.errors import NoSpaceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOW = """\
v6flow: 1
name: small
params:
  n: {type: integer, default: 20}
  factor: {type: number, default: 2}
steps:
  double: {local: {value: "{{ params.n * params.factor }}"}}
  printed: {local: {function: "f.py:printed", kwargs: {n: "{{ steps.double.result }}"}}}
outputs: {n: "{{ steps.double.result }}", printed: "{{ steps.printed.result }}"}
"""
FUNCTION = """\
def printed(n):
    print("printing", n)
    return 100 / (n - 2)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("V6FLOW_STORE", raising=False)
    monkeypatch.delenv("V6FLOW_FEDERATION", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.py").write_text(FUNCTION)
    path = tmp_path / "small.yaml"
    path.write_text(WORKFLOW)
    return path


def test_a_run_and_its_result(file: Path) -> None:
    result: v6flow.Result = v6flow.run(file, params={"n": 26})
    assert (result.status, result.exit_code) == ("completed", 0)
    assert result.outputs == {"n": 52, "printed": 2.0}
    assert result.value("double") == 52
    assert result.logs("printed") == "printing 52\n"
    assert result.logs("double") == ""
    assert result.cohorts == {}
    assert result.check() is result
    document: dict[str, Any] = result.document()
    assert document["run"] == result.run
    assert document["outputs"] == result.outputs
    assert repr(result) == f"<v6flow.Result {result.run}: completed>"
    for unknown in ("nope", "Double"):
        with pytest.raises(KeyError):
            result.value(unknown)
        with pytest.raises(KeyError):
            result.logs(unknown)


def test_a_loaded_workflow_runs_as_often_as_wanted(file: Path) -> None:
    workflow = v6flow.load(file)
    assert workflow.name == "small"
    assert v6flow.run(workflow).outputs["n"] == 40
    assert v6flow.run(workflow, params={"factor": 0.5}).outputs["n"] == 10


def test_a_failed_run_is_a_result_that_check_raises(file: Path) -> None:
    result = v6flow.run(file, params={"n": 1})
    assert (result.status, result.exit_code, result.outputs) == ("failed", 1, {})
    assert result.value("double") == 2, "results of steps stay readable"
    with pytest.raises(KeyError):
        result.value("printed")
    with pytest.raises(v6flow.RunFailedError, match="ZeroDivisionError") as caught:
        result.check()
    assert caught.value.result is result
    assert isinstance(caught.value, v6flow.V6flowError)


def test_resume_by_the_beginning_of_the_id_and_with_retry(file: Path) -> None:
    failed = v6flow.run(file, params={"n": 1})
    assert v6flow.resume(failed.run[:-2]).status == "failed", "it is returned as it is"
    (file.parent / "f.py").write_text(FUNCTION.replace("n - 2", "n + 2"))
    mended = v6flow.resume(retry_failed=True)
    assert (mended.run, mended.status, mended.outputs["printed"]) == (failed.run, "completed", 25.0)
    assert v6flow.resume(failed.run).outputs == mended.outputs


def test_it_works_in_another_thread(file: Path) -> None:
    results: list[v6flow.Result] = []
    thread = threading.Thread(target=lambda: results.append(v6flow.run(file)))
    thread.start()
    thread.join(60)
    assert results[0].outputs["n"] == 40


def test_runs_at_the_same_time(file: Path) -> None:
    results: dict[int, Any] = {}

    def run(n: int) -> None:
        results[n] = v6flow.run(file, params={"n": n}).outputs["n"]

    threads = [threading.Thread(target=run, args=(n,)) for n in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {3: 6, 4: 8, 5: 10}


def test_the_store_is_an_argument(file: Path) -> None:
    result = v6flow.run(file, store=file.parent / "there")
    assert (file.parent / "there" / "runs" / result.run).is_dir()
    assert not (file.parent / ".v6flow").exists()
    assert v6flow.resume(result.run, store=str(file.parent / "there")).outputs == result.outputs


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"params": {"m": 3}}, "no param 'm'"),
        ({"params": {"n": "3"}}, "expected a whole number"),
        ({"params": {"n": {1, 2}}}, "values must be plain JSON"),
        ({"params": {"factor": math.nan}}, "not finite"),
        ({"deadline": "30"}, "deadline: '30' is not a duration"),
        ({"federation": "nowhere.yaml"}, "no federation file nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], told: str, file: Path) -> None:
    with pytest.raises(UsageError, match=told):
        v6flow.run(file, **arguments)
    assert not (file.parent / ".v6flow").exists()


def test_an_invalid_workflow_has_all_its_problems(file: Path) -> None:
    file.write_text(
        WORKFLOW.replace("params.n ", "params.m ").replace('steps.double.result }}"}}}', 'steps.x.result }}"}}}')
    )
    with pytest.raises(InvalidError) as caught:
        v6flow.load(file)
    assert [problem.position.line for problem in caught.value.problems] == [7, 8]


def test_no_run_to_resume(file: Path) -> None:
    with pytest.raises(UsageError, match="no runs"):
        v6flow.resume()


def test_the_module_offers_what_it_says() -> None:
    for name in v6flow.__all__:
        assert getattr(v6flow, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = v6flow.nope


def test_cohorts_and_results_by_organization(tmp_path: Path, file: Path) -> None:
    pytest.importorskip("vantage6.algorithm.tools")
    algorithms = __file__.replace("test_api.py", "algorithms")
    (tmp_path / "a.csv").write_text("age\n1\n")
    (tmp_path / "federation.yaml").write_text(
        "v6flow_federation: 1\nbackend: embedded\norganizations:\n"
        "  alpha: {databases: {default: a.csv}}\n  beta: {databases: {default: a.csv}, faults: {crash: true}}\n"
        f"algorithms: {{probe: {{package: v6_probe, path: '{algorithms}'}}}}\n"
    )
    file.write_text(
        "v6flow: 1\nname: asked\nsteps:\n  s:\n    quorum: 1\n"
        "    task: {image: probe, method: partial_sum, kwargs: {column: age}}\n"
        "outputs: {n: '{{ steps.s.responded }}'}\n"
    )
    result = v6flow.run(file, federation=tmp_path / "federation.yaml")
    assert result.outputs == {"n": ["alpha"]}
    cohort: v6flow.Cohort = result.cohorts["s"]
    assert (cohort.asked, cohort.responded, cohort.failed, cohort.missing) == (
        ("alpha", "beta"), ("alpha",), ("beta",), (),
    )  # fmt: skip
    assert cohort.failures["beta"]["message"]
    assert result.value("s") == {"alpha": {"sum": 1.0, "count": 1}}
    assert "summing age" in result.logs("s", "alpha")
    with pytest.raises(KeyError):
        result.logs("s", "gamma")


def test_local_steps_alone_need_no_federation(file: Path) -> None:
    file.write_text(WORKFLOW.replace("name: small", "name: small\nfederation: nowhere.yaml"))
    assert v6flow.run(file).check().outputs["n"] == 40
    with pytest.raises(UsageError, match=r"no federation file nowhere\.yaml"):
        v6flow.run(file, federation="nowhere.yaml")


def test_what_came_of_rounds_and_items_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "rounds.yaml"
    file.write_text("""\
v6flow: 1
steps:
  fit:
    repeat:
      state: 1
      max: 3
      on_max: continue
      steps: {twice: {local: {value: "{{ loop.state * 2 }}"}}}
      update: "{{ steps.twice.result }}"
  table: {foreach: {over: [a, b], steps: {v: {local: {value: "{{ each.index }}"}}}, result: "{{ steps.v.result }}"}}
""")
    run = v6flow.run(file, store=tmp_path / "store").check()
    assert run.value("fit") == 8
    assert run.value("table") == {"a": 1, "b": 2}
    for forgotten in ("fit[1].twice", "table[2].v"):
        with pytest.raises(KeyError, match="only the result of that is kept"):
            run.value(forgotten)


def test_a_run_that_waits_says_for_what(tmp_path: Path, file: Path) -> None:
    text = "v6flow: 1\nname: w\nsteps: {agreed: {gate: {message: may it go on?}}}\noutputs: {}\n"
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(v6flow.RunFailedError, match=r"step agreed asks: may it go on\?\n  v6flow approve w-"):
        v6flow.run(tmp_path / "w.yaml").check()


UNCONVERGED = """\
v6flow: 1
name: loop
params: {most: {type: integer, default: 2}}
steps:
  fit:
    repeat:
      state: 0
      max: "{{ params.most }}"
      on_max: continue
      steps: {v: {local: {value: "{{ loop.state + 1 }}"}}}
      update: "{{ steps.v.result }}"
      until: "{{ loop.next >= 3 }}"
outputs: {n: "{{ steps.fit.result }}"}
"""


class Hears:
    """A reporter of a person's own."""

    def begin(self, *_told: Any) -> None: ...
    def event(self, *_told: Any) -> None: ...
    def working(self, *_told: Any) -> None: ...
    def end(self, *_told: Any) -> None: ...


def test_an_incomplete_result_says_so_and_is_logged_unless_a_reporter_reports_it(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(UNCONVERGED)
    result = v6flow.run(file).check()
    (less,) = result.incomplete
    assert isinstance(less, v6flow.Incomplete)
    assert (less.kind, less.step, less.message) == ("max", "fit", "not converged after 2 iterations, the most allowed")
    assert repr(result) == f"<v6flow.Result {result.run}: completed, incomplete>"
    assert result.document()["incomplete"] == [less.as_json()]
    logged = f"run {result.run} is incomplete: fit: not converged after 2 iterations, the most allowed"
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        ("v6flow", "WARNING", logged)
    ]
    caplog.clear()
    v6flow.resume(result.run)
    assert [each.getMessage() for each in caplog.records] == [logged]
    caplog.clear()
    v6flow.run(file, reporter=Hears())
    whole = v6flow.run(file, params={"most": 3})
    assert whole.incomplete == ()
    assert repr(whole) == f"<v6flow.Result {whole.run}: completed>"
    assert caplog.records == []


def test_what_a_failed_run_prints_names_its_store(file: Path) -> None:
    """The command is for a shell: it must find the run there."""
    result = v6flow.run(file, params={"n": 1}, store=file.parent / "my runs")
    with pytest.raises(v6flow.RunFailedError) as caught:
        result.check()
    line = str(caught.value).splitlines()[-1].partition(": ")[2]
    assert shlex.split(line) == [
        "v6flow", "resume", "--retry-failed", "--store", str(file.parent / "my runs"), result.run
    ]  # fmt: skip
    other = v6flow.run(file, params={"n": 1})
    assert "--store" not in str(v6flow.RunFailedError(other))


def test_a_full_disk_says_how_to_resume(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise NoSpaceError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("v6flow.engine.Engine.run", full)
        with pytest.raises(NoSpaceError) as caught:
            v6flow.run(file, params={"n": 26}, store="my runs")
    assert caught.value.hint is not None
    again = caught.value.hint.partition(", then ")[2]
    assert eval(again).outputs == {"n": 52, "printed": 2.0}
