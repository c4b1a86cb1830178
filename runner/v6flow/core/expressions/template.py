"""A value whose texts may hold expressions: found once, filled in as often as wanted."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from v6flow.core.expressions.computation import Frame
from v6flow.core.expressions.evaluator import PATH, Shape, shape
from v6flow.core.expressions.flow import CLEAN, Flow, join, literal
from v6flow.core.expressions.limits import MAX_LEAF_DEPTH, MAX_LENGTH, MAX_SHAPES, MAX_TEXT
from v6flow.core.expressions.names import ROOTS
from v6flow.core.expressions.parser import SLOT, control_fault, lex, parse
from v6flow.core.expressions.taint import of_tree
from v6flow.core.expressions.values import ExpressionError, Fault, NotKnownYet, Reference, as_text, plain
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.core.expressions.values import Steps
    from v6flow.core.json import Json
    from v6flow.core.language.problem import Path

_STRING = r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*\""""
_LINK = r"""\.[^\W\d]\w*|\[(?:0|-?[1-9][0-9]{0,8}|'[^'\\]*'|"[^"\\]*")\]"""
_ROOT = rf"(?:{'|'.join(sorted(ROOTS))})(?!\w)"
_WHOLE_PATH = pattern(rf"\s*\{{\{{\s*({_ROOT}(?:{_LINK})*)\s*\}}\}}\s*")
_LINKS = pattern(_LINK)
_PATHS = pattern(rf"{_STRING}|(?P<path>{_ROOT}(?:{_LINK})*)|[.|]\s*\w+|\w+", re.DOTALL)
"""Plain paths, where what precedes cannot make them part of a text, a key, a filter or another word."""
_SIMPLE = pattern(rf"\{{\{{(?![-+])([^'\"{{}}]*(?:(?:{_STRING})[^'\"{{}}]*)*)\}}\}}", re.DOTALL)
"""An expression without braces in it; what this does not find is lexed."""
_MARK = pattern(r"\{\{|\}\}|\{%|\{#")


class _Expression:
    """One expression in a text: its shape and the paths in it."""

    __slots__ = ("inner", "paths", "shape", "start")

    def __init__(self, shape: Shape, paths: tuple[Steps, ...], start: int, inner: str) -> None:
        self.shape = shape
        self.paths = paths
        self.start = start
        self.inner = inner

    def evaluate(self, scope: Mapping[str, object]) -> Json:
        """Its value. Raises Fault with an offset in the text, NotKnownYet."""
        try:
            return plain(self.shape.evaluate(Frame(scope, self.paths)))
        except RecursionError:
            raise Fault("nested too deeply", "expression-limit", offset=self.start) from None
        except Fault as fault:
            fault.offset = self._begin() if fault.offset < 0 else self.start + self._original(fault.offset)
            raise

    def text(self, scope: Mapping[str, object]) -> str:
        """Its value as it is written into a text."""
        value = self.evaluate(scope)
        try:
            return as_text(value)
        except Fault as fault:
            raise fault.located(self._begin()) from None

    def flow(self, source: Callable[[Steps], Flow]) -> Flow:
        """Whose answers are in its value."""
        if self.shape is PATH:
            return source(self.paths[0])
        return of_tree(_tree(_PATHS.sub(_slot, self.inner) if self.paths else self.inner), self.paths, source)

    def _begin(self) -> int:
        return self.start + len(self.inner) - len(self.inner.lstrip())

    def _original(self, offset: int) -> int:
        """An offset in the shape's text as one in the text as it is written."""
        if not self.paths or self.shape is PATH:
            return offset
        shift = 0
        for match in _PATHS.finditer(self.inner):
            if match["path"] and match.start() - shift < offset:
                shift += len(match["path"]) - 1
        return offset + shift


def _expression(inner: str, start: int) -> _Expression:
    """The expression that `inner` is, without its braces. Raises Fault with an offset in the leaf's text."""
    if len(inner) > MAX_LENGTH:
        raise Fault(f"an expression longer than {MAX_LENGTH} characters", "expression-limit", offset=start)
    texts: list[str] = []

    def take(match: re.Match[str]) -> str:
        if match.lastgroup is not None:
            texts.append(match.group())
        return _slot(match)

    if SLOT not in inner:
        skeleton = _PATHS.sub(take, inner)
        paths = tuple([_steps(path) for path in texts])
        found = None if any(map(_is_odd, paths)) else _shape(skeleton)
        if found:
            return _Expression(found, paths, start, inner)
    try:
        return _Expression(_read(inner), (), start, inner)
    except Fault as fault:
        fault.offset = start + max(fault.offset, 0)
        raise


@lru_cache(maxsize=MAX_SHAPES)
def _shape(skeleton: str) -> Shape | None:
    """The shape of an expression with slots for plain paths, None if it has faults: they are elsewhere."""
    try:
        return _read(skeleton, slots=True)
    except Fault:
        return None


def _slot(match: re.Match[str]) -> str:
    """What is in a skeleton for what was found: for a plain path, a slot."""
    return match.group() if match.lastgroup is None else SLOT


