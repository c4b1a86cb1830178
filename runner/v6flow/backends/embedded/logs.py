"""What a task run's log says: how much of it is kept, and why the run failed, in plain words."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from v6flow.backends.embedded.task_records import Mishap
from v6flow.core.language.words import suggestion
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from pathlib import Path

HALF = 512 * 1024  # bytes of a log that are kept from its beginning, and as many from its end
TAIL_LINES = 20
TAIL_CHARACTERS = 4000

_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = pattern(r"^[A-Za-z_][\w.]*(:.*)?$")
_OFFERS = pattern(r"^v6flow > the package has (.*)$", re.MULTILINE)


def read(path: Path) -> str:
    """A log as text: all of it, or its beginning and its end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size <= 2 * HALF:
                return _text(file.read())
            head = file.read(HALF)
            file.seek(size - HALF)
            return _text(head + _gap(size - 2 * HALF) + file.read(HALF))
    except FileNotFoundError:
        return ""


def trim(path: Path, *, above: int = 4 * HALF) -> None:
    """Shorten a log that a task run floods while at work; it is written in append mode and continues."""
    try:
        size = path.stat().st_size
        if size <= above:
            return
        with path.open("r+b") as file:
            file.seek(size - HALF)
            tail = file.read(HALF)
            file.truncate(HALF)
        with path.open("ab") as file:
            file.write(_gap(size - 2 * HALF) + tail)
    except FileNotFoundError:
        return


def tail(log: str) -> str:
    """The last lines of a log."""
    return "\n".join(log.rstrip().splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]


def explain(exit_code: int, log: str, *, package: str, method: str) -> Mishap:
    """Why a task run with this exit code (negative: a signal) and this log failed."""
    if exit_code < 0:
        return _killed(-exit_code, log)
    missing = _missing_module(log)
    if missing is not None and f"Module '{package}' can not be imported!" in log:
        return _no_package(package, missing, log)
    if missing is not None and missing.split(".")[0] in ("vantage6", "pandas") and "wrapper for" not in log:
        return no_tools(f"No module named {missing!r}", log)
    if f"error > Method '{method}' not found!" in log:
        return _no_method(package, method, log)
    raised = last_exception(log)
    if raised is None:
        said = _last_words(log)
        after = f" after saying: {said}" if said else ""
        return Mishap("crashed", f"it ended with exit code {exit_code}{after}", None, log)
    hint = None
    if raised == "KeyError: '_DATABASE_URI'":
        hint = "the function wants a database and the task names none: add `databases: [<label>]` to the step"
    if raised.endswith("is not JSON serializable"):
        raised, hint = (
            f"its result cannot be written as JSON: {raised}",
            "return plain numbers, text, lists, mappings",
        )
    return Mishap("crashed", raised, hint, log)


def no_tools(reason: str, log: str = "") -> Mishap:
    """The interpreter lacks what every algorithm needs."""
    return Mishap(
        "start_failed",
        f"the Python interpreter for this image cannot run vantage6 algorithms: {reason}",
        'install vantage6\'s tools for it: pip install "v6flow[embedded]"',
        log,
    )


def last_exception(log: str) -> str | None:
    """The last line of the last traceback in a log, None if there is no traceback."""
    _, found, after = log.rpartition(_TRACEBACK)
    if not found:
        return None
    for line in after.splitlines()[1:]:
        if line and not line[0].isspace() and _EXCEPTION.match(line):
            return line.rstrip()
    return None


def _killed(number: int, log: str) -> Mishap:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    hint = "often because the machine had no memory left" if name == "SIGKILL" else None
    return Mishap("crashed", f"killed by signal {name}", hint, log)


def _missing_module(log: str) -> str | None:
    found = re.findall(r"^ModuleNotFoundError: No module named '([^']+)'", log, re.MULTILINE)
    return found[-1] if found else None


def _no_package(package: str, missing: str, log: str) -> Mishap:
    if package == missing or package.startswith(f"{missing}."):
        return Mishap(
            "no_image",
            f"the package {package!r} cannot be imported: there is no such module",
            "install it for the interpreter that the federation file names, or give its folder as `path`",
            log,
            own=True,
        )
    return Mishap(
        "no_image",
        f"the package {package!r} cannot be imported: it needs {missing!r}, which is not installed",
        f"install {missing!r} for the interpreter that the federation file names",
        log,
    )


def _no_method(package: str, method: str, log: str) -> Mishap:
    offered = _OFFERS.findall(log)
    names = offered[-1].split(", ") if offered else []
    near = suggestion(method, names)
    hint = f"{near} " if near else ""
    hint += f"it has: {', '.join(names)}" if names else ""
    return Mishap("crashed", f"the package {package!r} has no function {method!r}", hint or None, log)


def _last_words(log: str) -> str | None:
    """The last thing that the wrapper called an error, else the last line that is not the wrapper's."""
    lines = [line.strip() for line in log.splitlines()]
    errors = [line for line in lines if line.startswith("error > ") and line != "error > None"]
    said = errors or [line for line in lines if line and not line.startswith("info > ")]
    return said[-1].removeprefix("error > ")[:200] if said else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _gap(size: int) -> bytes:
    return f"\n… {size} bytes of the log left out …\n".encode()
