"""The command line as a whole: its errors, exit codes and streams, signals, and the world it runs in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    PATIENCE,
    PROJECT,
    SMALL,
    call,
    child,
    command,
    end,
    environment,
    open_gate,
    run_ids,
    start,
    waiting,
    write,
)

from v6flow.cli.commands import COMMANDS
from v6flow.errors import JournalError
from v6flow.version import __version__

if TYPE_CHECKING:
    import argparse

Capture = pytest.CaptureFixture[str]
SHAPE = {"run", "workflow", "status", "exit_code", "outputs", "steps", "error"}


def test_the_version(capsys: Capture) -> None:
    assert call(capsys, "--version").out == f"v6flow {__version__}\n"
    assert child("-V").out == f"v6flow {__version__}\n"


def test_help_names_every_command(capsys: Capture) -> None:
    said = call(capsys, "--help")
    assert (said.code, said.err) == (0, "")
    assert all(f"  {name} " in said.out for name in COMMANDS)
    assert call(capsys, "help", "run").out == call(capsys, "run", "--help").out


def test_without_a_command_help_is_told_and_it_is_an_error(capsys: Capture) -> None:
    said = call(capsys)
    assert (said.code, said.out) == (2, "")
    assert "v6flow COMMAND --help" in said.err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, capsys: Capture) -> None:
    said = call(capsys, name, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: v6flow {name}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rnu", "x.yaml"], "did you mean run?"),
        (["--versoin"], "did you mean --version?"),
        (["run", "small.yaml", "--parm", "n=1"], "did you mean --param?"),
        (["run", "small.yaml", "--contin"], "did you mean --continue?"),
        (["run", "small.yaml", "more.yaml"], "does not take 'more.yaml'"),
        (["run", "small.yaml", "-o", "yaml"], "invalid choice: 'yaml'"),
        (["run"], "WORKFLOW"),
        (["run", "samll.yaml"], "did you mean small.yaml?"),
        (["status", "--stroe", "x"], "did you mean --store?"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_words_exit_2_with_the_nearest(
    words: list[str], told: str, as_json: bool, here: Path, capsys: Capture
) -> None:
    write(here, small_yaml=SMALL)
    if not as_json:
        said = call(capsys, *words)
        assert (said.code, said.out) == (2, "")
        assert told in said.err
        return
    if "-o" in words:
        pytest.skip("it asks for another output")
    said = call(capsys, *words, "-o", "json")
    assert (said.code, said.err) == (2, "")
    assert said.document.keys() >= SHAPE
    assert (said.document["status"], said.document["exit_code"]) == ("failed", 2)
    assert told in said.document["error"]["message"] + str(said.document["error"]["hint"])


def test_a_bug_exits_70_with_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    broken = ModuleType("v6flow.cli.broken", "A command that is broken.")

    def main(_arguments: argparse.Namespace) -> int:
        raise RuntimeError("oops")

    broken.__dict__.update(configure=lambda parser: parser.add_argument("-o"), main=main)
    monkeypatch.setitem(sys.modules, "v6flow.cli.broken", broken)
    monkeypatch.setitem(COMMANDS, "broken", "is broken")
    said = call(capsys, "broken")
    assert (said.code, said.out) == (70, "")
    assert "Traceback" in said.err
    assert "RuntimeError: oops" in said.err
    assert "this is a bug in v6flow" in said.err
    said = call(capsys, "broken", "-o", "json")
    assert said.code == 70
    assert said.document.keys() >= SHAPE
    assert said.document["error"].items() >= {"kind": "bug", "message": "RuntimeError: oops"}.items()
    assert "Traceback" in said.err


def test_an_error_about_a_file_is_no_matter_of_the_output(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    broken = ModuleType("v6flow.cli.broken", "A command that is broken.")

    def main(_arguments: argparse.Namespace) -> int:
        raise OSError(24, "Too many open files")

    broken.__dict__.update(configure=lambda parser: None, main=main)
    monkeypatch.setitem(sys.modules, "v6flow.cli.broken", broken)
    monkeypatch.setitem(COMMANDS, "broken", "is broken")
    assert call(capsys, "broken").code == 70


# ------------------------------------------------------------------------------------------- one run, many hands


def test_eight_at_once_on_one_run_seven_are_told_who_holds_it(here: Path) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", until="wait: computes here")
    process.kill()
    end(process)
    words = command("resume", "-o", "json")
    many = [
        subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        for _ in range(8)
    ]
    # the gate opens when seven have given up: whoever holds the run waits at it until then
    losers = 0
    while losers < 7:
        pid, status = os.wait()
        loser = next((each for each in many if each.pid == pid), None)
        if loser is None:
            continue  # an orphan of another test, which this process has taken in
        loser.returncode = os.waitstatus_to_exitcode(status)
        assert loser.returncode == 75, loser.communicate()
        losers += 1
    (winner,) = [each for each in many if each.returncode is None]
    (here / "gate").write_text("41")  # blocks until the winner's child has come to the gate
    assert end(winner).document["outputs"] == {"sum": 42}
    for each in many:
        each.communicate()


# ------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_lets_go_of_the_run(number: int, code: int, here: Path, capsys: Capture) -> None:
    waiting(here)
    process = start("run", "waiting.yaml", "-o", "json", until="wait: computes here")
    process.send_signal(number)
    said = end(process)
    (run,) = run_ids(here)
    assert said.code == code
    assert f"v6flow resume {run}" in said.err
    document = said.document
    assert (document["status"], document["exit_code"], document["outputs"]) == ("interrupted", code, {})
    open_gate(here)
    assert call(capsys, "resume").out == "sum: 42\n"


def test_a_second_signal_ends_it_at_once(here: Path) -> None:
    """The first is not acted upon, since the engine is stopped in a write: the second must not wait for that."""
    program = (
        "import os, signal, sys; from v6flow.stores.folder.sqlite import SqliteJournal\n"
        "append = SqliteJournal.append\n"
        "def slow(self, events, *, durable):\n"
        "    if 'LocalRequested' in str(events):\n"
        "        sys.stderr.write('writing\\n'); sys.stderr.flush()\n"
        "        while True: signal.pause()\n"
        "    append(self, events, durable=durable)\n"
        "SqliteJournal.append = slow\n"
        "from v6flow.cli.main import main; sys.exit(main(['run', 'waiting.yaml']))\n"
    )
    waiting(here)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None
    assert any("writing" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    while "SigPnd:\t0000000000000000" not in Path(f"/proc/{process.pid}/status").read_text():
        pass  # two signals of one number that are not yet delivered are one
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.send_signal(signal.SIGINT)
    assert end(process).code == 130


def test_a_second_signal_shows_the_cursor_again(here: Path) -> None:
    """The first is stuck in the engine, and the display that hid the cursor is never closed."""
    program = (
        "import os, signal, sys; from v6flow.engine import Engine\n"
        "def stuck(self):\n"
        "    os.write(2, b'stuck')\n"
        "    while True: signal.pause()\n"
        "Engine.run = stuck\n"
        "from v6flow.cli.main import main; sys.exit(main(['run', 'small.yaml']))\n"
    )
    write(here, small_yaml=SMALL)
    for number in (signal.SIGINT, signal.SIGTERM):
        ours, theirs = os.openpty()
        process = subprocess.Popen([sys.executable, "-c", program], env=environment(), stderr=theirs)
        os.close(theirs)
        said = b""
        while not said.endswith(b"stuck"):
            said += os.read(ours, 4096)
        process.send_signal(signal.SIGINT if number == signal.SIGTERM else signal.SIGTERM)
        process.send_signal(number)
        assert process.wait(PATIENCE) > 128
        assert os.read(ours, 4096).endswith(b"\x1b[?25h")
        os.close(ours)


def test_what_the_shell_ignores_stays_ignored(here: Path) -> None:
    """As under `nohup`: the terminal may go, and the run goes on."""
    waiting(here)
    process = start(
        "run",
        "waiting.yaml",
        until="wait: computes here",
        before=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"],
    )
    process.send_signal(signal.SIGHUP)
    (here / "gate").write_text("41")
    said = end(process)
    assert (said.code, said.out) == (0, "sum: 42\n")


def test_an_interrupt_outside_a_run(monkeypatch: pytest.MonkeyPatch, here: Path, capsys: Capture) -> None:
    def interrupted(_path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("v6flow.loading.read_workflow", interrupted)
    said = call(capsys, "graph", "small.yaml")
    assert (said.code, said.out, said.err) == (130, "", "error: interrupted\n")


# ------------------------------------------------------------------------------------------------------- streams


def test_a_full_disk_behind_stdout_is_told(here: Path) -> None:
    write(here, small_yaml=SMALL)
    with Path("/dev/full").open("w") as full:
        said = child("run", "small.yaml", stdout=full)
    assert said.code == 1
    assert "error: the output cannot be written: No space left on device" in said.err
    assert "Traceback" not in said.err
    assert child("status", "-o", "json").document["status"] == "completed"


@pytest.mark.parametrize("words", [("run", "small.yaml"), ("run", "small.yaml", "-o", "json"), ("nonsense",)])
def test_a_full_disk_behind_stderr_stops_nothing(words: tuple[str, ...], here: Path) -> None:
    write(here, small_yaml=SMALL)
    with Path("/dev/full").open("w") as full:
        said = child(*words, stderr=full)
    assert said.code == (2 if words == ("nonsense",) else 0)
    assert bool(said.out) == (said.code == 0)


def test_a_reader_that_went_away_corrupts_nothing(here: Path) -> None:
    write(here, small_yaml=SMALL)
    shell = f'"{sys.executable}" -m v6flow run small.yaml 2>&1 | head -n 1; echo "${{PIPESTATUS[0]}}"'
    said = subprocess.run(["bash", "-c", shell], env=environment(), capture_output=True, encoding="utf-8", check=True)
    first, code = said.stdout.splitlines()
    assert "started" in first
    assert int(code) in (0, 141)
    assert said.stderr == ""
    assert child("status", "-o", "json").document["status"] == "completed"


def test_closed_streams(here: Path) -> None:
    write(here, small_yaml=SMALL)
    shell = f'"{sys.executable}" -m v6flow run small.yaml >&- 2>&-; echo $?'
    said = subprocess.run(["bash", "-c", shell], env=environment(), capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("0\n", "")


# ------------------------------------------------------------------------------------------------------ the world

CRON = {"PATH": "/nowhere", "PYTHONPATH": str(PROJECT / "runner")}
LOCALES = [
    {},
    {"LANG": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8"},
    {"PYTHONIOENCODING": "ascii"},
]


@pytest.mark.parametrize(
    "locale", LOCALES, ids=lambda locale: " ".join(f"{k}={v}" for k, v in locale.items()) or "none"
)
def test_it_works_without_a_home_a_path_or_a_locale(locale: dict[str, str], here: Path) -> None:
    write(here, small_yaml=SMALL.replace("A number", "eine Zahl größer als π"))
    said = child("run", "small.yaml", "-p", "who=Zoë 𝄞", "-o", "json", env={**CRON, **locale})
    assert said.code == 0, said.err
    assert said.document["outputs"]["who"] == "Zoë 𝄞"
    said = child("run", "smäll.yaml", env={**CRON, **locale})
    assert said.code == 2
    assert "Traceback" not in said.err


def test_params_that_are_no_utf8_are_refused(here: Path) -> None:
    write(here, small_yaml=SMALL)
    words = [*map(os.fsencode, command("run", "small.yaml", "-p")), b"who=\xff"]
    said = subprocess.run(words, env=environment(), capture_output=True, encoding="utf-8", check=False)
    assert said.returncode == 2
    assert "is not UTF-8 text" in said.stderr


def test_a_file_whose_name_is_no_utf8(here: Path) -> None:
    (here / os.fsdecode(b"\xff.yaml")).write_text(SMALL, encoding="utf-8")
    said = subprocess.run(
        [*map(os.fsencode, command("validate")), b"\xff.yaml"],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (0, b"\\udcff.yaml: valid\n")


def test_a_store_that_cannot_be_written_says_what_to_do(here: Path, capsys: Capture) -> None:
    write(here, small_yaml=SMALL)
    said = call(capsys, "run", "small.yaml", "--store", "/proc/nowhere")
    assert (said.code, said.out) == (2, "")
    assert "--store FOLDER" in said.err


def test_a_current_folder_that_cannot_be_written(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, small_yaml=SMALL)
    monkeypatch.chdir("/proc/self")
    said = call(capsys, "run", str(here / "small.yaml"))
    assert (said.code, said.out) == (2, "")
    assert "--store FOLDER" in said.err
    assert call(capsys, "run", str(here / "small.yaml"), "--store", str(here / "store"), "-q").code == 0


def test_a_current_folder_that_is_gone(here: Path) -> None:
    write(here, small_yaml=SMALL)
    shell = f'mkdir gone && cd gone && rmdir ../gone && "{sys.executable}" -m v6flow run {here}/small.yaml'
    said = subprocess.run(["bash", "-c", shell], env=environment(), capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "the current folder is gone" in said.stderr


def test_a_journal_that_cannot_be_read_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, here: Path, capsys: Capture
) -> None:
    def unreadable(_self: object) -> list[str]:
        raise JournalError("no \x1b[2J journal", hint="see\tthere")

    monkeypatch.setattr("v6flow.stores.folder.store.FolderStore.runs", unreadable)
    said = call(capsys, "list")
    assert (said.code, said.err) == (2, "error: no \\x1b[2J journal\n  hint: see    there\n")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_the_terminal(command: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = call(capsys, *([command] if command else []), "--help").out.splitlines()
    assert [line for line in said if len(line) > width] == []
