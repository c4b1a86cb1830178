"""Follows a run through the package: which file calls which, until the first task is submitted.

`python tools/walk.py run workflows/average.yaml --store FOLDER` runs the command as `v6flow` would, and prints the
number of calls from one file of the package into another, and the pairs of files by the number of calls.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import v6flow
from v6flow.cli.main import main

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = str(Path(v6flow.__file__).parent)
MOST_SHOWN = 30  # pairs of files


@dataclass(slots=True)
class Walk:
    """Calls between the files of the package, until a backend's `submit`."""

    calls: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    arrived: bool = False

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """The profile function (see `sys.setprofile`)."""
        callee = frame.f_code.co_filename
        if self.arrived or event != "call" or not callee.startswith(PACKAGE):
            return
        if frame.f_code.co_name == "submit":
            self.arrived = True
        self.calls += 1
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(PACKAGE):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != callee:
            self.changes[_name(caller.f_code.co_filename), _name(callee)] += 1

    def report(self) -> str:
        """The figures as text."""
        lines = [f"{self.changes.total()} changes of file in {self.calls} calls, by {len(self.changes)} pairs of files"]
        lines += [f"{count:6} {caller} → {callee}" for (caller, callee), count in self.changes.most_common(MOST_SHOWN)]
        return "\n".join(lines)


def _name(path: str) -> str:
    return path[len(PACKAGE) + 1 :]


if __name__ == "__main__":
    walk = Walk()
    sys.setprofile(walk)
    try:
        code = main(sys.argv[1:])
    finally:
        sys.setprofile(None)
        print(walk.report(), file=sys.stderr)
    sys.exit(code)
