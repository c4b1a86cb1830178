"""From words to an exit code: pick the command, run it, report its error once."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any, TextIO

from v6flow.cli.commands import COMMANDS, module_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.cli.arguments import Parser
    from v6flow.errors import InterruptedRunError, V6flowError

USAGE = "usage: v6flow COMMAND [ARGUMENTS]      v6flow COMMAND --help"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Every error ends here, in plain words or, with `--output json`, as one document.
    """
    _open_streams()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    finally:
        _leave_nothing()


def _run(words: list[str]) -> int:
    if words[:1] in (["--version"], ["-V"]):
        from v6flow.version import __version__

        sys.stdout.write(f"v6flow {__version__}\n")
        return 0
    from v6flow.errors import InterruptedRunError, V6flowError

    as_json = _wants_json(words)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        return 141  # what a shell shows for a program that wrote into a closed pipe
    except InterruptedRunError as error:
        return _tell(error, as_json=as_json)
    except KeyboardInterrupt:  # outside a run, which takes in the signal by itself
        return _tell(InterruptedRunError("interrupted"), as_json=as_json)
    except V6flowError as error:
        return _tell(error, as_json=as_json)
    except Exception:  # noqa: BLE001 - a bug ends here, with its traceback
        return _bug(as_json=as_json)
    return code


def parser(command: str) -> Parser:
    """The parser of a command."""
    import importlib

    from v6flow.cli.arguments import Parser

    module = importlib.import_module(module_of(command))
    made = Parser(prog=f"v6flow {command}", description=module.__doc__, add_help=True)
    module.configure(made)
    return made


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if words[:1] == ["help"] and len(words) > 1:
            return _dispatch([*words[1:], "--help"])
        (sys.stdout if words else sys.stderr).write(_help())
        return 0 if words else 2
    command = words[0]
    if command not in COMMANDS:
        from v6flow.core.language.words import suggestion
        from v6flow.errors import UsageError

        what = "option" if command.startswith("-") else "command"
        near = suggestion(command, [*COMMANDS, "--version", "--help"])
        raise UsageError(f"no {what} {command!r}", hint=near or USAGE)
    import importlib

    made = parser(command)
    arguments = made.parse(words[1:])
    if arguments is None:
        return 0
    code: int = importlib.import_module(module_of(command)).main(arguments)
    return code


def _help() -> str:
    import shutil
    import textwrap

    first = max(map(len, COMMANDS)) + 4
    rest = max(shutil.get_terminal_size().columns - 2, first + 20)
    lines = [
        line
        for name, summary in COMMANDS.items()
        for line in textwrap.wrap(f"  {name:<{first - 2}}{summary}", rest, subsequent_indent=" " * first)
    ]
    return "\n".join(
        [
            USAGE.replace("      v6flow", "\n       v6flow"),
            "",
            "Run chains of vantage6 tasks from a YAML file.",
            "",
            *lines,
            "",
            "  --version",
            "",
        ]
    )


def _wants_json(words: Sequence[str]) -> bool:
    return any(word in ("--output=json", "-ojson") for word in words) or any(
        word in ("--output", "-o") and after == "json" for word, after in itertools.pairwise(words)
    )


def _tell(error: V6flowError | InterruptedRunError, *, as_json: bool) -> int:
    from v6flow.cli import show
    from v6flow.core.language.problem import InvalidError

    if isinstance(error, show.OutputError):
        _silence()
    elif as_json:
        return _write_document(show.error_document(error), error.exit_code)
    if isinstance(error, InvalidError):
        show.problems(error.problems)
        show.hint(error.hint)
    else:
        show.error(error.message, error.hint)
    return error.exit_code


def _bug(*, as_json: bool) -> int:
    import traceback

    from v6flow.cli import show

    text = traceback.format_exc().rstrip()
    show.lines([*text.split("\n"), "error: this is a bug in v6flow; please report it with the lines above"])
    if as_json:
        from v6flow.core.views.summary import Error, no_run

        why = Error("bug", text.split("\n")[-1], None, None, None)
        return _write_document(no_run(why, 70).as_json(), 70)
    return 70


def _write_document(document: Any, exit_code: int) -> int:
    """Write a document of an error on stdout, as far as that goes."""
    from v6flow.cli import show

    try:
        show.write(document)
    except (OSError, show.OutputError):
        _silence()
    return exit_code


def _open_streams() -> None:
    """What is written to a stream that was closed before the program began goes nowhere."""
    import os

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - to the program's end


def _silence(number: int = 1) -> None:
    """Have what is still to be written into a stream that cannot take it go nowhere."""
    import contextlib
    import os

    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _leave_nothing() -> None:
    """Leave nothing that the interpreter could fail to write when it ends: that would change the exit code."""
    _flush(1, sys.stdout)
    _flush(2, sys.stderr)


def _flush(number: int, stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        _silence(number)
