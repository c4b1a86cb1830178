"""Takes the one long text out of a large JSON document while it arrives, so that memory never holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.backends.vantage6.refusals import TooLargeError
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from typing import BinaryIO

LONGEST_KEPT = 1024 * 1024  # bytes of a text that stay in the document
STAND_IN = "(in the file)"
_END = pattern(rb'["\\]')


class Spill:
    """Passes JSON on, but for a text longer than `longest`, which goes to `file` while STAND_IN takes its place.

    There may be one such text, of plain characters such as base64 has. `spilled` is how many bytes it had.
    """

    def __init__(self, file: BinaryIO, *, longest: int = LONGEST_KEPT) -> None:
        self.spilled = 0
        self._file = file
        self._longest = longest
        self._held: bytearray | None = None  # of the text we are in, None outside of any
        self._spilling = False
        self._escaped = False

    def __call__(self, data: bytes) -> bytes:
        """What remains of the next piece of the document. Raises TooLargeError."""
        out = bytearray()
        at = 0
        while at < len(data):
            if self._held is None:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote + 1
                out += data[at:end]
                if quote >= 0:
                    self._held = bytearray()
                at = end
            else:
                at = self._inside(data, at, self._held, out)
        return bytes(out)

    def _inside(self, data: bytes, at: int, held: bytearray, out: bytearray) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(held, data[at : at + 1])
            return at + 1
        found = _END.search(data, at)
        self._keep(held, data[at : found.start() if found else len(data)])
        if found is None:
            return len(data)
        if found.group() == b"\\":
            if self._spilling:
                raise TooLargeError("the answer holds a text that is too long and is no base64")
            self._escaped = True
            held += b"\\"
            return found.end()
        out += STAND_IN.encode() if self._spilling else held
        out += b'"'
        self._held, self._spilling = None, False
        return found.end()

    def _keep(self, held: bytearray, data: bytes) -> None:
        if not self._spilling:
            held += data
            if len(held) <= self._longest:
                return
            if self.spilled or b"\\" in held:
                raise TooLargeError("the answer holds a text that is too long and is not the result")
            self._spilling = True
            data = bytes(held)
            held.clear()
        self.spilled += self._file.write(data)
