"""Whose answers an expression's value has in it, told from the expression alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from v6flow.core.expressions.evaluator import is_slice, literal_link, literal_step
from v6flow.core.expressions.functions import FUNCTIONS
from v6flow.core.expressions.lexer import SLOT
from v6flow.core.expressions.operators import BINARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from v6flow.core.expressions.paths import Steps
    from v6flow.core.expressions.values import Reference

Spread: TypeAlias = Literal["one", "all", "some", "named"]
"""How the answers lie in a value: `all` a list with one item for each organization, `some` a list of a choice of them,
`named` a mapping with one for each organization by its name, `one` any other way."""

Key: TypeAlias = "str | int | None"
"""A key or an index; None: one that is computed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """An answer to a step: of which organization, if that is known, and by which reference it came here."""

    step: str
    organization: str | None = None
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """Answers of single organizations in a value that no reduction over organizations has merged yet.

    `parts` are the flows of its items by key or index, where the value is written out item by item. `inner` is the flow
    of each of its items, where they are all of one make: what steps for items yield.
    """

    origins: frozenset[Origin] = frozenset()
    spread: Spread = "one"
    parts: Mapping[str | int, Flow] = field(default_factory=dict)
    inner: Flow | None = None

    @property
    def clean(self) -> bool:
        """Whether there is no answer of a single organization in it."""
        return not self.origins

    def seen_by(self, reference: Reference) -> Flow:
        """The same, as having come by a reference."""
        if self.clean:
            return self
        origins = frozenset(replace(each, reference=reference) for each in self.origins)
        inner = self.inner.seen_by(reference) if self.inner is not None else None
        return Flow(origins, self.spread, {key: part.seen_by(reference) for key, part in self.parts.items()}, inner)


CLEAN = Flow()


def mixed(flows: Iterable[Flow]) -> Flow:
    """What is made of several values in a way that keeps what each says."""
    origins = frozenset[Origin]().union(*(flow.origins for flow in flows))
    return Flow(origins) if origins else CLEAN


def written(parts: Mapping[str | int, Flow]) -> Flow:
    """A list or mapping that is written out."""
    origins = mixed(parts.values()).origins
    return Flow(origins, parts=parts) if origins else CLEAN


def alike(inner: Flow, keys: Flow = CLEAN) -> Flow:
    """A list or mapping of items of one make, however many; `keys` is what is in its keys."""
    origins = mixed([inner, keys]).origins
    return Flow(origins, inner=inner) if origins else CLEAN


def enter(flow: Flow, key: Key) -> Flow:
    """What stands under a key or index."""
    if flow.inner is not None:
        return flow.inner
    if flow.parts:
        if key is None:
            return mixed(flow.parts.values())
        if isinstance(key, int) and key < 0:
            key += len(flow.parts)
        return flow.parts.get(key, CLEAN)
    if flow.spread == "named" and isinstance(key, str):
        return Flow(frozenset(replace(each, organization=key) for each in flow.origins))
    return mixed([flow])


def of_tree(tree: Any, paths: Sequence[Steps], source: Callable[[Steps], Flow]) -> Flow:
    """The flow of an expression's value; `paths` fill its slots, `source` tells that of a plain path."""
    return _Walk(paths, source).flow(tree)


