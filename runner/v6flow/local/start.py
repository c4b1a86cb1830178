"""Runs `child.py` from its kept bytecode: a program that Python is given by its path is compiled at each start.

Run by path itself (`python start.py supervise FOLDER`). Nothing is imported by a name that a workflow's own modules
could have.
"""

import os.path
from importlib.machinery import SourceFileLoader

CHILD = os.path.join(os.path.dirname(__file__), "child.py")  # noqa: PTH118, PTH120  as in there, pathlib costs time

if __name__ == "__main__":
    code = SourceFileLoader("child", CHILD).get_code("child")
    assert code is not None  # a file of source always has some
    exec(code, {"__name__": "__main__", "__file__": CHILD})  # noqa: S102  this is what running a program is
