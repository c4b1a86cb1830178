"""Write the invented patients of three hospitals, the same bytes every time: python generate.py

Only the standard library is used, and of it only `random()` and `gauss()`, whose numbers do not change between
versions of Python. Nobody in these files exists; put your own extracts in their place.
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

COLUMNS = ("age", "bmi", "smoker", "systolic_bp", "diabetes", "treatment", "months", "died")
"""Years; kg/m²; 1 yes, 0 no; mmHg; 1 yes, 0 no; new or usual; months of follow-up; 1 died then, 0 last seen alive."""

# name: (seed, patients, mean age); the second is a heart centre, the third a practice in a university town
HOSPITALS = {"alpha": (11, 90, 56), "beta": (22, 70, 66), "gamma": (33, 110, 44)}
STUDY_MONTHS = 36


def patients(seed: int, count: int, mean_age: float) -> list[str]:
    """The lines of one hospital's file, without the header."""
    dice = random.Random(seed)
    return [_patient(dice, mean_age) for _ in range(count)]


def _patient(dice: random.Random, mean_age: float) -> str:
    age = round(_within(dice.gauss(mean_age, 12), 18, 95))
    bmi = round(_within(dice.gauss(26.5, 4), 16, 50), 1)
    smoker = dice.random() < 0.24
    pressure = round(_within(dice.gauss(82 + 0.5 * age + 0.8 * bmi + 4 * smoker, 12), 80, 230))
    diabetes = dice.random() < 1 / (1 + math.exp(-(0.045 * (age - 55) + 0.12 * (bmi - 27) - 0.9)))
    treated = dice.random() < 0.5
    hazard = 0.012 * math.exp(0.03 * (age - 55) - 0.6 * treated)
    dies_in = -math.log(1 - dice.random()) / hazard
    leaves_in = 6 + dice.random() * 42
    months = max(1, math.ceil(min(dies_in, leaves_in, STUDY_MONTHS)))
    died = dies_in <= min(leaves_in, STUDY_MONTHS)
    unknown_bmi, unknown_pressure = dice.random() < 0.05, dice.random() < 0.03
    values = (
        age, "" if unknown_bmi else bmi, int(smoker), "" if unknown_pressure else pressure, int(diabetes),
        "new" if treated else "usual", months, int(died),
    )  # fmt: skip
    return ",".join(str(value) for value in values)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def write(folder: Path) -> None:
    """Write one file for each hospital."""
    for name, (seed, count, mean_age) in HOSPITALS.items():
        lines = [",".join(COLUMNS), *patients(seed, count, mean_age)]
        (folder / f"{name}.csv").write_bytes(("\n".join(lines) + "\n").encode("ascii"))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
