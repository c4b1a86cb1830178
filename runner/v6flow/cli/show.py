"""What commands print: data on stdout, people's words on stderr."""

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


_SILENCE = 3.0  # seconds that nobody wonders at


class OutputError(V6flowError):
    """Stdout cannot be written: the disk is full, say (exit 1)."""

    kind = "output"


def write(document: Any) -> None:
    """One JSON document on stdout."""
    data(spell(document, indent=2) + "\n")


def spell(value: Any, *, indent: int | None = None) -> str:
    """JSON that any terminal and any reader takes: what is unsafe to show as `\\u` escapes, NaN as text."""
    text = json.dumps(value, indent=indent)
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.printable(value), indent=indent)
    return _ODD.sub(_spell_odd, text)


def data(text: str) -> None:
    """Text on stdout; what is not in its encoding as escapes. Raises OutputError, BrokenPipeError."""
    try:
        terminal.write(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"the output cannot be written: {error.strerror}") from error


def lines(text: Iterable[str]) -> None:
    """Lines for people, on stderr. That nobody can read them stops nothing."""
    with contextlib.suppress(OSError):
        for line in text:
            terminal.write(sys.stderr, line + "\n")


@contextlib.contextmanager
def while_waiting(federation: Federation | None) -> Iterator[None]:
    """What is done here may wait for a server: after a while, people are told for which."""
    if federation is None or federation.awaited() is None:
        yield
        return
    from threading import Timer

    def tell() -> None:
        if (server := federation.awaited()) is not None:
            lines([f"{plain(server)} has not answered yet …"])

    timer = Timer(_SILENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def outputs(values: dict[str, Any]) -> None:
    """One `name: <JSON>` line for each output, on stdout."""
    data("".join(f"{name}: {spell(value)}\n" for name, value in values.items()))


def error(message: str, hint_: str | None = None) -> None:
    """An error and what to do next."""
    lines([f"error: {plain(message, keep_newlines=True)}"])
    hint(hint_)


def hint(text: str | None) -> None:
    """What to do next."""
    if text:
        lines([f"  hint: {plain(text, keep_newlines=True)}"])


def problems(found: Sequence[Problem]) -> None:
    """Each problem with its place, the line it is in and a caret below it."""
    texts: dict[str, str] = {}
    for problem in found:
        lines([plain(str(problem)), *_excerpt(problem, texts)])
    count = sum(problem.severity == "error" for problem in found)
    if count > 1:
        lines([f"{count} problems"])


def why(error: V6flowError | InterruptedRunError) -> Error:
    """An error as documents of runs show it."""
    return Error(error.kind, error.message, None, None, error.hint)


def error_document(error: V6flowError | InterruptedRunError) -> dict[str, Any]:
    """An error as the one document that `--output json` promises."""
    document = no_run(why(error), error.exit_code).as_json()
    if isinstance(error, InvalidError):
        document["problems"] = [documents.problem(each).as_json() for each in error.problems]
    return document


def _excerpt(problem: Problem, texts: dict[str, str]) -> list[str]:
    """The line that a problem is in and a caret below the place; nothing where it cannot be read, or be shown."""
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
    start = max(0, column - 60)  # a long line is shown around the place
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
