"""The directed acyclic graph of a workflow's steps: the only place that knows networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import networkx as nx


class Graph:
    """Which step needs which; the edges go from what is needed to what needs it."""

    __slots__ = ("_graph",)

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        import networkx as nx

        self._graph: nx.DiGraph[str] = nx.DiGraph()
        self._graph.add_nodes_from(needs)
        self._graph.add_edges_from((source, name) for name, sources in needs.items() for source in sources)

    def order(self) -> list[str]:
        """The steps, each after all it needs, and otherwise as they were given."""
        import networkx as nx

        given = {name: number for number, name in enumerate(self._graph)}
        return list(nx.lexicographical_topological_sort(self._graph, key=given.__getitem__))

    def cycle(self) -> list[str] | None:
        """The steps of a cycle, each needing the one before it and the first the last; None if there is no cycle."""
        import networkx as nx

        if nx.is_directed_acyclic_graph(self._graph):
            return None
        return [source for source, _ in nx.find_cycle(self._graph)]

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
