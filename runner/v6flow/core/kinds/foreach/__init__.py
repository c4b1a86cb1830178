"""A `foreach` step: steps that are done once for each item of a list, a mapping or a matrix."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core import expressions, json
from v6flow.core.expressions import CLEAN, counted, index, join, uniform
from v6flow.core.kinds.base import StepKind, alias_problem, misplaced
from v6flow.core.kinds.fields import PARAMS, STEPS, Field
from v6flow.core.language.model import Planned, Step
from v6flow.core.roles import fixed, free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions import Flow, Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.base import Planning
    from v6flow.core.kinds.fields import Defaults
    from v6flow.core.kinds.tracing import Tracing
    from v6flow.core.language.model import Common
    from v6flow.core.roles import Roles

KEY = "foreach"

MOST = 100_000  # items: more is a mistake
AT_ONCE = 20  # items, unless the step says otherwise

_EACH = STEPS | {"each"}
_OFFERS = frozenset(
    {"status", "error", "results", "by_key", "completed", "failed", "skipped", "summary", "items", "responded"}
)


class ForeachStep(Step, Struct, frozen=True, eq=False):
    """What the file says: exactly one of `over` and `matrix` is not None."""

    kind: ClassVar[str] = KEY
    common: Common
    alias: str
    over: Template | None = None
    matrix: Template | None = None
    key: Template | None = None
    result: Template | None = None
    max_parallel: Template | None = None
    on_item_failure: str = "fail"
    misplaced: tuple[str, ...] = ()  # keys beside it that are for other kinds


class ForeachPlan(Planned, Struct, frozen=True):
    """A foreach step with its settings resolved."""

    kind: ClassVar[str] = KEY
    ROLES: ClassVar[Roles] = {
        "alias": fixed(part="as", shown=True),
        "over": fixed(shown=True),
        "matrix": fixed(shown=True),
        "key": fixed(),
        "result": fixed(shown=True),
        "max_parallel": free("how many items are done at a time", shown=True),
        "on_item_failure": free("what becomes of the step when an item fails", shown=True),
    }
    common: Common
    alias: str
    over: Template | None
    matrix: Template | None
    key: Template | None
    result: Template | None
    max_parallel: int
    on_item_failure: str


def items(over: Json, matrix: Json) -> list[tuple[str, Json]]:
    """The items with their keys, in order: a list's by their own text or number, a mapping's by its keys.

    A matrix is a mapping of lists: its items are mappings, one for each combination, and their keys the values joined,
    or numbers where that would give two the same. Raises ValueError.
    """
    if matrix is not None:
        found = list(_combinations(matrix))
        if len({key for key, _ in found}) < len(found):
            found = [(str(number), item) for number, (_, item) in enumerate(found, start=1)]
    elif isinstance(over, dict):
        found = list(over.items())
    elif isinstance(over, list):
        plain = all(isinstance(item, str) for item in over) and len(set(over)) == len(over)
        found = [(item if plain else str(number), item) for number, item in enumerate(over, start=1)]
    else:
        raise ValueError(f"over is a list or a mapping, not {json.dumps(over)[:60]}")
    if len(found) > MOST:
        raise ValueError(f"{len(found)} items are more than {MOST}")
    return found


def _combinations(matrix: Json) -> Iterator[tuple[str, Json]]:
    if not isinstance(matrix, dict) or not all(isinstance(values, list) for values in matrix.values()):
        raise ValueError("a matrix is a mapping of lists")
    count = 1
    for values in matrix.values():
        count *= len(values)
    if count > MOST:
        raise ValueError(f"{count} items are more than {MOST}")
    for combination in product(*matrix.values()):
        item = dict(zip(matrix, combination, strict=True))
        yield ",".join(value if isinstance(value, str) else json.dumps(value) for value in combination), item


class ForeachKind(StepKind):
    """The kind `foreach`."""

    key = KEY
    nests = True
    iteration = "each"
    plan_type = ForeachPlan
    summary = "steps that are done for each item of a list"

    def parse(self, common: Common, raw: Mapping[str, Any], _defaults: Defaults) -> ForeachStep:
        """The foreach step of a mapping that is sound by the schema."""
        foreach = raw["foreach"]

        def optional(key: str) -> Template | None:
            return expressions.compile(foreach[key]) if key in foreach else None

        return ForeachStep(
            common,
            alias=foreach.get("as", "item"),
            over=optional("over"),
            matrix=optional("matrix"),
            key=optional("key"),
            result=optional("result"),
            max_parallel=optional("max_parallel"),
            on_item_failure=foreach.get("on_item_failure", "fail"),
            misplaced=misplaced(raw),
        )

    def fields(self, step: ForeachStep) -> Iterator[Field]:
        at = (*step.common.at, "foreach")
        for key, template in (("over", step.over), ("matrix", step.matrix)):
            if template is not None:
                yield Field((*at, key), template, STEPS)
        if step.key is not None:
            yield Field((*at, "key"), step.key, _EACH, inside=True, nested=False)
        if step.result is not None:
            yield Field((*at, "result"), step.result, _EACH, inside=True)
        if step.max_parallel is not None:
            yield Field((*at, "max_parallel"), step.max_parallel, PARAMS)

    def offers(self, _step: ForeachStep) -> frozenset[str]:
        return _OFFERS

    def check(self, step: ForeachStep, complain: Callable[..., None]) -> None:
        for key in step.misplaced:
            complain((key,), f"`{key}` is for the steps inside, each by itself", "misplaced-key", hint="write it there")
        alias_problem(step.alias, ("key", "index"), ("foreach", "as"), complain)

    def trace(self, step: ForeachStep, tracing: Tracing) -> None:
        """Note what is in its items, in their keys and in how many they are, then in its result."""
        name, where = step.common.name, step.common.parent
        notes = tracing.notes[name]
        over = tracing.flow(step.over, where) if step.over is not None else CLEAN
        item, size = index(over, None), counted(over)
        if step.matrix is not None:
            matrix = tracing.flow(step.matrix, where)
            item, size = join([matrix]), join(counted(each) for each in matrix.parts.values() or [matrix])
        named = over.spread == "named" or any(isinstance(key, str) for key in over.parts)
        notes.update(item=item, size=size, key=CLEAN if named else join([over, item]))
        if step.key is not None:
            notes["key"] = tracing.mixed((step.key, name))
        tracing.follow(name)
        if step.result is not None:
            tracing.note(step, tracing.flow(step.result, name))

    def traced(self, step: ForeachStep, attribute: str, tracing: Tracing) -> Flow:
        """How many items there are, and which, is told by many of its attributes."""
        result, item, key, size = (tracing.noted(step, what) for what in ("result", "item", "key", "size"))
        which = join([key, size])
        error = tracing.error(step) if step.on_item_failure == "continue" else CLEAN  # else no item has one
        known = {
            "results": uniform(result, size),
            "by_key": uniform(result, which),
            "items": join([result, item, key, size, error]),
            "summary": size,
            **dict.fromkeys(("completed", "failed", "skipped"), which),
        }
        return known.get(attribute, CLEAN)

    def plan(self, step: ForeachStep, planning: Planning) -> ForeachPlan:
        parallel = planning.known(step.max_parallel) if step.max_parallel is not None else AT_ONCE
        if isinstance(parallel, bool) or not isinstance(parallel, int) or parallel < 1:
            raise ValueError(f"max_parallel is a number from 1, not {parallel!r}")
        return ForeachPlan(
            step.common,
            step.alias,
            step.over,
            step.matrix,
            step.key,
            step.result,
            max_parallel=parallel,
            on_item_failure=step.on_item_failure,
        )


KIND = ForeachKind()
