"""Finds the words of a command in which an expression would be code, or would choose what runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow.core.kinds import programs
from v6flow.core.kinds.programs import CHOOSING, CODE_OPTIONS, INTERPRETERS, SEARCHES, STARTERS, Interpreter, Starter
from v6flow.core.language.messages import clip
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from v6flow.core.kinds.programs import Kind

STDIN = "or pass it as kwargs, which the program gets as JSON on stdin and in the file $V6FLOW_INPUT"

_EXPRESSION = pattern(r"\{\{[^{}\"]{1,80}\}\}")
_ASSIGNMENT = pattern(r"([A-Za-z_][A-Za-z0-9_]*)=")


class Misuse(Struct, frozen=True):
    """A word of a command, by its index, whose expression must not are there: why, and the remedy."""

    index: int
    message: str
    hint: str


def misuses(words: Sequence[str]) -> list[Misuse]:
    """What is wrong with the expressions in a command: each word that would be code, or choose what runs."""
    if not any(map(_is_computed, words)):
        return []
    bare = [word.strip() if _is_computed(word) else word for word in words]  # as an expression alone is rendered
    return list(_program(bare, 0, len(bare)))


def could_be_option(words: Sequence[str], index: int) -> bool:
    """Whether the value of a sound command's expression could be read as an option: nothing stands before it, no `--`.

    What follows code that is in the command itself is not: the code reads it, in sight of who wrote both.
    """
    if not words[index].lstrip().startswith("{{") or "--" in words[:index]:
        return False
    names = [programs.name(word) for word in words[:index]]
    at = next((each for each, name in enumerate(names) if name in INTERPRETERS), None)
    if at is None:
        return True
    how = INTERPRETERS[names[at]]
    options = [_kind(how.options, word, how)[0] for word in words[at + 1 : index] if how.first == "file"]
    return how.first == "file" and not {"code", "later", "rest"} & set(options)


def _is_computed(word: str) -> bool:
    return "{{" in word


def _program(words: Sequence[str], at: int, end: int) -> Iterator[Misuse]:
    """What is wrong where a command begins at an index."""
    if at >= end:
        return
    if _is_computed(words[at]):
        yield Misuse(at, "an expression here chooses the program that runs", "write the program's name")
        return
    name = programs.name(words[at])
    if name in INTERPRETERS:
        yield from _Reading(words, at, end, INTERPRETERS[name]).misuses()
    elif name in STARTERS:
        yield from _started(words, at, end, STARTERS[name])
    elif name == "find":
        yield from _searching(words, at, end)
    else:
        yield from _unknown(words, at, end)


def _started(words: Sequence[str], at: int, end: int, starter: Starter) -> Iterator[Misuse]:
    """What is wrong behind a program that starts another one."""
    left, index = starter.words, at + 1
    while index < end:
        word = words[index]
        if word == "--":
            index += 1
            break
        if word.startswith("-"):
            kind, inline = _kind(starter.options, word)
            if kind == "code":
                yield from _code(words, index if inline else index + 1, end, words[at], None)
            elif _is_computed(word) and not inline:
                yield _could_be_code(words, index, words[at], None)
            index += 1 + (kind is not None and not inline)
            continue
        if starter.assigns and (assigned := _ASSIGNMENT.match(word)):
            if assigned[1] in CHOOSING:
                yield from _chosen(words, index, end)
            index += 1
            continue
        if not left:
            break
        if word.startswith("{{"):
            yield _could_be_code(words, index, words[at], None)
        left, index = left - 1, index + 1
    if starter.searched:
        yield from _searched(words, index, end, strict=True)
    else:
        yield from _program(words, index, end)


def _searching(words: Sequence[str], at: int, end: int) -> Iterator[Misuse]:
    """What is wrong with the commands within a command of `find`."""
    index = at + 1
    while index < end:
        if words[index] in SEARCHES:
            last = next((each for each in range(index + 1, end) if words[each] in (";", "\\;", "+")), end)
            yield from _program(words, index + 1, last)
            index = last
        index += 1


def _unknown(words: Sequence[str], at: int, end: int) -> Iterator[Misuse]:
    """What is wrong with the command of a program that we do not know: it may start another one."""
    for index in range(at + 1, end):
        option, equals, _ = words[index].partition("=")
        if option in CODE_OPTIONS:
            yield from _code(words, index if equals else index + 1, end, words[at], None)
    yield from _searched(words, at + 1, end, strict=False)


def _searched(words: Sequence[str], at: int, end: int, *, strict: bool) -> Iterator[Misuse]:
    """What is wrong behind the first interpreter among some words; unless `strict` only where an option follows it."""
    for index in range(at, end):
        word = words[index]
        option, equals, value = word.partition("=")
        if option == "--entrypoint":  # of a container: all that follows is for it
            program = value if equals else words[index + 1] if index + 1 < end else ""
            if programs.name(program) in INTERPRETERS:
                yield from _all_code(words, index + 1, end, program)
                return
        if _is_computed(word) or programs.name(word) not in {*INTERPRETERS, *STARTERS}:
            continue
        if strict or (index + 1 < end and words[index + 1].startswith("-") and programs.name(word) in INTERPRETERS):
            yield from _program(words, index, end)
            return


class _Reading:
    """Reads the command line of an interpreter as it would, up to where all that follows are arguments."""

    def __init__(self, words: Sequence[str], at: int, end: int, interpreter: Interpreter) -> None:
        self._words, self._at, self._end = words, at, end
        self._how = interpreter
        self._first = interpreter.first
        self._settled = False  # it is known what code runs
        self._ended = False  # no options follow

    def misuses(self) -> Iterator[Misuse]:
        index = self._at + 1
        while index < self._end and not self._only_arguments():
            word = self._words[index]
            if not self._ended and word in self._how.ends:
                self._ended = True
            elif not self._ended and self._is_option(word):
                found, index = self._option(index)
                yield from found
            elif not self._ended and word.startswith("{{"):
                yield self._could_be_code(index)
                self._settled = self._settled or self._first in ("file", "code")
            else:
                yield from self._word(index)
            index += 1

    @property
    def _program(self) -> str:
        return self._words[self._at]

    def _only_arguments(self) -> bool:
        return self._settled and self._first not in ("rest", "database") and (self._ended or self._how.stops)

    def _is_option(self, word: str) -> bool:
        if word[:1] == "+":
            return "+o" in self._how.options  # of shells: +x takes back -x
        return (word[:1] == "-" and len(word) > 1) or word in self._how.options

    def _option(self, index: int) -> tuple[list[Misuse], int]:
        """What is wrong with an option and what belongs to it, and the index of the last word of that."""
        word = self._words[index]
        kind, inline = _kind(self._how.options, word, self._how)
        last = index if inline or kind in (None, "later", "inline") else index + (2 if kind == "pair" else 1)
        if kind == "rest":
            return list(_all_code(self._words, index, self._end, self._program, self._how)), self._end
        if kind == "later":
            self._first = "code"
        if kind == "code":
            self._settled = True
            return list(_code(self._words, last, self._end, self._program, self._how)), last
        if kind == "file":
            self._settled = self._settled or self._how.stops or self._first == "code"
            self._first = "file" if self._first == "rest" else self._first
            return list(_chosen(self._words, last, self._end)), last
        if kind is None and _is_computed(word) and not re.match(r"--[\w-]+=", word):
            return [self._could_be_code(index)], last
        return [], last

    def _could_be_code(self, index: int) -> Misuse:
        found = _could_be_code(self._words, index, self._program, self._how)
        if not self._settled or "--" not in self._how.ends:
            return found
        return Misuse(index, found.message, f"write -- before it, {STDIN}")  # the code is there already

    def _word(self, index: int) -> Iterator[Misuse]:
        """What is wrong with a word that is no option."""
        if self._first == "rest":
            yield from _all_code(self._words, index, self._end, self._program, self._how)
        elif self._first == "database":
            if self._settled:
                yield from _code(self._words, index, self._end, self._program, self._how)
        elif self._first != "data" and not self._settled:
            if self._first == "code":
                yield from _code(self._words, index, self._end, self._program, self._how)
            else:
                yield from _chosen(self._words, index, self._end)
        self._settled = True
        self._ended = self._ended or not self._how.permutes


def _kind(options: Mapping[str, Kind], word: str, how: Interpreter | None = None) -> tuple[Kind | None, bool]:
    """What follows an option, None if nothing does; and whether it is in the same word."""
    option, equals, _ = word.partition("=")
    if how is not None and how.prefixes:
        option, colon, _ = re.sub(r"^--?", "-", option).lower().partition(":")
        found = next((kind for name, kind in options.items() if len(option) > 1 and name.startswith(option)), None)
        return found, bool(colon)
    if option in options:
        return options[option], bool(equals)
    if word.startswith("--"):
        long = [name for name in options if equals and len(option) > 4 and name.startswith(option)]
        return (options[long[0]], True) if long else (None, bool(equals))
    if how is not None and not how.clusters:  # -e'code', -Dcode
        near = next((name for name in options if len(name) == 2 and word.startswith(name)), None)
        return (options[near], True) if near else (None, False)
    literal = word.partition("{{")[0]
    for position, letter in enumerate(literal[1:], start=1):
        kind = options.get(f"{word[0]}{letter}")
        if kind == "later":
            rest = _kind(options, f"{word[0]}{word[position + 1 :]}", how) if word[position + 1 :] else (None, False)
            return ("later", False) if rest[0] is None else rest
        if kind is not None:
            return kind, kind == "inline" or len(word) > position + 1
    return None, False


def _code(words: Sequence[str], at: int, end: int, program: str, how: Interpreter | None) -> Iterator[Misuse]:
    """What is wrong with a word that is code."""
    if at < end and _is_computed(words[at]):
        message = f"the value of this expression would be run as code by {_shown(program)}"
        yield Misuse(at, message, _remedy(words[at], program, how))


def _all_code(
    words: Sequence[str], at: int, end: int, program: str, how: Interpreter | None = None
) -> Iterator[Misuse]:
    for index in range(at, end):
        yield from _code(words, index, end, program, how)


def _chosen(words: Sequence[str], at: int, end: int) -> Iterator[Misuse]:
    """What is wrong with a word that is the name of a file or module that is run."""
    if at < end and _is_computed(words[at]):
        yield Misuse(at, "an expression here chooses the code that runs", f"write it without expressions, {STDIN}")


def _could_be_code(words: Sequence[str], at: int, program: str, how: Interpreter | None) -> Misuse:
    """What is wrong with a value where options are still read."""
    message = f"{_shown(program)} reads options here, so the value of this expression could make it run other code"
    return Misuse(at, message, _remedy(words[at], program, how))


def _remedy(word: str, program: str, how: Interpreter | None) -> str:
    """How to pass the value of an expression to a program, as data."""
    found = _EXPRESSION.findall(word)
    bare = found[0] if len(found) == 1 else "{{ … }}"
    if how is None or not how.remedy:
        return f"write the code without expressions, {STDIN}"
    written = how.remedy.format(program=program, value=f'"{bare}"', bare=bare)
    if not written.startswith("["):
        return f"{written}; {STDIN}"
    return f"pass it as an argument, as in command: {written}; {STDIN}"


def _shown(program: str) -> str:
    return clip(program)
