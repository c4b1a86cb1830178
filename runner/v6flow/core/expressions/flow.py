"""Whose answers are in a value, and what a function makes of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from v6flow.core.expressions.values import Reference

Spread: TypeAlias = Literal["one", "all", "some", "named"]
"""How the answers lie in a value: `all` a list with one item for each organization, `some` a list of a choice of them,
`named` a mapping with one for each organization by its name, `one` any other way."""

Key: TypeAlias = "str | int | None"
"""A key or an index; None: one that is computed."""


class ValueOrigin(Struct, frozen=True):
    """An answer to a step: of which organization, if that is known, and by which reference it came here."""

    step: str
    organization: str | None = None
    reference: Reference | None = None


class Flow(Struct, frozen=True):
    """Answers of single organizations in a value that no reduction over organizations has merged yet.

    `parts` are the flows of its items by key or index, where the value is written out item by item. `inner` is the flow
    of each of its items, where they are all of one make: what steps for items yield.
    """

    origins: frozenset[ValueOrigin] = frozenset()
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


def join(flows: Iterable[Flow]) -> Flow:
    """What is made of several values in a way that keeps what each says."""
    origins = frozenset[ValueOrigin]().union(*(flow.origins for flow in flows))
    return Flow(origins) if origins else CLEAN


def literal(parts: Mapping[str | int, Flow]) -> Flow:
    """A list or mapping that is written out."""
    origins = join(parts.values()).origins
    return Flow(origins, parts=parts) if origins else CLEAN


def uniform(inner: Flow, keys: Flow = CLEAN) -> Flow:
    """A list or mapping of items of one make, however many; `keys` is what is in its keys."""
    origins = join([inner, keys]).origins
    return Flow(origins, inner=inner) if origins else CLEAN


def index(flow: Flow, key: Key) -> Flow:
    """What is under a key or index."""
    if flow.inner is not None:
        return flow.inner
    if flow.parts:
        if key is None:
            return join(flow.parts.values())
        if isinstance(key, int) and key < 0:
            key += len(flow.parts)
        return flow.parts.get(key, CLEAN)
    if flow.spread == "named" and isinstance(key, str):
        return Flow(frozenset(replace(each, organization=key) for each in flow.origins))
    return join([flow])


def either(one: Flow, other: Flow) -> Flow:
    """What is the one value or the other, or a list of both."""
    if one.clean or other.clean:
        return other if one.clean else one
    if one.parts.keys() == other.parts.keys() and one.parts:
        return literal({key: either(part, other.parts[key]) for key, part in one.parts.items()})
    if one.inner is not None and other.inner is not None:
        return Flow(one.origins | other.origins, inner=either(one.inner, other.inner))
    spreads = {one.spread, other.spread}
    if one.parts or other.parts or (len(spreads) > 1 and spreads != {"all", "some"}):
        return join([one, other])
    return Flow(one.origins | other.origins, "some" if len(spreads) > 1 else one.spread)


def _picked(flow: Flow, attribute: Key) -> Flow:
    """What the items of a list have under an attribute."""
    if attribute is not None and flow.inner is not None:
        return uniform(_within(flow.inner, attribute))
    if attribute is None or not flow.parts:
        return flow
    return literal({index: _within(part, attribute) for index, part in flow.parts.items()})


def _within(flow: Flow, attribute: Key) -> Flow:
    for name in attribute.split(".") if isinstance(attribute, str) else [attribute]:
        flow = index(flow, name)
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


Rule: TypeAlias = "Callable[[Flow, Sequence[Flow], Key], Flow]"
"""The flow of what a function yields, by those of its first argument and of the others, and its attribute."""


def reduced(items: Flow, others: Sequence[Flow], attribute: Key) -> Flow:
    """Of reductions over a list: it tells of nobody where each list has answers of several organizations."""
    flows = [_picked(items, attribute), *others]
    return CLEAN if all(map(_is_whole, flows)) else join(flows)


def counted(items: Flow, *_: object) -> Flow:
    """How many items there are: as many as are written out, or as organizations answered, or an answer says it."""
    return CLEAN if items.parts or items.spread != "one" else join([items])


def first(items: Flow, *_: object) -> Flow:
    """Of the first item."""
    return index(items, 0)


def last(items: Flow, *_: object) -> Flow:
    """Of the last item."""
    return index(items, -1)


def kept(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    """Of what keeps what each argument says."""
    return join([items, *others])


def mapped(items: Flow, others: Sequence[Flow], attribute: Key) -> Flow:
    """Of what each item has under an attribute."""
    flow = _picked(items, attribute)
    return flow if all(other.clean for other in others) else join([flow, *others])


def chosen(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    """Some items of a list, perhaps those of one organization only; how many tells of nobody if it was of several."""
    flow = join([items, *others])
    several = items.spread in ("all", "some") or (items.parts and _is_whole(items))
    return Flow(flow.origins, "some") if several and all(each.clean for each in others) else flow


def ordered(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    """Of the same items in another order."""
    if items.parts:  # which item is where is no longer known
        return Flow(items.origins, "all" if _is_whole(items) else "one")
    return items if all(other.clean for other in others) else join([items, *others])


def extreme(items: Flow, others: Sequence[Flow], attribute: Key) -> Flow:
    """Of the least or greatest of a list, or of several values."""
    return join([_picked(items, None if others else attribute), *others])


def paired(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    """Of rows of the items of several lists."""
    flows = [items, *others]
    if all(map(_is_whole, flows)):
        return Flow(join(flows).origins, "all")
    several = all(_is_whole(flow) or flow.spread == "some" for flow in flows)
    return Flow(join(flows).origins, "some" if several else "one")


def key_names(items: Flow, _: Sequence[Flow], __: Key) -> Flow:
    """Of the keys of a mapping."""
    return CLEAN if items.parts or items.spread == "named" else join([items])


def unnamed(items: Flow, _: Sequence[Flow], __: Key) -> Flow:
    """Of the values of a mapping."""
    if items.parts:
        return literal(dict(enumerate(items.parts.values())))
    if items.inner is not None:
        return uniform(items.inner)
    return Flow(items.origins, "all" if items.spread == "named" else "one")


def either_of(items: Flow, others: Sequence[Flow], _: Key) -> Flow:
    """Of a value or what is in for it."""
    return either(items, join(others) if len(others) > 1 else others[0])
