"""The values that are fixed when a run starts: written as JSON, and read from every version's."""

from __future__ import annotations

import json

from v6flow.core.execution.pinned import Pinned, decode, encode

FULL = Pinned(
    version="1",
    file="/study/w.yaml",
    text="steps: {}",
    files={"/study/inner.yaml": "steps: {}"},
    folder="/study",
    params={"column": "age"},
    federation="f.yaml",
    backend="embedded",
    identity="i",
    organizations=("alpha", "beta"),
    ids={"alpha": 1, "beta": 2},
    defaults={"image": "x"},
    policy={"min_count": 5},
    studies={"heart": ("beta",), 3: ("beta",)},
    sources={"local": "digest"},
    steps=("first", "last"),
    final=("last",),
    deadline=10.5,
    jobs=2,
    cache=False,
)


def test_comes_back_from_json() -> None:
    assert decode(json.loads(json.dumps(encode(FULL)))) == FULL
    assert decode(json.loads(json.dumps(encode(Pinned())))) == Pinned()


def test_the_sample_has_every_field() -> None:
    defaults = Pinned()
    assert [name for name in Pinned.__struct_fields__ if getattr(FULL, name) == getattr(defaults, name)] == []


def test_the_json_is_that_of_all_versions() -> None:
    assert list(encode(FULL)) == [
        "version", "file", "text", "files", "folder", "params", "federation", "backend", "identity", "organizations",
        "ids", "defaults", "policy", "studies", "sources", "steps", "finally", "deadline", "jobs", "cache",
    ]  # fmt: skip
    assert encode(FULL)["studies"] == [["heart", ["beta"]], [3, ["beta"]]]
    assert encode(FULL)["finally"] == ["last"]


def test_what_an_earlier_version_did_not_pin_has_a_default() -> None:
    assert decode({"text": "t", "jobs": None}) == Pinned(text="t")
    assert decode({}) == Pinned()


def test_what_a_later_version_pins_is_left_out() -> None:
    assert decode({"text": "t", "new": 1}) == Pinned(text="t")
