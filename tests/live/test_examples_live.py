"""Every example gives the same outputs on the embedded backend and on a real server."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import federation
import pytest

import v6flow
from v6flow.actor import Actor
from v6flow.runs.gates import decide_gate
from v6flow.runs.opened import open_run
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from federation import LiveFederation

pytest.importorskip("vantage6.algorithm.tools")

WORKFLOWS = Path(__file__).parents[2] / "workflows"
EXAMPLES = sorted(path for path in WORKFLOWS.glob("*.yaml") if not path.stem.endswith(".test"))
HOSPITALS = ("alpha", "beta", "gamma")
PARAMS: dict[str, dict[str, Any]] = {  # of examples that would ask many times: two or three rounds show as much
    "quantiles": {"quantiles": [0.5], "low": 4, "high": 6, "precision": 0.5},
    "logistic_regression": {"tolerance": 2},
    "cox": {"tolerance": 0.3},
    "kmeans": {"centers": [[38.9, 117.1], [63.7, 139.8]]},
    "table_one": {"columns": ["age", "bmi"]},
}


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("V6FLOW_STORE", "V6FLOW_FEDERATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


def run(example: Path, store: Path, federation: Path | None = None) -> v6flow.Result:
    """Run an example to its end; at its gates a person approves."""
    result = v6flow.run(example, params=PARAMS.get(example.stem), federation=federation, store=store)
    while result.status == "waiting":
        with open_run(FolderStore(store).find(result.run)) as opened:
            for gate in opened.state.gates:
                decide_gate(opened, gate.name, "approved", by=Actor("a test", "script"), comment="")
        result = v6flow.resume(result.run, store=store)
    return result.check()


@cache
def embedded(example: Path, store: Path) -> dict[str, Any]:
    """What an example gives on the simulated federation that it names."""
    return run(example, store).outputs


def at_server(live: LiveFederation, folder: Path) -> Path:
    """A federation file for the hospitals, whose nodes call the data of the examples `hospital`."""
    file = live.write_federation_file(folder / "federation.yaml", organizations=HOSPITALS)
    text = file.read_text("utf-8")
    for name in HOSPITALS:
        text = text.replace(f'{{"name": "{name}"}}', f'{{"name": "{name}", "databases": {{"default": "hospital"}}}}')
    assert text.count("hospital") > len(HOSPITALS)
    file.write_text(text, encoding="utf-8")
    return file


def is_near(found: Any, wanted: Any) -> bool:
    """Equal; numbers up to the order in which they were added."""
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and [*found] == [*wanted]
            and all(is_near(found[key], wanted[key]) for key in wanted)
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(is_near, found, wanted))
    if isinstance(wanted, float):
        return isinstance(found, (int, float)) and math.isclose(found, wanted, rel_tol=1e-12)
    return bool(found == wanted)


# Each example in one of the federations by turns, and two in both: the federations differ in how kwargs and results
# travel, whatever the workflow (see test_vantage6_live.py).
PLACES = [
    pytest.param(example, encrypted, id=f"{example.stem}-{'encrypted' if encrypted else 'plain'}")
    for number, example in enumerate(EXAMPLES)
    for encrypted in (False, True)
    if example.stem in ("average", "average_central") or encrypted == bool(number % 2)
]


@pytest.mark.parametrize(("example", "encrypted"), PLACES)
def test_the_same_outputs(example: Path, encrypted: bool, tmp_path: Path, stores: Path) -> None:
    server = federation.shared()
    live = server.encrypted if encrypted else server.plain
    live.start()
    result = run(example, tmp_path / "store", at_server(live, tmp_path))
    wanted = embedded(example, stores)
    assert is_near(result.outputs, wanted), f"{result.outputs} is not {wanted}"
    for cohort in result.cohorts.values():
        assert cohort.responded == cohort.asked
        assert set(cohort.asked) in ({*HOSPITALS}, {"alpha"})  # a central function runs at alpha


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
