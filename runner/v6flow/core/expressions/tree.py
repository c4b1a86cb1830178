"""What is read off a node of Jinja's syntax tree, whatever it is read for."""

from __future__ import annotations

from typing import Any

from v6flow.core.expressions.operators import BINARY

_LEFTMOST = {
    "Getattr": "node", "Getitem": "node", "Filter": "node", "Call": "node", "Test": "node", "Compare": "expr",
    "CondExpr": "expr1", "And": "left", "Or": "left", **dict.fromkeys(BINARY, "left"),
}  # fmt: skip
"""For each node that does not begin with a token of its own, the part that it begins with."""


def start(node: Any) -> int:
    """The offset at which a node's text begins, brackets around it aside."""
    while True:
        name = type(node).__name__
        if name == "Concat":
            node = node.nodes[0]
        elif name in _LEFTMOST:
            node = getattr(node, _LEFTMOST[name])
        else:
            return int(node.lineno)


def unfold(node: Any) -> tuple[Any, list[Any]]:
    """What a chain of names, keys and indices begins with, and its links in the order in which they stand."""
    links: list[Any] = []
    while type(node).__name__ in ("Getattr", "Getitem"):
        links.append(node)
        node = node.node
    return node, links[::-1]


def constant(node: Any) -> Any:
    """The value of a constant; None for any other node."""
    return node.value if type(node).__name__ == "Const" else None


def literal_link(link: Any) -> str | int | None:
    """The name, key or index of a link if it is there as it is."""
    if type(link).__name__ == "Getattr":
        return str(link.attr)
    text = constant(link.arg)
    return text if type(text) is str else _literal_number(link.arg)


def literal_step(bounds: Any) -> int | None:
    """The step of a slice if it is there as it is; 1 if there is none."""
    return 1 if bounds.step is None else _literal_number(bounds.step)


def _literal_number(node: Any) -> int | None:
    sign = 1
    if type(node).__name__ == "Neg":
        node, sign = node.node, -1
    value = constant(node)
    return sign * value if type(value) is int else None


def is_slice(link: Any) -> bool:
    """Whether a link takes a part of a list or text."""
    return type(link).__name__ == "Getitem" and type(link.arg).__name__ == "Slice"
