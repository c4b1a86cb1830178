"""A file of ours in the one way to write it: its keys in order, two spaces a level, nothing changed.

Text is moved, never written again: each line keeps its words, quotes and comments. What comes out is parsed, and
refused if it says anything else than before.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from v6flow.core.language import document
from v6flow.core.language.layout import Block, layout
from v6flow.core.language.problem import InvalidError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

STEP = 2  # spaces a level
TOP = (
    "v6flow", "name", "description", "params", "federation", "include", "defaults", "preconditions",
    "steps", "finally", "outputs",
)  # fmt: skip
"""The keys at the top of a workflow, from what it is to what comes of it."""

_STEPS = ("steps", "finally")  # the keys whose values are steps by name


class Order(Struct, frozen=True):
    """The order of the keys of a mapping, and where those inside it have one.

    `inside` is by key, `each` for all keys that are in no order: names of steps, of cases.
    """

    keys: tuple[str, ...] = ()
    inside: Mapping[str, Order] = field(default_factory=dict)
    each: Order | None = None

    def of(self, key: str) -> Order | None:
        """The order of what is under a key; None if that is data, which is not ours to order."""
        return self.inside.get(key, self.each)


def order(value: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> Order | None:
    """The order of a file's keys; None for what is none of ours.

    `schemas` has `workflow`, `federation` and `test`: all keys but those at the top of a workflow are in the order of
    theirs, the key that says of what kind a step is before the others.
    """
    if "v6flow_federation" in value:
        schema = schemas["federation"]
        of_backend = schema["$defs"].get(value.get("backend"), schema)
        return Order(tuple(of_backend.get("properties", {})))
    if "v6flow_test" in value:
        return _of_test(schemas["test"])
    if "v6flow" not in value:
        return None
    step = schemas["workflow"]["$defs"]["step"]
    kinds = [key for each in step["oneOf"] for key in each["required"]]
    return Order(TOP, dict.fromkeys(_STEPS, _of_steps(tuple(dict.fromkeys([*kinds, *step["properties"]])))))


def _of_steps(keys: tuple[str, ...]) -> Order:
    """The order of steps by name: each may have others nested in what it says of its kind."""
    nested: dict[str, Order] = {}
    steps = Order(each=Order(keys, each=Order(inside=nested)))
    nested.update(dict.fromkeys(_STEPS, steps))
    return steps


def _of_test(schema: Mapping[str, Any]) -> Order:
    def keys(name: str) -> tuple[str, ...]:
        return tuple(schema["$defs"][name]["properties"])

    answers = Order(each=Order(each=Order(keys("outcome"))))
    decisions = Order(each=Order(keys("decision")))
    expect = Order(keys("expect"), {"steps": Order(each=Order(keys("step")))})
    case = Order(keys("case"), {"answers": answers, "decisions": decisions, "expect": expect})
    top = {"answers": answers, "decisions": decisions, "cases": Order(each=case)}
    return Order(tuple(schema["properties"]), top)


def formatted(text: str, name: str, order_of: Callable[[Mapping[str, Any]], Order | None]) -> str:
    """The text, formatted; `order_of` gives the order of the keys of what is in it.

    Raises InvalidError for what our reader refuses and for what cannot be formatted.
    """
    before = document.parse(text, name)
    keys = order_of(before.value)
    if keys is None:
        message = (
            "this is no workflow, federation or test file: none of v6flow: 1, v6flow_federation: 1 and v6flow_test: 1 "
            "stands in it"
        )
        raise InvalidError([Problem(message, "wrong-file", name)], what=name)
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    after = _tidied(_ordered(_tidied(plain), keys))  # blanks first: where they come to stand they might count
    if not _says_the_same(before.value, plain, after, name, keys):
        message = "this file cannot be formatted without changing what it says"
        hint = "it is left as it is; write mappings and lists without ? and over whole lines"
        raise InvalidError([Problem(message, "format", name, Position(1, 1), hint)], what=name)
    return after.replace("\n", "\r\n") if "\r\n" in text else after


# -------------------------------------------------------------------------------------------- the order of keys


def _ordered(text: str, keys: Order) -> str:
    root = layout(text)
    lines = text.split("\n")
    for node, wanted in _mappings(root, keys):  # the inner before the outer; each stays in its own lines
        if not wanted:
            continue
        ranks = {key: rank for rank, key in enumerate(wanted)}
        sequence = sorted(node.children, key=lambda child: ranks.get(_key(child).name, len(ranks)))
        if sequence == node.children:
            continue
        if node.flow:
            _order_flow(node, sequence, lines)
        elif all(not lines[_key(each).line][: _key(each).column].strip() for each in node.children):
            _order_blocks(node, sequence, lines, at_top=node is root)
    return "\n".join(lines)


def _mappings(node: Block, order: Order) -> Iterator[tuple[Block, tuple[str, ...]]]:
    """The mappings whose keys have an order, the inner before the outer."""
    if node.kind == "sequence":
        for item in node.children:
            yield from _mappings(item, order)
    if node.kind != "mapping":
        return
    for child in node.children:
        inner = order.of(_key(child).name)
        if inner is not None:
            yield from _mappings(child, inner)
    yield node, order.keys


def _order_flow(node: Block, sequence: Sequence[Block], lines: list[str]) -> None:
    """Put the entries of a `{…}` in order; one over several lines stays, since comments may be in it."""
    if node.line != node.last:
        return
    line = lines[node.line]
    begin = node.start - node.column  # the offset of the line: what is inside was moved within its own span
    spans = [(_key(each).start - begin, each.end - begin) for each in node.children]
    moved = [(_key(each).start - begin, each.end - begin) for each in sequence]
    written = line[: spans[0][0]]
    for index, (start, end) in enumerate(moved):
        after = spans[index + 1][0] if index + 1 < len(spans) else len(line)
        written += line[start:end] + line[spans[index][1] : after]
    lines[node.line] = written


def _order_blocks(node: Block, sequence: Sequence[Block], lines: list[str], *, at_top: bool) -> None:
    """Put the entries of a mapping in order, each with the comments above it and those inside it."""
    column = node.column
    starts = [_first_line(node, lines, at_top=at_top)]
    ends = []
    for entry, after in zip(node.children, node.children[1:], strict=False):
        ends.append(_last_line(entry, column, _key(after).line, lines) + 1)
        starts.append(ends[-1])
    ends.append(_last_line(node.children[-1], column, len(lines), lines) + 1)
    blocks = {id(entry): lines[start:end] for entry, start, end in zip(node.children, starts, ends, strict=True)}
    first, new_first = blocks[id(node.children[0])], blocks[id(sequence[0])]
    while new_first and not new_first[0].strip() and first is not new_first:  # blank lines stand between, not before
        first.insert(0, new_first.pop(0))
    lines[starts[0] : ends[-1]] = [line for entry in sequence for line in blocks[id(entry)]]


def _first_line(node: Block, lines: list[str], *, at_top: bool) -> int:
    """Where a mapping's first entry begins: with the comments right above it.

    Comments at the top of the file that no blank line follows are about the file and stay.
    """
    first = _key(node.children[0]).line
    start = first
    while start and lines[start - 1].lstrip(" ").startswith("#"):
        start -= 1
    about_file = at_top and not (start and not lines[start - 1].strip())
    return first if about_file else start


def _last_line(entry: Block, column: int, limit: int, lines: list[str]) -> int:
    """Where an entry ends: with the last comment before the next entry that is indented deeper than its key."""
    last = number = entry.last
    while (number := number + 1) < limit:
        line = lines[number].lstrip(" ")
        if line and (not line.startswith("#") or len(lines[number]) - len(line) <= column):
            break
        if line:
            last = number
    return last


def _key(entry: Block) -> Block:
    assert entry.key is not None  # the entry of a mapping
    return entry.key


# --------------------------------------------------------------------------------------------------- the layout


class _Lines(Struct):
    """What each line is, by its number from 0; columns are pairs of the old and the new one."""

    openings: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Where dashes, keys and values on lines of their own begin, from left to right."""
    levels: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """The columns of the mappings and lists that a line is in, outermost first."""
    shifts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of a line in the middle of a value: by how much it moves, and the least column it may come to."""
    kept: set[int] = field(default_factory=set)
    """Lines whose end is in the middle of a text: blanks there may count."""


def _tidied(text: str) -> str:
    """Two spaces a level, no blanks at the ends of lines, one blank line at most."""
    lines = text.split("\n")
    known = _Lines()
    root = layout(text)
    if root.laid_out:
        _open(root, 0, [], lines, known)
    else:
        _go_on(root, 0, 0, known)
    comments = _comments(lines, known)
    written: list[str] = []
    last_kept = -1  # the last of those written that is no blank line, or one in the middle of a text
    for number, line in enumerate(lines):
        told = _line(number, line, known, comments)
        if number not in known.kept:
            told = told.rstrip(" ")
            if not told and (not written or len(written) - 1 != last_kept):
                continue
        written.append(told)
        if told or number in known.kept:
            last_kept = len(written) - 1
    ended = len(lines) - 1 not in known.kept  # a text that ends with the file may not be given a line's end
    return "\n".join(written[: last_kept + 1]) + ("\n" if ended else "")


def _open(node: Block, column: int, levels: list[tuple[int, int]], lines: list[str], known: _Lines) -> None:
    """Note the lines of a mapping or list that is laid out by indentation, and will begin at a column."""
    inner = [*levels, (node.column, column)]
    before = node.line
    for child in node.children:
        line = _key(child).line if node.kind == "mapping" else _dash(node, child, before, lines)
        before = child.last
        known.openings.setdefault(line, []).append((node.column, column))
        known.levels[line] = inner
        if child.laid_out:
            _open(child, column + STEP, inner, lines, known)
            continue
        move = column - node.column
        if child.line > line:  # the value is on a line of its own
            known.openings[child.line] = [(child.column, column + STEP)]
            known.levels[child.line] = inner
            if not child.block:
                move = column + STEP - child.column
        if child.indent is not None:
            move = column + STEP - child.indent
        _go_on(child, move, column + STEP, known)


def _go_on(node: Block, move: int, least: int, known: _Lines) -> None:
    """Note the lines on which a scalar, or a `{…}` or `[…]`, continues."""
    for number in range(node.line + 1, node.last + 1):
        known.shifts[number] = (move, 0 if node.block or node.flow else least)
    if node.kind == "scalar":
        known.kept.update(range(node.line + node.block, node.last + node.block))
        return
    for child in node.children:
        for each in (child.key, child):
            if each is not None and each.kind == "scalar":
                known.kept.update(range(each.line, each.last))
            elif each is not None:
                _go_on(each, move, least, known)


def _dash(node: Block, item: Block, before: int, lines: list[str]) -> int:
    """The line with the dash of a list's item."""
    for number in range(item.line, before, -1):
        line = lines[number]
        if line[: node.column].strip(" ") == "" and line[node.column : node.column + 2].rstrip(" ") == "-":
            return number
    return node.line if item is node.children[0] else item.line


