"""Keeps the beginning and the end of what a process prints, whatever the amount."""

from __future__ import annotations

from collections import deque

DEFAULT_LIMIT = 1 << 20


class Capture:
    """Bytes fed in; text out. Of more than `limit` bytes the first and the last halves are kept."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
        while self._tail_size > self._half:
            self._drop(self._tail_size - self._half)

    def _drop(self, excess: int) -> None:
        first = self._tail.popleft()
        dropped = min(excess, len(first))
        if dropped < len(first):
            self._tail.appendleft(first[dropped:])
        self._tail_size -= dropped
        self._left_out += dropped

    def text(self) -> str:
        """What was kept, as text; bytes that are not UTF-8 become U+FFFD."""
        tail = b"".join(self._tail)
        if not self._left_out:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        gap = f"\n[… {self._left_out} bytes left out …]\n"
        return self._head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")

    def last_line(self) -> str:
        """The last line that is not blank, or nothing."""
        lines = [line.strip() for line in self.text().splitlines()]
        return next((line for line in reversed(lines) if line), "")