class _Walk:
    """Goes over the tree of one expression, as the builder of its evaluation did, which refused what is deeper."""

    def __init__(self, paths: Sequence[Steps], source: Callable[[Steps], Flow]) -> None:
        self._paths = paths
        self._source = source

    def flow(self, node: Any) -> Flow:
        return _NODES[type(node).__name__](self, node)

    def constant(self, _: Any) -> Flow:
        return CLEAN

    def items(self, node: Any) -> Flow:
        return written(dict(enumerate(map(self.flow, node.items))))

    def mapping(self, node: Any) -> Flow:
        keys = [_constant(pair.key) for pair in node.items]
        flows = [self.flow(pair.value) for pair in node.items]
        if all(isinstance(key, str) for key in keys):
            return written(dict(zip(keys, flows, strict=True)))
        return mixed([*flows, *(self.flow(pair.key) for pair in node.items)])

    # -- paths

    def path(self, node: Any) -> Flow:
        links: list[Any] = []
        base = node
        while type(base).__name__ in ("Getattr", "Getitem"):
            links.append(base)
            base = base.node
        links.reverse()
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
            return enter(flow, name)
        if is_slice(link):
            return self._slice(flow, link.arg)
        if flow.spread == "named" and self._is_own(link.arg):
            return CLEAN  # who is asked gets back what it said itself
        found, by = enter(flow, None), self.flow(link.arg)
        return found if by.clean else mixed([found, by])

    def _slice(self, flow: Flow, bounds: Any) -> Flow:
        """All of a list, in another order perhaps; or those of its items that stand at some places."""
        said = [each for each in (bounds.start, bounds.stop, bounds.step) if each is not None]
        if said in ([], [bounds.step]) and literal_step(bounds) in (1, -1):
            return _ordered(flow, (), None) if said else flow
        return mixed([flow, *map(self.flow, said)])

    def _is_own(self, node: Any) -> bool:
        return type(node).__name__ == "Name" and self._root(node) == ("organization",)

    # -- operators

    def binary(self, node: Any) -> Flow:
        left, right = self.flow(node.left), self.flow(node.right)
        lists = {"all", "some"} & {left.spread, right.spread}
        return either(left, right) if type(node).__name__ == "Add" and lists else mixed([left, right])

    def inner(self, node: Any) -> Flow:
        return mixed([self.flow(node.node)])

    def joined(self, node: Any) -> Flow:
        return mixed(map(self.flow, node.nodes))

    def comparison(self, node: Any) -> Flow:
        return mixed([self.flow(node.expr), *(self.flow(each.expr) for each in node.ops)])

    def logic(self, node: Any) -> Flow:
        return either(self.flow(node.left), self.flow(node.right))

    def condition(self, node: Any) -> Flow:
        chosen = either(self.flow(node.expr1), self.flow(node.expr2))
        test = self.flow(node.test)
        return chosen if test.clean else mixed([chosen, test])

    def test(self, node: Any) -> Flow:
        """Whether a key is there tells of nobody, unless an answer says which key, or what it is looked for in."""
        if node.name not in ("defined", "undefined"):
            return self.inner(node)
        base = node.node
        keys: list[Any] = []
        while type(base).__name__ in ("Getattr", "Getitem"):
            if literal_link(base) is None:
                bounds = (base.arg.start, base.arg.stop, base.arg.step) if is_slice(base) else (base.arg,)
                keys.extend(each for each in bounds if each is not None)
            base = base.node
        return mixed(map(self.flow, keys if type(base).__name__ == "Name" else [*keys, base]))

    # -- functions

    def filtered(self, node: Any) -> Flow:
        return self._application(node.name, [node.node, *node.args], node.kwargs)

    def called(self, node: Any) -> Flow:
        return self._application(node.node.name, node.args, node.kwargs)

    def _application(self, name: str, positional: list[Any], keywords: list[Any]) -> Flow:
        given = FUNCTIONS[name].bind(positional, {each.key: each.value for each in keywords})
        attribute = _constant(given.get("attribute"))
        if attribute is not None:
            del given["attribute"]
        _, items, *others = given.values()  # the first is the frame
        rest = [each for other in others for each in (other if isinstance(other, tuple) else (other,))]
        flows = [self.flow(items), *(self.flow(each) for each in rest if hasattr(each, "lineno"))]
        if all(flow.clean for flow in flows):
            return CLEAN
        if name == "dot" and any(_is_pick(each) for each in (items, *rest)):
            return mixed(flows)
        return FLOWS[name](flows[0], flows[1:], attribute)


