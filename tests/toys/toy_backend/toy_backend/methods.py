"""What organizations can be asked to do with their numbers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from toy_backend.backend import TaskRun

NOTHING = object()


def echo(run: TaskRun, value: Any) -> Any:
    return value


def partial_sum(run: TaskRun, column: str) -> dict[str, float]:
    run.log += f"summing {column}\n"
    numbers = {"age": run.numbers}[column]
    return {"sum": float(sum(numbers)), "count": len(numbers)}


def central_mean(run: TaskRun, column: str, organizations: list[int]) -> dict[str, float]:
    results = run.ask(organizations, "partial_sum", {"column": column})
    total = sum(each["sum"] for each in results)
    return {"mean": total / sum(each["count"] for each in results), "answers": len(results)}


def central_of(run: TaskRun, organizations: list[int], method: str, kwargs: dict[str, Any]) -> list[Any]:
    return run.ask(organizations, method, kwargs)


def nested_mean(run: TaskRun, column: str, organizations: list[int]) -> list[Any]:
    return run.ask(organizations[:1], "central_mean", {"column": column, "organizations": organizations})


def central_counts(run: TaskRun, rounds: list[list[int]]) -> int:
    return sum(len(run.ask(each, "echo", {"value": 1})) for each in rounds)


def central_gives_up(run: TaskRun, organizations: list[int], gate: str, here: str = "") -> None:
    first = run.create(organizations, "wait", {"gate": gate})
    run.create(organizations, "wait", {"gate": gate})
    while first[0].status == "pending":
        time.sleep(0.01)
    raise ValueError("it gives up")


def crash(run: TaskRun) -> float:
    return 1 / 0


def wait(run: TaskRun, gate: str) -> str:
    run.wait_for(gate)
    return "gate opened"


def not_a_number(run: TaskRun) -> list[float]:
    return [float("nan")]


def leave_at_once(run: TaskRun) -> object:
    return NOTHING


METHODS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        echo, partial_sum, central_mean, central_of, nested_mean, central_counts, central_gives_up, crash, wait,
        not_a_number, leave_at_once,
    )
}  # fmt: skip
