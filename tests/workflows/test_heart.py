"""Real patients of four hospitals: what is federated is what pandas computes on all rows together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import v6flow

pytest.importorskip("vantage6.algorithm.tools")

WORKFLOWS = Path(__file__).parents[2] / "workflows"
DATA = Path(__file__).parents[3] / "shared" / "data" / "heart"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
IMAGE = "registry.example/hospital-stats:1.0"

pytestmark = pytest.mark.skipif(not (DATA / "cleveland.csv").is_file(), reason="the heart data is not here")


@pytest.fixture
def federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("V6FLOW_STORE", "V6FLOW_FEDERATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    lines += [f"  {name}: {{databases: {{default: '{DATA / name}.csv'}}}}" for name in HOSPITALS]
    package = WORKFLOWS / "algorithms" / "hospital-stats"
    lines += ["algorithms:", f"  \"{IMAGE}\": {{package: hospital_stats, path: '{package}'}}", ""]
    path = tmp_path / "heart.yaml"
    path.write_text("\n".join(lines))
    return path


def tables() -> dict[str, Any]:
    return {name: pd.read_csv(DATA / f"{name}.csv") for name in HOSPITALS}


def pooled() -> Any:
    return pd.concat(tables().values(), ignore_index=True)


def near(value: Any) -> Any:
    return pytest.approx(float(value), rel=1e-9)


@pytest.mark.parametrize("column", ["age", "resting_bp"])
def test_an_average_counts_what_is_missing(column: str, federation: Path) -> None:
    found: Any = (
        v6flow.run(WORKFLOWS / "average.yaml", params={"column": column}, federation=federation).check().outputs
    )
    assert found["average"] == near(pooled()[column].mean())
    assert list(found["by_hospital"]) == list(HOSPITALS)
    for name, table in tables().items():
        each = found["by_hospital"][name]
        assert (each["count"], each["missing"]) == (table[column].count(), table[column].isna().sum())


def test_a_variance_in_two_passes(federation: Path) -> None:
    params = {"column": "max_heart_rate"}
    found: Any = v6flow.run(WORKFLOWS / "variance.yaml", params=params, federation=federation).check().outputs
    column = pooled()["max_heart_rate"]
    assert column.isna().any(), "the data has lost its point"
    assert (found["count"], found["missing"]) == (column.count(), column.isna().sum())
    assert found["mean"] == near(column.mean())
    assert found["variance"] == near(column.var())


def test_a_column_that_hardly_anybody_has_fails_and_names_who_lacks_it(federation: Path) -> None:
    result = v6flow.run(WORKFLOWS / "average.yaml", params={"column": "vessels"}, federation=federation)
    assert (result.status, result.outputs) == ("failed", {})
    counts = {name: table["vessels"].count() for name, table in tables().items()}
    lacking = tuple(name for name in HOSPITALS if counts[name] < 10)
    assert result.cohorts["parts"].failed == lacking
    assert "cleveland" not in lacking
    assert all(name in str(result.document()["error"]["message"]) for name in lacking)


META = f"""\
v6flow: 1
name: heart
steps:
  fits:
    task: {{image: {IMAGE}, method: regression, kwargs: {{outcome: max_heart_rate, predictors: [age, resting_bp]}}}}
  age:
    local:
      function: v6flow.aggregation:random_effects
      kwargs:
        studies: "{{{{ steps.fits.results | map(attribute='coefficients') | map(attribute='age') }}}}"
outputs:
  age: "{{{{ steps.age.result }}}}"
  dropped: "{{{{ steps.fits.results | sum(attribute='dropped') }}}}"
"""


def test_random_effects_of_regressions_on_complete_rows(federation: Path) -> None:
    path = federation.parent / "meta.yaml"
    path.write_text(META)
    found: Any = v6flow.run(path, federation=federation).check().outputs
    estimates, errors, dropped = [], [], 0
    for table in tables().values():
        complete = table[["max_heart_rate", "age", "resting_bp"]].dropna()
        dropped += len(table) - len(complete)
        design = np.column_stack([np.ones(len(complete)), complete["age"], complete["resting_bp"]])
        solved, (squares,), _, _ = np.linalg.lstsq(design, complete["max_heart_rate"].to_numpy(), rcond=None)
        covariance = np.linalg.inv(design.T @ design) * squares / (len(complete) - 3)
        estimates.append(solved[1])
        errors.append(math.sqrt(covariance[1, 1]))
    effects, weights = np.array(estimates), 1 / np.array(errors) ** 2
    q = float((weights * (effects - (weights @ effects) / weights.sum()) ** 2).sum())
    tau2 = max((q - len(effects) + 1) / float(weights.sum() - (weights**2).sum() / weights.sum()), 0.0)
    weights = 1 / (np.array(errors) ** 2 + tau2)
    assert found["dropped"] == dropped > 0
    assert found["age"]["tau2"] == near(tau2)
    assert found["age"]["estimate"] == near(weights @ effects / weights.sum())
    assert found["age"]["standard_error"] == near(math.sqrt(1 / weights.sum()))
