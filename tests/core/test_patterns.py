"""Patterns that are compiled when they are first used."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import v6flow
from v6flow.core.patterns import pattern


def test_it_finds_what_the_compiled_pattern_finds() -> None:
    lazy, compiled = pattern(r"(a+)b", re.IGNORECASE), re.compile(r"(a+)b", re.IGNORECASE)
    for text in ("xAAb", "b", "aab aB"):
        assert lazy.findall(text) == compiled.findall(text)
        assert lazy.sub(r"<\1>", text) == compiled.sub(r"<\1>", text)
    assert (lazy.pattern, lazy.flags) == (compiled.pattern, compiled.flags)


def test_it_is_compiled_at_the_first_use_and_then_kept() -> None:
    broken = pattern("(")
    with pytest.raises(re.error):
        broken.match("x")
    good = pattern(b"x+")
    assert good.match is good.match


def test_every_pattern_of_the_package_compiles() -> None:
    lazy = type(pattern(""))
    found = [
        (module, name)
        for module in sorted(each.name for each in pkgutil.walk_packages(v6flow.__path__, "v6flow."))
        if not module.endswith("__main__")
        for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, lazy) and re.compile(value.pattern, value.flags)
    ]
    assert len(found) > 30
