"""Every example on real patients of four hospitals has the figures that a trusted library makes of all their rows.

The library is statsmodels, beside scipy, numpy and pandas; see `trusted`. A figure by a formula agrees to a part in
1e9, and so do those of iterations but for their standard errors, to a part in 1e7, and quantiles, which are asked for
to a precision. What is missing stays missing, and the examples and the library leave the same rows out.

Some examples want columns that these files do not have. They are derived here, alike for both sides:

- `disease` is 1 where the diagnosis is 1 to 4, and 0 where it is 0.
- `systolic_bp` is `resting_bp`, `smoker` is `fasting_glucose` (1 or 0) and `bmi` is `max_heart_rate`, for the two
  examples that name their columns: the figures have another sense, and are as good to compare.
- A cholesterol or blood pressure of 0 is a missing value. Switzerland then has no cholesterol at all.
- Nobody was followed. For survival the age is the time, and the disease the event: those without are seen up to their
  age. As medicine that says little; as a computation it is one with ties, censoring and groups of unequal size.

`sex` stays as it is written: 1.0 and 0.0 in Cleveland, 1 and 0 elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import trusted
from pooling import CLINICS, WORKFLOWS, clinics, near, needs_heart, outputs, released, write_federation

import v6flow

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("vantage6.algorithm.tools")

pytestmark = needs_heart
EXAMPLES = {path.stem for path in WORKFLOWS.glob("*.yaml") if not path.stem.endswith(".test")}


def derived() -> dict[str, Any]:
    """The rows of each hospital, with the columns that are described above."""
    found = {}
    for name, table in clinics().items():
        measured = table[["cholesterol", "resting_bp"]]
        measured = measured.mask(measured == 0)
        found[name] = table.assign(
            disease=(table.diagnosis > 0).astype(int),
            cholesterol=measured.cholesterol,
            systolic_bp=measured.resting_bp,
            smoker=table.fasting_glucose,
            bmi=table.max_heart_rate,
        )
    return found


def together(tables: dict[str, Any], names: tuple[str, ...] = CLINICS) -> Any:
    return pd.concat([tables[name] for name in names], ignore_index=True)


@pytest.fixture(scope="module")
def hospitals() -> dict[str, Any]:
    return derived()


@pytest.fixture(scope="module")
def everybody(hospitals: dict[str, Any]) -> Any:
    return together(hospitals)


@pytest.fixture(scope="module")
def federation(hospitals: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four hospitals with the derived columns, which answer about 4 rows: the smallest group below has as many."""
    return write_federation(tmp_path_factory.mktemp("heart"), hospitals, minimum=4)


