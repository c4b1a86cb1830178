"""Names of steps as they are done: `fit[3].gradient` is the step `gradient` in the third iteration of the step `fit`.

A step as the file says it has the same name without numbers: `fit.gradient`. The prefix of a step, `fit[3].` or
nothing, is the same for all that stand together.
"""

from __future__ import annotations

from v6flow.core.patterns import pattern

_NUMBER = pattern(r"\[\d+\]")


def definition(path: str) -> str:
    """The name, without numbers, that a step or a prefix has in the plan."""
    return _NUMBER.sub("", path) if "[" in path else path


def prefix(path: str) -> str:
    """What a step shares with those that are beside it; empty for one that is nested in none."""
    return path[: path.rfind(".") + 1]


def short(path: str) -> str:
    """The name by which the steps beside it know a step."""
    return path[path.rfind(".") + 1 :]


def is_in(path: str, outer: str) -> bool:
    """Whether a step, as it is done, is another one or nested in it, whichever the iteration or item."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def inside(path: str, number: int) -> str:
    """The prefix of the steps in a round, or an item, of a step; `number` is from 1, and 0 where there are none."""
    return f"{path}[{number}]." if number else f"{path}."


def around(inner: str) -> tuple[str, int]:
    """The step that a prefix is inside of, and the number of the iteration or item (0: there are none).

    Of a prefix that is not empty.
    """
    body = inner[:-1]
    if not body.endswith("]"):
        return body, 0
    path, _, number = body[:-1].rpartition("[")
    return path, int(number)


def outward(inner: str) -> list[str]:
    """A prefix, and those of all that it is inside of, the empty one last."""
    found = [inner]
    while inner:
        inner = prefix(around(inner)[0])
        found.append(inner)
    return found
