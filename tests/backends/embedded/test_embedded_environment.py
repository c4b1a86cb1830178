"""The environment of a task run, bit by bit."""

from __future__ import annotations

import base64
import json
from typing import Any

from v6flow.backends.embedded.configuration import Database, EmbeddedOrganization
from v6flow.backends.embedded.environment import (
    Files,
    choice,
    encode,
    identity,
    refused_variable,
    token,
    variables,
)
from v6flow.core.kinds.settings import DatabaseChoice

ORGANIZATION = EmbeddedOrganization(
    "alpha",
    7,
    (Database("default", "/data/a.csv"), Database("Omop", "sqlite:////o.sqlite", "sql")),
    {"LIMIT": "3"},
)
FILES = Files("/w/input", "/w/output", "/w/token", "/w/temporary")


def decoded(value: str) -> str:
    return base64.b32decode(value.replace("!", "=")).decode()


def test_values_are_encoded_as_a_node_does_it() -> None:
    assert encode("abc") == "MFRGG!!!"
    assert encode("") == ""


def test_all_but_the_name_of_the_package_is_encoded() -> None:
    choices = (
        choice(DatabaseChoice("default")),
        choice(DatabaseChoice("Omop", query="SELECT", sheet_name="s", preprocessing=({"function": "f"},))),
    )
    seen = variables(ORGANIZATION, choices, FILES, package="v6-average-py", port=123, image_environment={"HOME": "/h"})
    assert seen.pop("PKG_NAME") == "v6-average-py"
    assert {name: decoded(value) for name, value in seen.items()} == {
        "HOME": "/h",
        "INPUT_FILE": "/w/input",
        "OUTPUT_FILE": "/w/output",
        "TOKEN_FILE": "/w/token",
        "TEMPORARY_FOLDER": "/w/temporary",
        "HOST": "http://127.0.0.1",
        "PORT": "123",
        "API_PATH": "",
        "USER_REQUESTED_DATABASE_LABELS": "default,Omop",
        "DEFAULT_DATABASE_URI": "/data/a.csv",
        "DEFAULT_DATABASE_TYPE": "csv",
        "OMOP_DATABASE_URI": "sqlite:////o.sqlite",
        "OMOP_DATABASE_TYPE": "sql",
        "OMOP_QUERY": "SELECT",
        "OMOP_SHEET_NAME": "s",
        "OMOP_PREPROCESSING": '[{"function": "f"}]',
        "DB_LABELS": "default,Omop",
        "LIMIT": "3",
    }


def test_a_token_says_who_it_is_for_and_cannot_be_made() -> None:
    databases: tuple[dict[str, Any], ...] = ({"label": "default", "query": "SELECT"},)
    sub = identity(ORGANIZATION, task=5, image="i", databases=databases)
    made = token(sub, issued_at=1, secret=b"x" * 32)
    claims = json.loads(base64.urlsafe_b64decode(made.split(".")[1] + "=="))
    assert claims["sub"] == {
        "client_type": "container",
        "node_id": 7,
        "organization_id": 7,
        "collaboration_id": 1,
        "study_id": None,
        "store_id": None,
        "task_id": 5,
        "image": "i",
        "databases": [{"query": "SELECT", "label": "default"}],
    }
    assert made != token(sub, issued_at=1, secret=b"y" * 32)


def test_labels_that_make_no_variable_are_refused() -> None:
    bad = EmbeddedOrganization("alpha", 1, (Database("my-data", "/a.csv"),))
    assert "'my-data'" in (refused_variable(bad, ()) or "")
    assert refused_variable(ORGANIZATION, ({"label": "default"},)) is None
    assert "not the name" in (refused_variable(EmbeddedOrganization("a", 1, (), {"1X": "y"}), ()) or "")
