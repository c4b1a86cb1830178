"""The example algorithm: its parts, pooled, are what pandas computes from all rows together."""

from __future__ import annotations

import functools
import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vantage6.algorithm.tools", reason="the example algorithm needs vantage6's algorithm tools")
np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")

WORKFLOWS = Path(__file__).parents[2] / "workflows"
PACKAGE = WORKFLOWS / "algorithms" / "hospital-stats"
HOSPITALS = ("alpha", "beta", "gamma")
NUMERIC = ["age", "bmi", "smoker", "cholesterol", "systolic_bp"]


@functools.cache
def table(hospital: str) -> Any:
    return pd.read_csv(WORKFLOWS / "data" / f"{hospital}.csv")


def pooled() -> Any:
    return pd.concat([table(hospital) for hospital in HOSPITALS], ignore_index=True)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))
    monkeypatch.delenv("MINIMUM_ROWS", raising=False)


def ask(method: str, data: Any, **kwargs: Any) -> Any:
    """One hospital's result, as it comes back: strict JSON, so that a NaN cannot pass."""
    result = getattr(importlib.import_module("hospital_stats"), method)(mock_data=[data], **kwargs)
    return json.loads(json.dumps(result, allow_nan=False))


def ask_all(method: str, **kwargs: Any) -> list[Any]:
    return [ask(method, table(hospital), **kwargs) for hospital in HOSPITALS]


def refusal(name: str) -> type[Exception]:
    exceptions = importlib.import_module("vantage6.algorithm.tools.exceptions")
    kind: type[Exception] = getattr(exceptions, name)
    return kind


def total(parts: list[Any], key: str) -> float:
    return math.fsum(part[key] for part in parts)


@pytest.mark.parametrize("column", NUMERIC)
def test_parts_of_an_average(column: str) -> None:
    parts = ask_all("partial_average", column=column)
    assert total(parts, "sum") / total(parts, "count") == pytest.approx(pooled()[column].mean(), rel=1e-12)
    assert total(parts, "missing") == pooled()[column].isna().sum()
    assert [part["mean"] for part in parts] == pytest.approx([table(name)[column].mean() for name in HOSPITALS])


@pytest.mark.parametrize("column", NUMERIC)
def test_moments_give_mean_and_variance(column: str) -> None:
    parts = ask_all("partial_moments", column=column)
    count, sums = total(parts, "count"), total(parts, "sum")
    assert count == pooled()[column].count()
    assert (total(parts, "sum_of_squares") - sums * sums / count) / (count - 1) == pytest.approx(
        pooled()[column].var(), rel=1e-9
    )


@pytest.mark.parametrize("column", NUMERIC)
def test_two_passes_give_the_variance(column: str) -> None:
    parts = ask_all("partial_variance", column=column, mean=float(pooled()[column].mean()))
    variance = total(parts, "sum_of_squared_deviations") / (total(parts, "count") - 1)
    assert variance == pytest.approx(pooled()[column].var(), rel=1e-12)


def test_two_passes_survive_numbers_far_from_zero() -> None:
    data = pd.DataFrame({"x": [1e9 + i % 7 for i in range(100)]})
    moments = ask("partial_moments", data, column="x")
    part = ask("partial_variance", data, column="x", mean=moments["sum"] / moments["count"])
    assert part["sum_of_squared_deviations"] / 99 == pytest.approx(data["x"].var(), rel=1e-9)


def test_a_summary_holds_the_moments_of_each_column() -> None:
    result = ask("summary", table("beta"), columns=NUMERIC)
    assert list(result) == NUMERIC
    for column in NUMERIC:
        assert result[column] == ask("partial_moments", table("beta"), column=column)


