"""A scope that the tests of expressions share, and short ways to read and evaluate one expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.core import expressions
from v6flow.core.expressions import ExpressionError, NotKnownYet, Undefined

if TYPE_CHECKING:
    from collections.abc import Iterable

LATER = object()


class Names:
    """A namespace over a dict; LATER stands for what is not known yet."""

    def __init__(self, **values: object) -> None:
        self.values = values
        self.asked: list[str] = []

    def attribute(self, name: str) -> object:
        self.asked.append(name)
        if name not in self.values:
            return Undefined(f"there is no {name}")
        if self.values[name] is LATER:
            raise NotKnownYet(name)
        return self.values[name]

    def names(self) -> Iterable[str]:
        return self.values


ROWS: list[dict[str, Any]] = [{"n": 1, "g": "a"}, {"n": 5, "g": "b"}, {"n": 3, "g": "a"}]
ODD = {"n": float("nan"), "i": float("inf")}


def scope() -> dict[str, object]:
    """A fresh scope."""
    params: dict[str, Any] = {
        "one": 1, "half": 0.5, "text": "age", "list": [3, 1, 2], "empty": [], "yes": True, "no": False,
        "null": None, "map": {"k": {"z": 1}, "x y": 5, "items": 7, "_under": 8, "1": 9}, "rows": ROWS,
        "odd": ODD,
        "nested": [{"s": {"m": 1}}, {"s": {"m": 4}}], "big": 10**999, "braces": "{{ 7*7 }}",
    }  # fmt: skip
    step = Names(
        result={"mean": 2.5, "items": [1], "values": "v"},
        results=[{"n": 1}, {"n": 2}],
        by_organization={"alpha": 1, "St. Alpha": 2},
        responded=("alpha", "beta"),
        later=LATER,
        failed=Undefined("step broken failed"),
    )
    return {
        "params": params,
        "steps": Names(partial=step),
        "run": Names(id="r-1", name="run"),
        "#organization_ids": {"alpha": 4, "beta": 7},
    }


def value(text: str) -> Any:
    """What a text comes to."""
    template = expressions.compile(text)
    assert template.errors == ()
    return template.render(scope())


def read_fault(text: str) -> ExpressionError:
    """The first fault found when a text is read; there must be one."""
    errors = expressions.compile(text).errors
    assert errors, f"{text} was read without a fault"
    return errors[0]


def fault(text: str) -> ExpressionError:
    """The fault of a text, whether it is found when it is read or when it is evaluated; there must be one."""
    template = expressions.compile(text)
    try:
        found = template.render(scope())
    except ExpressionError as error:
        return error
    raise AssertionError(f"{text} came to {found!r}")


def said(error: ExpressionError) -> str:
    """All that an error says."""
    return f"{error.rule} {error.message} ({error.hint})"
