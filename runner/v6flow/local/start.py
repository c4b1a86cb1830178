"""Runs a local step's process from kept bytecode: a program that Python is given by its path is compiled at each start.

Run by path itself (`python start.py supervise FOLDER`), without importing v6flow, since each module costs time. Nothing
is imported by a name that a workflow's own modules could have.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost time in every step
if TYPE_CHECKING:
    from types import ModuleType


def load(name: str) -> ModuleType:
    """A module beside this one."""
    path = os.path.join(os.path.dirname(__file__), f"{name}.py")  # noqa: PTH118, PTH120  pathlib costs time
    code = SourceFileLoader(name, path).get_code(name)
    assert code is not None  # a file of source always has some
    module = type(sys)(name)
    module.__file__ = path
    exec(code, module.__dict__)  # noqa: S102  this is what importing a file is
    return module


def main() -> None:
    """Be the supervisor, or the worker that an exec has made of its child."""
    role, folder = sys.argv[1:3]
    worker = load("worker")
    if role == "work":
        os._exit(worker.work(folder, worker.read(folder)))
    load("supervisor").supervise(folder, worker.read(folder), worker.become)


if __name__ == "__main__":
    main()