@pytest.mark.parametrize("hospital", HOSPITALS)
def test_a_regression_is_least_squares(hospital: str) -> None:
    predictors = ["age", "bmi", "smoker"]
    result = ask("regression", table(hospital), outcome="systolic_bp", predictors=predictors)
    complete = table(hospital)[["systolic_bp", *predictors]].dropna()
    design = np.column_stack([np.ones(len(complete)), complete[predictors]])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ complete["systolic_bp"]
    residuals = complete["systolic_bp"] - design @ coefficients
    spread = float(residuals @ residuals) / (len(complete) - 4)
    assert result["n"] == len(complete)
    assert result["n"] + result["dropped"] == len(table(hospital))
    assert result["degrees_of_freedom"] == len(complete) - 4
    assert result["residual_standard_error"] == pytest.approx(math.sqrt(spread))
    assert list(result["coefficients"]) == ["intercept", *predictors]
    terms = result["coefficients"].values()
    assert [term["estimate"] for term in terms] == pytest.approx(list(coefficients), rel=1e-8)
    assert [term["standard_error"] for term in terms] == pytest.approx(list(np.sqrt(spread * np.diag(inverse))))


def test_a_regression_does_not_depend_on_units() -> None:
    data = table("alpha").assign(age=table("alpha")["age"] * 1e12, bmi=table("alpha")["bmi"] * 1e-12)
    scaled = ask("regression", data, outcome="systolic_bp", predictors=["age", "bmi"])["coefficients"]
    plain = ask("regression", table("alpha"), outcome="systolic_bp", predictors=["age", "bmi"])["coefficients"]
    for term, unit in (("intercept", 1.0), ("age", 1e12), ("bmi", 1e-12)):
        assert {key: value * unit for key, value in scaled[term].items()} == pytest.approx(plain[term])


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("partial_average", {"column": "x"}),
    ("partial_moments", {"column": "x"}),
    ("partial_variance", {"column": "x", "mean": 2.0}),
    ("summary", {"columns": ["y", "x"]}),
    ("regression", {"outcome": "y", "predictors": ["x"]}),
]


def measurements(rows: int, missing: int = 0) -> Any:
    x = [float(i) for i in range(rows)] + [math.nan] * missing
    return pd.DataFrame({"x": x, "y": [float(i * i % 5) for i in range(rows + missing)]})


