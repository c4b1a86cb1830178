"""Installs a package of the tests as pip would, with its entry points, in a folder that goes on the import path."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TOYS = Path(__file__).parent / "toys"

_GROUP = re.compile(r'^\[project\.entry-points\."(.+)"\]\n((?:.+\n?)+)', re.MULTILINE)
_POINT = re.compile(r'^(\S+) = "(.+)"$', re.MULTILINE)


def install(project: Path, site: Path) -> None:
    """Put the packages of a project, and what its `pyproject.toml` declares, into a folder."""
    text = (project / "pyproject.toml").read_text("utf-8")
    name, version = (re.search(rf'^{key} = "(.+)"$', text, re.MULTILINE) for key in ("name", "version"))
    assert name
    assert version
    for package in (each.parent for each in project.glob("*/__init__.py")):
        shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    declare(site, name[1], version[1], {group: dict(_POINT.findall(points)) for group, points in _GROUP.findall(text)})


def declare(site: Path, name: str, version: str, groups: dict[str, dict[str, str]]) -> None:
    """Declare the entry points of a package: in each group, what names stand for."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines = [
        f"[{group}]\n" + "".join(f"{each} = {groups[group][each]}\n" for each in groups[group]) for group in groups
    ]
    (info / "entry_points.txt").write_text("".join(lines), "utf-8")


@contextmanager
def importable(site: Path) -> Iterator[None]:
    """Have what is installed in a folder in this process and in those that it starts; afterwards it is gone."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", str(site), prepend=":")
        importlib.invalidate_caches()
        yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]
