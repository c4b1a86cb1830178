"""What a vantage6 node gives an algorithm: its environment, its input and its token, to the letter."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.backends.embedded.configuration import EmbeddedOrganization
    from v6flow.core.kinds.settings import DatabaseChoice

COLLABORATION_ID = 1
NOT_SETTABLE = ("PKG_NAME",)  # a node refuses these: they belong to the image


class Files(Struct, frozen=True):
    """Where a task run finds what it is given and leaves what it makes."""

    input: str
    output: str
    token: str
    temporary: str


def variables(
    organization: EmbeddedOrganization,
    databases: tuple[dict[str, Any], ...],
    files: Files,
    *,
    package: str,
    port: int,
    image_environment: Mapping[str, str],
) -> dict[str, str]:
    """The environment of a task run, encoded as a node does it.

    What an image would bring along (PATH, HOME, …) is encoded too: the wrapper decodes every variable and
    would mangle a plain value that happens to be base32. Only PKG_NAME is plain, as in an image.
    """
    plain: dict[str, str] = {
        **image_environment,
        "INPUT_FILE": files.input,
        "OUTPUT_FILE": files.output,
        "TOKEN_FILE": files.token,
        "TEMPORARY_FOLDER": files.temporary,
        "HOST": "http://127.0.0.1",
        "PORT": str(port),
        "API_PATH": "",
    }
    for database in databases:
        label = database["label"].upper()
        for key in ("query", "sheet_name"):
            if key in database:
                plain[f"{label}_{key.upper()}"] = str(database[key])
        if "preprocessing" in database:
            plain[f"{label}_PREPROCESSING"] = json.dumps(database["preprocessing"])
    plain["USER_REQUESTED_DATABASE_LABELS"] = ",".join(database["label"] for database in databases)
    for known in organization.databases:
        plain[f"{known.label.upper()}_DATABASE_URI"] = known.uri
        plain[f"{known.label.upper()}_DATABASE_TYPE"] = known.type
    plain["DB_LABELS"] = ",".join(known.label for known in organization.databases)
    plain.update(organization.environment)
    return {name: encode(value) for name, value in plain.items()} | {"PKG_NAME": package}


def refused_variable(organization: EmbeddedOrganization, databases: tuple[dict[str, Any], ...]) -> str | None:
    """Why a node would refuse to start with these variables, None if it would not."""
    for label in [known.label for known in organization.databases] + [each["label"] for each in databases]:
        if not f"{label.upper()}_DATABASE_URI".isidentifier():
            return (
                f"a node cannot start algorithms with the database label {label!r}: it makes the name of an "
                "environment variable, so it takes letters, digits and underscores, and begins with a letter"
            )
    for name in organization.environment:
        if name in NOT_SETTABLE:
            return f"a node cannot set the environment variable {name}: it belongs to the image"
        if not name.isidentifier():
            return f"{name!r} is not the name of an environment variable"
    return None


def encode(value: str) -> str:
    """A value as a node encodes it: base32 with `!` for `=`."""
    return base64.b32encode(value.encode("utf-8", "surrogateescape")).decode("ascii").replace("=", "!")


def choice(database: DatabaseChoice) -> dict[str, Any]:
    """A database of a task as it is in the body of a POST."""
    chosen: dict[str, Any] = {"label": database.label}
    if database.query is not None:
        chosen["query"] = database.query
    if database.sheet_name is not None:
        chosen["sheet_name"] = database.sheet_name
    if database.preprocessing:
        chosen["preprocessing"] = [dict(step) for step in database.preprocessing]
    if database.arguments:
        chosen["arguments"] = dict(database.arguments)
    return chosen


def identity(
    organization: EmbeddedOrganization, *, task: int, image: str, databases: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    """Who an algorithm is, as the server writes it into the `sub` of its token."""
    return {
        "client_type": "container",
        "node_id": organization.id,
        "organization_id": organization.id,
        "collaboration_id": COLLABORATION_ID,
        "study_id": None,
        "store_id": None,
        "task_id": task,
        "image": image,
        "databases": [
            {key: each[key] for key in each if key != "label"} | {"label": each["label"]} for each in databases
        ],
    }


def token(sub: dict[str, Any], *, issued_at: int, secret: bytes) -> str:
    """A JSON web token; `secret` is where its signature would, so that nobody can make another's."""
    header = {"alg": "HS256", "typ": "JWT"}
    claims = {"fresh": False, "iat": issued_at, "nbf": issued_at, "type": "access", "sub": sub}
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode("ascii")
        for part in (json.dumps(header).encode(), json.dumps(claims).encode(), secret)
    )