def _line(number: int, line: str, known: _Lines, comments: Mapping[int, int]) -> str:
    """A line as it is to be written."""
    bare = line.lstrip(" ")
    indent = len(line) - len(bare)
    if number in known.openings:
        return _opening(line, known.openings[number])
    if number in known.shifts and line:
        move, least = known.shifts[number]
        return " " * max(indent + move, least if bare else 0) + bare
    return " " * comments[number] + bare if number in comments else line


def _opening(line: str, openings: Sequence[tuple[int, int]]) -> str:
    written = ""
    for index, (old, new) in enumerate(openings):
        written = written.ljust(new)
        if index + 1 < len(openings):
            written += "-"
            continue
        rest = line[old:]
        if rest[:2].rstrip(" ") == "-":  # a dash, and what the item is
            rest = f"- {rest[1:].lstrip(' ')}"
        written += rest
    return written


def _comments(lines: Sequence[str], known: _Lines) -> dict[int, int]:
    """The new columns of comments on lines of their own: that of what stands below or, if deeper, above."""
    opened = sorted(known.levels)
    columns = {}
    behind_text = False  # what is indented there as deep as a text behind | would be part of it
    for number, line in enumerate(lines):
        bare = line.lstrip(" ")
        if number in known.openings or number in known.shifts:
            behind_text = number in known.kept
        elif bare.startswith("#"):
            at = bisect(opened, number)
            below = known.levels[opened[at]] if at < len(opened) else []
            above = known.levels[opened[at - 1]] if at else []
            columns[number] = _level(len(line) - len(bare), below, above, 0 if behind_text else STEP)
    return columns


