"""Print a shell's completion script; `eval "$(v6flow completion bash)"` turns it on.

The script completes commands, options, files, the ids of runs and, after a run's id, the names of its steps.
For fish: v6flow completion fish > ~/.config/fish/completions/v6flow.fish
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    parser.add_argument("shell", nargs="?", choices=["bash", "zsh", "fish", "tcsh"], help="for which shell")
    # what the scripts call: `--candidates runs v6flow resume --store FOLDER`
    parser.add_argument("--candidates", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.errors import UsageError

    if arguments.candidates:
        show.data("".join(f"{each}\n" for each in _candidates(*arguments.candidates)))
        return 0
    if arguments.shell is None:
        raise UsageError("no shell is named: the shells are bash, zsh, fish and tcsh")
    show.data(_script(arguments.shell) + "\n")
    return 0


def _script(shell: str) -> str:
    import importlib

    import shtab

    from v6flow.cli.arguments import Parser
    from v6flow.cli.commands import COMMANDS, module_of

    whole = Parser(prog="v6flow")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(dest="command", parser_class=Parser)
    for name, summary in COMMANDS.items():
        importlib.import_module(module_of(name)).configure(commands.add_parser(name, help=summary, description=summary))
    return str(shtab.complete(whole, shell=shell))


def _candidates(what: str, *words: str) -> Iterable[str]:
    """The ids of runs, or the names of the steps of the run that the words name."""
    import os

    from v6flow.core.execution.state import replay
    from v6flow.stores.registry import open_store

    store = open_store(_option("--store", words) or os.environ.get("V6FLOW_STORE"))
    runs = store.runs()
    if what == "runs":
        return runs
    run = next((word for word in words if word in runs), None)
    if run is None:
        return ()
    state = replay(store.open(run).events())
    return state.steps if what == "steps" else [gate.name for gate in state.gates]


def _option(option: str, words: Iterable[str]) -> str | None:
    """The value of an option in the words of a command line; bash leaves quotes in them, and splits `--store=x`."""
    import shlex

    rest = iter([word for each in words for word in each.split("=", 1) if word])
    value = next((next(rest, None) for word in rest if word == option), None)
    try:
        return shlex.split(value)[0] if value else None
    except (ValueError, IndexError):  # a quote that is not closed yet
        return value
