"""The directed acyclic graph of a workflow's steps: the only place that knows networkx, and graphlib for checks."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import networkx as nx


class StepGraph:
    """Which step needs which; the edges go from what is needed to what needs it."""

    __slots__ = ("_graph", "_order")

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        import networkx as nx

        self._graph: nx.DiGraph[str] = nx.DiGraph()
        self._graph.add_nodes_from(needs)
        self._graph.add_edges_from((source, name) for name, sources in needs.items() for source in sources)
        self._order: list[str] | None = None

    def order(self) -> list[str]:
        """The steps, each after all it needs; those that could are in any order stand as they were given.

        Raises ValueError if there is a cycle.
        """
        import networkx as nx

        if self._order is None:
            given = {name: number for number, name in enumerate(self._graph)}
            generations = nx.topological_generations(self._graph)
            try:
                self._order = [name for each in generations for name in sorted(each, key=given.__getitem__)]
            except nx.NetworkXUnfeasible as error:
                raise ValueError("the steps wait for each other") from error
        return self._order

    def needs(self, name: str) -> list[str]:
        """What a step needs directly."""
        return list(self._graph.predecessors(name))

    def dependents(self, name: str) -> list[str]:
        """What needs a step directly."""
        return list(self._graph.successors(name))

    def after(self, names: Iterable[str]) -> set[str]:
        """Everything that needs any of these steps, directly or not; without the steps themselves."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            for name in self._graph.successors(waiting.pop()):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return found


def cycle(needs: Mapping[str, Iterable[str]]) -> list[str] | None:
    """The steps of a cycle, each needing the one before it and the first the last; None if there is no cycle.

    By the standard library: importing networkx takes longer than all else that a check of a workflow does.
    """
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[:-1]
    return None


def each_after(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The steps, each after all it needs, and what is unknown among those; none if there is a cycle."""
    try:
        return [*TopologicalSorter(needs).static_order()]
    except CycleError:
        return []
