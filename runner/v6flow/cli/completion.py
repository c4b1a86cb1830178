"""Print a shell's completion script; `eval "$(v6flow completion bash)"` turns it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="for which shell")


def main(arguments: argparse.Namespace) -> int:
    import importlib

    import shtab

    from v6flow.cli import show
    from v6flow.cli.arguments import Parser
    from v6flow.cli.commands import COMMANDS, module_of

    whole = Parser(prog="v6flow")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(dest="command", parser_class=Parser)
    for name, summary in COMMANDS.items():
        importlib.import_module(module_of(name)).configure(commands.add_parser(name, help=summary, description=summary))
    show.data(shtab.complete(whole, shell=arguments.shell) + "\n")
    return 0
