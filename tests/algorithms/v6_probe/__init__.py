"""A vantage6 v4 algorithm whose functions do, on purpose, all that an algorithm may do."""

# vantage6's decorators carry no types:
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from vantage6.algorithm.tools.decorators import algorithm_client, data, metadata
from vantage6.algorithm.tools.util import info

CALLS: list[int] = []  # a process that serves twice would remember
THRESHOLD = os.environ.get("MINIMUM_ROWS", "unset")  # read while importing, as real algorithms do


def _note() -> None:
    """Leave a line in the file that the node's environment names, if it names one."""
    if "NOTE_FILE" in os.environ:
        with Path(os.environ["NOTE_FILE"]).open("a", encoding="utf-8") as file:
            file.write("ran\n")


@data(1)
def partial_sum(df: Any, column: str) -> dict[str, float]:
    _note()
    info(f"summing {column}")
    return {"sum": float(df[column].sum()), "count": int(df[column].count())}


@data(2)
def partial_two(first: Any, second: Any) -> dict[str, int]:
    return {"first": len(first), "second": len(second)}


@algorithm_client
def central_mean(client: Any, column: str, organizations: list[int] | None = None) -> dict[str, float]:
    """The mean over all organizations, from what their subtasks return."""
    ids = organizations or [each["id"] for each in client.organization.list()]
    results = _ask(client, ids, "partial_sum", {"column": column})
    return {
        "mean": sum(each["sum"] for each in results) / sum(each["count"] for each in results),
        "answers": len(results),
    }


@algorithm_client
def central_rounds(client: Any, organizations: list[int], rounds: int) -> int:
    """Several tasks, one after the other."""
    return sum(len(_ask(client, organizations, "echo", {"value": number})) for number in range(rounds))


@algorithm_client
def nested_mean(client: Any, column: str, organizations: list[int]) -> list[Any]:
    """A subtask that is a central function itself."""
    kwargs = {"column": column, "organizations": organizations}
    return _ask(client, organizations[:1], "central_mean", kwargs)


@algorithm_client
def central_of(client: Any, organizations: list[int], method: str, kwargs: dict[str, Any]) -> list[Any]:
    """What any function of this package returns at some organizations."""
    return _ask(client, organizations, method, kwargs)


@algorithm_client
def central_then_wait(client: Any, organizations: list[int], column: str, gate: str, here: str) -> list[Any]:
    """Has its subtasks' results, says so, and does not end before somebody opens the gate."""
    results = _ask(client, organizations, "partial_sum", {"column": column})
    Path(here).write_text(str(os.getpid()), encoding="utf-8")
    _wait(gate)
    return results


@algorithm_client
def central_leaves(client: Any, organizations: list[int], gate: str) -> str:
    """Ends without waiting for its subtasks."""
    client.task.create({"method": "wait", "kwargs": {"gate": gate}}, organizations=organizations)
    return "left"


@algorithm_client
def central_gives_up(client: Any, organizations: list[int], gate: str, here: str = "") -> None:
    """Sends two subtasks that wait at a gate, and crashes without waiting for them.

    With `here`, the first of its subtasks has begun by then, and says so there.
    """
    for number in range(2):
        kwargs = {"gate": gate, "here": here} if here and not number else {"gate": gate}
        input_ = {"method": "meet" if "here" in kwargs else "wait", "kwargs": kwargs}
        client.task.create(input_, organizations=organizations, name="left behind")
        if "here" in kwargs:
            Path(here).read_text(encoding="utf-8")
    raise ValueError("it gives up")


@algorithm_client
def central_counts(client: Any, rounds: list[list[int]]) -> int:
    """How many answers come to several tasks, each to its own organizations, one after the other."""
    return sum(len(_ask(client, each, "echo", {"value": 1})) for each in rounds)


@algorithm_client
def requests(client: Any, calls: list[dict[str, Any]]) -> list[Any]:
    """What the server answers to some requests, as (status, body)."""
    import requests as http

    answers = []
    for call in calls:
        headers = {"Authorization": call["token"]} if "token" in call else client.headers
        url = f"{client.base_path}/{call['path']}"
        method = call.get("method", "get")
        answer = http.request(method, url, json=call.get("json"), headers=headers, timeout=60)
        answers.append([answer.status_code, answer.json()])
    return answers


def _ask(client: Any, organizations: list[int], method: str, kwargs: dict[str, Any]) -> list[Any]:
    task = client.task.create({"method": method, "kwargs": kwargs}, organizations=organizations, name=f"ask {method}")
    if "id" not in task:
        raise RuntimeError(f"no task: {task}")
    found: list[Any] = client.wait_for_results(task["id"])
    return found