@lru_cache(maxsize=MAX_SHAPES)
def _tree(skeleton: str) -> Any:
    """The tree of an expression that has no faults."""
    return parse(lex(skeleton + "}}", 0, slots=SLOT in skeleton)[0])


def _read(inner: str, *, slots: bool = False) -> Shape:
    tokens, _ = lex(inner + "}}", 0, slots=slots)
    try:
        return shape(parse(tokens))
    except RecursionError:
        raise Fault("nested too deeply", "expression-limit", offset=0) from None


def _steps(written: str) -> Steps:
    """The root and the links of a plain path."""
    if "[" not in written:
        return tuple(written.split("."))
    first = _LINKS.search(written)
    root = written[: first.start()] if first else written
    return (root, *(_link(match.group()) for match in _LINKS.finditer(written)))


def _link(written: str) -> str | int:
    if written[0] == ".":
        return written[1:]
    return written[2:-2] if written[1] in "'\"" else int(written[1:-1])


def _is_odd(path: Steps) -> bool:
    """Whether a path is one that is judged by itself: steps alone, or steps by a number."""
    return path[0] == "steps" and (len(path) == 1 or type(path[1]) is not str)


class _Leaf:
    """A text with expressions; `pieces` are texts and expressions, `whole` says that one is all of it."""

    __slots__ = ("at", "pieces", "text", "whole")

    def __init__(self, text: str, at: Path, pieces: list[str | _Expression], whole: bool) -> None:
        self.text = text
        self.at = at
        self.pieces = pieces
        self.whole = whole

    def render(self, scope: Mapping[str, object], unknown: Callable[[str], Json] | None) -> Json:
        try:
            if self.whole:
                return self._expressions()[0].evaluate(scope)
            return self._filled(scope)
        except NotKnownYet:
            if unknown is None:
                raise
            return unknown(self.text)
        except Fault as fault:
            raise _error(fault, self.at) from None

    def _filled(self, scope: Mapping[str, object]) -> str:
        texts: list[str] = []
        length = 0
        for piece in self.pieces:
            texts.append(piece if isinstance(piece, str) else piece.text(scope))
            length += len(texts[-1])
            if length > MAX_TEXT:
                raise Fault(f"a text longer than {MAX_TEXT} characters", "expression-limit", offset=0)
        return "".join(texts)

    def flow(self, source: Callable[[Steps, Path], Flow]) -> Flow:
        flows = [each.flow(lambda path: source(path, self.at)) for each in self._expressions()]
        return flows[0] if self.whole and flows else join(flows)  # one with a fault has none

    def _expressions(self) -> list[_Expression]:
        return [piece for piece in self.pieces if isinstance(piece, _Expression)]

    def references(self) -> Iterator[Reference]:
        """The paths that it names, in order."""
        for piece in self._expressions():
            for mention in piece.shape.mentions:
                root, *path = mention.filled(piece.paths)
                yield Reference(str(root), tuple(path), self.at, mention.guarded)


class _Branch:
    """A list or mapping somewhere in which a text has expressions; `parts` are those of its items that do."""

    __slots__ = ("parts", "source")

    def __init__(self, source: Any, parts: list[tuple[Any, _Leaf | _Branch]]) -> None:
        self.source = source
        self.parts = parts

    def render(self, scope: Mapping[str, object], unknown: Callable[[str], Json] | None) -> Json:
        value = self.source.copy()
        for key, part in self.parts:
            value[key] = part.render(scope, unknown)
        return value  # type: ignore[no-any-return]  # a copy of a list or a mapping

    def flow(self, source: Callable[[Steps, Path], Flow]) -> Flow:
        found = {key: part.flow(source) for key, part in self.parts}
        if all(each.clean for each in found.values()):
            return CLEAN
        keys = self.source if isinstance(self.source, dict) else range(len(self.source))
        return literal({key: found.get(key, CLEAN) for key in keys})


