"""Jinja's syntax tree → closures that evaluate it, for the nodes that the language has and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.core.expressions.computation import Frame, part_of
from v6flow.core.expressions.functions import FUNCTIONS, function
from v6flow.core.expressions.limits import CONSTANT_STEPS, MAX_DEPTH
from v6flow.core.expressions.names import OFFERED, ROOTS, WORDS
from v6flow.core.expressions.operators import BINARY, COMPARISONS, TESTS, negate
from v6flow.core.expressions.parser import SLOT
from v6flow.core.expressions.tree import is_slice, literal_link, start, unfold
from v6flow.core.expressions.values import (
    NUMBERS,
    Exhausted,
    Fault,
    Steps,
    Undefined,
    as_text,
    at,
    enter,
    follow,
    kind,
    plain,
    present,
    truth,
)
from v6flow.core.language.words import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Mention(Struct, frozen=True):
    """A path that an expression names: the slot it begins with, or none, then what follows."""

    slot: int | None
    path: Steps
    guarded: bool

    def filled(self, paths: Sequence[Steps]) -> Steps:
        """The whole path, root first."""
        return self.path if self.slot is None else paths[self.slot] + self.path


class Shape(Struct, frozen=True):
    """An expression ready to be evaluated, for all expressions that differ only in the paths in its slots."""

    evaluate: Callable[[Frame], Any]
    mentions: tuple[Mention, ...]


def shape(tree: Any) -> Shape:
    """The shape of a parsed expression. Raises Fault if it says what the language does not have.

    One that names nothing is tried at once, as far as that costs nothing: its value will not change.
    """
    builder = _Builder()
    evaluate = builder.build(tree)
    if not builder.mentions and not builder.varies:
        try:
            plain(evaluate(Frame({}, steps=CONSTANT_STEPS)))
        except Exhausted:
            pass  # dear, but perhaps not too dear when it is wanted
        except Fault as fault:
            raise fault.located(start(tree)) from None
    return Shape(evaluate, tuple(builder.mentions))


PATH = Shape(lambda frame: present(follow(frame.scope, frame.paths[0]), 0), (Mention(0, (), False),))
"""The shape of an expression that is one plain path."""


class _Builder:
    """Builds the closures of one expression and notes which paths it names.

    `covered` says that default(…) or `is defined` stands directly above a node: only then may its closure
    yield Undefined; any other raises.
    """

    def __init__(self) -> None:
        self.mentions: list[Mention] = []
        self.varies = False  # whether it uses something of the scope that it does not name
        self._depth = 0

    def build(self, node: Any, covered: bool = False) -> Callable[[Frame], Any]:
        self._depth += 1
        name = type(node).__name__
        try:
            if self._depth > MAX_DEPTH:
                hint = "take sum([…]) for a long sum, or a local step"
                raise Fault(f"nested deeper than {MAX_DEPTH}", "expression-limit", offset=start(node), hint=hint)
            if name in _COVERABLE:
                return _COVERABLE[name](self, node, covered)
            if name in _NODES:
                return _NODES[name](self, node)
            raise Fault(f"{name} is not part of this language", "expression-refused", offset=start(node))
        finally:
            self._depth -= 1

    # ── values ──

    def constant(self, node: Any) -> Callable[[Frame], Any]:
        value = node.value
        return lambda _: value

    def items(self, node: Any) -> Callable[[Frame], Any]:
        items = [self.build(item) for item in node.items]
        return lambda frame: [item(frame) for item in items]

    def mapping(self, node: Any) -> Callable[[Frame], Any]:
        pairs = [(self.build(pair.key), self.build(pair.value), start(pair.key)) for pair in node.items]

        def evaluate(frame: Frame) -> Any:
            value: dict[str, Any] = {}
            for key, item, offset in pairs:
                name = key(frame)
                if type(name) is not str:
                    raise Fault(f"a mapping's key is a text, not {kind(name)}", offset=offset)
                if name in value:
                    raise Fault(f"the key {name[:60]!r} is in one mapping twice", offset=offset)
                value[name] = item(frame)
            return value

        return evaluate

    # ── paths ──

    def path(self, node: Any, covered: bool) -> Callable[[Frame], Any]:
        """A name and the names, keys and indices behind it, or behind another expression."""
        base, links = unfold(node)
        offset = start(base)
        if type(base).__name__ != "Name":
            value = self.build(base, covered)
            return _chain(value, [self._link(link) for link in links], ("the value",), offset, covered)
        fixed: list[str | int | None] = []
        while len(fixed) < len(links) and (name := literal_link(links[len(fixed)])) is not None:
            fixed.append(name)
        rest = links[len(fixed) :]
        computed: Steps = (None,) if rest and not is_slice(rest[0]) else ()
        mention = self._mention(base, tuple(fixed), computed, covered)
        begin = _root(mention.slot, mention.path[:-1] if computed else mention.path)
        if rest:
            return _chain(begin, [self._link(link) for link in rest], (base.name, *fixed), offset, covered)
        return begin if covered else lambda frame: present(begin(frame), offset)

    def _mention(self, base: Any, fixed: Steps, computed: Steps, covered: bool) -> Mention:
        offset = start(base)
        slot = int(base.name[1:]) if base.name.startswith(SLOT) else None
        if slot is None:
            _check_root(base.name, offset)
            path = (base.name, *fixed, *computed)
            if base.name == "steps" and not (len(path) > 1 and isinstance(path[1], str)):
                message = (
                    "a step is named literally, not computed or numbered" if path[1:] else "steps alone is not a value"
                )
                raise Fault(message, "expression-refused", offset=offset, hint="write steps.NAME.result")
        else:
            path = (*fixed, *computed)
        mention = Mention(slot, path, covered)
        self.mentions.append(mention)
        return mention

    def _link(self, link: Any) -> Callable[[Frame, Any, Steps], Any]:
        name = literal_link(link)
        if name is not None:
            return lambda _, value, where: enter(value, name, where)
        if is_slice(link):
            bounds = [part and self.build(part) for part in (link.arg.start, link.arg.stop, link.arg.step)]
            return lambda frame, value, _: part_of(frame, value, [part and part(frame) for part in bounds])
        if type(link.arg).__name__ == "Tuple":
            raise Fault("a subscript is one key or one number", "expression-refused", offset=link.lineno)
        subscript, offset = self.build(link.arg), start(link.arg)
        return lambda frame, value, where: at(offset, lambda: enter(value, subscript(frame), where))

    # ── operators ──

    def binary(self, node: Any) -> Callable[[Frame], Any]:
        operate = BINARY[type(node).__name__]
        left, right, offset = self.build(node.left), self.build(node.right), start(node)

        def evaluate(frame: Frame) -> Any:
            a, b = left(frame), right(frame)
            try:
                value = operate(a, b)
                if type(value) in (str, list):
                    frame.spend(len(value))
            except Fault as fault:
                raise fault.located(offset) from None
            return value

        return evaluate

    def sign(self, node: Any) -> Callable[[Frame], Any]:
        minus, inner, offset = type(node).__name__ == "Neg", self.build(node.node), node.lineno

        def evaluate(frame: Frame) -> Any:
            value = inner(frame)
            if type(value) not in NUMBERS:
                raise Fault(f"a sign stands before a number, not before {kind(value)}", offset=offset)
            return negate(value) if minus else value

        return evaluate

    def joined(self, node: Any) -> Callable[[Frame], Any]:
        parts = [(self.build(part), start(part)) for part in node.nodes]

        def evaluate(frame: Frame) -> Any:
            texts = [at(offset, as_text, part(frame)) for part, offset in parts]
            at(parts[0][1], frame.spend, sum(map(len, texts)))
            return "".join(texts)

        return evaluate

    def comparison(self, node: Any) -> Callable[[Frame], Any]:
        first, offset = self.build(node.expr), start(node)
        rest = [(COMPARISONS[each.op], self.build(each.expr)) for each in node.ops]

        def evaluate(frame: Frame) -> Any:
            a = first(frame)
            for compare, operand in rest:
                b = operand(frame)
                try:
                    if not compare(a, b):
                        return False
                except Fault as fault:
                    raise fault.located(offset) from None
                a = b
            return True

        return evaluate

    def condition(self, node: Any) -> Callable[[Frame], bool]:
        """Whether a node counts as true."""
        value, offset = self.build(node), start(node)
        return lambda frame: at(offset, truth, value(frame))

    def negation(self, node: Any) -> Callable[[Frame], Any]:
        inner = self.condition(node.node)
        return lambda frame: not inner(frame)

    def logic(self, node: Any) -> Callable[[Frame], Any]:
        stop = type(node).__name__ == "Or"
        left, right = self.build(node.left), self.build(node.right)
        offset, other = start(node), start(node.right)

        def evaluate(frame: Frame) -> Any:
            value = left(frame)
            if at(offset, truth, value) is stop:
                return value
            value = right(frame)
            at(other, truth, value)
            return value

        return evaluate

    def choice(self, node: Any, covered: bool) -> Callable[[Frame], Any]:
        if node.expr2 is None:
            hint = "write a if condition else b"
            raise Fault("an `if` without an `else`", "expression-refused", offset=start(node), hint=hint)
        chosen = self.build(node.expr1, covered)
        test = self.condition(node.test)
        other = self.build(node.expr2, covered)
        return lambda frame: chosen(frame) if test(frame) else other(frame)

    # ── functions and tests ──

    def filtered(self, node: Any, covered: bool) -> Callable[[Frame], Any]:
        return self._application(node, node.name, node.lineno, [node.node, *node.args], covered)

    def called(self, node: Any, covered: bool) -> Callable[[Frame], Any]:
        if type(node.node).__name__ != "Name":
            hint = "write sum(x) or x | sum; a key of this name is read without brackets"
            message = "data has no methods: only the functions of the language are called"
            raise Fault(message, "expression-refused", offset=start(node), hint=hint)
        return self._application(node, node.node.name, node.node.lineno, node.args, covered)

    def _application(
        self, node: Any, name: str, offset: int, positional: list[Any], covered: bool
    ) -> Callable[[Frame], Any]:
        called = function(name, offset)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise Fault("arguments are written one by one", "expression-refused", offset=offset)
        keywords = {each.key: each.value for each in node.kwargs}
        if len(keywords) < len(node.kwargs):
            raise Fault(f"{name}: an argument is given twice", "expression-function", offset=offset)
        try:
            given = called.bind(positional, keywords)
        except Fault as fault:
            raise _named(fault, name, offset) from None
        called.check_choices(given)
        self.varies = self.varies or called.varies
        lazy = called.may_be_missing
        arguments = [
            self.build(each, covered=bool(lazy) and (index == 0 or covered)) for index, each in enumerate(positional)
        ]
        named = {
            key: self.build(each, covered=bool(lazy) and (key == lazy or covered)) for key, each in keywords.items()
        }
        compute = called.compute

        def evaluate(frame: Frame) -> Any:
            given = [each(frame) for each in arguments]
            words = {key: each(frame) for key, each in named.items()}
            try:
                value = compute(frame, *given, **words)
                return value if covered else present(value)
            except Fault as fault:
                raise _named(fault, name, offset) from None

        return evaluate

    def test(self, node: Any) -> Callable[[Frame], Any]:
        if node.name not in TESTS:
            raise Fault(f"there is no test `is {node.name[:60]}`", "expression-function", offset=node.lineno)
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise Fault(f"the test `is {node.name}` takes no arguments", "expression-function", offset=node.lineno)
        passes = TESTS[node.name]
        value = self.build(node.node, covered=node.name in ("defined", "undefined"))
        return lambda frame: passes(value(frame))


_NODES: dict[str, Callable[[_Builder, Any], Callable[[Frame], Any]]] = {
    "Const": _Builder.constant,
    "List": _Builder.items,
    "Tuple": _Builder.items,
    "Dict": _Builder.mapping,
    **dict.fromkeys(BINARY, _Builder.binary),
    "Neg": _Builder.sign,
    "Pos": _Builder.sign,
    "Concat": _Builder.joined,
    "Compare": _Builder.comparison,
    "Not": _Builder.negation,
    "And": _Builder.logic,
    "Or": _Builder.logic,
    "Test": _Builder.test,
}
_COVERABLE: dict[str, Callable[[_Builder, Any, bool], Callable[[Frame], Any]]] = {
    "Name": _Builder.path,
    "Getattr": _Builder.path,
    "Getitem": _Builder.path,
    "CondExpr": _Builder.choice,
    "Filter": _Builder.filtered,
    "Call": _Builder.called,
}


def _check_root(name: str, offset: int) -> None:
    if name in ROOTS:
        return
    if name in FUNCTIONS:
        message, hint = f"{name} is a function", f"write {name}(…), or … | {name}"
        raise Fault(message, "expression-name", offset=offset, hint=hint)
    if name in WORDS:
        raise Fault(f"the word {name} cannot stand here", "expression-syntax", offset=offset)
    close = "none" if name.lower() == "null" else nearest(name, [*WORDS, *OFFERED, *FUNCTIONS])
    remedy = f"did you mean {close}?" if close else "write params.NAME, steps.NAME.result, or quotes around a text"
    message = f"unknown name {name[:60]}: a path begins with {', '.join(OFFERED)}"
    raise Fault(message, "expression-name", offset=offset, hint=remedy)


def _root(slot: int | None, path: Steps) -> Callable[[Frame], Any]:
    if slot is None:
        return lambda frame: follow(frame.scope, path)
    if not path:
        return lambda frame: follow(frame.scope, frame.paths[slot])
    return lambda frame: follow(frame.scope, frame.paths[slot] + path)


def _chain(
    begin: Callable[[Frame], Any],
    links: list[Callable[[Frame, Any, Steps], Any]],
    where: Steps,
    offset: int,
    covered: bool,
) -> Callable[[Frame], Any]:
    """What is behind `begin` at the end of some links."""
    slot = int(where[0][1:]) if isinstance(where[0], str) and where[0].startswith(SLOT) else None

    def evaluate(frame: Frame) -> Any:
        value = begin(frame)
        place = where if slot is None else frame.paths[slot] + where[1:]
        for link in links:
            if isinstance(value, Undefined):
                break
            value = at(offset, link, frame, value, place)
            place = (*place, None)
        return value if covered else present(value, offset)

    return evaluate


def _named(fault: Fault, name: str, offset: int) -> Fault:
    if fault.offset >= 0:
        return fault
    fault.message = f"{name}: {fault.message}"
    return fault.located(offset)
