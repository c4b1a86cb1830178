"""The graph of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.planning.graph import StepGraph, cycle, each_after


def test_what_may_stand_anywhere_stands_as_given() -> None:
    assert StepGraph({"x": ["b"], "y": ["a"], "a": [], "b": []}).order() == ["a", "b", "x", "y"]
    assert StepGraph({"a": [], "after_a": ["a"], "b": []}).order() == ["a", "b", "after_a"]


@given(st.integers(0, 8).flatmap(lambda n: st.tuples(
    st.permutations(range(n)), st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12))))  # fmt: skip
def test_each_stands_after_what_it_needs(given_: tuple[list[int], set[tuple[int, int]]]) -> None:
    names, pairs = given_
    needs = {
        str(name): [str(low) for low, high in pairs if high == name and low < high and low in names] for name in names
    }
    graph = StepGraph(needs)
    order = graph.order()
    assert sorted(order) == sorted(needs)
    assert all(order.index(source) < order.index(name) for name, sources in needs.items() for source in sources)
    assert cycle(needs) is None
    order = each_after(needs)
    assert all(order.index(source) < order.index(name) for name, sources in needs.items() for source in sources)


def test_a_cycle_is_told_in_the_order_of_its_needs() -> None:
    found = cycle({"x": [], "a": ["c", "x"], "b": ["a"], "c": ["b"], "y": ["c"]})
    assert found is not None
    at = found.index("a")
    assert [*found[at:], *found[:at]] == ["a", "b", "c"]
    assert cycle({"a": ["a"]}) == ["a"]


def test_a_cycle_has_no_order() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        StepGraph({"a": ["b"], "b": ["a"]}).order()
    assert each_after({"a": ["b"], "b": ["a"]}) == []


def test_neighbours_and_all_that_comes_after() -> None:
    graph = StepGraph({"a": [], "b": ["a"], "c": ["b", "a"], "d": ["c"], "e": []})
    assert set(graph.needs("c")) == {"a", "b"}
    assert set(graph.dependents("a")) == {"b", "c"}
    assert graph.after(["b"]) == {"c", "d"}
    assert graph.after(["b", "c"]) == {"c", "d"}
    assert graph.after([]) == set()
