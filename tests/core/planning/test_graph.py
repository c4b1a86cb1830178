"""The graph of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v6flow.core.planning.graph import Graph


def test_what_may_stand_anywhere_stands_as_given() -> None:
    assert Graph({"x": ["b"], "y": ["a"], "a": [], "b": []}).order() == ["a", "b", "x", "y"]
    assert Graph({"a": [], "after_a": ["a"], "b": []}).order() == ["a", "b", "after_a"]


@given(st.integers(0, 8).flatmap(lambda n: st.tuples(
    st.permutations(range(n)), st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12))))  # fmt: skip
def test_each_stands_after_what_it_needs(given_: tuple[list[int], set[tuple[int, int]]]) -> None:
    names, pairs = given_
    needs = {
        str(name): [str(low) for low, high in pairs if high == name and low < high and low in names] for name in names
    }
    graph = Graph(needs)
    order = graph.order()
    assert sorted(order) == sorted(needs)
    assert all(order.index(source) < order.index(name) for name, sources in needs.items() for source in sources)
    assert graph.cycle() is None


def test_a_cycle_is_told_in_the_order_of_its_needs() -> None:
    cycle = Graph({"x": [], "a": ["c", "x"], "b": ["a"], "c": ["b"], "y": ["c"]}).cycle()
    assert cycle is not None
    at = cycle.index("a")
    assert [*cycle[at:], *cycle[:at]] == ["a", "b", "c"]
    assert Graph({"a": ["a"]}).cycle() == ["a"]


def test_a_cycle_has_no_order() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        Graph({"a": ["b"], "b": ["a"]}).order()


def test_neighbours_and_all_that_comes_after() -> None:
    graph = Graph({"a": [], "b": ["a"], "c": ["b", "a"], "d": ["c"], "e": []})
    assert set(graph.needs("c")) == {"a", "b"}
    assert set(graph.dependents("a")) == {"b", "c"}
    assert graph.after(["b"]) == {"c", "d"}
    assert graph.after(["b", "c"]) == {"c", "d"}
    assert graph.after([]) == set()
