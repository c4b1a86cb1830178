"""A federation of small organizations, a workflow that asks them repeatedly, and the same without v6flow."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from typing import TYPE_CHECKING

import peers

if TYPE_CHECKING:
    from pathlib import Path

ALGORITHMS = peers.HERE / "algorithms"
IMAGE = "registry.example/bench-stats"
PACKAGE = "bench_stats"
ROWS = 20
WRAP = "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"


def available() -> bool:
    """Whether this interpreter has the packages for task runs."""
    return importlib.util.find_spec("vantage6") is not None and importlib.util.find_spec("pandas") is not None


def values(organization: int) -> list[int]:
    """The column of an organization's table."""
    return [(organization * 31 + row * 17) % 101 for row in range(ROWS)]


def write(folder: Path, *, organizations: int, steps: int) -> None:
    """The tables, the federation file, and a workflow of task steps, each of which needs the one before."""
    lines = ["v6flow_federation: 1", "backend: embedded", "collaboration: bench", "organizations:"]
    for number in range(organizations):
        table = folder / f"o{number}.csv"
        table.write_text("\n".join(["age", *map(str, values(number))]) + "\n")
        lines.append(f"  o{number}: {{databases: {{default: {table.name}}}}}")
    lines += ["algorithms:", f"  {IMAGE}: {{package: {PACKAGE}, path: {json.dumps(str(ALGORITHMS))}}}"]
    (folder / "federation.yaml").write_text("\n".join(lines) + "\n")
    lines = ["v6flow: 1", "name: rounds", "federation: federation.yaml", "steps:"]
    for number in range(steps):
        offset = f"\"{{{{ sum(steps.t{number - 1}.results, attribute='count') }}}}\"" if number else "0"
        lines += [
            f"  t{number}:",
            f"    task: {{image: {IMAGE}, method: partial_sum, databases: [default],",
            f"           kwargs: {{column: age, offset: {offset}}}}}",
        ]
    lines += ["outputs:", f'  last: "{{{{ steps.t{steps - 1}.by_organization }}}}"']
    (folder / "workflow.yaml").write_text("\n".join(lines) + "\n")


def check(folder: Path, *, organizations: int, steps: int) -> None:
    """Check v6flow's output against the tables. Raises WrongAnswerError."""
    name, _, value = (folder / "stdout").read_text().partition(": ")
    offset = organizations * ROWS if steps > 1 else 0
    expected = {f"o{number}": answer(number, offset) for number in range(organizations)}
    peers.compare("v6flow", {name: json.loads(value)}, {"last": expected})


def answer(organization: int, offset: int) -> dict[str, int]:
    """The expected result of the algorithm at an organization."""
    return {"sum": sum(values(organization)) + offset, "count": ROWS}


def write_plain(folder: Path, *, organizations: int) -> None:
    """What programs/run_plain.py needs to start a process for each organization, in a node's environment."""
    write(folder, organizations=organizations, steps=1)
    sent = {"method": "partial_sum", "args": [], "kwargs": {"column": "age", "offset": 0}}
    (folder / "input").write_text(json.dumps(sent))
    (folder / "token").write_text("none")
    environments = []
    for number in range(organizations):
        node = {
            "INPUT_FILE": str(folder / "input"),
            "OUTPUT_FILE": str(folder / f"output{number}"),
            "TOKEN_FILE": str(folder / "token"),
            "USER_REQUESTED_DATABASE_LABELS": "default",
            "DEFAULT_DATABASE_URI": str(folder / f"o{number}.csv"),
            "DEFAULT_DATABASE_TYPE": "csv",
        }
        encoded = {name: base64.b32encode(value.encode()).decode().replace("=", "!") for name, value in node.items()}
        environments.append({**encoded, "PKG_NAME": PACKAGE, "PYTHONPATH": str(ALGORITHMS)})
    runs = {"command": [sys.executable, "-c", WRAP], "environments": environments}
    (folder / "runs.json").write_text(json.dumps(runs))


def check_plain(folder: Path, *, organizations: int) -> None:
    """Check the output of each process against its table. Raises WrongAnswerError."""
    for number in range(organizations):
        found = json.loads((folder / f"output{number}").read_text())
        peers.compare(f"the plain process of o{number}", found, answer(number, 0))
