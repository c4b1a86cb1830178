"""How a YAML text is laid out: where each mapping, list and scalar begins and ends, and in which style."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from msgspec import Struct, field
from yaml.events import CollectionEndEvent, MappingStartEvent, ScalarEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Block(Struct):
    """A mapping, a list or a scalar; lines and columns count from 0, `start` and `end` are offsets in the text.

    `key` is that of the entry of a mapping, None of a list's item and at the top. `last` is the last line with
    anything of it.
    """

    start: int
    line: int
    column: int
    key: Block | None = None
    name: str = ""  # of a scalar: its text
    kind: str = "scalar"  # or mapping, sequence
    flow: bool = False  # {…} or […]
    block: bool = False  # a text behind | or >
    indent: int | None = None  # of the lines of such a text, where it is not said behind the |
    end: int = 0
    last: int = 0
    children: list[Block] = field(default_factory=list)

    @property
    def laid_out(self) -> bool:
        """Whether it is a mapping or a list whose entries stand below each other, by indentation."""
        return self.kind != "scalar" and not self.flow

    def child(self, name: str) -> Block | None:
        """The value of a mapping's key."""
        return next((each for each in self.children if each.key is not None and each.key.name == name), None)


def layout(text: str) -> Block:
    """The layout of a text that `document.parse` takes; its lines end with \\n."""
    events = yaml.parse(text, Loader=_LOADER)
    next(events)  # the stream's start
    next(events)  # the document's
    return _node(next(events), events, text.split("\n"))


def _node(event: Any, events: Iterator[Any], lines: list[str]) -> Block:
    mark = event.start_mark
    node = Block(mark.index, mark.line, mark.column)
    if isinstance(event, ScalarEvent):
        node.name = event.value
        node.block = event.style in ("|", ">")
        _end(node, event.end_mark, lines)
        return node
    node.kind = "mapping" if isinstance(event, MappingStartEvent) else "sequence"
    node.flow = bool(event.flow_style)
    while not isinstance(event := next(events), CollectionEndEvent):
        child = _node(event, events, lines)
        if node.kind == "mapping":
            key, child = child, _node(next(events), events, lines)
            child.key = key
        node.children.append(child)
    if node.flow:
        _end(node, event.end_mark, lines)
    else:
        node.end, node.last = node.children[-1].end, node.children[-1].last
    return node


def _end(node: Block, mark: Any, lines: list[str]) -> None:
    node.end, node.last = mark.index, mark.line
    if not node.block:
        return
    if mark.column == 0:  # the mark is where the next line begins
        node.last -= 1
    header = lines[node.line][node.column :].partition("#")[0]
    body = lines[node.line + 1 : node.last + 1]
    if not any(character.isdigit() for character in header):
        node.indent = next((len(line) - len(line.lstrip(" ")) for line in body if line.strip(" ")), None)
    if "+" in header:  # the blank lines at its end are part of it
        return
    while node.last > node.line and len(lines[node.last]) <= (node.indent or 0) and not lines[node.last].strip(" "):
        node.last -= 1
