"""Local steps in child processes: what comes back, what is contained, and that nothing outlives anything.

No test sleeps: children that wait block on a read or a signal, and tests wait on queues and pipes.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from v6flow.core.execution.commands import LocalRequest
from v6flow.local.base import AttemptAnswered, AttemptFailed, LocalReport
from v6flow.local.capture import Capture
from v6flow.local.process import size
from v6flow.local.runner import ChildRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60.0  # seconds until a test that waits has failed
MIB = 1 << 20
RUNNER = Path(__file__).parents[2] / "runner"


class Bench:
    """A runner, and what it reports."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.reports: queue.Queue[LocalReport] = queue.Queue()
        self.runner = ChildRunner(**{"jobs": 2, "grace": 0.2, **settings})
        self.runner.open(self.reports.put)

    def start(self, function: str | None = None, /, step: str = "step", **request: Any) -> None:
        self.runner.start(LocalRequest(step, 1, str(self.folder), function, **request))

    def next(self) -> LocalReport:
        return self.reports.get(timeout=PATIENCE)

    def run(self, function: str | None = None, /, **request: Any) -> LocalReport:
        self.start(function, **request)
        return self.next()

    def write(self, source: str, name: str = "steps.py") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(source))
        return path

    def answer(self, source: str, **request: Any) -> Any:
        """What a function `f` returns."""
        self.write(source)
        report = self.run("steps.py:f", **request)
        assert isinstance(report, AttemptAnswered), report
        return json.loads(report.body)

    def failure(self, source: str, **request: Any) -> AttemptFailed:
        """How a function `f` fails."""
        self.write(source)
        report = self.run("steps.py:f", **request)
        assert isinstance(report, AttemptFailed), report
        return report

    def command(self, program: str, **request: Any) -> LocalReport:
        """What becomes of a command that is a Python program."""
        return self.run(command=(sys.executable, "-c", textwrap.dedent(program)), **request)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "flow").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    found = Bench(tmp_path / "flow")
    yield found
    found.runner.close()
    assert list((tmp_path / "tmp").iterdir()) == [], "what a child is given is removed"


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of some processes runs (a zombie whose parent is not us is gone)."""
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


class Pipe:
    """A FIFO through which a child tells its process ids, one line each."""

    def __init__(self, folder: Path, name: str = "fifo") -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        self._file = os.open(self.path, os.O_RDWR)
        self._rest = b""

    def line(self) -> str:
        while b"\n" not in self._rest:
            assert select.select([self._file], [], [], PATIENCE)[0], "nothing was told"
            self._rest += os.read(self._file, 4096)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def pids(self, count: int) -> list[int]:
        return [int(self.line()) for _ in range(count)]


@pytest.fixture
def pipe(bench: Bench) -> Pipe:
    return Pipe(bench.folder)


# -------------------------------------------------------------------------------------------------- functions


def test_a_function_answers(bench: Bench) -> None:
    value = {"text": "é\n", "list": [1, 2.5, None, True], "big": 2**70, "tiny": 5e-324, "third": 1 / 3}
    assert bench.answer("def f(value, more=2): return {'value': value, 'more': more}", kwargs={"value": value}) == {
        "value": value,
        "more": 2,
    }


def test_a_function_of_an_installed_module(bench: Bench) -> None:
    partials = [{"count": 2, "sum": 10}, {"count": 1, "sum": 2}]
    report = bench.run("v6flow.aggregation:pooled_mean", kwargs={"partials": partials})
    assert isinstance(report, AttemptAnswered)
    assert json.loads(report.body) == {"mean": 4.0, "count": 3, "sum": 12.0}


def test_a_function_in_a_second_interpreter(tmp_path: Path) -> None:
    cold = Bench(tmp_path, cold=True)
    assert cold.answer("def f(x): return x + 1", kwargs={"x": 1}) == 2
    assert cold.failure("import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGSEGV)").message.endswith("SIGSEGV")
    cold.runner.close()


def test_its_folder_is_where_it_runs_and_imports(bench: Bench) -> None:
    (bench.folder / "data.txt").write_text("here")
    bench.write("def g(): return open('data.txt').read()", "beside.py")
    assert bench.answer("import beside\ndef f(): return beside.g()") == "here"
    report = bench.run("beside:g")
    assert isinstance(report, AttemptAnswered)


def test_our_own_files_are_not_on_its_path(bench: Bench) -> None:
    failure = bench.failure("def f():\n  import sources")
    assert (failure.kind, failure.message) == ("crashed", "ModuleNotFoundError: No module named 'sources'")


def test_a_file_is_read_afresh_each_time(bench: Bench) -> None:
    """Same size, same second: what Python caches beside a file would be stale."""
    for number in range(3):
        assert bench.answer(f"def f(): return {number}") == number


def test_a_file_may_have_the_name_of_a_standard_module(bench: Bench) -> None:
    bench.write("import json, statistics\ndef f(): return statistics.f is f or 'apart'", "statistics.py")
    report = bench.run("statistics.py:f")
    assert isinstance(report, AttemptAnswered)


def test_what_other_processes_unpickle_is_found(bench: Bench) -> None:
    source = """
        import multiprocessing

        def double(x):
            return 2 * x

        def f():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(double, [1, 2])
    """
    assert bench.answer(source) == [2, 4]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(1, (2, 3))", [1, [2, 3]]),
        ("__import__('collections').OrderedDict(a=1)", {"a": 1}),
        ("__import__('enum').IntEnum('E', 'x').x", 1),
        ("numpy.float64(0.1)", 0.1),
        ("None", None),
        ("''", ""),
        ("-0.0", -0.0),
    ],
)
def test_what_is_plain_enough(bench: Bench, expression: str, value: Any) -> None:
    assert bench.answer(f"def f():\n  import numpy\n  return {expression}") == value


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("{'a': [0, numpy.int64(3)]}", "result['a'][1] is a numpy.int64, which JSON cannot hold", ".item()"),
        ("numpy.arange(3)", "result is a numpy.ndarray, which JSON cannot hold", ".tolist()"),
        ("{'ok': numpy.bool_(True)}", "result['ok'] is a numpy.bool", ".item()"),
        ("pandas.DataFrame({'a': [1]})", "DataFrame, which JSON cannot hold", "to_dict"),
        ("[float('nan')]", "result[0] is nan, which is not finite", None),
        ("{'x': -float('inf')}", "result['x'] is -inf, which is not finite", None),
        ("{1: 2}", "result has the key 1, of type int; keys must be text", "'1'"),
        ("{'a', 'b'}", "result is a set, which JSON cannot hold", "sorted(...)"),
        ("b'x'", "result is a bytes, which JSON cannot hold", ".decode()"),
        ("object()", "result is a object, which JSON cannot hold", None),
        ("10 ** 1500", "result is an integer of 1000 digits or more", None),
        ("[chr(0xD800)]", "half a surrogate pair", None),
        ("deep", "nested deeper than 100 levels", None),
        ("deep.append(deep) or deep", "nested deeper than 100 levels", None),
        ("(x for x in [])", "f is a generator", "list(...)"),
        ("g()", "f is async", "asyncio.run"),
    ],
)
def test_what_is_no_json_is_garbage(bench: Bench, expression: str, message: str, hint: str | None) -> None:
    failure = bench.failure(f"""
        async def g(): return 1

        def f():
            import numpy, pandas
            deep = []
            for _ in range(120):
                deep = [deep]
            return {expression}
    """)
    assert failure.kind == "garbage"
    assert message in failure.message
    assert (hint or "") in (failure.hint or "")
    assert (hint is None) == (failure.hint is None)
    assert failure.log == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("async def f(): return 1", "f is async"),
        ("def f(): yield 1", "f is a generator"),
        ("async def f(): yield 1", "f is async"),
    ],
)
def test_functions_that_do_not_return_are_garbage(bench: Bench, source: str, message: str) -> None:
    failure = bench.failure(source)
    assert failure.kind == "garbage"
    assert message in failure.message


@pytest.mark.parametrize(
    ("function", "message", "hint"),
    [
        ("nowhere.py:f", "nowhere.py cannot be read: No such file or directory", None),
        ("steps.py:poll", "there is no function 'poll' in steps.py", "did you mean 'pool'?"),
        ("steps.py:number", "'number' in steps.py is no function", None),
        ("no_such_module:f", "there is no module 'no_such_module'", "is the package installed"),
        ("json.no_such:f", "there is no module 'json.no_such'", "is the package installed"),
    ],
)
def test_what_is_not_there_does_not_start(bench: Bench, function: str, message: str, hint: str | None) -> None:
    bench.write("number = 3\ndef pool(): ...")
    report = bench.run(function)
    assert isinstance(report, AttemptFailed)
    assert (report.kind, report.message) == ("start_failed", message)
    assert (hint or "") in (report.hint or "")


def test_an_exception_is_its_last_line_and_the_log_has_the_traceback_from_the_users_code_on(
    bench: Bench,
) -> None:
    failure = bench.failure("def f(x):\n  print('before')\n  return g(x)\ndef g(x):\n  return 1 / x", kwargs={"x": 0})
    assert (failure.kind, failure.message) == ("crashed", "ZeroDivisionError: division by zero")
    assert failure.log.startswith("before\nTraceback (most recent call last):\n")
    assert f'File "{bench.folder / "steps.py"}", line 3, in f' in failure.log
    assert "worker.py" not in failure.log


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(a): ...", "TypeError: f() missing 1 required positional argument: 'a'"),
        ("import no_such_module\ndef f(): ...", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", "SyntaxError: invalid syntax (steps.py, line 1)"),
        ("class E(Exception): ...\ndef f(): raise E('a\\nb')", "steps.E: a"),
        ("def f(): raise KeyboardInterrupt", "KeyboardInterrupt"),
        (
            "class E(Exception):\n  def __str__(self): 1 / 0\ndef f(): raise E",
            "steps.E: (an error that cannot be shown)",
        ),
        ("def f(): raise ValueError('x' * 10_000)", "ValueError: " + "x" * 488),
        ("import sys\ndef f(): sys.exit(3)", "called sys.exit(3) instead of returning its result"),
        ("def f(): raise SystemExit", "called sys.exit() instead of returning its result"),
        ("import os\ndef f(): os._exit(0)", "ended with exit code 0 without a result"),
        ("import os\ndef f(): os._exit(7)", "ended with exit code 7 without a result"),
        ("import ctypes\ndef f(): ctypes.string_at(0)", "killed by signal SIGSEGV"),
        ("import os\ndef f(): os.abort()", "killed by signal SIGABRT"),
        ("import os, signal\ndef f(): os.kill(os.getpid(), signal.SIGKILL)", "killed by signal SIGKILL"),
        ("import os, signal\ndef f(): os.killpg(0, signal.SIGTERM)", "killed by signal SIGTERM"),
    ],
)
def test_ways_to_crash(bench: Bench, source: str, message: str) -> None:
    failure = bench.failure(source)
    assert (failure.kind, failure.message) == ("crashed", message)


def test_a_segfault_leaves_where_it_was_in_the_log(bench: Bench) -> None:
    failure = bench.failure("import ctypes\ndef f():\n  print('last words')\n  ctypes.string_at(0)")
    assert failure.log.startswith("last words\n")
    assert 'steps.py", line 4 in f' in failure.log


def test_killing_the_process_that_watches_helps_nobody(bench: Bench, pipe: Pipe) -> None:
    failure = bench.failure(f"""
        import os, signal
        def f():
            open({str(pipe.path)!r}, "w").write(f"{{os.getpid()}}\\n")
            os.kill(os.getppid(), signal.SIGTERM)  # which is ignored
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
    """)
    assert (failure.kind, failure.message) == (
        "crashed",
        "the process that watches this step was killed by signal SIGKILL",
    )
    wait_until_gone(pipe.pids(1))


def test_a_forked_child_that_comes_back_is_not_the_function(bench: Bench) -> None:
    failure = bench.failure("""
        import os
        def f():
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
                os._exit(0)
            return "child"
    """)
    assert failure.message == "ended with exit code 0 without a result"


def test_blocked_signals_are_not_handed_on(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        bench = Bench(tmp_path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert bench.answer("import signal\ndef f(): return list(signal.pthread_sigmask(signal.SIG_BLOCK, ()))") == []
    bench.runner.close()


def test_a_signal_from_the_terminal_reaches_neither_worker_nor_supervisor(bench: Bench) -> None:
    sessions = bench.answer("import os\ndef f(): return [os.getsid(os.getppid()), os.getsid(0)]")
    assert len({os.getsid(0), *sessions}) == 3


def test_signals_and_descriptors_are_as_usual(bench: Bench) -> None:
    source = """
        import os, signal, sys
        def f():
            open_ = [fd for fd in range(3, 100) if os.path.exists(f"/proc/self/fd/{fd}")]
            names = ["SIGTERM", "SIGHUP", "SIGCHLD"]
            return {
                "default": all(signal.getsignal(getattr(signal, name)) == signal.SIG_DFL for name in names),
                "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
                "open": open_,
                "stdin": sys.stdin.read(),
                "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            }
    """
    assert bench.answer(source) == {
        "default": True,
        "interrupt": True,
        "open": [],
        "stdin": "",
        "blocked": [],
    }


# ------------------------------------------------------------------------------------------------------- logs


def test_what_is_printed_is_the_log_and_never_the_result(bench: Bench) -> None:
    bench.write("""
        import os, subprocess, sys
        def f():
            print("out")
            print("err", file=sys.stderr)
            os.write(1, b"raw \\xff\\n")
            subprocess.run(["echo", "child"])
            print('{"fake": 1}')
            return "real"
    """)
    report = bench.run("steps.py:f")
    assert isinstance(report, AttemptAnswered)
    assert report.body == b'"real"'
    assert report.log == 'out\nerr\nraw \ufffd\nchild\n{"fake": 1}\n'


def test_a_flood_keeps_its_beginning_and_its_end(bench: Bench) -> None:
    bench.write("""
        import os
        def f():
            print("first")
            for _ in range(100):
                os.write(1, b"x" * 1_000_000)
            print("\\nlast")
            return 1
    """)
    before = psutil.Process().memory_info().rss
    report = bench.run("steps.py:f")
    assert isinstance(report, AttemptAnswered)
    assert report.log.startswith("first\nxxx")
    assert report.log.endswith("xxx\nlast\n")
    assert "bytes left out" in report.log
    assert len(report.log) < 1.1 * MIB
    assert psutil.Process().memory_info().rss - before < 60 * MIB


def test_capture_counts_what_it_leaves_out() -> None:
    capture = Capture(limit=10)
    for part in (b"abc", b"defgh", b"", b"ijklmnop", b"q"):
        capture.feed(part)
    assert capture.text() == "abcde\n[… 7 bytes left out …]\nmnopq"
    assert Capture(10).text() == Capture(10).last_line() == ""
    whole = Capture(limit=10)
    whole.feed(b"ab\ncd\n \nef")
    assert whole.text() == "ab\ncd\n \nef"
    whole.feed(b"\n")
    assert whole.last_line() == "ef"


# --------------------------------------------------------------------------------------------------- commands


def test_a_command_reads_stdin_and_prints_its_result(bench: Bench) -> None:
    report = bench.command(
        """
        import json, sys
        print("a word", file=sys.stderr)
        json.dump({"twice": json.load(sys.stdin)["x"] * 2}, sys.stdout)
        """,
        kwargs={"x": 1.5},
    )
    assert report == AttemptAnswered("step", 1, b'{"twice": 3.0}', "a word\n")


def test_a_command_reads_and_writes_the_files_that_are_named(bench: Bench) -> None:
    report = bench.command(
        """
        import json, os
        print("printed")
        value = json.load(open(os.environ["V6FLOW_INPUT"]))
        value["folder"] = os.getcwd()
        value["R"] = [os.path.basename(os.environ["V6FLOW_R"]), os.path.isfile(os.environ["V6FLOW_R"])]
        json.dump(value, open(os.environ["V6FLOW_OUTPUT"], "w"))
        """,
        kwargs={"x": "é"},
    )
    assert isinstance(report, AttemptAnswered)
    assert json.loads(report.body) == {"x": "é", "folder": str(bench.folder), "R": ["v6flow.R", True]}
    assert report.log == "printed\n"


def test_a_command_inherits_the_environment_and_usual_signals(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SETTING", "1")
    monkeypatch.delenv("V6FLOW_LIVE", raising=False)  # a setting of these tests
    report = bench.command("""
        import os, signal, json
        ignored = open("/proc/self/status").read().split("SigIgn:")[1].split()[0]
        names = [name for name in os.environ if name.startswith("V6FLOW")]
        print(json.dumps([os.environ["MY_SETTING"], names, ignored]))
    """)
    assert isinstance(report, AttemptAnswered)
    setting, names, ignored = json.loads(report.body)
    assert (setting, sorted(names)) == ("1", ["V6FLOW_INPUT", "V6FLOW_OUTPUT", "V6FLOW_R"])
    python_ignores = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))
    usual = (1 << 31) - 1  # those above are the C library's own
    assert int(ignored, 16) & usual & ~python_ignores == 0


def test_a_command_is_no_shell_line(bench: Bench) -> None:
    report = bench.run(command=("echo", '"$HOME; `id`"'))
    assert isinstance(report, AttemptAnswered)
    assert json.loads(report.body) == "$HOME; `id`"


def test_a_command_that_fails_says_its_last_line_of_stderr(bench: Bench) -> None:
    report = bench.command("import sys; print('half'); print('no such column\\n', file=sys.stderr); sys.exit(3)")
    assert isinstance(report, AttemptFailed)
    assert (report.kind, report.message) == ("crashed", "exit code 3: no such column")
    assert "half" in report.log
    silent = bench.run(command=("false",))
    assert isinstance(silent, AttemptFailed)
    assert (silent.kind, silent.message) == ("crashed", "exit code 1")


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        ("print('Loading...'); print('{}')", "stdout is no result: not JSON", "stdout must be one JSON text"),
        ("", "stdout is no result: empty", "stdout must be one JSON text"),
        ("print('NaN')", "stdout is no result: the number NaN is not finite", "stdout must be"),
        ('print(\'{"a":1,"a":2}\')', "the key 'a' stands twice", "stdout must be"),
        (
            "import os; open(os.environ['V6FLOW_OUTPUT'], 'w'); print(1)",
            "$V6FLOW_OUTPUT is no result: empty",
            None,
        ),
        (
            "import os; os.mkfifo(os.environ['V6FLOW_OUTPUT'])",
            "cannot be read: it is not a regular file",
            None,
        ),
        (
            "import os; os.symlink('/etc/passwd', os.environ['V6FLOW_OUTPUT'])",
            "it is not a regular file",
            None,
        ),
        (
            "import os; open(os.environ['V6FLOW_OUTPUT'], 'w').truncate(1 << 40)",
            "it has 1024 GiB, more than",
            None,
        ),
    ],
)
def test_a_command_whose_result_is_none(bench: Bench, program: str, message: str, hint: str | None) -> None:
    report = bench.command(program)
    assert isinstance(report, AttemptFailed)
    assert report.kind == "garbage"
    assert message in report.message
    assert (hint or "") in (report.hint or "")


def test_a_command_may_flood_stdout_if_the_result_is_elsewhere(bench: Bench) -> None:
    report = bench.command("""
        import os
        for _ in range(300):
            os.write(1, b"x" * 1_000_000)
        open(os.environ["V6FLOW_OUTPUT"], "w").write("1")
    """)
    assert isinstance(report, AttemptAnswered)
    assert (report.body, len(report.log) < 1.1 * MIB) == (b"1", True)
    flood = bench.command("import os\nfor _ in range(300): os.write(1, b'x' * 1_000_000)")
    assert isinstance(flood, AttemptFailed)
    assert (flood.kind, flood.message) == (
        "garbage",
        "it printed more than 256 MiB and wrote no $V6FLOW_OUTPUT",
    )


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("no-such-program", "the program 'no-such-program' was not found", "is it installed"),
        ("script.sh", "the program 'script.sh' was not found", "write './script.sh'"),
        ("./script.sh", "'./script.sh' may not be executed", "/script.sh, or name its interpreter"),
        ("./bad.sh", "the interpreter in the first line of './bad.sh' was not found", ""),
        ("./none.sh", "'./none.sh' could not be started: Exec format error", "#!/bin/sh"),
        ("nul\0", "'nul\\x00' could not be started: an argument holds the character NUL", ""),
    ],
)
def test_a_program_that_cannot_start(bench: Bench, command: str, message: str, hint: str) -> None:
    (bench.folder / "script.sh").write_text("#!/bin/sh\n")
    for name, text in (("bad.sh", "#!/no/such/interpreter\n"), ("none.sh", "echo 1\n")):
        (bench.folder / name).write_text(text)
        (bench.folder / name).chmod(0o755)
    report = bench.run(command=(command,))
    assert isinstance(report, AttemptFailed)
    assert (report.kind, report.message) == ("start_failed", message)
    assert hint in (report.hint or "")


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    absent = Bench(tmp_path, python=str(tmp_path / "no-python"))
    report = absent.run("steps.py:f")
    assert isinstance(report, AttemptFailed)
    assert (report.kind, report.message) == (
        "start_failed",
        "no child process could be started: No such file or directory",
    )
    absent.runner.close()


def test_a_folder_that_is_not_there(bench: Bench) -> None:
    bench.folder = bench.folder / "gone"
    report = bench.run(command=("true",))
    assert isinstance(report, AttemptFailed)
    assert report.kind == "start_failed"


# -------------------------------------------------------------------------------------------- time and memory


@pytest.mark.parametrize(
    "body", ["while True: pass", "__import__('signal').pause()", "__import__('re').match('(a+)+b', 'a' * 60)"]
)
def test_an_endless_function_ends_at_its_timeout(bench: Bench, body: str) -> None:
    failure = bench.failure(f"def f():\n  print('started')\n  {body}", timeout=0.5)
    assert (failure.kind, failure.message) == ("timeout", "did not end within 0.5s, its timeout")
    assert failure.log in ("started\n", "")


def test_a_process_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    failure = bench.failure(
        """
        import signal
        def f():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True: signal.pause()
        """,
        timeout=0.3,
    )
    assert failure.kind == "timeout"


def test_a_process_may_clean_up_on_sigterm(bench: Bench) -> None:
    failure = bench.failure(
        """
        import signal, sys
        def f():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("cleaned up"))
            print("ready")
            signal.pause()
        """,
        timeout=1.0,
    )
    assert failure.kind == "timeout"
    assert failure.log in ("ready\n", "")


def test_the_timeout_of_a_command_ends_all_it_started(bench: Bench, pipe: Pipe) -> None:
    script = f"sleep 1000 & echo $! > {pipe.path}; setsid sleep 1000 & echo $! > {pipe.path}; wait"
    report = bench.run(command=("sh", "-c", script), timeout=0.5)
    assert isinstance(report, AttemptFailed)
    assert report.kind == "timeout"
    wait_until_gone(pipe.pids(2))


def test_a_timeout_counts_from_the_start_of_the_child(tmp_path: Path) -> None:
    """The second waits for the first longer than its own timeout, which is not spent by waiting."""
    one = Bench(tmp_path, jobs=1)
    one.write("def quick(): return 1\ndef slow():\n  while True: pass")
    one.start("steps.py:slow", step="first", timeout=3.0)
    one.start("steps.py:quick", step="second", timeout=2.0)
    assert [type(one.next()), type(one.next())] == [AttemptFailed, AttemptAnswered]
    one.runner.close()


def test_memory_above_the_limit_ends_the_step(bench: Bench) -> None:
    failure = bench.failure(
        "import signal\ndef f():\n  eaten = bytearray(b'x') * 300_000_000\n  while True: signal.pause()",
        memory=150 * MIB,
    )
    assert failure.kind == "memory"
    assert failure.message.startswith("reached ")
    assert failure.message.endswith(" MiB of memory, its limit is 150 MiB")
    assert float(failure.message.split()[1]) >= 150  # told to one decimal
    assert "memory" in (failure.hint or "")


def test_memory_is_that_of_the_whole_tree(bench: Bench) -> None:
    """Each of three processes stays below the limit; together they are above."""
    failure = bench.failure(
        """
        import os, signal
        def f():
            for _ in range(2):
                if os.fork() == 0:
                    break
            eaten = bytearray(b"x") * 80_000_000
            while True: signal.pause()
        """,
        memory=170 * MIB,
    )
    assert failure.kind == "memory"


class StoppedClock:
    """Time stands still, so that the runner looks at memory once, at the start."""

    def now(self) -> float:
        return 1.0


def test_memory_that_was_given_back_before_anybody_looked_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock=StoppedClock())
    failure = bench.failure("def f():\n  eaten = bytearray(b'x') * 200_000_000\n  return 1", memory=150 * MIB)
    assert failure.kind == "memory"
    assert float(failure.message.split()[1]) > 150
    bench.runner.close()


def test_memory_below_the_limit_is_fine(bench: Bench) -> None:
    assert bench.answer("def f():\n  eaten = bytearray(b'x') * 60_000_000\n  return 1", memory=150 * MIB) == 1


def test_sizes_are_spelled() -> None:
    assert [size(n) for n in (12, 2048, 3 * MIB // 2, 214_400_000, 5 << 30)] == [
        "12 bytes",
        "2 KiB",
        "1.5 MiB",
        "204.4 MiB",
        "5 GiB",
    ]


# --------------------------------------------------------------------------------------- queueing and killing


def test_no_more_than_jobs_run_at_once(tmp_path: Path) -> None:
    others = set(psutil.Process().children())  # of other tests' servers
    bench, pipe = Bench(tmp_path, jobs=2), Pipe(tmp_path)
    gates = [Pipe(tmp_path, f"gate{number}") for number in range(3)]
    bench.write(f"""
        def f(number):
            open({str(pipe.path)!r}, "w").write(f"{{number}}\\n")
            return open(f"gate{{number}}").readline()
    """)
    for number in range(3):
        bench.start("steps.py:f", step=f"s{number}", kwargs={"number": number})
    assert sorted(pipe.pids(2)) == [0, 1]
    assert len(set(psutil.Process().children()) - others) == 2
    gates[0].path.write_text("go\n")
    first = bench.next()
    assert isinstance(first, AttemptAnswered)
    assert first.step == "s0"
    assert pipe.pids(1) == [2]
    for gate in gates[1:]:
        gate.path.write_text("go\n")
    assert {bench.next().step, bench.next().step} == {"s1", "s2"}
    bench.runner.close()


def test_a_killed_step_is_gone_and_nothing_is_reported(bench: Bench, pipe: Pipe) -> None:
    bench.write(f"""
        import os, signal, subprocess
        def wait():
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            open({str(pipe.path)!r}, "w").write(f"{{os.getpid()}}\\n{{os.getppid()}}\\n{{child.pid}}\\n")
            signal.pause()
        def f(): return 1
    """)
    bench.start("steps.py:wait", step="waits")
    pids = pipe.pids(3)
    bench.runner.kill("waits")
    wait_until_gone(pids)
    bench.start("steps.py:f", step="waits")
    report = bench.next()
    assert isinstance(report, AttemptAnswered)
    bench.runner.kill("waits")
    bench.runner.kill("never started")
    assert bench.reports.empty()


def test_a_step_that_is_killed_while_it_queues_never_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, jobs=1)
    bench.write(
        """
        import pathlib
        def wait(): open("gate").readline()
        def mark(): pathlib.Path("ran").touch()
        def f(): ...
        """
    )
    gate = Pipe(tmp_path, "gate")
    bench.start("steps.py:wait", step="waits")
    bench.start("steps.py:mark", step="marks")
    bench.start("steps.py:f", step="last")
    bench.runner.kill("marks")
    gate.path.write_text("go\n")
    assert [bench.next().step, bench.next().step] == ["waits", "last"]
    assert not (tmp_path / "ran").exists()
    bench.runner.close()


def test_what_a_step_leaves_behind_ends_with_it(bench: Bench, pipe: Pipe) -> None:
    """Also what has a session of its own, and holds the log open."""
    bench.answer(f"""
        import subprocess
        def f():
            for own in (True, False):
                child = subprocess.Popen(["sleep", "1000"], start_new_session=own)
                open({str(pipe.path)!r}, "w").write(f"{{child.pid}}\\n")
            return 1
    """)
    wait_until_gone(pipe.pids(2))


def test_close_ends_everything_and_may_be_repeated(tmp_path: Path) -> None:
    bench, pipe = Bench(tmp_path, jobs=2), Pipe(tmp_path)
    bench.write(f"""
        import os, signal
        def f():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open({str(pipe.path)!r}, "w").write(f"{{os.getpid()}}\\n{{os.getppid()}}\\n")
            while True: signal.pause()
    """)
    for number in range(3):
        bench.start("steps.py:f", step=f"s{number}")
    pids = pipe.pids(4)
    bench.runner.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    bench.runner.close()
    bench.runner.kill("s0")
    assert bench.reports.empty()
    with pytest.raises(RuntimeError):
        bench.start("steps.py:f")


def test_close_without_open_and_with_a_stopped_child(tmp_path: Path) -> None:
    ChildRunner().close()
    bench, pipe = Bench(tmp_path), Pipe(tmp_path)
    bench.write(f"""
        import os, signal
        def f():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.kill(os.getppid(), signal.SIGSTOP)
            while ") T " not in open(f"/proc/{{os.getppid()}}/stat").read(): pass
            open({str(pipe.path)!r}, "w").write(f"{{os.getpid()}}\\n{{os.getppid()}}\\n")
            while True: signal.pause()
    """)
    bench.start("steps.py:f")
    pids = pipe.pids(2)
    bench.runner.close()
    wait_until_gone(pids)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_of_ours_leaves_nobody_waiting(tmp_path: Path) -> None:
    bench, pipe = Bench(tmp_path, jobs=2), Pipe(tmp_path)
    bench.write(f"""
        import os, signal
        def f():
            open({str(pipe.path)!r}, "w").write(f"{{os.getpid()}}\\n")
            signal.pause()
    """)
    bench.start("steps.py:f", step="runs")
    pids = pipe.pids(1)
    bench.start("steps.py:f", step="not JSON", kwargs={"x": object()})
    reports = {report.step: report for report in (bench.next(), bench.next())}
    assert {type(report) for report in reports.values()} == {AttemptFailed}
    assert set(reports) == {"runs", "not JSON"}
    wait_until_gone(pids)
    bench.runner.close()


def test_close_from_within_a_report_does_not_hang(tmp_path: Path) -> None:
    done = threading.Event()
    runner = ChildRunner(jobs=1)

    def emit(_report: LocalReport) -> None:
        runner.close()
        done.set()

    runner.open(emit)
    runner.start(LocalRequest("step", 1, str(tmp_path), command=("true",)))
    assert done.wait(PATIENCE)
    runner.close()


# ------------------------------------------------------------------------------------------- when v6flow dies


def start_v6flow(folder: Path, *, cold: bool) -> subprocess.Popen[bytes]:
    """A process of its own that runs `steps.py:f` and waits."""
    program = f"""
        import signal
        from v6flow.local.runner import ChildRunner
        from v6flow.core.execution.commands import LocalRequest
        runner = ChildRunner(cold={cold})
        runner.open(print)
        runner.start(LocalRequest("step", 1, {str(folder)!r}, function="steps.py:f"))
        signal.pause()
    """
    environment = {**os.environ, "PYTHONPATH": str(RUNNER), "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=environment)


@pytest.mark.parametrize(("number", "cold"), [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGTERM, False)])
def test_nothing_outlives_v6flow(tmp_path: Path, number: signal.Signals, cold: bool) -> None:
    """The function, what it started, in sessions of their own too, the supervisor, and the step's folder."""
    pipe = Pipe(tmp_path)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "steps.py").write_text(
        textwrap.dedent(f"""
        import os, signal, subprocess
        def f():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            command = ["sh", "-c", "sleep 1000 & wait"]
            children = [subprocess.Popen(command, start_new_session=own) for own in (True, False)]
            pids = [os.getpid(), os.getppid(), *(child.pid for child in children)]
            open({str(pipe.path)!r}, "w").write("".join(f"{{pid}}\\n" for pid in pids))
            while True: signal.pause()
        """)
    )
    v6flow = start_v6flow(tmp_path, cold=cold)
    try:
        pids = pipe.pids(4)
        tree = [process.pid for process in psutil.Process(v6flow.pid).children(recursive=True)]
        assert set(pids) <= set(tree)
    finally:
        v6flow.send_signal(number)
        v6flow.wait(PATIENCE)
    wait_until_gone([*tree, *pids])
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_worker_ends_with_its_supervisor_though_v6flow_is_stopped(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "steps.py").write_text(
        textwrap.dedent(f"""
        import os, signal
        def f():
            os.kill(os.getppid(), signal.SIGSTOP)
            open({str(pipe.path)!r}, "w").write(f"{{os.getpid()}}\\n{{os.getppid()}}\\n")
            signal.pause()
        """)
    )
    v6flow = start_v6flow(tmp_path, cold=False)
    try:
        worker, supervisor = pipe.pids(2)
        v6flow.send_signal(signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
        wait_until_gone([worker])
    finally:
        v6flow.kill()
        v6flow.wait(PATIENCE)
