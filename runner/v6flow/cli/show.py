"""Output of commands: data on stdout, messages for people on stderr."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from v6flow import paths
from v6flow.core import json
from v6flow.core.language import redaction
from v6flow.core.language.problem import InvalidError
from v6flow.core.patterns import pattern
from v6flow.core.views import documents
from v6flow.core.views.summary import Error, no_run
from v6flow.errors import V6flowError
from v6flow.reporters import terminal
from v6flow.reporters.terminal import plain

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator, Sequence

    from v6flow.backends.base import Federation
    from v6flow.core.language.problem import Problem
    from v6flow.errors import InterruptedRunError


_SILENCE = 3.0  # seconds before a message about a slow server


class OutputError(V6flowError):
    """Stdout cannot be written, for example because the disk is full (exit 1)."""

    kind = "output"


def write(document: Any) -> None:
    """Write one JSON document to stdout."""
    data(spell(document, indent=2) + "\n")


def spell(value: Any, *, indent: int | None = None) -> str:
    """JSON that is safe for any terminal and parser: unsafe characters as `\\u` escapes, NaN as text."""
    text = json.dumps(value, indent=indent)
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.printable(value), indent=indent)
    return _ODD.sub(_spell_odd, text)


def data(text: str) -> None:
    """Write text to stdout, with escapes for characters outside its encoding. Raises OutputError, BrokenPipeError."""
    try:
        terminal.write(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"the output cannot be written: {error.strerror}") from error


def lines(text: Iterable[str]) -> None:
    """Write lines for people to stderr. Write errors are ignored."""
    with contextlib.suppress(OSError):
        for line in text:
            terminal.write(sys.stderr, line + "\n")


@contextlib.contextmanager
def while_waiting(federation: Federation | None) -> Iterator[None]:
    """While the body may wait for a server: after a few seconds, report which server it is waiting for."""
    if federation is None or federation.awaited() is None:
        yield
        return
    from threading import Timer

    def report() -> None:
        if (server := federation.awaited()) is not None:
            lines([f"{plain(server)} has not answered yet …"])

    timer = Timer(_SILENCE, report)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def outputs(values: dict[str, Any]) -> None:
    """Write one `name: <JSON>` line for each output to stdout."""
    data("".join(f"{name}: {spell(value)}\n" for name, value in values.items()))


def error(message: str, hint_: str | None = None) -> None:
    """Write an error and a hint to stderr."""
    lines([f"error: {plain(message, keep_newlines=True)}"])
    hint(hint_)


def hint(text: str | None) -> None:
    """Write a hint to stderr."""
    if text:
        lines([f"  hint: {plain(text, keep_newlines=True)}"])


def problems(found: Sequence[Problem]) -> None:
    """Write each problem with its position, its line and a caret below it."""
    texts: dict[str, str] = {}
    for problem in found:
        lines([plain(str(problem)), *_excerpt(problem, texts)])
    count = sum(problem.severity == "error" for problem in found)
    if count > 1:
        lines([f"{count} problems"])


def why(error: V6flowError | InterruptedRunError) -> Error:
    """An error as part of a run's JSON document."""
    return Error(error.kind, error.message, None, None, error.hint)


def error_document(error: V6flowError | InterruptedRunError) -> dict[str, Any]:
    """An error as the JSON document of `--output json`."""
    document = no_run(why(error), error.exit_code).as_json()
    if isinstance(error, InvalidError):
        document["problems"] = [documents.problem(each).as_json() for each in error.problems]
    return document


def _excerpt(problem: Problem, texts: dict[str, str]) -> list[str]:
    """The line of a problem and a caret below its position; empty if the line cannot be read or may not be shown."""
    if problem.file not in texts:
        try:
            texts[problem.file] = redaction.normal(paths.read(problem.file, 8 * 2**20))
        except (OSError, paths.OutsideError):
            texts[problem.file] = ""
    row = problem.position.line
    shown_line = redaction.excerpt(texts[problem.file], row, problem.position.column)
    if shown_line is None:
        return []
    line, column = shown_line
    start = max(0, column - 60)  # a long line is cut around the position
    shown = line[start : start + 100]
    before = plain(shown[: column - 1 - start])
    number = f"{row:>5} | "
    return [f"{number}{plain(shown)}", f"{' ' * (len(number) - 2)}| {' ' * len(before)}^"]


_ODD = pattern(r"[^\n -~]+")


def _spell_odd(match: re.Match[str]) -> str:
    return match[0] if _can_show(match[0]) else "".join(map(_spell_character, match[0]))


def _spell_character(character: str) -> str:
    if _can_show(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return plain(text) == text
