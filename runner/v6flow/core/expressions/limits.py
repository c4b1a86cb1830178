"""How much an expression may cost, when it is read and when it is evaluated."""

from __future__ import annotations

from v6flow.core.json import MAX_DIGITS

MAX_LENGTH = 10_000  # characters of one expression: what is longer was not written by a person
MAX_NESTING = 20  # brackets open at once: Jinja's parser takes 14 frames of the stack for each
MAX_PREFIXES = 100  # signs, nots and ifs: each is a frame of the parser that no bracket shows
MAX_DEPTH = 100  # of the tree: `1+1+1+…` is as deep as it is long, and each level is a frame
MAX_LEAF_DEPTH = 200  # of the value around the texts: documents stop far below, a stack stops soon after
MAX_RANGE = 100_000  # whole numbers that range() lists: nobody asks a hospital more
MAX_ITEMS = 1_000_000  # items of a list that a function makes: 8 MB of pointers
MAX_TEXT = 10_000_000  # characters of a text that an expression makes
MAX_STEPS = 10_000_000  # items and characters that the functions of one expression go over: about a second
CONSTANT_STEPS = 10_000  # the same while a file is read, where only what costs nothing is tried
MAX_INTEGER = 10**MAX_DIGITS  # what JSON would not let in is not made either
MAX_BITS = MAX_INTEGER.bit_length()  # the same, judged before a power is computed
MAX_SHAPES = 1_000  # parsed expressions kept: a file has few shapes, whatever its number of steps
MAX_QUOTED = 60  # characters of a user's word in a message
