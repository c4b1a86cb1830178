"""Whose answers an expression's value has in it, told from the expression alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.flow import CLEAN, Flow, either, index, join, literal, ordered
from v6flow.core.expressions.functions import FUNCTIONS
from v6flow.core.expressions.parser import SLOT
from v6flow.core.expressions.tree import constant, is_slice, literal_link, literal_step, unfold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from v6flow.core.expressions.values import Steps


def of_tree(tree: Any, paths: Sequence[Steps], source: Callable[[Steps], Flow]) -> Flow:
    """The flow of an expression's value; `paths` fill its slots, `source` tells that of a plain path."""
    return _Walk(paths, source).flow(tree)


class _Walk:
    """Goes over the tree of one expression, as the builder of its evaluation did, which refused what is deeper."""

    def __init__(self, paths: Sequence[Steps], source: Callable[[Steps], Flow]) -> None:
        self._paths = paths
        self._source = source

    def flow(self, node: Any) -> Flow:
        """By the rule of a node, or what is in any of its parts."""
        rule = _RULES.get(type(node).__name__)
        return rule(self, node) if rule else join(map(self.flow, node.iter_child_nodes()))

    def items(self, node: Any) -> Flow:
        return literal(dict(enumerate(map(self.flow, node.items))))

    def mapping(self, node: Any) -> Flow:
        keys = [constant(pair.key) for pair in node.items]
        flows = [self.flow(pair.value) for pair in node.items]
        if all(isinstance(key, str) for key in keys):
            return literal(dict(zip(keys, flows, strict=True)))
        return join([*flows, *(self.flow(pair.key) for pair in node.items)])

    # -- paths

    def path(self, node: Any) -> Flow:
        base, links = unfold(node)
        if type(base).__name__ != "Name":
            found = self.flow(base)
        else:
            path = self._root(base)
            while links and (name := literal_link(links[0])) is not None:
                path = (*path, name)
                links.pop(0)
            found = self._source(path)
        for link in links:
            found = self._link(found, link)
        return found

    def _root(self, base: Any) -> Steps:
        name: str = base.name
        return tuple(self._paths[int(name[len(SLOT) :])]) if name.startswith(SLOT) else (name,)

    def _link(self, flow: Flow, link: Any) -> Flow:
        name = literal_link(link)
        if name is not None:
            return index(flow, name)
        if is_slice(link):
            return self._slice(flow, link.arg)
        if flow.spread == "named" and self._is_own(link.arg):
            return CLEAN  # who is asked gets back what it said itself
        found, by = index(flow, None), self.flow(link.arg)
        return found if by.clean else join([found, by])

    def _slice(self, flow: Flow, bounds: Any) -> Flow:
        """All of a list, in another order perhaps; or those of its items that are at some places."""
        said = [each for each in (bounds.start, bounds.stop, bounds.step) if each is not None]
        if said in ([], [bounds.step]) and literal_step(bounds) in (1, -1):
            return ordered(flow, (), None) if said else flow
        return join([flow, *map(self.flow, said)])

    def _is_own(self, node: Any) -> bool:
        return type(node).__name__ == "Name" and self._root(node) == ("organization",)

    # -- operators

    def sum(self, node: Any) -> Flow:
        left, right = self.flow(node.left), self.flow(node.right)
        return either(left, right) if {"all", "some"} & {left.spread, right.spread} else join([left, right])

    def logic(self, node: Any) -> Flow:
        return either(self.flow(node.left), self.flow(node.right))

    def condition(self, node: Any) -> Flow:
        chosen = either(self.flow(node.expr1), self.flow(node.expr2))
        test = self.flow(node.test)
        return chosen if test.clean else join([chosen, test])

    def test(self, node: Any) -> Flow:
        """Whether a key is there tells of nobody, unless an answer says which key, or what it is looked for in."""
        if node.name not in ("defined", "undefined"):
            return join([self.flow(node.node)])
        base, links = unfold(node.node)
        keys = [link.arg for link in links if literal_link(link) is None]
        return join(map(self.flow, keys if type(base).__name__ == "Name" else [*keys, base]))

    # -- functions

    def filtered(self, node: Any) -> Flow:
        return self._application(node.name, [node.node, *node.args], node.kwargs)

    def called(self, node: Any) -> Flow:
        return self._application(node.node.name, node.args, node.kwargs)

    def _application(self, name: str, positional: list[Any], keywords: list[Any]) -> Flow:
        function = FUNCTIONS[name]
        given = function.bind(positional, {each.key: each.value for each in keywords})
        attribute = constant(given.get("attribute"))
        if attribute is not None:
            del given["attribute"]
        _, items, *others = given.values()  # the first is the frame
        rest = [each for other in others for each in (other if isinstance(other, tuple) else (other,))]
        flows = [self.flow(items), *(self.flow(each) for each in rest if hasattr(each, "lineno"))]
        if all(flow.clean for flow in flows):
            return CLEAN
        if name == "dot" and any(_is_pick(each) for each in (items, *rest)):
            return join(flows)
        return function.taint(flows[0], flows[1:], attribute)


_RULES: dict[str, Callable[[_Walk, Any], Flow]] = {
    "List": _Walk.items,
    "Tuple": _Walk.items,
    "Dict": _Walk.mapping,
    "Add": _Walk.sum,
    "And": _Walk.logic,
    "Or": _Walk.logic,
    "Test": _Walk.test,
    "Name": _Walk.path,
    "Getattr": _Walk.path,
    "Getitem": _Walk.path,
    "CondExpr": _Walk.condition,
    "Filter": _Walk.filtered,
    "Call": _Walk.called,
}
"""What each node makes of the answers in its parts, where it is not simply all of them."""


def _is_pick(node: Any) -> bool:
    """Whether weights that are written out leave one item at most: all others are 0."""
    weights = [constant(each) for each in node.items] if type(node).__name__ == "List" else []
    return bool(weights) and sum(each != 0 for each in weights) < 2
