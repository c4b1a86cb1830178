"""Jinja's syntax tree → closures that evaluate it, for the nodes that the language has and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.functions import FUNCTIONS, HABITS, Frame
from v6flow.core.expressions.lexer import SLOT
from v6flow.core.expressions.limits import CONSTANT_STEPS, MAX_DEPTH
from v6flow.core.expressions.names import OFFERED, ROOTS, WORDS
from v6flow.core.expressions.operators import BINARY, COMPARISONS, keep_sign, negate
from v6flow.core.expressions.paths import Steps, enter, follow
from v6flow.core.expressions.values import (
    NUMBERS,
    Exhausted,
    Fault,
    Undefined,
    as_text,
    kind,
    plain,
    truth,
    undefined_fault,
)
from v6flow.core.language.words import nearest, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Mention:
    """A path that an expression names: the slot it begins with, or none, then what follows."""

    slot: int | None
    path: Steps
    guarded: bool

    def filled(self, paths: Sequence[Steps]) -> Steps:
        """The whole path, root first."""
        return self.path if self.slot is None else paths[self.slot] + self.path


@dataclass(frozen=True, slots=True)
class Shape:
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
            raise fault.located(_start(tree)) from None
    return Shape(evaluate, tuple(builder.mentions))


PATH = Shape(lambda frame: _present(follow(frame.scope, frame.paths[0]), 0), (Mention(0, (), False),))
"""The shape of an expression that is one plain path."""


def _present(value: Any, offset: int) -> Any:
    if isinstance(value, Undefined):
        raise undefined_fault(value, offset)
    return value


_LEFTMOST = {
    "Getattr": "node", "Getitem": "node", "Filter": "node", "Call": "node", "Test": "node", "Compare": "expr",
    "CondExpr": "expr1", "And": "left", "Or": "left", **dict.fromkeys(BINARY, "left"),
}  # fmt: skip
"""For each node that does not begin with a token of its own, the part that it begins with."""


def _start(node: Any) -> int:
    """The offset at which a node's text begins, brackets around it aside."""
    while True:
        name = type(node).__name__
        if name == "Concat":
            node = node.nodes[0]
        elif name in _LEFTMOST:
            node = getattr(node, _LEFTMOST[name])
        else:
            return int(node.lineno)


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
                message, hint = (
                    f"nested deeper than {MAX_DEPTH}",
                    "take sum([…]) for a long sum, or a local step",
                )
                raise Fault(message, "expression-limit", offset=_start(node), hint=hint)
            if name in _COVERABLE:
                return _COVERABLE[name](self, node, covered)
            if name in _NODES:
                return _NODES[name](self, node)
            raise Fault(f"{name} is not part of this language", "expression-refused", offset=_start(node))
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
        pairs = [(self.build(pair.key), self.build(pair.value), _start(pair.key)) for pair in node.items]

        def evaluate(frame: Frame) -> Any:
            value: dict[str, Any] = {}
            for key, item, offset in pairs:
                name = key(frame)
                if type(name) is not str:
                    raise Fault(f"a mapping's key is a text, not {kind(name)}", offset=offset)
                if name in value:
                    raise Fault(f"the key {name[:60]!r} stands twice in one mapping", offset=offset)
                value[name] = item(frame)
            return value

        return evaluate

    # ── paths ──

    def path(self, node: Any, covered: bool) -> Callable[[Frame], Any]:
        """A name and the names, keys and indices behind it, or behind another expression."""
        links: list[Any] = []
        base = node
        while type(base).__name__ in ("Getattr", "Getitem"):
            links.append(base)
            base = base.node
        links.reverse()
        offset = _start(base)
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
        return begin if covered else lambda frame: _present(begin(frame), offset)

    def _mention(self, base: Any, fixed: Steps, computed: Steps, covered: bool) -> Mention:
        offset = _start(base)
        slot = int(base.name[1:]) if base.name.startswith(SLOT) else None
        if slot is None:
            _check_root(base.name, offset)
            path = (base.name, *fixed, *computed)
            if base.name == "steps" and not (len(path) > 1 and isinstance(path[1], str)):
                message, hint = "a step is named, not computed and not counted", "write steps.NAME.result"
                if len(path) == 1:
                    message = "steps alone is no value"
                raise Fault(message, "expression-refused", offset=offset, hint=hint)
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
            return lambda frame, value, _: _sliced(frame, value, [part and part(frame) for part in bounds])
        if type(link.arg).__name__ == "Tuple":
            raise Fault("a subscript is one key or one number", "expression-refused", offset=link.lineno)
        subscript, offset = self.build(link.arg), _start(link.arg)

        def evaluate(frame: Frame, value: Any, where: Steps) -> Any:
            try:
                return enter(value, subscript(frame), where)
            except Fault as fault:
                raise fault.located(offset) from None

        return evaluate

    # ── operators ──

    def binary(self, node: Any) -> Callable[[Frame], Any]:
        operate = BINARY[type(node).__name__]
        left, right, offset = self.build(node.left), self.build(node.right), _start(node)

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
        operate = negate if type(node).__name__ == "Neg" else keep_sign
        inner, offset = self.build(node.node), node.lineno

        def evaluate(frame: Frame) -> Any:
            value = inner(frame)
            if type(value) not in NUMBERS:
                raise Fault(f"a sign stands before a number, not before {kind(value)}", offset=offset)
            return operate(value)

        return evaluate

    def joined(self, node: Any) -> Callable[[Frame], Any]:
        parts = [(self.build(part), _start(part)) for part in node.nodes]

        def evaluate(frame: Frame) -> Any:
            texts = [_text(part(frame), offset) for part, offset in parts]
            try:
                frame.spend(sum(map(len, texts)))
            except Fault as fault:
                raise fault.located(parts[0][1]) from None
            return "".join(texts)

        return evaluate

    def comparison(self, node: Any) -> Callable[[Frame], Any]:
        first, offset = self.build(node.expr), _start(node)
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
        value, offset = self.build(node), _start(node)
        return lambda frame: _truth(value(frame), offset)

    def negation(self, node: Any) -> Callable[[Frame], Any]:
        inner = self.condition(node.node)
        return lambda frame: not inner(frame)

    def both(self, node: Any) -> Callable[[Frame], Any]:
        return self._either(node, stop=False)

    def either(self, node: Any) -> Callable[[Frame], Any]:
        return self._either(node, stop=True)

    def _either(self, node: Any, *, stop: bool) -> Callable[[Frame], Any]:
        left, right, offset, other = (
            self.build(node.left),
            self.build(node.right),
            _start(node),
            _start(node.right),
        )

        def evaluate(frame: Frame) -> Any:
            value = left(frame)
            if _truth(value, offset) is stop:
                return value
            value = right(frame)
            _truth(value, other)
            return value

        return evaluate

    def choice(self, node: Any, covered: bool) -> Callable[[Frame], Any]:
        if node.expr2 is None:
            message, hint = "an if without its else", "write a if condition else b"
            raise Fault(message, "expression-refused", offset=_start(node), hint=hint)
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
            raise Fault(message, "expression-refused", offset=_start(node), hint=hint)
        return self._application(node, node.node.name, node.node.lineno, node.args, covered)

    def _application(
        self, node: Any, name: str, offset: int, positional: list[Any], covered: bool
    ) -> Callable[[Frame], Any]:
        function = FUNCTIONS.get(name)
        if function is None:
            known = f"there are {', '.join(FUNCTIONS)}"
            hint = HABITS.get(name) or suggestion(name, FUNCTIONS) or known
            raise Fault(f"there is no function or filter {name[:60]}", "expression-function", offset=offset, hint=hint)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise Fault("arguments are written one by one", "expression-refused", offset=offset)
        keywords = {each.key: each.value for each in node.kwargs}
        if len(keywords) < len(node.kwargs):
            raise Fault(f"{name}: an argument is given twice", "expression-function", offset=offset)
        try:
            given = function.bind(positional, keywords)
        except Fault as fault:
            raise _named(fault, name, offset) from None
        for parameter, choices in function.choices.items():
            _check_choice(given.get(parameter), choices, name)
        self.varies = self.varies or name == "organization_ids"
        lazy = name == "default"
        arguments = [
            self.build(each, covered=lazy and (index == 0 or covered)) for index, each in enumerate(positional)
        ]
        named = {key: self.build(each, covered=lazy and (key == "value" or covered)) for key, each in keywords.items()}
        return _applied(function.compute, name, offset, arguments, named, covered)

    def test(self, node: Any) -> Callable[[Frame], Any]:
        if node.name not in _TESTS:
            raise Fault(f"there is no test `is {node.name[:60]}`", "expression-function", offset=node.lineno)
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise Fault(f"the test `is {node.name}` takes no arguments", "expression-function", offset=node.lineno)
        passes = _TESTS[node.name]
        value = self.build(node.node, covered=node.name in ("defined", "undefined"))
        return lambda frame: passes(value(frame))


