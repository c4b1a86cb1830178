"""Print the JSON Schema (draft 7) of workflow, federation or test files, for editors and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    parser.add_argument(
        "name", nargs="?", choices=["workflow", "federation", "test"], default="workflow", help="default: workflow"
    )
    parser.add_argument(
        "--reference", action="store_true", help="print a reference of every key of all files instead, as Markdown"
    )


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.loading import SCHEMA_NAMES, read_schema, schema_text

    if arguments.reference:
        from v6flow.core.language.reference import reference

        show.data(reference([read_schema(name) for name in SCHEMA_NAMES]))
        return 0
    show.data(schema_text(arguments.name))
    return 0
