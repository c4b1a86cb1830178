"""The examples compute what pandas computes on all rows together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import trusted
from pooling import WORKFLOWS, hospitals, near, pooled, released, write_federation

import v6flow
from v6flow import aggregation
from v6flow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest.importorskip("vantage6.algorithm.tools")

EXAMPLES = sorted(path for path in WORKFLOWS.glob("*.yaml") if not path.stem.endswith(".test"))
HOSPITALS = ("alpha", "beta", "gamma")


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("V6FLOW_STORE", "V6FLOW_FEDERATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def outputs(name: str, **params: Any) -> Mapping[str, Any]:
    return v6flow.run(WORKFLOWS / f"{name}.yaml", params=params).check().outputs


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
    found = outputs("meta_analysis")
    complete = [table[["systolic_bp", "age", "bmi"]].dropna() for table in hospitals().values()]
    assert (found["patients"], found["hospitals"]) == (sum(map(len, complete)), list(HOSPITALS))
    for name, expected in trusted.random_effects(hospitals().values(), "systolic_bp", ["age", "bmi"]).items():
        trusted.assert_as(found[name], expected)


def test_pooled_mean() -> None:
    found = outputs("pooled_mean", column="bmi", hospitals=["beta", "gamma"])
    expected = trusted.moments(pd.concat([hospitals()[name]["bmi"] for name in ("beta", "gamma")]))
    trusted.assert_as(found, {key: expected[key] for key in ("count", "mean", "standard_deviation", "standard_error")})


def test_difference() -> None:
    found = outputs("difference", column="cholesterol")
    tables = hospitals()
    first = pd.concat([tables[name]["cholesterol"] for name in ("alpha", "gamma")])
    trusted.assert_as(found, trusted.difference(first, tables["beta"]["cholesterol"]))


def test_intervals() -> None:
    found = outputs("intervals", columns=["age", "height", "systolic_bp"])
    assert (list(found["intervals"]), found["left_out"]) == (["age", "systolic_bp"], ["height"])
    for name, row in found["intervals"].items():
        trusted.assert_interval(row, pooled()[name])


def test_release(tmp_path: Path) -> None:
    expected = trusted.moments(pooled()["bmi"])
    found = released(tmp_path, column="bmi")
    assert found == {"average": near(expected["mean"]), "count": expected["count"], "comment": "seen"}


def test_every_example_is_among_these() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {path.stem for path in EXAMPLES} <= tested | files | {"cox"}  # which stands with survival
    assert aggregation.random_effects is not None


NAMES_HOSPITALS: dict[str, dict[str, Any]] = {  # the params that name some
    "average_central": {"coordinator": "north"},
    "pooled_mean": {"hospitals": ["north", "south"]},
    "difference": {"first": ["north"], "second": ["south"]},
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_fits_hospitals_with_other_names(path: Path, tmp_path: Path) -> None:
    """Only its params name hospitals, and what it runs in turn asks the same ones."""
    tables = {"north": WORKFLOWS / "data" / "alpha.csv", "south": WORKFLOWS / "data" / "beta.csv"}
    words = ["plan", str(path), "--federation", str(write_federation(tmp_path, tables))]
    for name, value in NAMES_HOSPITALS.get(path.stem, {}).items():
        words += ["--param", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    assert main(words) == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_validates_plans_and_can_be_drawn(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = list(v6flow.load(path).steps)
    for words in (["validate"], ["plan"], ["graph"], ["graph", "--format", "mermaid"], ["graph", "--format", "dot"]):
        assert main([*words, str(path)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert words == ["validate"] or all(step.rpartition(".")[2] in said.out for step in steps)
    assert list(tmp_path.iterdir()) == []