_TESTS: dict[str, Callable[[Any], bool]] = {  # the words in TESTS, and the tests see to it
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: value is None,
    "boolean": lambda value: type(value) is bool,
    "number": lambda value: type(value) in NUMBERS,
    "integer": lambda value: type(value) is int,
    "float": lambda value: type(value) is float,
    "string": lambda value: type(value) is str,
    "list": lambda value: type(value) is list,
    "mapping": lambda value: type(value) is dict,
}

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
    "And": _Builder.both,
    "Or": _Builder.either,
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
        message = f"the word {name} cannot stand here"
        raise Fault(message, "expression-syntax", offset=offset)
    close = "none" if name.lower() == "null" else nearest(name, [*WORDS, *OFFERED, *FUNCTIONS])
    remedy = f"did you mean {close}?" if close else "write params.NAME, steps.NAME.result, or quotes around a text"
    message = f"unknown name {name[:60]}: a path begins with {', '.join(OFFERED)}"
    raise Fault(message, "expression-name", offset=offset, hint=remedy)


def literal_link(link: Any) -> str | int | None:
    """The name, key or index of a link if it stands there as it is."""
    if type(link).__name__ == "Getattr":
        return str(link.attr)
    text = link.arg.value if type(link.arg).__name__ == "Const" else None
    return text if type(text) is str else _literal_number(link.arg)


