"""Expressions between `{{` and `}}`: which names they use, and their values."""

from v6flow.core.expressions.flow import CLEAN, Flow, ValueOrigin, counted, either, index, join, literal, uniform
from v6flow.core.expressions.functions import FUNCTIONS
from v6flow.core.expressions.names import ROOTS, WORDS, name_problem
from v6flow.core.expressions.template import Template, compile  # noqa: A004 - what the re module calls it too
from v6flow.core.expressions.values import ExpressionError, Namespace, NotKnownYet, Reference, Undefined, kind
from v6flow.core.language.problem import Path

__all__ = [
    "CLEAN",
    "FUNCTIONS",
    "ROOTS",
    "WORDS",
    "ExpressionError",
    "Flow",
    "Namespace",
    "NotKnownYet",
    "Path",
    "Reference",
    "Template",
    "Undefined",
    "ValueOrigin",
    "compile",
    "counted",
    "either",
    "index",
    "join",
    "kind",
    "literal",
    "name_problem",
    "uniform",
]
