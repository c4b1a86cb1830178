"""What the tests of examples hold them against: all rows in one table, which no federation would have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import v6flow
from v6flow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKFLOWS = Path(__file__).parents[2] / "workflows"
HOSPITALS = ("alpha", "beta", "gamma")
HEART = Path(__file__).parents[3] / "shared" / "data" / "heart"
CLINICS = ("cleveland", "hungarian", "switzerland", "va")
IMAGE = "registry.example/hospital-stats:1.0"

CLOSED = 1e-9  # the relative tolerance of figures by a formula: only rounding may differ

needs_heart = pytest.mark.skipif(not (HEART / "cleveland.csv").is_file(), reason="the heart data is not here")


def hospitals() -> dict[str, Any]:
    """The rows of each of the three invented hospitals."""
    return {name: pd.read_csv(WORKFLOWS / "data" / f"{name}.csv") for name in HOSPITALS}


def pooled() -> Any:
    """The rows of the three invented hospitals in one table."""
    return pd.concat(hospitals().values(), ignore_index=True)


def clinics() -> dict[str, Any]:
    """The rows of each of the four hospitals with real patients, as they are."""
    return {name: pd.read_csv(HEART / f"{name}.csv") for name in CLINICS}


def write_federation(folder: Path, tables: Mapping[str, Any], minimum: int | None = None) -> Path:
    """A federation file of hospitals with these rows, or these files, and with this smallest number of rows."""
    more = "" if minimum is None else f", environment: {{MINIMUM_ROWS: '{minimum}'}}"
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    for name, table in tables.items():
        path = table
        if not isinstance(table, Path):
            path = folder / f"{name}.csv"
            table.to_csv(path, index=False)
        lines.append(f"  {name}: {{databases: {{default: '{path}'}}{more}}}")
    package = WORKFLOWS / "algorithms" / "hospital-stats"
    lines += ["algorithms:", f"  \"{IMAGE}\": {{package: hospital_stats, path: '{package}'}}", ""]
    file = folder / "federation.yaml"
    file.write_text("\n".join(lines))
    return file


def outputs(name: str, store: Path, *, federation: Path | None = None, **params: Any) -> dict[str, Any]:
    """The outputs of an example."""
    run = v6flow.run(WORKFLOWS / f"{name}.yaml", params=params, federation=federation, store=store / "store")
    return dict(run.check().outputs)


def released(store: Path, *, federation: Path | None = None, **params: Any) -> dict[str, Any]:
    """The outputs of `release` once a person has approved."""
    run = v6flow.run(WORKFLOWS / "release.yaml", params=params, federation=federation, store=store)
    assert (run.status, run.outputs) == ("waiting", {})
    assert main(["approve", run.run, "agreed", "--comment", "seen", "--store", str(store)]) == 0
    return dict(v6flow.resume(run.run, store=store).check().outputs)


def near(value: Any, rel: float = CLOSED) -> Any:
    """A number, or a list or table of them, each relative to itself however small it is: nothing is near to 0 but 0."""
    nested = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    return pytest.approx(np.array(value) if nested else value, rel=rel, abs=0.0)
