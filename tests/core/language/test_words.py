"""Which right word a wrong one stands for."""

from __future__ import annotations

import yaml

from v6flow.core.language.words import MAX_WORDS, nearest, suggestion


def test_the_nearest_word_whatever_its_case() -> None:
    assert nearest("Parms", ["steps", "params"]) == "params"
    assert nearest("mean", ["MEAN"]) == "MEAN"
    assert nearest("xyz", ["steps", "params"]) is None
    assert suggestion("parms", ["steps", "params"]) == "did you mean params?"
    assert suggestion("xyz", []) is None


def test_how_near_is_near_enough() -> None:
    assert nearest("agregate", ["aggregation"]) == "aggregation"
    assert nearest("agregate", ["aggregation"], cutoff=0.9) is None


def test_no_search_costs_more_than_it_is_worth() -> None:
    assert nearest("a" * 1000, ["a" * 1000]) is None
    assert nearest("yes", [*(f"{number:06}" for number in range(MAX_WORDS)), "yes"]) is None


def test_a_name_is_spelled_as_a_list_in_a_file_takes_it() -> None:
    for name in ("Alpha, East", "Alpha: East", "'t Hart", 'the "old" one', "{a}", "#1 east"):
        said = suggestion(name.replace("a", "e"), [name])
        assert said is not None
        spelled = said.removeprefix("did you mean ").removesuffix("?")
        assert yaml.safe_load(f"[{spelled}, b]") == [name, "b"]
    for name in ("alpha", "St. Alpha (NL)", "--store", "fit[2].p", "a#b", "http://x"):
        assert suggestion(name + "x", [name]) == f"did you mean {name}?"