_NODES: dict[str, Callable[[_Walk, Any], Flow]] = {
    "Const": _Walk.constant,
    "List": _Walk.items,
    "Tuple": _Walk.items,
    "Dict": _Walk.mapping,
    **dict.fromkeys(BINARY, _Walk.binary),
    "Neg": _Walk.inner,
    "Pos": _Walk.inner,
    "Concat": _Walk.joined,
    "Compare": _Walk.comparison,
    "Not": _Walk.inner,
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


def _is_pick(node: Any) -> bool:
    """Whether weights that are written out leave one item at most: all others are 0."""
    weights = [_constant(each) for each in node.items] if type(node).__name__ == "List" else []
    return bool(weights) and sum(each != 0 for each in weights) < 2


def _constant(node: Any) -> Any:
    return node.value if type(node).__name__ == "Const" else None


def either(one: Flow, other: Flow) -> Flow:
    """What is the one value or the other, or a list of both."""
    if one.clean or other.clean:
        return other if one.clean else one
    if one.parts.keys() == other.parts.keys() and one.parts:
        return written({key: either(part, other.parts[key]) for key, part in one.parts.items()})
    if one.inner is not None and other.inner is not None:
        return Flow(one.origins | other.origins, inner=either(one.inner, other.inner))
    spreads = {one.spread, other.spread}
    if one.parts or other.parts or (len(spreads) > 1 and spreads != {"all", "some"}):
        return mixed([one, other])
    return Flow(one.origins | other.origins, "some" if len(spreads) > 1 else one.spread)


def _choice(flow: Flow, by: Sequence[Flow] = ()) -> Flow:
    """Some items of a list, perhaps those of one organization only; how many tells of nobody if it was of several."""
    chosen = mixed([flow, *by])
    several = flow.spread in ("all", "some") or (flow.parts and _is_whole(flow))
    return Flow(chosen.origins, "some") if several and all(each.clean for each in by) else chosen


def _picked(flow: Flow, attribute: Key) -> Flow:
    """What the items of a list have under an attribute."""
    if attribute is not None and flow.inner is not None:
        return alike(_within(flow.inner, attribute))
    if attribute is None or not flow.parts:
        return flow
    return written({index: _within(part, attribute) for index, part in flow.parts.items()})


def _within(flow: Flow, attribute: Key) -> Flow:
    for name in attribute.split(".") if isinstance(attribute, str) else [attribute]:
        flow = enter(flow, name)
    return flow


def _is_whole(flow: Flow) -> bool:
    """Whether a list has answers of several organizations, one an item, so that its sum is nobody's own."""
    if flow.clean or flow.spread == "all":
        return True
    names: set[str | None] = set()
    for part in flow.parts.values():
        if part.spread != "one" or part.parts or len(part.origins) > 1:
            return False
        names.update(origin.organization for origin in part.origins)
    return len(names) > 1 and all(name is not None and "{" not in name for name in names)


_Of: TypeAlias = "Callable[[Flow, Sequence[Flow], Key], Flow]"


def _reduced(items: Flow, others: Sequence[Flow], attribute: Key) -> Flow:
    flows = [_picked(items, attribute), *others]
    return CLEAN if all(map(_is_whole, flows)) else mixed(flows)


def counted(items: Flow) -> Flow:
    """How many items there are: as many as are written out, or as organizations answered, or an answer says it."""
    return CLEAN if items.parts or items.spread != "one" else mixed([items])


def _kept(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    return mixed([items, *others])


def _mapped(items: Flow, others: Sequence[Flow], attribute: Key) -> Flow:
    flow = _picked(items, attribute)
    return flow if all(other.clean for other in others) else mixed([flow, *others])


def _chosen(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    return _choice(items, others)


def _ordered(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    if items.parts:  # which item is where is no longer known
        return Flow(items.origins, "all" if _is_whole(items) else "one")
    return items if all(other.clean for other in others) else mixed([items, *others])


def _extreme(items: Flow, others: Sequence[Flow], attribute: Key) -> Flow:
    return mixed([_picked(items, None if others else attribute), *others])


def _paired(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    flows = [items, *others]
    if all(map(_is_whole, flows)):
        return Flow(mixed(flows).origins, "all")
    several = all(_is_whole(flow) or flow.spread == "some" for flow in flows)
    return Flow(mixed(flows).origins, "some" if several else "one")


def _names(items: Flow, _: Sequence[Flow], __: Key) -> Flow:
    return CLEAN if items.parts or items.spread == "named" else mixed([items])


def _unnamed(items: Flow, _: Sequence[Flow], __: Key) -> Flow:
    if items.parts:
        return written(dict(enumerate(items.parts.values())))
    if items.inner is not None:
        return alike(items.inner)
    return Flow(items.origins, "all" if items.spread == "named" else "one")


def _either(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    return either(items, mixed(others) if len(others) > 1 else others[0])


FLOWS: dict[str, _Of] = {
    **dict.fromkeys(("sum", "mean", "dot"), _reduced),
    "length": lambda items, _, __: counted(items),
    **dict.fromkeys(("abs", "round", "sqrt", "log", "exp", "range", "json", "join", "organization_ids"), _kept),
    **dict.fromkeys(("min", "max"), _extreme),
    "first": lambda items, _, __: enter(items, 0),
    "last": lambda items, _, __: enter(items, -1),
    "map": _mapped,
    "sort": _ordered,
    **dict.fromkeys(("unique", "selectattr", "groupby"), _chosen),
    "zip": _paired,
    "keys": _names,
    "values": _unnamed,
    "default": _either,
}
"""For each function, the flow of what it yields by those of its first argument and of the others, and its attribute."""
