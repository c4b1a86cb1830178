"""The checkpoint of a journal: how far it has certainly come, kept beside it so that an older state is noticed.

SQLite drops damaged pages at the end of a write-ahead log without a word, and a journal copied without
its log is a valid older one. The checkpoint is written after each commit: it is never ahead of what must be there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from msgspec import Struct

from v6flow.stores.folder.files import read_whole, write_whole

SIZE = 256  # less than a sector: written in one piece, in place, and needs no space on a full disk
_MAGIC = "v6flow-head-1"
_READS = 20  # a reader may see half of what is just being written


class Mark(Struct, frozen=True):
    """A place in a journal: how many events are there, and the checksum of the last (hexadecimal)."""

    events: int
    checksum: str


class Checkpoint(Struct, frozen=True):
    """What must be there: `durable` always, `reached` unless the machine has restarted since `boot`."""

    boot: str
    reached: Mark
    durable: Mark

    def least(self, boot: str) -> Mark:
        """The mark that a journal read under this boot must have reached."""
        return self.reached if boot and boot == self.boot else self.durable


def boot_id() -> str:
    """A name for the time since the machine started; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def checkpoint_path(journal: Path) -> Path:
    """Where the checkpoint of a journal is."""
    return journal.with_name("journal.head")


def create_checkpoint(journal: Path, checkpoint: Checkpoint) -> None:
    """Write the first checkpoint of a new journal, durably. Raises OSError."""
    write_whole(checkpoint_path(journal), _encode(checkpoint))


def read_checkpoint(journal: Path) -> Checkpoint | None:
    """The checkpoint of a journal; None if it is missing or damaged."""
    for _ in range(_READS):
        try:
            body = read_whole(checkpoint_path(journal))
        except OSError:
            return None
        checkpoint = _decode(body)
        if checkpoint is not None:
            return checkpoint
    return None


class CheckpointFile:
    """The checkpoint of a journal, open to be moved forward."""

    def __init__(self, journal: Path) -> None:
        """Raises OSError."""
        self._descriptor = os.open(checkpoint_path(journal), os.O_WRONLY | os.O_NOFOLLOW)

    def write(self, checkpoint: Checkpoint) -> None:
        """Move it forward; where that fails it stays behind, which is allowed."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _encode(checkpoint), 0)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def _encode(checkpoint: Checkpoint) -> bytes:
    reached, durable = checkpoint.reached, checkpoint.durable
    words = [
        _MAGIC,
        checkpoint.boot or "-",
        f"{reached.events}",
        reached.checksum,
        f"{durable.events}",
        durable.checksum,
    ]
    text = " ".join(words)
    return f"{text} {_check(text)}".ljust(SIZE - 1).encode("ascii") + b"\n"


def _decode(body: bytes) -> Checkpoint | None:
    try:
        text, check = body.decode("ascii").strip().rsplit(" ", 1)
        magic, boot, reached, reached_sum, durable, durable_sum = text.split(" ")
        if magic != _MAGIC or check != _check(text):
            return None
        boot = "" if boot == "-" else boot
        return Checkpoint(boot, Mark(int(reached), reached_sum), Mark(int(durable), durable_sum))
    except ValueError:
        return None


def _check(text: str) -> str:
    return hashlib.blake2b(text.encode("ascii"), digest_size=8).hexdigest()
