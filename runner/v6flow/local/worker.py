"""The process that runs a local step's function, or becomes its command.

Its folder holds `request.json` and `input.json`; here appear `output.json` (the result) or `failure.json` (kind,
message, hint). The worker dies with its supervisor (Linux: PR_SET_PDEATHSIG).
"""

# importing pathlib and contextlib would cost 5 ms in every step:
# ruff: noqa: PTH105, PTH112, PTH113, PTH118, PTH123, SIM105

from __future__ import annotations

import faulthandler
import json
import math
import os
import signal
import sys
from io import TextIOWrapper

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost time in every step
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType, ModuleType
    from typing import Any, NoReturn

MAX_DEPTH = 100  # as core/json.py, which will read the result
MAX_DIGITS = 1000
_LARGEST = 10 ** (MAX_DIGITS - 1)
MAX_MESSAGE = 500  # characters of an exception's text in the failure's one line; the log has all of it


class Refused(Exception):  # noqa: N818  the failure to report, not an error of this program
    """Why there is no result: the kind of failure, the sentence, and the remedy."""

    def __init__(self, kind: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


def read(folder: str) -> dict[str, Any]:
    """The request in a folder."""
    with open(os.path.join(folder, "request.json"), encoding="utf-8") as file:
        request: dict[str, Any] = json.load(file)
    return request


def become(folder: str, request: Mapping[str, Any], descriptors: tuple[int, ...]) -> NoReturn:
    """After the fork: a session of its own, signals as usual, none of the supervisor's descriptors."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for descriptor in descriptors:
            os.close(descriptor)
        if request["command"] is not None:
            _execute(folder, request)
        source = os.open(os.devnull, os.O_RDONLY)
        os.dup2(source, 0)
        os.close(source)
        if request["cold"]:
            os.execv(sys.executable, [sys.executable, sys.argv[0], "work", folder])  # noqa: S606  no shell
        code = work(folder, request)
    except BaseException:  # noqa: BLE001  whatever it is, the supervisor's code must not run twice
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _execute(folder: str, request: Mapping[str, Any]) -> None:
    """Become the command: the input on stdin, in the workflow's folder, with where to read and write."""
    command: list[str] = request["command"]
    files = {name: os.path.join(folder, name) for name in ("input.json", "output.json")}
    source = os.open(files["input.json"], os.O_RDONLY)
    os.dup2(source, 0)
    os.close(source)
    environment = {
        **os.environ,
        "V6FLOW_INPUT": files["input.json"],
        "V6FLOW_OUTPUT": files["output.json"],
        "V6FLOW_R": request["r"],
    }
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and an exec would hand on
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(request["folder"])
        os.execvpe(command[0], command, environment)  # noqa: S606  no shell
    except (OSError, ValueError) as error:
        _write_failure(folder, _not_started(command, request["folder"], error))
        os._exit(127)


def _not_started(command: list[str], folder: str, error: Exception) -> Refused:
    program = command[0]
    beside = os.path.join(folder, program)
    there = os.path.isfile(beside)
    if isinstance(error, FileNotFoundError) and there and "/" not in program:
        return Refused(
            "start_failed",
            f"the program {program!r} was not found",
            f"it is a file beside the workflow: write './{program}', or name its interpreter first",
        )
    if isinstance(error, FileNotFoundError) and there:
        return Refused("start_failed", f"the interpreter in the first line of {program!r} was not found")
    if isinstance(error, FileNotFoundError):
        return Refused(
            "start_failed",
            f"the program {program!r} was not found",
            "is it installed, and on the PATH of v6flow?",
        )
    if isinstance(error, PermissionError):
        import shlex

        return Refused(
            "start_failed",
            f"{program!r} may not be executed",
            f"chmod +x {shlex.quote(os.path.normpath(beside))}, or name its interpreter",
        )
    reason = error.strerror if isinstance(error, OSError) else "an argument holds the character NUL"
    hint = "give it a first line like #!/bin/sh" if reason == "Exec format error" else None
    return Refused("start_failed", f"{program!r} could not be started: {reason}", hint)


def work(folder: str, request: Mapping[str, Any]) -> int:
    """Call the function and write its result, or why there is none; the code to exit with."""
    faulthandler.enable(file=2)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pid = os.getpid()
    failure: Refused | None = None
    try:
        text = _call(folder, request)
    except Refused as refused:
        failure = refused
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        failure = Refused("crashed", f"called sys.exit({code[:MAX_MESSAGE]}) instead of returning its result")
    except BaseException as error:  # noqa: BLE001  whatever the user's code raises is its failure
        failure = _crash(error)
    if os.getpid() != pid:  # a child that the function forked and let come back here
        return 1
    if failure is None:
        partly = os.path.join(folder, "output.part")
        with open(partly, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partly, os.path.join(folder, "output.json"))
    else:
        _write_failure(folder, failure)
    _flush()
    return 0 if failure is None else 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # noqa: PERF203  there are two
            pass  # the function closed or replaced it


def _write_failure(folder: str, failure: Refused) -> None:
    record = {"kind": failure.kind, "message": failure.message, "hint": failure.hint}
    with open(os.path.join(folder, "failure.json"), "w", encoding="utf-8") as file:
        json.dump(record, file)


def _call(folder: str, request: Mapping[str, Any]) -> str:
    """The function's result as JSON text."""
    with open(os.path.join(folder, "input.json"), encoding="utf-8") as file:
        kwargs = json.load(file)
    os.chdir(request["folder"])
    sys.path[:] = [request["folder"], *request["path"]]
    target, _, name = request["function"].rpartition(":")
    sys.argv = [target]
    module = _load_file(request["folder"], target) if target.endswith(".py") else _load_module(target)
    return encode(_function(module, target, name)(**kwargs), name)


def _load_file(folder: str, target: str) -> ModuleType:
    """A module from a file, always compiled afresh: a cached one is only as new as a clock's second."""
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import ModuleType

    path = os.path.join(folder, target)
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise Refused("start_failed", f"{target} cannot be read: {error.strerror}") from error
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    name = _module_name(folder, target)
    module = ModuleType(name)
    module.__file__ = path
    module.__spec__ = ModuleSpec(name, SourceFileLoader(name, path), origin=path)
    module.__loader__ = module.__spec__.loader
    sys.modules[name] = module
    exec(code, module.__dict__)  # noqa: S102  this is what importing a file is
    return module


def _module_name(folder: str, target: str) -> str:
    """The name under which an import finds this very file, for multiprocessing; else one that nobody has."""
    stem = target[: -len(".py")]
    beside = "/" not in target and os.path.isdir(os.path.join(folder, stem)) is False
    if beside and stem.isidentifier() and stem not in sys.modules and stem not in sys.stdlib_module_names:
        return stem
    return "v6flow_local_" + "".join(c if c.isalnum() else "_" for c in stem)


def _load_module(target: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(target)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if target == missing or target.startswith(missing + "."):
            hint = "is the package installed where v6flow runs? A file is named with its .py"
            raise Refused("start_failed", f"there is no module {missing!r}", hint) from error
        raise


def _function(module: ModuleType, target: str, name: str) -> Callable[..., object]:
    function: object = getattr(module, name, None)
    if callable(function):
        return function
    if function is not None:
        raise Refused("start_failed", f"{name!r} in {target} is no function")
    from difflib import get_close_matches

    near = get_close_matches(name, [other for other, value in vars(module).items() if callable(value)], 1)
    hint = f"did you mean {near[0]!r}?" if near else None
    raise Refused("start_failed", f"there is no function {name!r} in {target}", hint)


# ------------------------------------------------------------------------------------ what became of the call


def encode(value: object, name: str) -> str:
    """A function's result as strict JSON text; Refused, with the place, for what plain JSON cannot hold."""
    kind = type(value).__name__
    if kind in ("coroutine", "async_generator") or hasattr(value, "__await__"):
        if kind == "coroutine":
            value.close()  # type: ignore[attr-defined]  # a coroutine has it; unclosed it would warn
        hint = "call it with asyncio.run(...) in a plain function"
        raise Refused("garbage", f"{name} is async: what it returns is no result yet", hint)
    if kind == "generator":
        raise Refused("garbage", f"{name} is a generator: it yields instead of returning", "return a list: list(...)")
    _check(value, "result", 1)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused("garbage", "the result has text with half a surrogate pair, which no UTF-8 can hold") from error
    return text


def _check(value: object, place: str, depth: int) -> None:
    """Refuse what is not plain JSON; subclasses are taken for what they are: numpy.float64 for a float."""
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused("garbage", f"{place} is {value!r}, which is not finite")
    elif isinstance(value, int):
        if not -_LARGEST < value < _LARGEST:
            raise Refused("garbage", f"{place} is an integer of {MAX_DIGITS} digits or more")
    elif depth > MAX_DEPTH:
        raise Refused("garbage", f"the result is nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                hint = f"write it as text, for instance {str(key)!r}"
                raise Refused("garbage", f"{place} has the key {key!r}, of type {_type(key)}; keys must be text", hint)
            _check(item, f"{place}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if type(item) is not float or item - item != 0:  # floats are many, and mostly finite
                _check(item, f"{place}[{index}]", depth + 1)
    else:
        raise Refused("garbage", f"{place} is a {_type(value)}, which JSON cannot hold", _conversion(value))


def _conversion(value: object) -> str | None:
    module, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if module == "numpy":
        return "convert it with .tolist()" if kind == "ndarray" else "convert it with .item()"
    if module == "pandas":
        ways = {"DataFrame": '.to_dict("list")', "Series": ".tolist()", "Index": ".tolist()"}
        return f"convert it with {ways.get(kind, 'str(...)')}"
    ways = {
        "set": "sorted(...)",
        "frozenset": "sorted(...)",
        "bytes": ".decode()",
        "Decimal": "float(...) or str(...)",
    }
    return f"convert it with {ways[kind]}" if kind in ways else None


def _type(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _crash(error: BaseException) -> Refused:
    """The last line of a traceback; the whole of it, from the user's first frame on, goes to the log."""
    import traceback

    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        traceback.print_exception(type(error), error, trace, file=sys.stderr)
        text = str(error)
    except Exception:  # noqa: BLE001  the user's __str__, or a stderr that was closed
        text = "(an error that cannot be shown)"
    kind = _type(error)
    line = text.strip().partition("\n")[0]
    return Refused("crashed", (f"{kind}: {line}" if line else kind)[:MAX_MESSAGE])


def _is_ours(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib") or "/importlib/" in filename
