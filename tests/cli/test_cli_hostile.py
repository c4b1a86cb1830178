"""Names and numbers that nobody means: a command ends with a sentence, never as a bug of ours."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    SMALL,
    call,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]

BUG = 70
NAMES = [
    "n" * 300, "n" * 5000, "d/" * 2500 + "x", "é" * 200, "~nobody-at-all/x", "loop", "loop/x", "plain.txt/x", "fifo",
    "fifo/x", "sock", ".", "..", "/dev/zero", "/proc/self/mem", "/dev/fd/99", "", "{{", "a\nb",
]  # fmt: skip
UNDECODABLE = "a\udcffb"  # how Python has a name of a byte that is no UTF-8
NUMBERS = [
    "1" + "0" * 30, "1" + "0" * 400, "9" * 4300, "1e308", "1e-320", "-1", "0", "1.5", "99999999999999d", "36500d",
    "99999999999999999999T",
]  # fmt: skip

FEDERATION = """\
v6flow_federation: 1
backend: embedded
organizations: {alpha: {databases: {default: plain.txt}}}
algorithms: {img: {package: json}}
"""
TASK = "v6flow: 1\nfederation: fed.yaml\nsteps: {a: {task: {method: m, image: img}}}\n"


@pytest.fixture(name="folder")
def folder_of_odd_files(here: Path) -> Path:
    write(here, small_yaml=SMALL, fed_yaml=FEDERATION, task_yaml=TASK, plain_txt="a: 1\n")
    for name in ("loop", "loop.py"):
        (here / name).symlink_to(name)
    for name in ("fifo", "fifo.py"):
        os.mkfifo(here / name)
    (here / "folder.py").mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("sock")
    return here


def shown(value: object) -> str:
    text = str(value)
    return (text if len(text) < 30 else f"{text[:10]}…{len(text)}").encode("unicode_escape").decode()


def check(capsys: Capture, *words: str) -> None:
    said = call(capsys, *words)
    assert said.code != BUG, f"{[shown(word) for word in words]}\n{said.err[-2000:]}"
    assert said.code in (0, 1, 2, 5), f"{[shown(word) for word in words]} ended with {said.code}"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [*NAMES, UNDECODABLE], ids=shown)
def test_any_name_on_the_command_line(name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(capsys, "run", "small.yaml", "--quiet").code == 0
    for command in (
        "validate",
        "plan",
        "lint",
        "fmt",
        "graph",
        "doctor",
        "keygen",
        "schema",
        "run",
        "upload-key",
        "test",
    ):
        if command != "test" or name != "..":  # whose folder is that of all tests
            check(capsys, command, name)
    for command in ("status", "resume", "wait", "logs", "explain", "cancel", "approve", "reject"):
        check(capsys, command, name)
        check(capsys, command, "--store", name)
    for command in ("logs", "explain", "approve"):
        check(capsys, command, "small", name)
    check(capsys, "logs", "small", "double", name)
    for option in ("--params", "--sweep-file", "--sweep", "--deadline", "--federation", "--store"):
        check(capsys, "run", "small.yaml", "--quiet", option, name)
    for command in ("validate", "plan", "doctor", "run"):
        check(capsys, command, "task.yaml", "--federation", name)
    check(capsys, "run", "small.yaml", "-p", f"{name}=1")
    check(capsys, "run", "small.yaml", "-p", f"who={name}")
    check(capsys, "validate", "small.yaml", "--root", name)
    check(capsys, "test", "--record", name, "new.test.yaml")
    check(capsys, "test", "--record", "small", name)
    check(capsys, "test", f"small.yaml::{name}")
    check(capsys, "test", "--junit", f"{name}/x", "folder.py")
    check(capsys, "lint", "--explain", name)
    check(capsys, "init", "average", name)
    for variable in ("V6FLOW_FEDERATION", "V6FLOW_STORE"):
        monkeypatch.setenv(variable, name)
        for words in (("validate", "task.yaml"), ("run", "task.yaml", "--quiet"), ("status",)):
            check(capsys, *words)
        monkeypatch.delenv(variable)


FILES = [*NAMES, *(f"{name}.py" for name in ("n" * 300, "loop", "fifo", "folder", "d/" * 2000, "~nobody/x"))]
STEPS = [
    'local: {{function: "{0}:f"}}',
    'local: {{function: "m{0}.m:f"}}',
    'local: {{command: [cat, "{0}"], files: ["{0}"]}}',
    'local: {{command: ["{0}"]}}',
    'local: {{command: ["true"], files: ["{0}/**", "**/{0}"]}}',
    'workflow: {{file: "{0}"}}',
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", FILES, ids=shown)
def test_any_name_in_a_workflow(name: str, folder: Path, capsys: Capture) -> None:
    written = json.dumps(name)[1:-1]
    tops = [f'federation: "{written}"', f'include: ["{written}"]', f'name: "{written}"']
    texts = ["steps: {a: {" + step.format(written) + "}}\n" for step in STEPS]
    texts += [f"{top}\nsteps: {{a: {{task: {{method: m, image: img}}}}}}\n" for top in tops]
    for text in texts:
        write(folder, x_yaml=f"v6flow: 1\n{text}")
        for words in (["validate"], ["plan"], ["lint"], ["fmt", "--check"], ["doctor"], ["run", "--quiet"]):
            check(capsys, *words, "x.yaml")
    write(folder, x_test_yaml=f'v6flow_test: 1\nworkflow: "{written}"\ncases: {{a: {{}}}}\n')
    check(capsys, "validate", "x.test.yaml")
    check(capsys, "test", "x.test.yaml")


DATABASES = [
    'databases: {{default: "{0}"}}',
    'databases: {{default: "sqlite:///{0}"}}',
    'databases: {{default: {{uri: "{0}", type: other}}}}',
    'environment: {{X: "${{file:{0}}}"}}',
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [each for each in FILES if "{" not in each], ids=shown)
def test_any_name_in_a_federation(name: str, folder: Path, capsys: Capture) -> None:
    written = json.dumps(name)[1:-1]
    embedded = [
        f"organizations: {{a: {{{part.format(written)}}}}}\nalgorithms: {{img: {{package: json}}}}\n"
        for part in DATABASES
    ]
    embedded += [
        f'organizations: {{a: {{}}}}\nalgorithms: {{img: {{package: json, {key}: "{written}"}}}}\n'
        for key in ("path", "python")
    ]
    for text in embedded:
        write(folder, fed_yaml=f"v6flow_federation: 1\nbackend: embedded\n{text}")
        for words in (["validate", "fed.yaml"], ["plan", "task.yaml"], ["doctor", "task.yaml"]):
            check(capsys, *words)
    server = "backend: vantage6\nserver: https://127.0.0.1:9/api\ncollaboration: c\n"
    keys = "".join(f'{key}: "{written}"\n' for key in ("private_key", "ca_file"))
    keys += "".join(f'{key}: "${{file:{written}}}"\n' for key in ("username", "password"))
    write(folder, fed_yaml=f"v6flow_federation: 1\n{server}{keys}")
    check(capsys, "validate", "fed.yaml")
    check(capsys, "upload-key", "--federation", "fed.yaml")


BOUNDS = [
    'a: {{repeat: {{state: 0, max: {0}, steps: {{b: {{local: {{value: 1}}}}}}, update: 1, until: "{{{{ true }}}}"}}}}',
    "a: {{foreach: {{over: [1], max_parallel: {0}, steps: {{b: {{local: {{value: 1}}}}}}}}}}",
    "a: {{local: {{command: ['false']}}, retry: {{attempts: {0}, delay: {0}, backoff: {0}, max_delay: {0}}}}}",
    "a: {{local: {{command: ['false']}}, timeout: 1s, retry: {{attempts: 3, delay: 36500d, backoff: {0}}}}}",
    "a: {{local: {{command: ['true']}}, memory: {0}, timeout: {0}, cache: {0}}}",
    'a: {{local: {{value: "{{{{ [{0} ** 3, round({0}, {0}), range({0})] }}}}"}}}}',
    "a: {{task: {{method: m, image: img}}, quorum: {0}, timeout: {0}, retry: {0}, disclosure: {{min_count: {0}}}}}",
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("number", NUMBERS, ids=shown)
def test_any_number(number: str, folder: Path, capsys: Capture) -> None:
    for bound in BOUNDS:
        write(folder, x_yaml=f"v6flow: 1\nfederation: fed.yaml\nsteps:\n  {bound.format(number)}\n")
        for words in (["validate"], ["plan"], ["lint"]):
            check(capsys, *words, "x.yaml")
        if "task" not in bound:
            check(capsys, "run", "x.yaml")
    for part in ("jobs: {0}", "policy: {{min_count: {0}, max_queries: {0}}}", "defaults: {{timeout: {0}, retry: {0}}}"):
        write(folder, more_yaml=f"{FEDERATION}{part.format(number)}\n")
        check(capsys, "validate", "more.yaml")
        check(capsys, "plan", "task.yaml", "--federation", "more.yaml")
    for words in (
        ["run", "small.yaml", "--deadline"],
        ["run", "small.yaml", "-j"],
        ["wait", "--timeout"],
        ["run", "small.yaml", "-p"],
    ):
        check(capsys, *words, f"n={number}" if words[-1] == "-p" else number)
