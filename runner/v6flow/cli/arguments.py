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


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, with the nearest right word."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

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


def store(parser: Parser) -> None:
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="where runs are kept (V6FLOW_STORE; built in: .v6flow in the current folder)",
    )


def run_id(parser: Parser) -> None:
    parser.add_argument(
        "run", metavar="RUN", nargs="?", help="the run's id or the beginning of it; left out: the newest"
    )


def workflow(parser: Parser) -> None:
    parser.add_argument("workflow", metavar="WORKFLOW", help="the workflow's YAML file").complete = {  # type: ignore[attr-defined]
        "bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f",
    }  # fmt: skip


def files(parser: Parser, what: str, *, nargs: str = "+") -> None:
    parser.add_argument("files", metavar="FILE", nargs=nargs, help=what).complete = {  # type: ignore[attr-defined]
        "bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f",
    }  # fmt: skip


def federation(parser: Parser) -> None:
    parser.add_argument(
        "-f",
        "--federation",
        metavar="FILE",
        help="where it runs (else V6FLOW_FEDERATION, else what the workflow names)",
    )


def params(parser: Parser) -> None:
    parser.add_argument("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter's value")
    parser.add_argument("--params", metavar="FILE", action="append", default=[], help="a YAML file of parameters")


def progress(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="tell no progress; only results and errors")
    parser.add_argument(
        "-j", "--jobs", metavar="N", type=_count, help="how much goes on at once (built in: by the machine)"
    )


def on_interrupt(parser: Parser) -> None:
    parser.add_argument(
        "--on-interrupt",
        choices=["detach", "kill"],
        default="detach",
        help="what Ctrl-C does to tasks at a server: detach (built in) lets them go on, kill has them killed",
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
