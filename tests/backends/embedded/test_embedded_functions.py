"""Which functions of an algorithm are central ones, by their source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from v6flow.backends.embedded import methods
from v6flow.backends.embedded.configuration import Algorithm

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "__init__.py": """
from . import central
from .central import average as mean, direct
from .parts import *
from .elsewhere import gone
from pandas import DataFrame
""",
    "central.py": """
import vantage6.algorithm.tools.decorators as tools
from vantage6.algorithm.tools.decorators import algorithm_client as with_client
from pack.sub.sending import send

@with_client
def average(client, column):
    return send(client, column)

@tools.algorithm_client
def direct(client):
    return client.task.create({"method": "part"}, organizations=[1])

@with_client
def looks(client):
    return loops(client)

def loops(client):
    return loops(client) if client else client.organization.list()
""",
    "parts.py": """
from .central import looks
from vantage6.algorithm.tools.decorators import data

@data(1)
def part(df, column):
    return {"count": len(df)}

def part_of_task(task):
    return task.create_all()
""",
    "sub/__init__.py": "",
    "sub/sending.py": """
def send(client, column):
    return client.wait_for_results(client.task.create({}, [1])["id"])
""",
    "broken.py": "def (:",
}


@pytest.fixture
def algorithm(tmp_path: Path) -> Algorithm:
    for name, text in FILES.items():
        file = tmp_path / "pack" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Algorithm("image", "pack", str(tmp_path))


@pytest.mark.parametrize(
    ("method", "nature"),
    [
        ("mean", "dispatches"),
        ("direct", "dispatches"),
        ("looks", "client"),
        ("part", "plain"),
        ("part_of_task", "plain"),
        ("average", None),  # the package has it under another name
        ("gone", None),
        ("DataFrame", None),
        ("nothing", None),
    ],
)
def test_what_a_function_is_by_its_source(algorithm: Algorithm, method: str, nature: str | None) -> None:
    assert methods.nature(algorithm, method) == nature


def test_of_what_cannot_be_read_nothing_is_said(tmp_path: Path) -> None:
    assert methods.nature(Algorithm("image", "pack", None, "/some/python"), "mean") is None
    assert methods.nature(Algorithm("image", "none_such", str(tmp_path)), "mean") is None
    (tmp_path / "single.py").write_text("def (:", encoding="utf-8")
    assert methods.nature(Algorithm("image", "single", str(tmp_path)), "mean") is None
