"""Reads the body of a `POST /task` as the server of vantage6 4.15 does, and refuses what it refuses."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.backends.embedded.environment import COLLABORATION_ID
from v6flow.backends.embedded.server import ForbiddenError

if TYPE_CHECKING:
    from v6flow.backends.embedded.configuration import EmbeddedFederation, EmbeddedOrganization
    from v6flow.backends.embedded.task_records import TaskRun

FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "description": str,
    "image": str,
    "collaboration_id": int,
    "study_id": int,
    "store_id": int,
    "server_url": str,
    "organizations": list,
    "databases": (list, type(None)),
}
DATABASE_KEYS = {"label", "arguments", "preprocessing", "query", "sheet_name"}
LONGEST_NAME, LONGEST_DESCRIPTION = 128, 1024  # the server's limits


class Submission(Struct, frozen=True):
    """A task that an algorithm wants to create: for each organization its input."""

    name: str
    description: str
    databases: tuple[dict[str, Any], ...]
    inputs: tuple[tuple[EmbeddedOrganization, bytes], ...]


def parse(body: Any, caller: TaskRun, federation: EmbeddedFederation) -> Submission:
    """What is asked for. Raises ForbiddenError."""
    errors = _errors(body)
    if errors:
        raise ForbiddenError(400, "Request body is incorrect", errors)
    if body.get("study_id"):
        raise ForbiddenError(404, f"Study id={body['study_id']} not found")
    if body.get("collaboration_id") != COLLABORATION_ID:
        raise ForbiddenError(404, f"Collaboration id={body.get('collaboration_id')} not found!")
    if not body["image"].endswith(caller.task.image):
        raise ForbiddenError(401, "Container-token is not valid: an algorithm can only create tasks with its own image")
    known = {each.id: each for each in federation.organizations}
    ids = [each["id"] for each in body["organizations"]]
    if not all(isinstance(id_, int) and id_ in known for id_ in ids):
        raise ForbiddenError(400, "At least one of the supplied organizations in not within the collaboration.")
    if len(set(ids)) != len(ids):
        raise ForbiddenError(400, "An organization is named twice in one task.")
    return Submission(
        name=body.get("name", ""),
        description=body.get("description", ""),
        databases=tuple(dict(each) for each in body.get("databases") or ()),
        inputs=tuple((known[each["id"]], _input(each.get("input"))) for each in body["organizations"]),
    )


def _errors(body: Any) -> dict[str, list[str]]:
    if not isinstance(body, dict):
        return {"_schema": ["Invalid input type."]}
    errors: dict[str, list[str]] = {field: ["Unknown field."] for field in body if field not in FIELDS}
    for field, kind in FIELDS.items():
        if field in body and (not isinstance(body[field], kind) or isinstance(body[field], bool)):
            errors[field] = ["Not a valid value."]
    for field in ("image", "organizations"):
        if field not in body:
            errors[field] = ["Missing data for required field."]
    if "collaboration_id" not in body and "study_id" not in body:
        errors["_schema"] = ["Collaboration_id or study_id is required"]
    if errors:
        return errors
    return _errors_of_values(body)


def _errors_of_values(body: dict[str, Any]) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    name = body.get("name")
    if name is not None and (not name or name.isdigit() or len(name) > LONGEST_NAME):
        errors["name"] = [f"A name has 1 to {LONGEST_NAME} characters and is not a number."]
    if len(body.get("description", "")) > LONGEST_DESCRIPTION:
        errors["description"] = [f"Longer than maximum length {LONGEST_DESCRIPTION}."]
    if not body["organizations"]:
        errors["organizations"] = ["At least one organization is required"]
    elif not all(isinstance(each, dict) and "id" in each for each in body["organizations"]):
        errors["organizations"] = ["Organization id is required for each organization"]
    for database in body.get("databases") or ():
        problem = _database_problem(database)
        if problem is not None:
            errors["databases"] = [problem]
    return errors


def _database_problem(database: Any) -> str | None:
    if not isinstance(database, dict) or not isinstance(database.get("label"), str):
        return "Database label is required for each database"
    if not set(database) <= DATABASE_KEYS:
        return f"Database {database} contains unknown keys. Allowed keys are {sorted(DATABASE_KEYS)}."
    if not isinstance(database.get("arguments", {}), dict):
        return "Database arguments must be a dict"
    preprocessing = database.get("preprocessing", [])
    if not isinstance(preprocessing, list):
        return "Database preprocessing must be a list of dictionaries"
    if not all(isinstance(step, dict) and "function" in step for step in preprocessing):
        return "Database preprocessing is missing a 'function'"
    return None


def _input(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
        data.decode("utf-8")
    except (TypeError, ValueError, binascii.Error) as error:
        raise ForbiddenError(
            400, "Your task's input cannot be parsed. Your input should be a base64 encoded JSON string."
        ) from error
    return data
