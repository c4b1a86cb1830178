"""Expressions between `{{` and `}}`: which names they use, and their values."""

from v6flow.core.expressions.functions import FUNCTIONS
from v6flow.core.expressions.names import ROOTS, WORDS, name_problem
from v6flow.core.expressions.template import Template, compile  # noqa: A004 - what the re module calls it too
from v6flow.core.expressions.values import ExpressionError, Namespace, NotKnownYet, Reference, Undefined, kind
from v6flow.core.problem import Path

__all__ = [
    "FUNCTIONS",
    "ROOTS",
    "WORDS",
    "ExpressionError",
    "Namespace",
    "NotKnownYet",
    "Path",
    "Reference",
    "Template",
    "Undefined",
    "compile",
    "kind",
    "name_problem",
]
