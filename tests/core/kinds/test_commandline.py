"""Which words of a command would be code, or choose what runs; the remedies are tried with the real programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from v6flow.core.kinds.commandline import could_be_option, misuses
from v6flow.core.language import document

if TYPE_CHECKING:
    from pathlib import Path

X = "{{ steps.a.result.name }}"

REFUSED = [
    ["python3.12-dbg", "-c", X],
    ["env", f"PATH={X}", "prog"],
    ["env", f"LD_PRELOAD={X}", "prog"],
    ["R", "-q", "-e", X],
    ["csh", "-fc", X],
    ["bash", "+x", "-c", X],
    ["sudo", "-E", "-u", "x", "--", "sh", "-c", X],
    ["docker", "compose", "exec", "web", "sh", "-c", X],
    ["ssh", "-p", "22", "host", "ls", X],
    ["clickhouse-client", f"--query={X}"],
    ["sed", "-i", f"s/a/{X}/", "file"],
    ["vim", f"+{X}"],
    ["sh", "-c", f"echo '{X}'"],
    ["/bin/bash", "-ec", X],
    ["bash", "-c", "-e", X],
    ["bash", "-lc", X],
    ["bash", "-eo", "pipefail", "-c", X],
    ["zsh", "-c", X],
    ["fish", "-c", X],
    ["fish", f"--command={X}"],
    ["busybox", "sh", "-c", X],
    ["python3.12", "-c", X],
    ["python3", f"-c{X}"],
    ["python3", "-Ic", X],
    ["python", X],
    ["python3", "-u", X],
    ["python3", "-m", X],
    ["perl", "-e", X],
    ["perl", "-lane", X],
    ["perl", f"-e{X}"],
    ["perl", "-e", "print", X],
    ["perl", f"-M{X}", "x.pl"],
    ["ruby", "-e", X],
    ["node", "-e", X],
    ["node", "--eval", X],
    ["node", f"--eval={X}"],
    ["node", "-pe", X],
    ["Rscript", "-e", X],
    ["R", "--no-save", "-e", X],
    ["awk", X],
    ["awk", "-F", ",", X, "f"],
    ["gawk", "-e", X],
    ["sed", X],
    ["sed", "-n", X],
    ["sed", "-e", X],
    ["sed", f"s/x/{X}/"],
    ["sed", f"--expression=s/x/{X}/"],
    ["sed", "s/a/b/", X],
    ["php", "-r", X],
    ["lua", "-e", X],
    ["lua5.4", "-e", X],
    ["julia", "--eval", X],
    ["julia", f"--eval={X}"],
    ["julia", "-E", X],
    ["tclsh", X],
    ["osascript", "-e", X],
    ["pwsh", "-Command", X],
    ["pwsh", "-c", "echo", X],
    ["powershell", X],
    ["powershell.exe", "-NoProfile", "-EncodedCommand", X],
    ["pwsh", "-enc", X],
    ["env", "sh", "-c", X],
    ["env", "A=b", "sh", "-c", X],
    ["env", "-S", X],
    ["env", X, "x"],
    ["sudo", "-u", "a", "sh", "-c", X],
    ["nice", "-n", "5", "bash", "-c", X],
    ["time", "sh", "-c", X],
    ["timeout", "5", "sh", "-c", X],
    ["timeout", "-k", "5", "10", "sh", "-c", X],
    ["xargs", "-n", "1", "sh", "-c", X],
    ["nohup", "sh", "-c", X],
    ["ssh", "h", "echo", X],
    ["ssh", X],
    ["su", "-c", X],
    ["su", "bob", "-c", X],
    ["su", "-", "bob", "-c", X],
    ["docker", "run", "--rm", "img", "sh", "-c", X],
    ["docker", "exec", "c", "bash", "-lc", X],
    ["docker", "run", "--entrypoint", "sh", "img", "-c", X],
    ["find", ".", "-exec", "sh", "-c", X, ";"],
    ["find", ".", "-name", "x", "-exec", X, ";"],
    ["jq", X],
    ["jq", "-r", f".{X}"],
    ["psql", "-c", X],
    ["psql", "-d", "x", f"--command={X}"],
    ["sqlite3", "db", X],
    ["sqlite3", "-cmd", X],
    ["duckdb", "-c", X],
    ["make", X],
    ["make", f"X={X}"],
    ["mytool", "--eval", X],
    ["mytool", "sh", "-c", X],
    ["timeout", X, "sh"],
    ["sh", X],
    ["sh", f"-{X}"],
    ["bash", "--rcfile", f"{X}x", "-c", X],
    ["flock", "f", "-c", X],
    ["flock", "f", "sh", "-c", X],
    ["script", "-c", X, "f"],
    ["watch", X],
    ["parallel", X],
    ["kubectl", "exec", "pod", "--", "sh", "-c", X],
    ["conda", "run", "-n", "x", "python", "-c", X],
    ["mysql", "-e", X],
    ["mysql", f"-e{X}"],
    ["cmd", "/c", X],
    ["bash", "-c", "--", X],
    ["/usr/bin/env", "python3", "-c", X],
    ["env", "-i", "python3", "-c", X],
    ["timeout", "5", "env", "FOO=1", "nice", "sh", "-c", X],
    ["deno", "eval", X],
    ["sh", "-ce", X],
    ["bash", "+x", "-c", X],
    ["uv", "run", "python", "-c", X],
    ["stdbuf", "-oL", "sh", "-c", X],
    ["bash", "-O", "extglob", "-c", X],
    ["octave", "--eval", X],
    ["gawk", f"--source={X}"],
    ["gawk", "--source", X],
    ["ruby", "-ne", X],
    ["ruby", "-ane", X],
    ["perl", "-pi", "-e", X],
    ["perl", "-pie", X],
    ["sh", f"scripts/{X}"],
    ["python3", "-W", "ignore", "-c", X],
    ["awk", "-v", "x=1", X],
    ["awk", "-f", X],
    ["psql", "-f", X],
    ["bash", "-xc", X],
    ["ash", "-c", X],
    ["gosu", "me", "sh", "-c", X],
    ["tini", "--", "sh", "-c", X],
    ["ionice", "-c", "2", "sh", "-c", X],
    ["setsid", "-w", "sh", "-c", X],
    ["chroot", "/x", "sh", "-c", X],
    ["env", f"--split-string={X}"],
    ["env", f"-S{X}"],
    ["awk", "-f", "p.awk", X],
    ["dumb-init", "sh", X],
    ["dbus-run-session", "python3", X],
]

ACCEPTED = [
    ["sh", "-c", 'echo "$1"', "sh", X],
    ["bash", "-ec", "x", "bash", X, "-c", X],
    ["python3", "-c", "x", X],
    ["python3", "s.py", X],
    ["python3", "-u", "s.py", X, "-c", X],
    ["python3", "-m", "mod", X],
    ["python3", "-W", "error", "s.py", X],
    ["perl", "-e", "print @ARGV", "--", X],
    ["perl", "x.pl", X],
    ["ruby", "-e", "x", "--", X],
    ["node", "-e", "x", "--", X],
    ["node", "x.js", X],
    ["Rscript", "pool.R", X],
    ["Rscript", "--vanilla", "pool.R", X],
    ["awk", "{print}", X],
    ["awk", "-v", f"x={X}", "{print x}"],
    ["sed", "-e", "s/a/b/", "--", X],
    ["sed", "s/a/b/", "--", X],
    ["sed", "s/a/b/", f"./{X}"],
    ["jq", "-n", "--arg", "x", X, "$x"],
    ["jq", "-n", "$x", "--arg", "x", X],
    ["psql", "-v", f"x={X}", "-f", "q.sql"],
    ["psql", "-h", X, "-f", "q.sql"],
    ["sqlite3", f"data/{X}.db", "select 1"],
    ["timeout", "5", "Rscript", "p.R", X],
    ["env", f"X={X}", "python3", "s.py"],
    ["env", "X=1", "prog", X],
    ["prog", X],
    ["newton", X],
    ["echo", "sh", X],
    ["php", "-r", "x", "--", X],
    ["julia", "s.jl", X],
    ["find", "data", "-name", X],
    ["docker", "run", "img", X],
    ["docker", "run", "-e", f"X={X}", "img"],
    ["make", "all"],
    ["sh", "run.sh", X],
    ["sh", "-e", "run.sh", X],
    ["mytool", "-c", X],
    ["curl", "-d", X, "u"],
    ["sudo", "prog", X],
    ["pwsh", "-File", "x.ps1", X],
    ["wc", "-l", X],
    ["bash", "-c", "x"],
    ["jq", "-r", ".a", "--", X],
    ["cat", X],
    ["nice", "prog", X],
    ["head", "-n", X, "f"],
    ["python3", "-c", "x", "--", X],
    ["xargs", "-a", X, "wc"],
    ["Rscript", "-e", "x", "--args", X],
    ["git", "-c", "a=b", "commit"],
    ["conda", "run", "-n", "x", "prog", X],
    ["awk", "-f", "p.awk", "--", X],
]


def name(words: list[str]) -> str:
    return " ".join(words).replace(X, "X")


@pytest.mark.parametrize("words", REFUSED, ids=name)
def test_an_expression_that_would_be_code_is_refused(words: list[str]) -> None:
    found = misuses(words)
    assert found, "nothing is refused"
    assert all("{{" in words[each.index] for each in found)
    assert misuses([word.replace(X, "literal") for word in words]) == []
    assert misuses([word.replace(X, f" {X} ") for word in words]), "white space around an expression is no way out"


@pytest.mark.parametrize("words", ACCEPTED, ids=name)
def test_an_expression_that_is_data_is_accepted(words: list[str]) -> None:
    assert misuses(words) == []


@pytest.mark.parametrize("words", [each for each in REFUSED if each[-1] == X], ids=name)
def test_every_word_of_a_remedy_is_accepted(words: list[str]) -> None:
    for each in misuses(words):
        if remedy := re.search(r"\[.*\](?=; or| with|, and)", each.hint):
            written = document.parse(f"command: {remedy[0]}", "remedy").value["command"]
            assert misuses(written) == [], f"{remedy[0]} is refused in its turn"


@pytest.mark.parametrize("words", [["bc", "-e", X], ["vim", "-c", X], ["gdb", "-ex", X], ["mongosh", "--eval", X]])
def test_no_remedy_shows_an_argument_where_a_program_reads_files(words: list[str]) -> None:
    (misuse,) = misuses(words)
    assert misuse.hint.startswith("write the code without expressions, or pass it as kwargs")


def test_the_remedy_for_r_is_a_script_that_is_given_arguments() -> None:
    (misuse,) = misuses(["R", "--no-save", "-e", X])
    assert f'[Rscript, FILE, "{X}"]' in misuse.hint


HOSTILE = ["x'; touch pwned; echo '", "-e", "-c touch pwned", "$(touch pwned)", "-esystem('touch pwned')"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    ("program", "option"),
    [("sh", "-c"), ("bash", "-c"), ("python3", "-c"), ("perl", "-e"), ("node", "-e"), ("awk", ""), ("jq", "")],
)
def test_a_remedy_passes_any_value_as_it_is(program: str, option: str, value: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (misuse,) = misuses([program, *([option] if option else []), X])
    written = re.search(r"\[.*\](?=; or)", misuse.hint)
    assert written is not None
    words = document.parse(f"command: {written[0]}", "remedy").value["command"]
    command = [word.replace(X, value) for word in words]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    told = json.loads(ran.stdout) if program == "jq" else ran.stdout.removesuffix("\n")
    assert told == value
    assert list(tmp_path.iterdir()) == []


def test_what_could_be_read_as_an_option() -> None:
    assert could_be_option(["wc", "-l", X], 2)
    assert could_be_option(["wc", f" {X}"], 1)
    assert could_be_option(["python3", "pool.py", X], 2)
    assert not could_be_option(["wc", "--", X], 2)
    assert not could_be_option(["env", "sh", "-c", 'echo "$1"', "sh", X], 5)
    assert not could_be_option(["jq", "-n", "--arg", "x", X, "$x"], 4)
    assert not could_be_option(["awk", "BEGIN { print ARGV[1] }", X], 2)
    assert not could_be_option(["wc", f"./{X}"], 1)
    assert not could_be_option(["wc", f"--lines={X}"], 1)