def _wait(gate: str) -> None:
    with Path(gate).open(encoding="utf-8") as file:  # a FIFO: opening it lasts until somebody writes
        file.read()


@data(1)
def leak(df: Any, how: str) -> Any:
    """Prints a patient's row, and then ends as it is told to."""
    row = f"patient {df['age'].iloc[0]}"
    print(row)
    output = Path(os.environ["OUTPUT_FILE"])
    match how:
        case "crash":
            raise ValueError(row)
        case "exit":
            sys.exit(row)
        case "module":
            raise ModuleNotFoundError(f"No module named '{row}'")
        case "no database":
            raise KeyError(f"{row}_DATABASE_URI".upper().replace(" ", "_"))
        case "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "nothing":
            os._exit(0)
        case "duplicate" | "not json" | "too large" | "half":
            written = {
                "duplicate": f'{{"{row}": 1, "{row}": 2}}',
                "not json": row,
                "too large": f"{row.split()[1]}e400",
            }
            output.write_text(written.get(how, f'["{row}", '), encoding="utf-8")
            os._exit(0)
        case "not finite":
            return {"count": 1000, row: float("nan")}
        case "few":
            return {"count": 1, "row": row}
        case "set":
            return {row}
        case "renamed":
            return {"n": 1000}
    return {"count": 1000, "row": "none", "groups": {row: 1} if how == "group" else {}}


@data(1)
def leak_and_wait(df: Any, gate: str) -> Any:
    print(f"patient {df['age'].iloc[0]}")
    _wait(gate)
    return {"count": 1000}


@algorithm_client
def central_leak(client: Any, how: str) -> Any:
    """Prints what its subtasks return, and passes it on if it is told to."""
    results = _ask(client, [each["id"] for each in client.organization.list()], "leak", {"how": how})
    print(results)
    return {"count": 1000, "answers": len(results)}


def echo(value: Any) -> Any:
    _note()
    return value


def wait(gate: str) -> str:
    _note()
    _wait(gate)
    return "gate opened"


def meet(gate: str, here: str) -> str:
    """Say that one is here, then wait for the gate."""
    with Path(here).open("w", encoding="utf-8") as file:
        file.write(str(os.getpid()))
    _wait(gate)
    return "met"


def crash() -> None:
    print("about to divide")
    return 1 / 0  # type: ignore[return-value]  # never returned


def leave(code: Any) -> None:
    print("last words")
    sys.exit(code)


def leave_at_once() -> None:
    os._exit(0)


def segfault() -> None:
    print("before the fault")
    os.kill(os.getpid(), signal.SIGSEGV)


def not_json() -> set[int]:
    return {1, 2}


def not_a_number() -> list[float]:
    return [float("nan"), float("inf")]


def own_output() -> None:
    """Writes its output itself, and badly."""
    Path(os.environ["OUTPUT_FILE"]).write_bytes(b"<html>")
    os._exit(0)


def flood(lines: int) -> int:
    print("first line")
    for number in range(lines):
        print(f"{number:>100}")
    print("last line")
    return lines


def garbled() -> str:
    os.write(1, b"caf\xe9 \x00 \xff\n")
    return "said"


def draw() -> list[float]:
    import numpy as np

    return [random.random(), float(np.random.random())]


def surroundings() -> dict[str, Any]:
    """What it sees of the world."""
    import threading

    CALLS.append(1)
    return {
        "environment": dict(os.environ),
        "threshold": THRESHOLD,
        "calls": len(CALLS),
        "cwd": str(Path.cwd()),
        "temporary": tempfile.gettempdir(),
        "path": sys.path,
        "modules": sorted(name for name in sys.modules if name.startswith("v6flow")),
        "descriptors": sorted(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.exists()),
        "session": os.getsid(0) == os.getpid(),
        "threads": threading.active_count(),
        "executable": sys.executable,
        "stdin": sys.stdin.read(),
    }


def spawn(here: str) -> int:
    """Starts a program that outlives it unless somebody cares."""
    child = subprocess.Popen(["sleep", "600"])
    with Path(here).open("w", encoding="utf-8") as file:
        file.write(str(child.pid))
    return child.pid


def spawn_and_wait(gate: str, here: str) -> None:
    child = subprocess.Popen(["sleep", "600"])
    with Path(here).open("w", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {child.pid}")
    _wait(gate)


@metadata
def who(meta: Any) -> dict[str, Any]:
    return {
        "task": meta.task_id,
        "node": meta.node_id,
        "collaboration": meta.collaboration_id,
        "organization": meta.organization_id,
    }
