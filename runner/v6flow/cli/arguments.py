"""The arguments of commands: one parser class, and the options that several commands share."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, NoReturn

from v6flow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.backends.base import Federation
    from v6flow.core.json import Json
    from v6flow.core.language.model import Workflow
    from v6flow.stores.base import RunStore


class _Formatter(argparse.HelpFormatter):
    """Wraps paragraphs to the width of the terminal, and leaves indented lines, which are examples, as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [
            block if block.startswith(" ") else super(_Formatter, self)._fill_text(block, width, indent)
            for block in text.split("\n\n")
        ]
        return "\n\n".join(paragraphs)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, with the nearest right word."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False, formatter_class=_Formatter)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help shows what there is")

    def parse(self, words: Sequence[str]) -> argparse.Namespace | None:
        """The arguments; None if help was asked for and given."""
        try:
            arguments, rest = self.parse_known_args(list(words))
        except SystemExit:
            return None
        if rest:
            word = rest[0].split("=")[0]
            if word.startswith("-"):
                from v6flow.core.language.words import suggestion

                options = list(self._option_string_actions)
                raise UsageError(
                    f"no option {word!r} for {self.prog}",
                    hint=suggestion(word, options) or f"{self.prog} --help",
                )
            raise UsageError(f"{self.prog} does not take {word!r}", hint=f"{self.prog} --help")
        return arguments


def output(parser: Parser) -> None:
    parser.add_argument(
        "-o", "--output", choices=["text", "json"], default="text", help="json: one JSON document on stdout"
    )


FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "fish": "(__fish_complete_path)", "tcsh": "f"}
FOLDERS = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "fish": "(__fish_complete_directories)", "tcsh": "d"}


def candidates(what: str) -> dict[str, Any]:
    """How shells complete ids of `runs`, or `steps` or `gates` of the run that the line names (see `completion`)."""
    name, ask = f"_v6flow_{what}", " ".join(("v6flow", "completion", "--candidates", what))
    return {
        "bash": name, "zsh": name, "fish": f"({name})", "tcsh": f"`{ask}`",
        "preamble": {
            "bash": f'{name}() {{ compgen -W "$({ask} "${{COMP_WORDS[@]}}" 2>/dev/null)" -- "$1"; }}',
            "zsh": f'{name}() {{ compadd -- ${{(f)"$({ask} "${{words[@]}}" 2>/dev/null)"}} }}',
            "fish": f"function {name}; {ask} (commandline -opc) 2>/dev/null; end",
        },
    }  # fmt: skip


def completed(action: argparse.Action, how: dict[str, Any]) -> None:
    """Have shells complete the value of an argument."""
    action.complete = how  # type: ignore[attr-defined]


def store(parser: Parser) -> None:
    place = "where runs are kept (V6FLOW_STORE; default: .v6flow in the current folder)"
    completed(parser.add_argument("--store", metavar="FOLDER", help=place), FOLDERS)


def run_id(parser: Parser, left_out: str = "") -> None:
    """The run; `left_out`: which one is meant where none is named, empty if one must be."""
    meaning = "the run's id or the beginning of it" + (f"; default: {left_out}" if left_out else "")
    run = parser.add_argument("run", metavar="RUN", nargs="?" if left_out else None, help=meaning)
    completed(run, candidates("runs"))


def step(parser: Parser, meaning: str, *, what: str = "steps", nargs: str | None = None) -> None:
    completed(parser.add_argument("step", metavar="STEP", nargs=nargs, help=meaning), candidates(what))


def workflow(parser: Parser) -> None:
    completed(parser.add_argument("workflow", metavar="WORKFLOW", help="the workflow's YAML file"), FILES)


def files(parser: Parser, what: str, *, nargs: str = "+") -> None:
    completed(parser.add_argument("files", metavar="FILE", nargs=nargs, help=what), FILES)


def federation(parser: Parser) -> None:
    meaning = "where it runs (default: V6FLOW_FEDERATION, then the file that the workflow names)"
    completed(parser.add_argument("-f", "--federation", metavar="FILE", help=meaning), FILES)


def params(parser: Parser) -> None:
    parser.add_argument("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter's value")
    file = parser.add_argument(
        "--params", metavar="FILE", action="append", default=[], help="a YAML file of parameters"
    )
    completed(file, FILES)


def progress(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress; only results and errors")
    parser.add_argument("-j", "--jobs", metavar="N", type=_count, help="how many at once (default: by the machine)")


def on_interrupt(parser: Parser) -> None:
    parser.add_argument(
        "--on-interrupt",
        choices=["detach", "kill"],
        default="detach",
        help="what Ctrl-C does to tasks at a server: they go on (detach, the default) or are killed (kill)",
    )


def duration(option: str, text: str | None) -> float | None:
    """The seconds of an option's duration, None if it is not given. Raises UsageError."""
    from v6flow.core.language import units

    try:
        return units.seconds(text) if text is not None else None
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def open_store(arguments: argparse.Namespace) -> RunStore:
    """The store that is meant; printed commands name it, also where it was set for this command alone."""
    import os

    from v6flow.stores.registry import open_store as open_named

    arguments.store = arguments.store or os.environ.get("V6FLOW_STORE")
    return open_named(arguments.store)


def read_params(
    arguments: argparse.Namespace, workflow: Workflow, one: tuple[str, dict[str, Json]] | None = None
) -> dict[str, Json]:
    """The parameters that are meant; `one` is one set of several, with what it is called, and wins over all else."""
    from v6flow import loading, params

    texts: dict[str, str] = {}
    for word in arguments.param:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"--param takes NAME=VALUE, not {word!r}")
        texts[name] = _as_utf8(text)
    values = [(file, loading.read_params(file)) for file in arguments.params]
    for file, mapping in values:
        params.check_file(workflow, file, mapping)
    if one is not None:
        values.append(one)
    environment = {key: _as_utf8(text) for key, text in os.environ.items() if key.startswith(params.ENVIRONMENT)}
    return params.resolve(workflow, texts=texts, values=values, environment=environment)


def read_federation(arguments: argparse.Namespace, workflow: Workflow) -> Federation | None:
    """The federation that is meant, None if none is named anywhere."""
    from v6flow import loading

    file = loading.federation_file(workflow, arguments.federation)
    return loading.read_federation(file) if file is not None else None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _as_utf8(text: str) -> str:
    """A word of the command line or environment, which Python reads otherwise where the locale is not UTF-8.

    Raises UsageError if it is no UTF-8.
    """
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError as error:
        raise UsageError(f"{text!r} is not UTF-8 text") from error
