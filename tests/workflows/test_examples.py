"""The examples compute what pandas computes on all rows together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import v6flow
from v6flow import aggregation
from v6flow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest.importorskip("vantage6.algorithm.tools")

WORKFLOWS = Path(__file__).parents[2] / "workflows"
EXAMPLES = sorted(path for path in WORKFLOWS.glob("*.yaml") if not path.stem.endswith(".test"))
HOSPITALS = ("alpha", "beta", "gamma")


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("V6FLOW_STORE", "V6FLOW_FEDERATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def hospitals() -> dict[str, Any]:
    return {name: pd.read_csv(WORKFLOWS / "data" / f"{name}.csv") for name in HOSPITALS}


def pooled() -> Any:
    return pd.concat(hospitals().values(), ignore_index=True)


def outputs(name: str, **params: Any) -> Mapping[str, Any]:
    return v6flow.run(WORKFLOWS / f"{name}.yaml", params=params).check().outputs


def near(value: Any) -> Any:
    return pytest.approx(float(value), rel=1e-9)


@pytest.mark.parametrize("column", ["age", "cholesterol"])
def test_average(column: str) -> None:
    found = outputs("average", column=column)
    assert found["average"] == near(pooled()[column].mean())
    for name, table in hospitals().items():
        assert found["by_hospital"][name]["mean"] == near(table[column].mean())
        assert found["by_hospital"][name]["missing"] == table[column].isna().sum()


def test_average_central() -> None:
    found = outputs("average_central", column="bmi")
    column = pooled()["bmi"]
    assert found["average"] == near(column.mean())
    assert (found["count"], found["missing"]) == (column.count(), column.isna().sum())


def test_variance() -> None:
    found = outputs("variance")
    column = pooled()["systolic_bp"]
    assert found["mean"] == near(column.mean())
    assert found["variance"] == near(column.var())
    assert found["standard_deviation"] == near(column.std())
    assert (found["count"], found["missing"]) == (column.count(), column.isna().sum())
    assert found["hospitals"] == list(HOSPITALS)


def test_summary_table() -> None:
    table = outputs("summary_table")["table"]
    everybody = pooled()
    for name in ("age", "bmi", "systolic_bp"):
        column = everybody[name]
        assert (table[name]["count"], table[name]["missing"]) == (column.count(), column.isna().sum())
        assert table[name]["mean"] == near(column.mean())
        assert table[name]["standard_deviation"] == near(column.std())
    assert table["smoker"]["share"] == near(everybody["smoker"].mean())


def test_meta_analysis() -> None:
    import numpy as np

    found = outputs("meta_analysis")
    patients, fits = 0, []
    for table in hospitals().values():
        complete = table[["systolic_bp", "age", "bmi"]].dropna()
        patients += len(complete)
        design = np.column_stack([np.ones(len(complete)), complete["age"], complete["bmi"]])
        outcome = complete["systolic_bp"].to_numpy()
        estimates, (squares,), _, _ = np.linalg.lstsq(design, outcome, rcond=None)
        covariance = np.linalg.inv(design.T @ design) * squares / (len(complete) - 3)
        fits.append((estimates, np.sqrt(np.diag(covariance))))
    assert (found["patients"], found["hospitals"]) == (patients, list(HOSPITALS))
    for place, name in ((1, "age"), (2, "bmi")):
        estimate, spread = _random_effects([(e[place], s[place]) for e, s in fits])
        assert found[name]["estimate"] == near(estimate)
        assert found[name]["standard_error"] == near(spread)


def test_pooled_mean() -> None:
    found = outputs("pooled_mean", column="bmi", hospitals=["beta", "gamma"])
    column = pd.concat([hospitals()[name]["bmi"] for name in ("beta", "gamma")])
    assert found["count"] == column.count()
    assert found["mean"] == near(column.mean())
    assert found["standard_deviation"] == near(column.std())
    assert found["standard_error"] == near(column.sem())


def test_difference() -> None:
    found = outputs("difference", column="cholesterol")
    tables = hospitals()
    first = pd.concat([tables[name]["cholesterol"] for name in ("alpha", "gamma")])
    second = tables["beta"]["cholesterol"]
    assert found["means"] == [near(first.mean()), near(second.mean())]
    assert found["counts"] == [first.count(), second.count()]
    assert found["difference"] == near(second.mean() - first.mean())
    assert found["standard_error"] == near(math.hypot(first.sem(), second.sem()))


def test_intervals() -> None:
    found = outputs("intervals", columns=["age", "height", "systolic_bp"])
    assert (list(found["intervals"]), found["left_out"]) == (["age", "systolic_bp"], ["height"])
    for name, row in found["intervals"].items():
        column = pooled()[name]
        half = 1.959964 * column.sem()
        expected = {"mean": column.mean(), "lower": column.mean() - half, "upper": column.mean() + half}
        assert row == {key: near(value) for key, value in expected.items()}


def test_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = v6flow.run(WORKFLOWS / "release.yaml", params={"column": "bmi"}, store=tmp_path)
    assert (result.status, result.outputs) == ("waiting", {})
    assert main(["approve", result.run, "agreed", "--comment", "seen", "--store", str(tmp_path)]) == 0
    assert main(["resume", result.run, "--quiet", "--output", "json", "--store", str(tmp_path)]) == 0
    column = pooled()["bmi"]
    found = json.loads(capsys.readouterr().out)["outputs"]
    assert found == {"average": near(column.mean()), "count": column.count(), "comment": "seen"}


def _random_effects(studies: list[tuple[float, float]]) -> tuple[float, float]:
    """DerSimonian and Laird: the pooled estimate and its standard error."""
    weights = [1 / error**2 for _, error in studies]
    fixed = sum(w * e for w, (e, _) in zip(weights, studies, strict=True)) / sum(weights)
    q = sum(w * (e - fixed) ** 2 for w, (e, _) in zip(weights, studies, strict=True))
    scale = sum(weights) - sum(w * w for w in weights) / sum(weights)
    between = max((q - len(studies) + 1) / scale, 0.0)
    weights = [1 / (error**2 + between) for _, error in studies]
    estimate = sum(w * e for w, (e, _) in zip(weights, studies, strict=True)) / sum(weights)
    return estimate, math.sqrt(1 / sum(weights))


def test_every_example_is_among_these() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {path.stem for path in EXAMPLES} <= tested | files | {"cox"}  # which stands with survival
    assert aggregation.random_effects is not None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_validates_plans_and_can_be_drawn(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = list(v6flow.load(path).steps)
    for words in (["validate"], ["plan"], ["graph"], ["graph", "--format", "mermaid"], ["graph", "--format", "dot"]):
        assert main([*words, str(path)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert words == ["validate"] or all(step.rpartition(".")[2] in said.out for step in steps)
    assert list(tmp_path.iterdir()) == []
