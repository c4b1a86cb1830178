"""Workflow, federation and test files that say in their first lines what is wrong with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.core.language.problem import Problem

HERE = Path(__file__).parent
SCHEMAS = HERE.parents[1] / "schemas"

_EXPECT = re.compile(r"# expect: (\d+):(\d+): ([a-z-]+): (.+)")
_STAGE = re.compile(r"# stage: (document|schema|check)")


@dataclass(frozen=True)
class Fixture:
    """An invalid file; `expected` is line, column, rule, part of what is said, of each problem in order."""

    path: Path
    expected: tuple[tuple[int, int, str, str], ...]
    stage: str
    kind: str


def invalid(stage: str) -> list[Path]:
    """The invalid files that are found out at a stage: `document`, `schema` or `check`."""
    return [path for path in sorted((HERE / "invalid").glob("*.yaml")) if read_fixture(path).stage == stage]


def valid() -> list[Path]:
    return sorted((HERE / "valid").glob("*.yaml"))


def read_fixture(path: Path) -> Fixture:
    """What a file says of itself: `# expect: LINE:COL: rule: part`, `# stage: …`, `# kind: …`."""
    lines = path.read_text("utf-8").splitlines()
    expected = []
    for line in lines:
        if not (match := _EXPECT.fullmatch(line)):
            break
        expected.append((int(match[1]), int(match[2]), match[3], match[4]))
    stage = _STAGE.fullmatch(lines[len(expected)]) if len(expected) < len(lines) else None
    assert expected, f"{path.name}: the first line is no `# expect: LINE:COL: rule: part of the message`"
    assert stage, f"{path.name}: no `# stage: document|schema|check` after the expectations"
    kind = next((kind for kind in ("federation", "test") if f"# kind: {kind}" in lines), "workflow")
    return Fixture(path, tuple(expected), stage[1], kind)


def check_fixture(path: Path, problems: Sequence[Problem]) -> None:
    """Assert that these problems, and no others, are what the file says of itself."""
    fixture = read_fixture(path)
    found = [(problem.position.line, problem.position.column, problem.rule) for problem in problems]
    said = "\n".join(str(problem) for problem in problems) or "nothing"
    assert found == [expected[:3] for expected in fixture.expected], f"{path.name}: found\n{said}"
    for (_, _, _, part), problem in zip(fixture.expected, problems, strict=True):
        hint = f" ({problem.hint})" if problem.hint else ""
        assert part in problem.message + hint, f"{path.name}: found\n{said}"


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of `workflow`, `federation` or `test` files."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.schema.json").read_text("utf-8"))
    return schema