@pytest.fixture(scope="module")
def careful(hospitals: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as careful as the algorithm is where nobody says otherwise: they answer about 10 rows or more."""
    return write_federation(tmp_path_factory.mktemp("careful"), hospitals)


def failed(name: str, folder: Path, federation: Path, **params: Any) -> v6flow.Result:
    """An example that has no figures to give."""
    run = v6flow.run(WORKFLOWS / f"{name}.yaml", params=params, federation=federation, store=folder / "store")
    assert (run.status, run.outputs) == ("failed", {})
    return run


def message(run: v6flow.Result) -> str:
    return str(run.document()["error"]["message"])


@pytest.mark.parametrize("column", ["age", "resting_bp"])
def test_average(column: str, careful: Path, hospitals: dict[str, Any], tmp_path: Path) -> None:
    found = outputs("average", tmp_path, federation=careful, column=column)
    assert found["average"] == near(trusted.moments(together(hospitals)[column])["mean"])
    assert list(found["by_hospital"]) == list(CLINICS)
    for name, table in hospitals.items():
        each = found["by_hospital"][name]
        trusted.assert_as(each, {key: trusted.moments(table[column])[key] for key in ("count", "missing", "mean")})


@pytest.mark.parametrize(
    ("column", "measured"), [("vessels", ["cleveland"]), ("cholesterol", ["cleveland", "hungarian", "va"])]
)
def test_average_names_who_has_too_few_values(
    column: str, measured: list[str], careful: Path, hospitals: dict[str, Any], tmp_path: Path
) -> None:
    run = failed("average", tmp_path, careful, column=column)
    lacking = tuple(name for name, table in hospitals.items() if table[column].count() < 10)
    assert sorted([*lacking, *measured]) == sorted(CLINICS)
    assert run.cohorts["parts"].failed == lacking
    assert all(name in message(run) for name in lacking)


def test_average_central(federation: Path, everybody: Any, tmp_path: Path) -> None:
    found = outputs("average_central", tmp_path, federation=federation, column="max_heart_rate", coordinator="va")
    expected = trusted.moments(everybody["max_heart_rate"])
    trusted.assert_as(found, {"average": expected["mean"], "count": expected["count"], "missing": expected["missing"]})


def test_variance(federation: Path, everybody: Any, tmp_path: Path) -> None:
    found = outputs("variance", tmp_path, federation=federation, column="max_heart_rate")
    expected = trusted.moments(everybody["max_heart_rate"])
    assert expected["missing"], "the data has lost its point"
    del expected["standard_error"]
    trusted.assert_as(found, expected)


def test_summary_table(federation: Path, everybody: Any, tmp_path: Path) -> None:
    found = outputs("summary_table", tmp_path, federation=federation)
    assert list(found["table"]) == ["age", "bmi", "systolic_bp", "smoker"]
    for name, row in found["table"].items():
        expected = trusted.moments(everybody[name])
        trusted.assert_as(
            {"mean": row.get("share"), **row}, {key: expected[key] for key in ("count", "missing", "mean")}
        )
        assert row.get("standard_deviation", expected["standard_deviation"]) == near(expected["standard_deviation"])


def test_meta_analysis(federation: Path, hospitals: dict[str, Any], tmp_path: Path) -> None:
    found = outputs("meta_analysis", tmp_path, federation=federation)
    for name, expected in trusted.random_effects(hospitals.values(), "systolic_bp", ["age", "bmi"]).items():
        trusted.assert_as(found[name], expected)
    complete = [table[["systolic_bp", "age", "bmi"]].dropna() for table in hospitals.values()]
    assert found["patients"] == sum(map(len, complete)) < sum(map(len, hospitals.values()))


def test_table_one(careful: Path, everybody: Any, tmp_path: Path) -> None:
    columns = ["age", "max_heart_rate", "vessels", "st_depression"]
    found = outputs("table_one", tmp_path, federation=careful, columns=columns)
    assert found["left_out"] == ["vessels"]  # some hospitals did not look for them
    assert list(found["table"]) == ["age", "max_heart_rate", "st_depression"]
    for name, row in found["table"].items():
        expected = trusted.moments(everybody[name])
        trusted.assert_as(row, {key: expected[key] for key in row})


@pytest.mark.parametrize(
    ("outcome", "predictors"),
    [
        ("disease", ["age", "sex", "resting_bp", "max_heart_rate"]),
        ("exercise_angina", ["age", "sex", "max_heart_rate"]),
    ],
)
def test_logistic_regression(
    outcome: str, predictors: list[str], federation: Path, everybody: Any, tmp_path: Path
) -> None:
    params: dict[str, Any] = {"outcome": outcome, "predictors": predictors}
    found = outputs("logistic_regression", tmp_path, federation=federation, **params)
    expected = trusted.logistic(everybody, outcome, predictors)
    assert expected["dropped"], "the data has lost its point"
    trusted.assert_as(found, expected, standard_errors=trusted.ERRORS)


def test_quantiles(federation: Path, everybody: Any, tmp_path: Path) -> None:
    """The answer is at most `precision` above the quantile, and never below it."""
    params: dict[str, Any] = {"column": "st_depression", "quantiles": [0.01, 0.5, 0.9], "low": -4, "high": 12}
    found = outputs("quantiles", tmp_path, federation=federation, precision=4e-3, **params)
    expected = trusted.quantiles(everybody["st_depression"], params["quantiles"])
    assert expected[0] < 0
    trusted.assert_just_above(found["quantiles"], expected, 4e-3)


def test_quantiles_below_the_lowest_number_are_not_that_number(federation: Path, tmp_path: Path) -> None:
    params: dict[str, Any] = {"column": "st_depression", "quantiles": [0.01], "high": 8, "precision": 1}
    run = failed("quantiles", tmp_path, federation, **params)  # for `low` is 0
    assert "low (0) is not known to be below the quantile 0.01" in message(run)


def test_survival(federation: Path, everybody: Any, tmp_path: Path) -> None:
    """By sex, with the age as the time and the disease as the event, as said above."""
    columns = {"time": "age", "event": "disease", "group": "sex"}
    found = outputs("survival", tmp_path, federation=federation, **columns)
    assert list(found["curves"]) == ["0", "1"]  # though one hospital writes 0.0 and 1.0
    assert found["times"] == sorted(set(everybody.age[everybody.disease == 1]))
    trusted.assert_curves(found, trusted.curves(everybody, **columns))
    trusted.assert_as(found["log_rank"], trusted.log_rank(everybody, **columns))
    assert sum(found["log_rank"]["observed"].values()) == everybody.disease.sum()
    assert sum(found["log_rank"]["expected"].values()) == near(float(everybody.disease.sum()))


def test_survival_names_who_has_too_few_of_a_group(careful: Path, tmp_path: Path) -> None:
    run = failed("survival", tmp_path, careful, time="age", event="disease", group="sex")
    assert run.cohorts["tables"].failed == ("va",)
    assert "Rows with sex '0': fewer here than this node's minimum of 10" in message(run)


def test_survival_of_three_groups(federation: Path, everybody: Any, tmp_path: Path) -> None:
    """By the resting ECG (0, 1, 2), which some lack; the time and the event as said above."""
    columns = {"time": "age", "event": "disease", "group": "resting_ecg"}
    found = outputs("survival", tmp_path, federation=federation, **columns)
    trusted.assert_curves(found, trusted.curves(everybody, **columns))
    trusted.assert_as(found["log_rank"], trusted.log_rank(everybody, **columns))


def test_cox(federation: Path, everybody: Any, tmp_path: Path) -> None:
    """With the age as the time and the disease as the event, as said above; ties by Breslow on both sides."""
    predictors = ["sex", "resting_bp", "max_heart_rate"]
    found = outputs("cox", tmp_path, federation=federation, time="age", event="disease", predictors=predictors)
    expected = trusted.cox(everybody, "age", "disease", predictors)
    trusted.assert_as(found, expected, standard_errors=trusted.ERRORS)


def test_kmeans(federation: Path, everybody: Any, tmp_path: Path) -> None:
    columns, centers = ["age", "max_heart_rate"], [[45.0, 160.0], [60.0, 120.0]]
    found = outputs("kmeans", tmp_path, federation=federation, columns=columns, centers=centers)
    expected = trusted.clusters(everybody[columns].dropna().to_numpy(dtype=float), centers)
    trusted.assert_as(found, expected)


def test_pooled_mean(federation: Path, hospitals: dict[str, Any], tmp_path: Path) -> None:
    """Of those who measured cholesterol at all."""
    measured = tuple(name for name, table in hospitals.items() if table["cholesterol"].notna().any())
    assert measured == ("cleveland", "hungarian", "va")
    found = outputs("pooled_mean", tmp_path, federation=federation, column="cholesterol", hospitals=list(measured))
    expected = trusted.moments(together(hospitals, measured)["cholesterol"])
    trusted.assert_as(found, {key: expected[key] for key in found})


def test_difference(federation: Path, hospitals: dict[str, Any], tmp_path: Path) -> None:
    groups: dict[str, Any] = {"first": ["cleveland", "va"], "second": ["hungarian", "switzerland"]}
    found = outputs("difference", tmp_path, federation=federation, column="max_heart_rate", **groups)
    columns = (together(hospitals, tuple(names))["max_heart_rate"] for names in groups.values())
    trusted.assert_as(found, trusted.difference(*columns))


def test_intervals(federation: Path, everybody: Any, tmp_path: Path) -> None:
    columns = ["age", "cholesterol", "systolic_bp"]
    found = outputs("intervals", tmp_path, federation=federation, columns=columns)
    assert (list(found["intervals"]), found["left_out"]) == (["age", "systolic_bp"], ["cholesterol"])
    for name, row in found["intervals"].items():
        trusted.assert_interval(row, everybody[name])


def test_release(federation: Path, everybody: Any, tmp_path: Path) -> None:
    expected = trusted.moments(everybody["resting_bp"])
    found = released(tmp_path, federation=federation, column="resting_bp")
    assert found == {"average": near(expected["mean"]), "count": expected["count"], "comment": "seen"}


def test_every_example_is_held_against_the_library() -> None:
    assert {f"test_{name}" for name in EXAMPLES} - set(globals()) == set()
