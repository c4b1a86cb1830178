"""Write the invented patients of the three example hospitals, the same bytes every time.

    python generate.py            # writes alpha.csv, beta.csv, gamma.csv beside this file
    python generate.py FOLDER     # writes them there

Only the standard library is used, and of it only `random()` and `gauss()`, whose numbers do not change
between versions of Python; every value is rounded before it is written. Nobody in these files exists.
"""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("age", "sex", "bmi", "smoker", "cholesterol", "systolic_bp", "diabetes", "months", "died")
"""Years; F or M; kg/m²; 1 yes, 0 no; mmol/L; mmHg; 1 yes, 0 no; months of follow-up; 1 if they ended with death.

An empty cell is a value that nobody recorded.
"""


@dataclass(frozen=True)
class Hospital:
    """Who comes to a hospital, how well it keeps its records, and how blood pressure rises there."""

    seed: int
    rows: int
    age: float  # mean, years
    age_spread: float  # standard deviation, years
    female: float  # share of patients
    bmi: float  # mean at the hospital's mean age
    smokers: float  # share of patients
    per_year: float  # mmHg for each year of age
    per_bmi: float  # mmHg for each kg/m²
    missing: dict[str, float]  # share of cells left empty


HOSPITALS = {
    # a general hospital in a town
    "alpha": Hospital(
        seed=1101, rows=320, age=54, age_spread=14, female=0.52, bmi=26.4, smokers=0.22, per_year=0.52,
        per_bmi=0.85, missing={"bmi": 0.06, "smoker": 0.03, "cholesterol": 0.12, "systolic_bp": 0.02},
    ),
    # a heart centre: older patients, more of them men
    "beta": Hospital(
        seed=2202, rows=240, age=66, age_spread=10, female=0.38, bmi=28.1, smokers=0.29, per_year=0.41,
        per_bmi=1.15, missing={"bmi": 0.03, "smoker": 0.02, "cholesterol": 0.05, "systolic_bp": 0.01},
    ),
    # a practice in a university town: younger patients, fewer blood samples
    "gamma": Hospital(
        seed=3303, rows=410, age=41, age_spread=13, female=0.57, bmi=24.9, smokers=0.17, per_year=0.60,
        per_bmi=0.70, missing={"bmi": 0.09, "smoker": 0.08, "cholesterol": 0.31, "systolic_bp": 0.04},
    ),
}  # fmt: skip


def patients(hospital: Hospital) -> list[str]:
    """The lines of one hospital's file, without the header."""
    dice, later = random.Random(hospital.seed), random.Random(hospital.seed + 1)
    return [",".join(_patient(hospital, dice, later)) for _ in range(hospital.rows)]


def _patient(hospital: Hospital, dice: random.Random, later: random.Random) -> list[str]:
    age = round(_within(dice.gauss(hospital.age, hospital.age_spread), 18, 95))
    female = dice.random() < hospital.female
    bmi = round(_within(dice.gauss(hospital.bmi + 0.04 * (age - hospital.age), 4.1), 16, 52), 1)
    smoker = dice.random() < hospital.smokers
    cholesterol = round(_within(dice.gauss(4.1 + 0.012 * age + 0.02 * bmi, 0.9), 2, 11), 1)
    pressure = 80 + hospital.per_year * age + hospital.per_bmi * bmi + 3.5 * smoker - 4.0 * female
    systolic_bp = round(_within(dice.gauss(pressure, 12), 80, 230))
    values = {
        "age": f"{age}",
        "sex": "F" if female else "M",
        "bmi": f"{bmi:.1f}",
        "smoker": "1" if smoker else "0",
        "cholesterol": f"{cholesterol:.1f}",
        "systolic_bp": f"{systolic_bp}",
    }
    cells = ["" if dice.random() < hospital.missing.get(name, 0) else values[name] for name in values]
    return cells + _outcomes(hospital, later, age=age, female=female, bmi=bmi, smoker=smoker)


def _outcomes(
    hospital: Hospital, dice: random.Random, *, age: int, female: bool, bmi: float, smoker: bool
) -> list[str]:
    """Whether a patient has diabetes, and how long and until what they were followed."""
    odds = math.exp(-7.2 + 0.04 * age + 0.11 * bmi - 0.2 * female)
    diabetes = dice.random() < odds / (1 + odds)
    rate = 0.0028 * math.exp(0.05 * (age - 54) + 0.45 * smoker + 0.5 * diabetes - 0.3 * female)
    death = math.ceil(-math.log(1 - dice.random()) / rate)
    end = 12 + math.floor(49 * dice.random())  # when the study ended for them: from one to five years
    unknown = dice.random() < hospital.missing.get("smoker", 0) / 2
    return ["" if unknown else f"{int(diabetes)}", f"{min(death, end)}", f"{int(death <= end)}"]


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def write(folder: Path) -> None:
    """Write one file for each hospital."""
    for name, hospital in HOSPITALS.items():
        lines = [",".join(COLUMNS), *patients(hospital)]
        (folder / f"{name}.csv").write_bytes(("\n".join(lines) + "\n").encode("ascii"))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