class _Finder:
    """Finds the texts with expressions in a value."""

    def __init__(self) -> None:
        self.leaves: list[_Leaf] = []
        self.errors: list[ExpressionError] = []
        self._at: list[str | int] = []

    def part(self, value: Any) -> _Leaf | _Branch | None:
        """What of the value has expressions, None if nothing has."""
        if isinstance(value, str):
            return self._leaf(value) if "{" in value or "}" in value else None
        if isinstance(value, dict):
            self._keys(value)
            return self._branch(value, value.items())
        if isinstance(value, list):
            return self._branch(value, enumerate(value))
        return None

    def _branch(self, value: Any, items: Any) -> _Branch | None:
        if len(self._at) >= MAX_LEAF_DEPTH:
            self._complain(Fault(f"a value nested deeper than {MAX_LEAF_DEPTH}", "expression-limit", offset=0))
            return None
        parts = []
        for key, item in items:
            if not isinstance(item, (str, dict, list)):
                continue
            self._at.append(key)
            part = self.part(item)
            if part:
                parts.append((key, part))
            self._at.pop()
        return _Branch(value, parts) if parts else None

    def _keys(self, mapping: dict[str, Any]) -> None:
        for key in mapping:
            if isinstance(key, str) and "{" in key and _MARK.search(key):
                message, hint = (
                    "a mapping's key is literal, not an expression",
                    "name the key literally",
                )
                self._at.append(key)
                self._complain(Fault(message, "expression-refused", offset=0, hint=hint))
                self._at.pop()

    def _leaf(self, text: str) -> _Leaf | None:
        match = _WHOLE_PATH.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match:
            path = _steps(match.group(1))
            if not _is_odd(path):
                start = match.start(1)
                return self._keep(text, [_Expression(PATH, (path,), start, match.group(1))], whole=True)
        pieces = self._pieces(text)
        expressions = [piece for piece in pieces if not isinstance(piece, str)]
        if not expressions:
            return None
        blank = all(piece.isspace() for piece in pieces if isinstance(piece, str))
        sound = [piece for piece in pieces if piece is not None]
        return self._keep(text, sound, whole=blank and len(expressions) == 1)

    def _keep(self, text: str, pieces: list[str | _Expression], *, whole: bool) -> _Leaf:
        leaf = _Leaf(text, tuple(self._at), pieces, whole)
        self.leaves.append(leaf)
        return leaf

    def _pieces(self, text: str) -> list[str | _Expression | None]:
        """The texts and expressions of a leaf, None for one with faults; nothing if they have no end."""
        pieces: list[str | _Expression | None] = []
        position = 0
        try:
            while mark := _MARK.search(text, position):
                if mark.group() != "{{":
                    raise _mark_fault(mark)
                if mark.start() > position:
                    pieces.append(text[position : mark.start()])
                position = self._one(text, mark.end(), pieces)
        except Fault as fault:
            self._complain(fault)
            return []
        if position < len(text):
            pieces.append(text[position:])
        return pieces

    def _one(self, text: str, start: int, pieces: list[str | _Expression | None]) -> int:
        """Reads the expression at `start`, behind its braces; where the text continues behind it."""
        if text[start : start + 1] in ("-", "+"):
            raise control_fault(start)
        simple = _SIMPLE.match(text, start - 2, start + MAX_LENGTH + 4)
        end = simple.end() if simple else lex(text, start)[1]
        try:
            pieces.append(_expression(text[start : end - 2], start))
        except Fault as fault:
            pieces.append(None)
            self._complain(fault)
        return end

    def _complain(self, fault: Fault) -> None:
        self.errors.append(_error(fault, tuple(self._at)))


def _error(fault: Fault, at: Path) -> ExpressionError:
    offset = max(fault.offset, 0)
    return ExpressionError(fault.message, at=at, offset=offset, hint=fault.hint, rule=fault.rule)


def _mark_fault(mark: re.Match[str]) -> Fault:
    found = mark.group()
    if found == "}}":
        message, rule = "}} closes nothing", "expression-syntax"
    else:
        message, rule = (
            f"{found} is not part of this language, which has expressions only",
            "expression-refused",
        )
    return Fault(message, rule, offset=mark.start(), hint=f"write {{{{ '{found}' }}}} for the characters themselves")


class Template:
    """A value whose texts may hold expressions.

    `errors` are all faults found when it was read, `literal` says that there is no expression anywhere,
    `whole` that the value is one text that is exactly one expression, and so has that expression's own type.
    """

    __slots__ = ("_leaves", "_references", "_root", "errors", "literal", "source", "whole")

    source: Json
    errors: tuple[ExpressionError, ...]
    literal: bool
    whole: bool

    def __init__(self, source: Json) -> None:
        reader = _Finder()
        self.source = source
        self._root = reader.part(source)
        self._leaves = reader.leaves
        self._references: tuple[Reference, ...] | None = None
        self.errors = tuple(reader.errors)
        self.literal = self._root is None and not self.errors
        self.whole = isinstance(self._root, _Leaf) and self._root.whole

    @property
    def references(self) -> tuple[Reference, ...]:
        """All paths that its expressions name, in the order in which they stand."""
        if self._references is None:
            self._references = tuple([each for leaf in self._leaves for each in leaf.references()])
        return self._references

    def render(self, scope: Mapping[str, object], *, unknown: Callable[[str], Json] | None = None) -> Json:
        """The value with every expression evaluated; it shares its parts with `source` and `scope`.

        `scope` has a JSON value or a Namespace for each root. Raises ExpressionError (the first of `errors`
        if there are any). Where a namespace raises NotKnownYet, the leaf becomes `unknown(its text)`; without
        `unknown`, NotKnownYet continues.
        """
        if self.errors:
            raise self.errors[0]
        return self.source if self._root is None else self._root.render(scope, unknown)

    def flow(self, source: Callable[[Steps, Path], Flow]) -> Flow:
        """Whose answers are in its value; `source` tells that of the value of a path, in the leaf at a place."""
        return CLEAN if self._root is None else self._root.flow(source)

    def __repr__(self) -> str:
        return f"Template({self.source!r})"


def compile(value: Json) -> Template:  # noqa: A001 - what the re module calls it too
    """Reads all expressions in a value; faults are in `errors`. Only what is constant is evaluated."""
    return Template(value)
