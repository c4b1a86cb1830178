"""What tests of the command line stand on: calling a command here or in a process of its own, and small workflows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from v6flow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

PROJECT = Path(__file__).parents[2]
ALGORITHMS = PROJECT / "tests" / "algorithms"
PATIENCE = 60  # seconds until a test says that something will never happen

SMALL = """\
v6flow: 1
name: small
params:
  n: {type: integer, default: 20, description: A number}
  who: {type: string, default: you}
steps:
  double: {local: {value: "{{ params.n * 2 }}"}}
  greet: {local: {value: {to: "{{ params.who }}", n: "{{ steps.double.result }}"}}}
outputs:
  n: "{{ steps.double.result }}"
  who: "{{ params.who }}"
  all: "{{ steps.greet.result }}"
"""

FAILING = """\
v6flow: 1
name: failing
steps:
  first: {local: {value: 1}}
  bad: {local: {command: [sh, -c, "echo so far; echo went wrong >&2; exit 3"]}}
  after: {local: {value: "{{ steps.bad.result }}"}}
outputs: {first: "{{ steps.first.result }}", after: "{{ steps.after.result }}"}
"""

# the second step waits until somebody writes into the file `gate`, and returns what is written
WAITING = """\
v6flow: 1
name: waiting
steps:
  first: {local: {value: 1}}
  wait: {local: {command: [cat, gate]}}
  plus: {local: {function: "plus.py:plus", kwargs: {a: "{{ steps.first.result }}", b: "{{ steps.wait.result }}"}}}
outputs: {sum: "{{ steps.plus.result }}"}
"""
PLUS = "def plus(a, b):\n    return a + b\n"

FEDERATED = """\
v6flow: 1
name: federated
federation: federation.yaml
defaults: {image: probe, timeout: 60s}
steps:
  sums: {task: {method: partial_sum, kwargs: {column: age}}}
  total: {local: {value: "{{ steps.sums.results | sum(attribute='sum') }}"}}
outputs: {total: "{{ steps.total.result }}"}
"""
VALUES = {"alpha": [10, 20], "beta": [30], "gamma": [40]}
TOTAL = 100.0


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> Said:
    """A command, in this process."""
    capsys.readouterr()
    code = main(words)
    said = capsys.readouterr()
    return Said(code, said.out, said.err)


def environment(**more: str) -> dict[str, str]:
    """The environment of a child process, in which v6flow can be imported."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("V6FLOW_")}
    return {**known, "PYTHONPATH": str(PROJECT / "runner"), **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "v6flow", *words]


def child(
    *words: str, env: Mapping[str, str] | None = None, stdout: IO[Any] | int = subprocess.PIPE,
    stderr: IO[Any] | int = subprocess.PIPE,
) -> Said:  # fmt: skip
    """A command, in a process of its own."""
    done = subprocess.run(
        command(*words),
        env=env if env is not None else environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    return Said(done.returncode, done.stdout or "", done.stderr or "")


def start(*words: str, until: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A command that goes on, once it has said something on stderr."""
    process = subprocess.Popen(
        [*before, *command(*words)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:  # to the end of the process at the latest
        said.append(line)
        if until in line:
            return process
    raise AssertionError(f"it never said {until!r}: {''.join(said)}")


def end(process: subprocess.Popen[str]) -> Said:
    """How a command ended."""
    out, err = process.communicate(timeout=PATIENCE)
    return Said(process.returncode, out, err)


def write(folder: Path, **files: str) -> None:
    """Files in a folder; `a_b` is written as `a.b`."""
    for name, text in files.items():
        stem, _, ending = name.rpartition("_")
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8")


def waiting(folder: Path) -> None:
    """The workflow that waits, with its gate shut."""
    write(folder, waiting_yaml=WAITING, plus_py=PLUS)
    os.mkfifo(folder / "gate")


def open_gate(folder: Path, value: Any = 41) -> None:
    """Whoever comes to the gate from now on goes through."""
    (folder / "gate").unlink()
    (folder / "gate").write_text(json.dumps(value), encoding="utf-8")


def federated(folder: Path, *, more: Mapping[str, str] | None = None, text: str = FEDERATED) -> None:
    """The federated workflow with its federation; `more` is what else is said of an organization."""
    lines = ["v6flow_federation: 1", "backend: embedded", "organizations:"]
    for name, ages in VALUES.items():
        (folder / f"{name}.csv").write_text("age\n" + "".join(f"{age}\n" for age in ages), encoding="utf-8")
        (folder / f"{name}.notes").touch()
        note = f"environment: {{NOTE_FILE: '{folder / name}.notes'}}"
        extra = f", {(more or {})[name]}" if name in (more or {}) else ""
        lines.append(f"  {name}: {{databases: {{default: {name}.csv}}, {note}{extra}}}")
    lines += ["algorithms:", f"  probe: {{package: v6_probe, path: '{ALGORITHMS}'}}", ""]
    write(folder, federation_yaml="\n".join(lines), federated_yaml=text)


def notes(folder: Path) -> dict[str, int]:
    """How often the algorithm ran at each organization."""
    return {name: len((folder / f"{name}.notes").read_text().splitlines()) for name in VALUES}


def run_ids(folder: Path) -> list[str]:
    """The runs that are kept in a folder."""
    return sorted(path.name for path in (folder / ".v6flow" / "runs").glob("*"))
