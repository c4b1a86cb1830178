"""A command is one file and one line: shown with one that only these tests have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from v6flow import cli
from v6flow.cli.commands import COMMANDS
from v6flow.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

TOY = '''
"""Print a word several times."""

from v6flow.cli import arguments as common, show


def configure(parser):
    parser.add_argument("word")
    parser.add_argument("--times", type=int, default=1)
    common.output(parser)


def main(arguments):
    words = [arguments.word] * arguments.times
    if arguments.output == "json":
        show.write({"words": words})
    else:
        print(*words)
    return 0
'''


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repeat_word.py").write_text(TOY, "utf-8")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.setitem(COMMANDS, "repeat-word", "print a word several times")


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat-word", "hello", "--times", "2"]) == 0
    assert capsys.readouterr().out == "hello hello\n"


def test_it_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat-word", "hello", "--output", "json"]) == 0
    assert '"hello"' in capsys.readouterr().out


def test_it_is_in_the_help_and_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "repeat-word " in capsys.readouterr().out
    assert main(["repeat-wrd"]) == 2
    assert "repeat-word" in capsys.readouterr().err


def test_its_own_help_is_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat-word", "--help"]) == 0
    assert "several times" in capsys.readouterr().out


def test_its_mistakes_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat-word"]) == 2
    assert "word" in capsys.readouterr().err
