"""YAML text, read in one pass into plain values that know their line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from v6flow.core.language import quoting, scalars
from v6flow.core.language.problem import InvalidError
from v6flow.core.language.redaction import NOT_YAML, is_secret
from v6flow.core.language.source import MAX_BYTES, Source, decode
from v6flow.core.language.syntax import TIGHT_COLON, explain
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.language.problem import Path, Position, Problem

__all__ = ["MAX_BYTES", "MAX_CONTAINERS", "MAX_DEPTH", "MAX_PROBLEMS", "Document", "parse"]

MAX_DEPTH = 64  # a workflow nests some 15 levels; each level costs the reader two Python frames
MAX_CONTAINERS = 500_000  # mappings and lists: ten times a workflow of 10,000 steps, at most 200 MB of memory
MAX_PROBLEMS = 50  # nobody reads more, and a bomb is nothing but problems

_UNKNOWN = object()
_UNFIT = pattern("[\0\ud800-\udfff]")  # no file name, argument or UTF-8 text can hold these


class Document:
    """A file as parsed: `value` is plain data, a mapping at the top, and not to be changed."""

    __slots__ = ("_offsets", "_order", "_root", "_source", "value")

    def __init__(self, source: Source, value: dict[str, Any], root: int, offsets: dict[int, list[int]]) -> None:
        self._source = source
        self.value = value
        self._root = root
        self._offsets = offsets  # by the id of a container: key, value, key, value, … or item, item, …
        self._order: dict[int, dict[str, int]] = {}

    @property
    def name(self) -> str:
        """What problems call the file."""
        return self._source.name

    @property
    def text(self) -> str:
        """The text that was parsed."""
        return self._source.text

    def position(self, path: Path) -> Position:
        """The place of the value at `path`; where there is none, that of the deepest ancestor there is."""
        return self._source.place(self._find(path)[1])

    def key_position(self, path: Path) -> Position:
        """The place of the key that leads to the value at `path` (of a list's item, the item itself).

        Where there is none, that of the key of the deepest ancestor there is.
        """
        return self._source.place(self._find(path)[0])

    def line(self, number: int) -> str:
        """The text of a line, numbered from 1, without its end; empty beyond the last."""
        return self._source.line(number)

    def _find(self, path: Path) -> tuple[int, int]:
        value: Any = self.value
        key_at = value_at = self._root
        for part in path:
            offsets = self._offsets.get(id(value), [])
            if isinstance(value, dict) and isinstance(part, str) and part in value:
                at = 2 * self._ordinal(value, part)
                key_at, value_at = offsets[at], offsets[at + 1]
                value = value[part]
            elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
                key_at = value_at = offsets[part]
                value = value[part]
            else:
                break
        return key_at, value_at

    def _ordinal(self, mapping: dict[str, Any], key: str) -> int:
        order = self._order.get(id(mapping))
        if order is None:
            order = self._order[id(mapping)] = {key: ordinal for ordinal, key in enumerate(mapping)}
        return order[key]


def parse(text: bytes | str, name: str, *, listed: bool = False) -> Document:
    """The document in a YAML text; `name` is what problems call the file, `listed` accepts a list at its top.

    Raises InvalidError with the problems found, at most MAX_PROBLEMS; bad syntax or a limit ends the search.
    """
    source = decode(text, name)
    return _Pass(source, _parser(source.text).get_event, listed=listed).read()


class _StopError(Exception):
    """A problem was found after which reading on makes no sense."""


class _Pass:
    """One pass over a parser's events; builds values, their places and the problems together."""

    def __init__(self, source: Source, following: Callable[[], Any], *, listed: bool = False) -> None:
        self._source = source
        self._listed = listed
        self._text = source.text
        self._next = following
        self._known: dict[str, Any] = dict(scalars.WORDS)  # plain scalars resolved so far
        self._offsets: dict[int, list[int]] = {}
        self._problems: list[Problem] = []
        self._escapes = "\\" in source.text

    def read(self) -> Document:
        document = None
        try:
            document = self._document()
        except _StopError:
            pass
        except yaml.MarkedYAMLError as error:
            self._add_syntax(explain(error, self._source))
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # also of chr(), in PyYAML's own parser
            self._problems.append(self._source.problem(0, "syntax", f"{NOT_YAML}: {error}"))
        if self._problems or document is None:
            self._problems.sort(key=lambda problem: problem.position)
            raise InvalidError(self._problems, what=self._source.name)
        return document

    def _add_syntax(self, fault: Problem) -> None:
        """Note a fault of syntax, and forget what only follows from it: one fault, one problem."""
        twins = [p for p in self._problems if (p.position, p.rule) == (fault.position, fault.rule)]
        before = [p for p in self._problems if p.position < fault.position]
        self._problems = [*before, *(twins[:1] or [fault])]

    def _document(self) -> Document:
        self._next()  # the stream's start
        event = self._next()
        kind = event.__class__
        if kind is not DocumentStartEvent:
            self._stop(0, "empty", "the file is empty", "write lines of `key: value`")
        if event.version or event.tags:
            hint = "remove the lines that begin with %"
            self._refuse(event.start_mark.index, "directive", "YAML directives are not accepted", hint)
        root = self._next()
        kind = root.__class__
        if kind is not MappingStartEvent and not (self._listed and kind is SequenceStartEvent):
            self._refuse_top(root)
        value = self._container(root, 1)
        self._next()  # the document's end
        event = self._next()
        kind = event.__class__
        if kind is DocumentStartEvent:
            hint = "keep one document in a file"
            self._stop(event.start_mark.index, "several-documents", "a second document begins here", hint)
        return Document(self._source, value, root.start_mark.index, self._offsets)

    def _refuse_top(self, root: Any) -> NoReturn:
        kind, plain = root.__class__, root.__class__ is ScalarEvent and not root.style
        if plain and not root.value:
            self._stop(0, "empty", "the file is empty", "write lines of `key: value`")
        if plain and (tight := TIGHT_COLON.match(root.value)):
            at = root.start_mark.index + tight.end()
            self._stop(at, "syntax", "a space is missing after this colon", "write `key: value`")
        what = "a list" if kind is SequenceStartEvent else "a text"
        message = f"the file must be a mapping at its top, and is {what}"
        self._stop(root.start_mark.index, "top-level", message, "write lines of `key: value`")

    def _container(self, event: Any, depth: int) -> Any:
        self._guard_depth(event, depth)
        if len(self._offsets) >= MAX_CONTAINERS:
            message = f"more than {MAX_CONTAINERS:,} mappings and lists"
            self._stop(event.start_mark.index, "too-large", message, "move data to other files")
        if event.anchor is not None or event.tag is not None:
            self._refuse_property(event)
        if event.__class__ is MappingStartEvent:
            return self._mapping(event, depth)
        return self._sequence(depth)

    # These two loops repeat each other and look up no more than they must: half of the time goes here.
    def _mapping(self, start: Any, depth: int) -> dict[str, Any]:
        following, known = self._next, self._known
        mapping: dict[str, Any] = {}
        offsets: list[int] = []
        while True:
            event = following()
            kind = event.__class__
            if kind is not ScalarEvent:
                if kind is MappingEndEvent:
                    break
                self._skip_bad_key(event, start)
                continue
            key, key_at = event.value, event.start_mark.index
            if key in mapping or not key or key == "<<" or event.tag is not None or event.anchor is not None:
                key = self._check_key(event, mapping, offsets)
            elif self._escapes and event.style:
                self._check_characters(event)
            event = following()
            kind = event.__class__
            if kind is ScalarEvent:
                if event.style or event.tag is not None or event.anchor is not None:
                    item = self._styled(event)
                else:
                    item = known.get(event.value, _UNKNOWN)
                    if item is _UNKNOWN:
                        item = self._plain(event, key, key_at)
            elif kind is AliasEvent:
                item = self._alias(event)
            else:
                item = self._container(event, depth + 1)
            mapping[key] = item
            offsets += (key_at, event.start_mark.index)
        self._offsets[id(mapping)] = offsets
        return mapping

    def _sequence(self, depth: int) -> list[Any]:
        following, known = self._next, self._known
        items: list[Any] = []
        offsets: list[int] = []
        while True:
            event = following()
            kind = event.__class__
            if kind is ScalarEvent:
                if event.style or event.tag is not None or event.anchor is not None:
                    item = self._styled(event)
                else:
                    item = known.get(event.value, _UNKNOWN)
                    if item is _UNKNOWN:
                        item = self._plain(event, None, event.start_mark.index)
            elif kind is SequenceEndEvent:
                break
            elif kind is AliasEvent:
                item = self._alias(event)
            else:
                item = self._container(event, depth + 1)
            items.append(item)
            offsets.append(event.start_mark.index)
        self._offsets[id(items)] = offsets
        return items

    def _styled(self, event: Any) -> str:
        """A scalar that is quoted or a block, or one with an anchor or tag: its text."""
        if event.tag is not None or event.anchor is not None:
            self._refuse_property(event)
        if self._escapes:
            self._check_characters(event)
        text: str = event.value
        return text

    def _plain(self, event: Any, key: str | None, key_at: int) -> Any:
        """The value of a plain scalar that was not met before."""
        text: str = event.value
        if not text:
            self._blank(event, key, key_at)
            return None
        try:
            value = scalars.resolve(text)
        except scalars.OddScalarError as error:
            message, hint = str(error), error.hint
            if key is not None and (is_secret(key) or "key" in key.lower()):
                message, hint = "a number that YAML readers understand differently", "put quotes around it"
            self._refuse(event.start_mark.index, error.rule, message, hint)
            return None
        self._known[text] = value
        return value

    def _blank(self, event: Any, key: str | None, key_at: int) -> None:
        if key is None:
            at = len(self._text[: event.start_mark.index].rstrip(" \r\n")) - 1  # the dash before it
            self._refuse(at, "blank", "an empty item", "write the item, or null, or remove it")
            return
        hint = "write a value, {} or null, indent what belongs to it, or leave the key out"
        if ":" in key and self._text.startswith(key, key_at):
            name, _, rest = key.partition(":")
            hint = f"a space is missing after the colon: {_clip(name)}: {_clip(rest)}"
        self._refuse(key_at, "blank", f"there is no value after `{_clip(key)}`", hint)

    def _check_characters(self, event: Any) -> None:
        if odd := _UNFIT.search(event.value):
            message = f"the text has U+{ord(odd.group()):04X} in it, which names, files and programs cannot hold"
            self._refuse(event.start_mark.index, "character", message, "remove the escape")

    def _check_key(self, event: Any, mapping: dict[str, Any], offsets: list[int]) -> str:
        """The key to continue with, once what is wrong with it is noted."""
        key, at = event.value, event.start_mark.index
        if event.tag is not None or event.anchor is not None:
            self._refuse_property(event)
        if not key and not event.style:
            self._refuse(at, "blank", "a colon with no key before it", "write the key")
        elif key == "<<" and not event.style:
            self._refuse(at, "merge-key", "merge keys (<<) are not accepted", "write the keys out")
        if key in mapping:
            first = self._source.place(offsets[2 * list(mapping).index(key)])
            message = f"the key `{_clip(key)}` is already at {first.line}:{first.column}"
            self._refuse(at, "duplicate-key", message, "keep one of them")
            return f"{key}\0{at}"  # another key, so that offsets and entries stay in step
        return str(key)

    def _skip_bad_key(self, event: Any, start: Any) -> None:
        """A key that is not a scalar, and its value."""
        begin: int = start.start_mark.index
        at: int = event.start_mark.index
        kind = event.__class__
        if kind is AliasEvent:
            self._alias(event)
        elif self._text.startswith("{{", begin) and at == begin + 1:
            hint = quoting.unquoted(self._source, begin).hint
            self._refuse(begin, "unquoted-expression", "an expression needs quotes here", hint)
        else:
            what = "list" if event.__class__ is SequenceStartEvent else "mapping"
            self._refuse(at, "odd-key", f"a {what} is used as a key here", "keys are text; put quotes around it")
        self._skip(event)
        self._skip(self._next())

    def _skip(self, event: Any) -> None:
        depth = 0
        while True:
            if event.__class__ is MappingStartEvent or event.__class__ is SequenceStartEvent:
                depth += 1
                self._guard_depth(event, depth)
            elif event.__class__ is MappingEndEvent or event.__class__ is SequenceEndEvent:
                depth -= 1
            if depth == 0:
                return
            event = self._next()

    def _guard_depth(self, event: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            self._stop(event.start_mark.index, "depth", message, "flatten it, or move data to other files")

    def _alias(self, event: Any) -> Any:
        hint = f'write the value out, or put quotes around "*{_clip(event.anchor)}" if it is text'
        self._refuse(event.start_mark.index, "alias", "aliases (*) are not accepted", hint)
        return None

    def _refuse_property(self, event: Any) -> None:
        at = event.start_mark.index
        if event.anchor is not None:
            hint = f'remove it, or put quotes around the text if it begins with "&{_clip(event.anchor)}"'
            self._refuse(at, "anchor", "anchors (&) are not accepted", hint)
        if event.tag is not None:
            hint = "remove it; for text, put quotes around the value"
            self._refuse(at, "tag", f"tags (!) are not accepted, here {_clip(event.tag)}", hint)

    def _refuse(self, at: int, rule: str, message: str, hint: str) -> None:
        self._problems.append(self._source.problem(at, rule, message, hint))
        if len(self._problems) >= MAX_PROBLEMS:
            raise _StopError

    def _stop(self, at: int, rule: str, message: str, hint: str) -> NoReturn:
        self._refuse(at, rule, message, hint)
        raise _StopError


def _parser(text: str) -> Any:
    """A parser with `get_event`: libyaml's, or PyYAML's own where it came without libyaml."""
    if yaml.__with_libyaml__:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]  # its stub does not export it

        return CParser(text)
    return _own_parser(text)


def _own_parser(text: str) -> Any:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class OwnParser(Reader, Scanner, Parser):
        def __init__(self) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)

    return OwnParser()


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
