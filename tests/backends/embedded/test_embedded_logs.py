"""Logs: how much is kept, and the reason that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from v6flow.backends.embedded import logs

if TYPE_CHECKING:
    from pathlib import Path

CHAINED = """info > Dispatching ...
Traceback (most recent call last):
  File "a.py", line 1, in f
    1/0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in g
    raise my.PrivacyError("too few rows")
my.PrivacyError: too few rows
in the second line
error > None
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (CHAINED, "my.PrivacyError: too few rows"),
        ("Traceback (most recent call last):\n  File ...\nKeyboardInterrupt\n", "KeyboardInterrupt"),
        ("nothing of the kind", None),
        ("Traceback (most recent call last):\n  cut off", None),
    ],
)
def test_the_last_exception_is_found(log: str, expected: str | None) -> None:
    assert logs.last_exception(log) == expected


def test_a_killed_process_hints_at_memory() -> None:
    mishap = logs.explain(-9, "", package="p", method="m")
    assert mishap.message == "killed by signal SIGKILL"
    assert "memory" in (mishap.hint or "")


def test_a_long_log_loses_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"begin" + b"x" * 3 * logs.HALF + b"end")
    text = logs.read(path)
    assert text.startswith("begin")
    assert text.endswith("end")
    assert f"… {logs.HALF + 8} bytes of the log left out …" in text


def test_a_flooded_log_is_trimmed_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"begin" + b"x" * 5 * logs.HALF)
        logs.trim(path)
        writer.write(b"end")
    assert path.stat().st_size < 2 * logs.HALF + 100
    data = path.read_bytes()
    assert data.startswith(b"begin")
    assert data.endswith(b"xend")
    logs.trim(path)
    assert path.read_bytes() == data


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert logs.read(tmp_path / "none") == ""
    logs.trim(tmp_path / "none")


def test_the_tail_is_short() -> None:
    assert logs.tail("a\n" * 100).count("a") == logs.TAIL_LINES
    assert len(logs.tail("y" * 100_000)) == logs.TAIL_CHARACTERS
