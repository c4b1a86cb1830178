"""What the tests of examples hold them against: all rows in one table, which no federation would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import v6flow

WORKFLOWS = Path(__file__).parents[2] / "workflows"
HOSPITALS = ("alpha", "beta", "gamma")
HEART = Path(__file__).parents[3] / "shared" / "data" / "heart"
CLINICS = ("cleveland", "hungarian", "switzerland", "va")
IMAGE = "registry.example/hospital-stats:1.0"

needs_heart = pytest.mark.skipif(not (HEART / "cleveland.csv").is_file(), reason="the heart data is not here")


def hospitals() -> dict[str, Any]:
    """The rows of each of the three invented hospitals."""
    return {name: pd.read_csv(WORKFLOWS / "data" / f"{name}.csv") for name in HOSPITALS}


def pooled() -> Any:
    """The rows of the three invented hospitals in one table."""
    return pd.concat(hospitals().values(), ignore_index=True)


def heart() -> Any:
    """The rows of the four hospitals with real patients in one table."""
    return pd.concat([pd.read_csv(HEART / f"{name}.csv") for name in CLINICS], ignore_index=True)


def heart_federation(folder: Path) -> Path:
    """A federation file of the four hospitals with real patients."""
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    lines += [f"  {name}: {{databases: {{default: '{HEART / name}.csv'}}}}" for name in CLINICS]
    package = WORKFLOWS / "algorithms" / "hospital-stats"
    lines += ["algorithms:", f"  \"{IMAGE}\": {{package: hospital_stats, path: '{package}'}}", ""]
    path = folder / "heart.yaml"
    path.write_text("\n".join(lines))
    return path


def outputs(name: str, store: Path, *, federation: Path | None = None, **params: Any) -> dict[str, Any]:
    """The outputs of an example."""
    run = v6flow.run(WORKFLOWS / f"{name}.yaml", params=params, federation=federation, store=store / "store")
    return dict(run.check().outputs)


def near(value: Any, rel: float = 1e-6) -> Any:
    return pytest.approx(value, rel=rel)
