"""An embedded federation as its file describes it."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

import json
from typing import Any

import pytest

from v6flow.backends.base import FederationFile
from v6flow.backends.embedded.configuration import Algorithm, Database, EmbeddedFederation, Faults
from v6flow.core.directory import Directory

RAW: dict[str, Any] = {
    "v6flow_federation": 1,
    "backend": "embedded",
    "collaboration": "hospitals",
    "jobs": 2,
    "defaults": {"timeout": "1h"},
    "organizations": {
        "beta": {
            "databases": {"default": "data/b.csv"},
            "environment": {"MINIMUM_ROWS": "5", "KEY": "${env:KEY}"},
        },
        "alpha": {
            "databases": {"default": {"uri": "a.SQLITE"}, "omop": {"uri": "${env:OMOP}", "type": "sql"}},
            "offline": True,
        },
        "gamma": {"faults": {"crash": True, "garbage": True, "slow": "1m", "no_answer": True, "start_failed": 2}},
        "delta": None,
    },
    "algorithms": {
        "demo/average": {"package": "demo", "path": "algorithms"},
        "other": {"package": "o", "python": "venv/bin/python"},
    },
}


def parse(raw: dict[str, Any], folder: str = "/study") -> EmbeddedFederation:
    return EmbeddedFederation.parse(
        FederationFile(
            f"{folder}/f.yaml",
            json.loads(json.dumps(raw)),
            lambda path: path if path.startswith("/") else f"{folder}/{path}",
            lambda text: "postgresql://u:secret@h/db" if text.startswith("${") else text,
        )
    )


def test_organizations_keep_the_files_order_and_get_ids() -> None:
    assert parse(RAW).directory() == Directory(
        ("beta", "alpha", "gamma", "delta"),
        ids={"beta": 1, "alpha": 2, "gamma": 3, "delta": 4},
        offline=("alpha",),
        identity=parse(RAW).identity,
        defaults={"timeout": "1h"},
        images=("demo/average", "other"),
    )
    assert (parse(RAW).jobs, parse(RAW).collaboration) == (2, "hospitals")


def test_databases_algorithms_environment_and_faults() -> None:
    found = parse(RAW)
    beta, alpha, gamma, delta = found.organizations
    assert beta.databases == (Database("default", "/study/data/b.csv", "csv"),)
    assert alpha.databases == (
        Database("default", "/study/a.SQLITE", "sql"), Database("omop", "postgresql://u:secret@h/db", "sql"))  # fmt: skip
    assert beta.environment == {"MINIMUM_ROWS": "5", "KEY": "postgresql://u:secret@h/db"}
    assert gamma.faults == Faults(crash=True, garbage=True, slow=60.0, no_answer=True, start_failed=2)
    assert (delta.databases, delta.faults, delta.offline) == ((), Faults(), False)
    assert found.algorithms == {
        "demo/average": Algorithm("demo/average", "demo", path="/study/algorithms"),
        "other": Algorithm("other", "o", python="/study/venv/bin/python"),
    }


@pytest.mark.parametrize(
    ("uri", "type_"),
    [("x.csv", "csv"), ("x.parquet", "parquet"), ("x.XLSX", "excel"), ("x.db", "sql"), ("x", "csv"), ("v1.2/x", "csv"),
     ("postgresql://h/db", "sql")],
)  # fmt: skip
def test_the_type_of_a_database_follows_from_its_name(uri: str, type_: str) -> None:
    found = parse({"organizations": {"a": {"databases": {"d": uri, "e": {"uri": uri, "type": "other"}}}}})
    assert [each.type for each in found.organizations[0].databases] == [type_, "other"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///data/a.sqlite", "sqlite:////study/data/a.sqlite"),
        ("sqlite+pysqlite:///a.db?mode=ro", "sqlite+pysqlite:////study/a.db?mode=ro"),
        ("sqlite:////abs/a.sqlite", "sqlite:////abs/a.sqlite"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///file:a.db?uri=true", "sqlite:///file:a.db?uri=true"),
        ("postgresql://h/data/a.sqlite", "postgresql://h/data/a.sqlite"),
    ],
)
def test_a_file_behind_an_address_is_relative_to_the_federation_too(uri: str, expected: str) -> None:
    raw = {"organizations": {"a": {"databases": {"d": {"uri": uri, "type": "sql"}}}}}
    assert parse(raw).organizations[0].databases[0].uri == expected
    assert (parse(raw).identity == parse(raw, "/elsewhere").identity) == (uri == expected)


def changed(**organizations: Any) -> str:
    return parse({**RAW, "organizations": {**RAW["organizations"], **organizations}}).identity


def test_the_identity_is_what_decides_results() -> None:
    beta = RAW["organizations"]["beta"]
    same = parse(RAW).identity
    assert changed(beta={**beta, "offline": True, "faults": {"crash": True}}) == same
    assert parse({**RAW, "jobs": 9, "defaults": {}}).identity == same
    assert changed(beta={**beta, "databases": {"default": "data/c.csv"}}) != same
    assert changed(beta={**beta, "environment": {"MINIMUM_ROWS": "1"}}) != same
    assert changed(omega=None) != same
    assert parse({**RAW, "algorithms": {}}).identity != same
    assert parse({**RAW, "collaboration": "others"}).identity != same


def test_the_same_text_in_another_folder_is_another_federation() -> None:
    assert parse(RAW, "/elsewhere").identity != parse(RAW).identity


def test_the_identity_holds_no_secret() -> None:
    assert "secret" not in parse(RAW).identity
    assert "${env:OMOP}" in parse(RAW).identity