def literal_step(bounds: Any) -> int | None:
    """The step of a slice if it stands there as it is; 1 if there is none."""
    return 1 if bounds.step is None else _literal_number(bounds.step)


def _literal_number(node: Any) -> int | None:
    sign = 1
    if type(node).__name__ == "Neg":
        node, sign = node.node, -1
    value = node.value if type(node).__name__ == "Const" else None
    return sign * value if type(value) is int else None


def is_slice(link: Any) -> bool:
    return type(link).__name__ == "Getitem" and type(link.arg).__name__ == "Slice"


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
    """What stands behind `begin` at the end of some links."""
    slot = int(where[0][1:]) if isinstance(where[0], str) and where[0].startswith(SLOT) else None

    def evaluate(frame: Frame) -> Any:
        value = begin(frame)
        place = where if slot is None else frame.paths[slot] + where[1:]
        for link in links:
            if isinstance(value, Undefined):
                break
            try:
                value = link(frame, value, place)
            except Fault as fault:
                raise fault.located(offset) from None
            place = (*place, None)
        return value if covered else _present(value, offset)

    return evaluate


def _sliced(frame: Frame, value: Any, bounds: list[Any]) -> Any:
    if type(value) not in (list, str):
        raise Fault(f"a part is taken of a list or a text, not of {kind(value)}")
    for bound in bounds:
        if bound is not None and type(bound) is not int:
            raise Fault(f"a part is bounded by whole numbers, not by {kind(bound)}")
    if bounds[2] == 0:
        raise Fault("the step of a part is 0")
    part = value[slice(*bounds)]
    frame.spend(len(part))
    return part


def _text(value: Any, offset: int) -> str:
    try:
        return as_text(value)
    except Fault as fault:
        raise fault.located(offset) from None


def _truth(value: Any, offset: int) -> bool:
    try:
        return truth(value)
    except Fault as fault:
        raise fault.located(offset) from None


def _named(fault: Fault, name: str, offset: int) -> Fault:
    if fault.offset >= 0:
        return fault
    fault.message = f"{name}: {fault.message}"
    return fault.located(offset)


def _check_choice(argument: Any, choices: Sequence[str], name: str) -> None:
    if type(argument).__name__ == "Const" and argument.value is not None and argument.value not in choices:
        word = str(argument.value)
        message, hint = f"{name} has no {word[:60]!r}: it has {' '.join(choices)}", suggestion(word, choices)
        raise Fault(message, "expression-function", offset=argument.lineno, hint=hint)


def _applied(
    compute: Callable[..., Any],
    name: str,
    offset: int,
    positional: list[Callable[[Frame], Any]],
    keywords: dict[str, Callable[[Frame], Any]],
    covered: bool,
) -> Callable[[Frame], Any]:
    def evaluate(frame: Frame) -> Any:
        arguments = [each(frame) for each in positional]
        named = {key: each(frame) for key, each in keywords.items()}
        try:
            value = compute(frame, *arguments, **named)
            return value if covered else _present(value, -1)
        except Fault as fault:
            raise _named(fault, name, offset) from None

    return evaluate
