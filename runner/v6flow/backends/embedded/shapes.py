"""The resources of a vantage6 4.15 server as JSON."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from v6flow.backends.embedded.environment import COLLABORATION_ID
from v6flow.backends.embedded.server import ForbiddenError
from v6flow.backends.embedded.task_records import COMPLETED, EmbeddedTask, TaskRun, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from v6flow.backends.embedded.configuration import EmbeddedFederation, EmbeddedOrganization

PER_PAGE = 10  # the server's, and that of clients which do not ask for more
METHODS = {
    "task": ["GET", "DELETE"],
    "run": ["GET", "PATCH"],
    "result": ["GET", "PATCH"],
    "organization": ["GET", "PATCH", "DELETE"],
    "collaboration": ["GET", "PATCH", "DELETE"],
}


def page(items: Sequence[Any], path: str, query: dict[str, str], shape: Callable[[Any], dict[str, Any]]) -> Any:
    """A page of a list with the links that the server gives. Raises ForbiddenError for one that cannot be."""
    try:
        number, size = int(query.get("page", 1)), int(query.get("per_page", PER_PAGE))
    except ValueError as error:
        raise ForbiddenError(500, str(error)) from error
    if number <= 0 or size <= 0:
        raise ForbiddenError(500, f"{'page' if number <= 0 else 'per_page'} needs to be >= 1")
    before = (number - 1) * size
    shown = items[before : before + size]
    numbers = {
        "first": 1,
        "previous": number - 1,
        "self": number,
        "next": number + 1 if before + len(shown) < len(items) else 0,
        "last": -(-len(items) // size),
    }
    links = {rel: f"{path}?{urlencode(query | {'page': str(n)})}" for rel, n in numbers.items() if n}
    return {"data": [shape(item) for item in shown], "links": links}


def organization(each: EmbeddedOrganization) -> dict[str, Any]:
    """An organization; there is no encryption here, hence no public key."""
    return {
        "id": each.id,
        "name": each.name,
        **dict.fromkeys(("domain", "address1", "address2", "zipcode", "country", "public_key"), ""),
        "collaborations": f"/collaboration?organization_id={each.id}",
        "nodes": f"/node?organization_id={each.id}",
        "users": f"/user?organization_id={each.id}",
        "tasks": f"/task?init_org_id={each.id}",
        "runs": f"/run?organization_id={each.id}",
        "studies": f"/study?organization_id={each.id}",
    }


def collaboration(federation: EmbeddedFederation) -> dict[str, Any]:
    """The collaboration."""
    return {
        "id": COLLABORATION_ID,
        "name": federation.collaboration,
        "encrypted": False,
        "organizations": f"/organization?collaboration_id={COLLABORATION_ID}",
        "nodes": f"/node?collaboration_id={COLLABORATION_ID}",
        "tasks": f"/task?collaboration_id={COLLABORATION_ID}",
        "algorithm_stores": f"/algorithmstore?collaboration_id={COLLABORATION_ID}",
        "studies": f"/study?collaboration_id={COLLABORATION_ID}",
    }


def task(each: EmbeddedTask, federation: EmbeddedFederation) -> dict[str, Any]:
    """A task."""
    initiator = federation.organizations[0].id if each.parent is None else each.parent.organization.id
    status = status_of(each)
    ends = [run.finished_at for run in each.runs if run.finished_at is not None]
    return {
        "id": each.id,
        "name": each.name,
        "description": each.description,
        "image": each.image,
        "status": status,
        "created_at": _time(each.created_at),
        "finished_at": _time(max(ends)) if status == COMPLETED and ends else None,
        "job_id": each.job,
        "parent": None if each.parent is None else _link("task", each.parent.task.id),
        "children": f"/task?parent_id={each.id}",
        "collaboration": _link("collaboration", COLLABORATION_ID),
        "study": None,
        "init_org": _link("organization", initiator),
        "init_user": None,
        "databases": [_database(database) for database in each.databases],
        "algorithm_store": None,
        "runs": f"/run?task_id={each.id}",
        "results": f"/result?task_id={each.id}",
    }


def run(each: TaskRun, log: str) -> dict[str, Any]:
    """A task run, without its result."""
    node = each.organization
    return {
        "id": each.id,
        "status": each.status,
        "log": log,
        "input": base64.b64encode(each.input).decode("ascii"),
        "assigned_at": _time(each.task.created_at),
        "started_at": _time(each.started_at),
        "finished_at": _time(each.finished_at),
        "cleanup_at": None,
        "blob_storage_used": False,
        "organization": _link("organization", node.id),
        "task": _link("task", each.task.id),
        "results": _link("result", each.id),
        "node": {
            "id": node.id,
            "name": node.name,
            "status": "offline" if node.offline else "online",
            "ip": None,
        },
        "ports": [],
    }


def result(each: TaskRun) -> dict[str, Any]:
    """What a task run returned: null until then, and for one that failed."""
    return {
        "id": each.id,
        "result": None if each.body is None else base64.b64encode(each.body).decode("ascii"),
        "run": _link("run", each.id),
        "task": _link("task", each.task.id),
        "cleanup_at": None,
        "blob_storage_used": False,
    }


def _link(kind: str, id_: int) -> dict[str, Any]:
    return {"id": id_, "link": f"/{kind}/{id_}", "methods": METHODS[kind]}


def _database(database: dict[str, Any]) -> dict[str, Any]:
    parameters = {key: value for key, value in database.items() if key != "label"}
    return {"label": database["label"], "parameters": json.dumps(parameters, separators=(",", ":"))}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
