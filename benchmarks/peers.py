"""How each tool runs a graph: its input files, its commands, and the place of its answer."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import graphs

if TYPE_CHECKING:
    from graphs import Graph, Step

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
VENV = HERE / ".venv"
PYTHON = str(VENV / "bin" / "python")
DOIT = str(VENV / "bin" / "doit")
REQUIREMENTS = HERE / "requirements.txt"
LONGEST_SUM = 5  # operands that a person would still write with plus signs


class WrongAnswerError(Exception):
    """A tool returned a wrong number, or did work that it should not do."""


class V6flow:
    """v6flow, by the command next to this interpreter or as a module of it."""

    name = "v6flow"

    def __init__(self) -> None:
        beside = Path(sys.executable).parent / "v6flow"
        self.command = [str(beside)] if beside.exists() else [sys.executable, "-m", "v6flow"]
        self.environment = clean_environment()  # with bytecode kept as where it is installed
        if "PYTHONPATH" in os.environ:  # v6flow itself may be found by it
            self.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]

    def write(self, graph: Graph, folder: Path) -> None:
        (folder / "workflow.yaml").write_text(workflow(graph))

    def run(self) -> list[str]:
        return [*self.command, "run", "workflow.yaml", "--quiet", "--store", "store"]

    def run_again(self, folder: Path) -> list[str]:
        run = self.journal(folder).parent.name
        return [*self.command, "resume", run, "--quiet", "--store", "store"]

    def check(self, graph: Graph, folder: Path, *, again: bool = False) -> None:
        """Raises WrongAnswerError. `again`: the timed run is a second one, with nothing to compute."""
        name, _, value = (folder / "stdout").read_text().partition(": ")
        compare(self.name, {name: json.loads(value)}, {"ends": graph.values()})
        with closing(sqlite3.connect(self.journal(folder))) as journal:
            (completed,) = journal.execute("SELECT count(*) FROM events WHERE kind = 'StepCompleted'").fetchone()
        what = "completed steps in all" if again else "completed steps"
        compare(f"{self.name}'s count of {what}", completed, len(graph.steps))

    def journal(self, folder: Path) -> Path:
        """The journal of the only run."""
        (found,) = (folder / "store" / "runs").glob("*/journal.sqlite")
        return found

    def kept(self, folder: Path) -> int:
        """The size of the files that remain after a run, in bytes."""
        return _bytes(folder, "store/runs/**/*")


class Peer:
    """A tool of the peers' own virtual environment, whose program reads `graph.json`."""

    def __init__(self, name: str, command: list[str], *, file: str | None = None, keeps: str) -> None:
        self.name = name
        self.command = command
        self.file = file  # a program that must be in the folder itself
        self.keeps = keeps  # a pattern of the files that remain after a run
        self.environment = clean_environment()

    def write(self, graph: Graph, folder: Path) -> None:
        steps = [[step.name, step.needs, step.constant] for step in graph.steps]
        text = json.dumps({"modulus": graphs.MODULUS, "ends": graph.ends, "steps": steps})
        (folder / "graph.json").write_text(text)
        if self.file is not None:
            shutil.copy(PROGRAMS / self.file, folder)

    def run(self) -> list[str]:
        return self.command

    def run_again(self, _folder: Path) -> list[str]:
        return self.command

    def check(self, graph: Graph, folder: Path, *, again: bool = False) -> None:
        compare(self.name, json.loads((folder / "ends.json").read_text()), graph.values())
        computed = json.loads((folder / "computed.json").read_text())
        compare(f"{self.name}'s count of computed steps", computed, 0 if again else len(graph.steps))

    def kept(self, folder: Path) -> int:
        """The size of the files that remain after a run, in bytes."""
        return _bytes(folder, self.keeps)


class Reference:
    """The least that a tool with a journal could do with v6flow's own file; see programs/reference.py."""

    name = "reference loop"

    def __init__(self) -> None:
        self.environment = clean_environment()

    def write(self, graph: Graph, folder: Path) -> None:
        (folder / "workflow.yaml").write_text(workflow(graph))

    def run(self) -> list[str]:
        return [PYTHON, str(PROGRAMS / "reference.py")]

    def check(self, graph: Graph, folder: Path) -> None:
        compare(self.name, json.loads((folder / "ends.json").read_text()), graph.values())


def doit() -> Peer:
    """doit with results taken from memory: its fastest mode."""
    return Peer("doit", [DOIT], file="dodo.py", keeps=".doit*")


def doit_getargs() -> Peer:
    """doit with results taken from its database: the mode that a later run can continue from."""
    return Peer("doit getargs", [DOIT, "getargs=yes"], file="dodo.py", keeps=".doit*")


def parsl() -> Peer:
    return Peer("parsl", [PYTHON, str(PROGRAMS / "run_parsl.py")], keeps="runinfo/**/*")


def luigi() -> Peer:
    return Peer("luigi", [PYTHON, str(PROGRAMS / "run_luigi.py")], keeps="results/*")


def workflow(graph: Graph) -> str:
    """A graph as a workflow of local steps."""
    lines = ["v6flow: 1", f"name: {graph.shape}", "steps:"]
    for step in graph.steps:
        lines += [f"  {step.name}:", "    local:", f"      value: {_value(step)}"]
    lines += ["outputs:", "  ends:"]
    lines += [f'    - "{{{{ steps.{name}.result }}}}"' for name in graph.ends]
    return "\n".join(lines) + "\n"


def set_up() -> None:
    """Create the peers' virtual environment, once for each version of requirements.txt and of Python."""
    wanted = sys.version + REQUIREMENTS.read_text()
    made_for = VENV / "made-for"
    if made_for.exists() and made_for.read_text() == wanted:
        return
    print("setting up the peers …", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    install = [
        PYTHON,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "-r",
        str(REQUIREMENTS),
    ]
    subprocess.run(install, check=True)
    made_for.write_text(wanted)


def versions() -> dict[str, str]:
    """The version of each pinned peer."""
    pins = [line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    return dict(pins)


def clean_environment() -> dict[str, str]:
    """This process's environment without variables that would change another Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "V6FLOW_"))}


def _value(step: Step) -> str:
    operands = [f"steps.{need}.result" for need in step.needs]
    if len(operands) > LONGEST_SUM:
        operands = [f"sum([{', '.join(operands)}])"]
    return f'"{{{{ ({" + ".join([*operands, str(step.constant)])}) % {graphs.MODULUS} }}}}"'


def _bytes(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern) if file.is_file())


def compare(what: str, found: object, expected: object) -> None:
    """Raises WrongAnswerError if a tool found another result."""
    if found != expected:
        raise WrongAnswerError(f"{what}: {str(found)[:200]} instead of {str(expected)[:200]}")