def _level(column: int, below: list[tuple[int, int]], above: list[tuple[int, int]], most: int) -> int:
    """The new column for an old one: that of a level, or a little deeper, by `most` at most."""
    for levels in (below, above):
        for old, new in reversed(levels):
            if old == column:
                return new
    old, new = max((level for level in (*below, *above) if level[0] <= column), default=(column, column))
    return new + min(column - old, most)


# ------------------------------------------------------------------------------------------------- nothing changed


def _says_the_same(before: dict[str, Any], text: str, after: str, name: str, keys: Order) -> bool:
    """Whether a formatted text has the values and, but for blanks and order, the characters of the one before."""
    try:
        value = document.parse(after, name).value
    except InvalidError:
        return False
    return _same(before, value, keys) and Counter("".join(text.split())) == Counter("".join(after.split()))


def _same(before: Any, after: Any, order: Order | None = None) -> bool:
    """Whether two values are the same, types and the order of keys included, where the order is not ours to choose."""
    if type(before) is not type(after):
        return False
    if isinstance(before, list):
        return len(before) == len(after) and all(_same(a, b, order) for a, b in zip(before, after, strict=True))
    if not isinstance(before, dict):
        return bool(before == after)
    is_ours = order is not None and order.keys
    same_keys = before.keys() == after.keys() if is_ours else list(before) == list(after)
    return same_keys and all(_same(each, after[key], order.of(key) if order else None) for key, each in before.items())
