"""Format workflow, federation and test files: put keys in the standard order and keep comments.

The meaning of a file never changes: the formatted text is read again, and a file whose content would differ is left
as it is. If one file cannot be formatted, none is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from v6flow.cli.arguments import Parser
    from v6flow.core.language.formatting import Order


def configure(parser: Parser) -> None:
    from v6flow.cli import arguments as common

    common.files(parser, "workflow, federation or test files")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; list the files that would change, and exit with 1 if any"
    )
    parser.add_argument("--diff", action="store_true", help="write nothing; show what would change")
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.core.views.documents import Formatted
    from v6flow.reporters.terminal import plain

    changes = _changes(arguments.files)
    writes = not (arguments.check or arguments.diff)
    if writes:
        for file, (_, after) in changes.items():
            write(file, after)
    code = 1 if arguments.check and changes else 0
    if arguments.output == "json":
        unchanged = tuple(file for file in dict.fromkeys(arguments.files) if file not in changes)
        diffs = {file: diff(file, *texts) for file, texts in changes.items()} if arguments.diff else None
        show.write(Formatted(tuple(changes), unchanged, writes, code, diffs).as_json())
        return code
    for file, texts in changes.items():
        if arguments.diff:
            show.data(plain(diff(file, *texts), keep_newlines=True))
        else:
            show.data(f"{plain(file)}\n")
    word = "formatted" if writes else "would change"
    show.lines([f"{len(changes)} {word}, {len(dict.fromkeys(arguments.files)) - len(changes)} already formatted"])
    return code


def _changes(files: list[str]) -> dict[str, tuple[str, str]]:
    """The files that are not formatted, each with its text before and after. Raises UsageError, InvalidError."""
    from v6flow import loading
    from v6flow.core.language import formatting, redaction, source
    from v6flow.core.language.problem import InvalidError, Problem

    schemas = {name: loading.read_schema(name) for name in loading.SCHEMA_NAMES}

    def order_of(value: Mapping[str, Any]) -> Order | None:
        loading.register_kinds(value)
        return formatting.order(value, {**schemas, "workflow": loading.workflow_schema()})

    changes = {}
    problems: list[Problem] = []
    for file in dict.fromkeys(files):
        data = loading.read_bytes(file, "workflow")
        try:
            before = source.decode(data, file).text
            after = formatting.formatted(before, file, order_of)
        except InvalidError as error:
            problems += redaction.told(error.problems, data, "workflow")
            continue
        if after != before:
            changes[file] = (before, after)
    if problems:
        raise InvalidError(problems, what="the files to format", hint="nothing was written")
    return changes


def diff(file: str, before: str, after: str) -> str:
    """The changes to a file as a unified diff, without the values under secret keys."""
    from difflib import unified_diff

    from v6flow.core.language import redaction

    changes = ""
    old, new = (redaction.blank(text).splitlines(keepends=True) for text in (before, after))
    for line in unified_diff(old, new, file, file):
        changes += line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
    return changes


def write(file: str, text: str) -> None:
    """Replace the text of a file atomically, also through a symbolic link. Raises UsageError."""
    import os
    import shutil
    import tempfile
    from pathlib import Path

    from v6flow.errors import UsageError

    path = Path(os.path.realpath(file))
    part: Path | None = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".v6flow-", delete=False) as opened:
            part = Path(opened.name)
            opened.write(text.encode())
            opened.flush()
            os.fsync(opened.fileno())
        shutil.copymode(path, part)
        part.replace(path)
        part = None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", hint="the file is unchanged") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