@pytest.mark.parametrize(("method", "kwargs"), CALLS)
def test_too_few_recorded_values_are_refused(
    method: str, kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    too_few = refusal("PrivacyThresholdViolation")
    with pytest.raises(too_few, match=r"minimum of 10 \(MINIMUM_ROWS\)"):
        ask(method, measurements(9, missing=30), **kwargs)
    ask(method, measurements(10, missing=30), **kwargs)
    monkeypatch.setenv("MINIMUM_ROWS", "12")
    with pytest.raises(too_few, match="minimum of 12"):
        ask(method, measurements(11), **kwargs)
    ask(method, measurements(12), **kwargs)


@pytest.mark.parametrize(("method", "kwargs"), CALLS)
def test_an_empty_table_is_refused_whatever_the_threshold(
    method: str, kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIMUM_ROWS", "1")
    with pytest.raises(refusal("AlgorithmError")):
        ask(method, measurements(0), **kwargs)
    with pytest.raises(refusal("AlgorithmError")):
        ask(method, measurements(0, missing=20), **kwargs)


@pytest.mark.parametrize("setting", ["0", "-5", "many", ""])
def test_a_threshold_that_protects_nobody_is_refused(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMUM_ROWS", setting)
    with pytest.raises(refusal("EnvironmentVariableError"), match="MINIMUM_ROWS"):
        ask("partial_moments", measurements(50), column="x")


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e200])
@pytest.mark.parametrize(("method", "kwargs"), CALLS)
def test_values_that_are_no_measurements_are_refused(method: str, kwargs: dict[str, Any], value: float) -> None:
    data = measurements(50)
    data.loc[3, "x"] = value
    with pytest.raises(refusal("DataError"), match="'x'"):
        ask(method, data, **kwargs)


def test_unknown_columns_and_text_are_refused() -> None:
    with pytest.raises(refusal("UserInputError"), match="Did you mean 'cholesterol'"):
        ask("partial_moments", table("alpha"), column="cholesterole")
    with pytest.raises(refusal("DataTypeError"), match="'sex' does not hold numbers"):
        ask("partial_moments", table("alpha"), column="sex")


@pytest.mark.parametrize("mean", [math.nan, math.inf, None, "2", True])
def test_a_mean_must_be_a_number(mean: Any) -> None:
    with pytest.raises(refusal("UserInputError"), match="finite number"):
        ask("partial_variance", measurements(50), column="x", mean=mean)


@pytest.mark.parametrize("predictors", ["age", [], ["age", "age"], ["systolic_bp"], ["intercept"], [1]])
def test_predictors_that_make_no_model_are_refused(predictors: Any) -> None:
    with pytest.raises(refusal("UserInputError")):
        ask("regression", table("alpha"), outcome="systolic_bp", predictors=predictors)


def test_predictors_without_a_coefficient_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = measurements(50).assign(constant=3.0, nothing=0.0)
    data["sum"] = data["x"] + data["constant"]
    for predictors in (["constant"], ["nothing"], ["x", "sum"]):
        with pytest.raises(refusal("DataError"), match="constant here"):
            ask("regression", data, outcome="y", predictors=predictors)
    monkeypatch.setenv("MINIMUM_ROWS", "2")
    with pytest.raises(refusal("DataError"), match="more complete rows"):
        ask("regression", measurements(2), outcome="y", predictors=["x"])


class TestCentralAverage:
    """Through vantage6's own mock of a federation."""

    @staticmethod
    def client(hospitals: tuple[str, ...] = HOSPITALS) -> Any:
        mock = importlib.import_module("vantage6.algorithm.tools.mock_client")
        datasets = [[{"database": table(hospital)}] for hospital in hospitals]
        ids = [11, 12, 13][: len(hospitals)]
        return mock.MockAlgorithmClient(datasets, "hospital_stats", organization_ids=ids)

    @staticmethod
    def ask(client: Any, **kwargs: Any) -> Any:
        return importlib.import_module("hospital_stats").central_average(mock_client=client, **kwargs)

    @pytest.mark.parametrize("column", NUMERIC)
    def test_it_is_the_average_of_all_rows(self, column: str) -> None:
        result = self.ask(self.client(), column=column)
        assert result["average"] == pytest.approx(pooled()[column].mean(), rel=1e-12)
        assert (result["count"], result["missing"]) == (
            pooled()[column].count(),
            pooled()[column].isna().sum(),
        )
        assert result["organizations"] == 3

    def test_it_asks_whom_it_is_told_to(self) -> None:
        result = self.ask(self.client(), column="bmi", organizations=[11, 13])
        two = pd.concat([table("alpha"), table("gamma")])
        assert result["average"] == pytest.approx(two["bmi"].mean(), rel=1e-12)
        assert result["organizations"] == 2

    @pytest.mark.parametrize("organizations", [[], [11, 11]])
    def test_it_refuses_lists_that_mean_nothing(self, organizations: list[int]) -> None:
        with pytest.raises(refusal("UserInputError"), match="different ids"):
            self.ask(self.client(), column="bmi", organizations=organizations)

    @pytest.mark.parametrize("lost", [slice(1, 2), slice(0, 3)])
    def test_it_fails_when_somebody_did_not_answer(self, lost: slice, monkeypatch: pytest.MonkeyPatch) -> None:
        client = self.client()
        answers = client.wait_for_results

        def incomplete(task_id: int) -> list[Any]:
            results: list[Any] = answers(task_id)
            del results[lost]
            return results

        monkeypatch.setattr(client, "wait_for_results", incomplete)
        with pytest.raises(refusal("CollectResultsError"), match="of 3 organizations answered"):
            self.ask(client, column="bmi")

    def test_it_says_why_the_server_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = self.client()
        monkeypatch.setattr(client.task, "create", lambda **_: {"msg": "No node registered"})
        with pytest.raises(refusal("SubtakCreationError"), match="No node registered"):
            self.ask(client, column="bmi")


@pytest.mark.parametrize(
    ("method", "kwargs"),
    [
        ("count_up_to", {"column": "age", "value": 50}),
        ("logistic_derivatives", {"outcome": "diabetes", "predictors": ["age"], "coefficients": None}),
        ("cluster_sums", {"columns": ["age"], "centers": [[50]]}),
        ("event_times", {"time": "months", "event": "died"}),
        ("event_table", {"time": "months", "event": "died", "group": "sex", "times": [1]}),
        ("cox_sums", {"time": "months", "event": "died", "predictors": ["age"], "coefficients": None, "times": [1]}),
    ],
)
def test_functions_that_are_asked_again_and_again_keep_the_minimum(
    method: str, kwargs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(method, table("alpha"), **kwargs)
    monkeypatch.setenv("MINIMUM_ROWS", "500")
    with pytest.raises(refusal("PrivacyThresholdViolation")):
        ask(method, table("alpha"), **kwargs)


@pytest.mark.parametrize(
    ("method", "kwargs", "error"),
    [
        ("count_up_to", {"column": "age", "value": float("inf")}, "UserInputError"),
        ("count_up_to", {"column": "age", "value": True}, "UserInputError"),
        ("logistic_derivatives", {"outcome": "age", "predictors": ["bmi"], "coefficients": None}, "DataError"),
        ("logistic_derivatives", {"outcome": "age", "predictors": ["age"], "coefficients": None}, "UserInputError"),
        ("logistic_derivatives", {"outcome": "died", "predictors": ["age"], "coefficients": [0]}, "UserInputError"),
        ("logistic_derivatives", {"outcome": "died", "predictors": ["age"], "coefficients": [0, 90]}, "DataError"),
        ("cluster_sums", {"columns": ["age"], "centers": []}, "UserInputError"),
        ("cluster_sums", {"columns": ["age"], "centers": [[1, 2]]}, "UserInputError"),
        ("event_times", {"time": "months", "event": "age"}, "DataError"),
        ("event_table", {"time": "months", "event": "died", "group": "se", "times": [1]}, "UserInputError"),
        ("event_table", {"time": "months", "event": "died", "group": "sex", "times": []}, "UserInputError"),
        (
            "cox_sums",
            {"time": "months", "event": "died", "predictors": ["age"], "coefficients": [90], "times": [1]},
            "DataError",
        ),
    ],
)
def test_functions_that_are_asked_again_and_again_refuse_in_words(method: str, kwargs: Any, error: str) -> None:
    with pytest.raises(refusal(error)):
        ask(method, table("alpha"), **kwargs)


def test_a_group_has_one_name_however_a_hospital_writes_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hospital writes 1, another 1.0, and a third has a missing value, which makes floats of them all."""
    rows = pd.DataFrame({"months": range(40), "died": [1, 0] * 20, "smoker": [0, 0, 1, 1] * 10})
    gaps = pd.concat([rows, pd.DataFrame({"months": [1], "died": [1], "smoker": [None]})])
    kwargs = {"time": "months", "event": "died", "group": "smoker", "times": [4, 8]}
    expected = ask("event_table", rows, **kwargs)
    assert list(expected) == ["0", "1"]
    assert ask("event_table", rows.astype({"smoker": float}), **kwargs) == expected
    assert ask("event_table", rows.astype({"smoker": "float32"}), **kwargs) == expected
    assert ask("event_table", gaps.astype({"smoker": float}), **kwargs) == expected
    assert ask("event_table", rows.astype({"smoker": str}), **kwargs) == expected
    assert list(ask("event_table", rows.assign(smoker=rows.smoker / 2), **kwargs)) == ["0", "0.5"]
    monkeypatch.setenv("MINIMUM_ROWS", "21")
    with pytest.raises(refusal("PrivacyThresholdViolation"), match="Rows with smoker '0': fewer here"):
        ask("event_table", gaps.astype({"smoker": float}), **kwargs)
