"""The functions that run at one hospital and send partial functions to the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vantage6.algorithm.tools.decorators import algorithm_client
from vantage6.algorithm.tools.exceptions import CollectResultsError, SubtakCreationError, UserInputError
from vantage6.algorithm.tools.util import info

if TYPE_CHECKING:
    from vantage6.algorithm.client import AlgorithmClient


@algorithm_client
def central_average(client: AlgorithmClient, column: str, organizations: list[int] | None = None) -> dict:
    """The average of a column over the rows of all hospitals: {average, count, missing, organizations}.

    `organizations` are the server's ids; left out, everybody in the collaboration is asked. Every one of them
    must answer: the server hands over the results that there are, without names, so one that is missing would
    otherwise make this an average of fewer hospitals than was asked for, without a word.
    """
    if organizations is None:
        organizations = [organization["id"] for organization in client.organization.list()]
    if not organizations or len(set(organizations)) != len(organizations):
        raise UserInputError(f"'organizations' must be a list of different ids, not {organizations!r}.")

    task = client.task.create(
        input_={"method": "partial_average", "kwargs": {"column": column}},
        organizations=organizations,
        name="partial_average",
        description=f"Average of {column}: each hospital's part",
    )
    if "id" not in task:
        raise SubtakCreationError(f"The server refused the subtask: {task.get('msg', task)}")
    info(f"Waiting for {len(organizations)} organizations")
    parts = [part for part in client.wait_for_results(task_id=task["id"]) if part is not None]
    if len(parts) != len(organizations):
        raise CollectResultsError(
            f"{len(parts)} of {len(organizations)} organizations answered; an average needs all of them. "
            f"The logs of subtask {task['id']} say why the others did not."
        )

    count = sum(part["count"] for part in parts)
    return {
        "average": math.fsum(part["sum"] for part in parts) / count,
        "count": count,
        "missing": sum(part["missing"] for part in parts),
        "organizations": len(parts),
    }
