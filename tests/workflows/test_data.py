"""The example patients: the generator writes the committed files, byte for byte."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "workflows" / "data"
HOSPITALS = ("alpha", "beta", "gamma")


def rows(hospital: str) -> list[dict[str, str]]:
    with (DATA / f"{hospital}.csv").open(newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


def mean(hospital: str, column: str) -> float:
    values = [float(row[column]) for row in rows(hospital) if row[column]]
    return sum(values) / len(values)


def test_the_generator_writes_the_committed_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DATA / "generate.py"), str(tmp_path)], check=True)
    assert sorted(file.stem for file in tmp_path.iterdir()) == sorted(HOSPITALS)
    for hospital in HOSPITALS:
        assert (tmp_path / f"{hospital}.csv").read_bytes() == (DATA / f"{hospital}.csv").read_bytes()


@pytest.mark.parametrize("hospital", HOSPITALS)
def test_every_hospital_has_some_hundreds_of_patients_and_some_missing_values(hospital: str) -> None:
    patients = rows(hospital)
    assert 200 <= len(patients) <= 500
    assert all(row["age"] and row["sex"] in {"F", "M"} for row in patients)
    for column in ("bmi", "smoker", "cholesterol", "systolic_bp"):
        assert 0 < sum(row[column] == "" for row in patients) < len(patients) / 2


def test_the_hospitals_see_different_patients() -> None:
    assert mean("gamma", "age") + 5 < mean("alpha", "age") < mean("beta", "age") - 5
