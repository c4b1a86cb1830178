"""Finds results of earlier runs by what they depend on; what is noted is where they are, and no result itself.

The note `KEY` in the store names the run and the step whose journal has the result under a cache key; with that run its
results are gone. The notes under `steps/` have what the newest result of each step of a workflow depended on, so that
it can be reported what has changed since.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import asdict

from v6flow.core.execution import reuse
from v6flow.core.json import digest
from v6flow.core.language.units import spell
from v6flow.core.planning import ids
from v6flow.errors import V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.core.execution.reuse import Basis, Kept, Key
    from v6flow.stores.base import StoredRun

_WORDS = {"data": "data or algorithms"}  # what people call a part of a key, where its name says too little


class _Note(Struct, frozen=True):
    """Where a result is, and what it depends on."""

    run: str
    step: str
    ended: float
    parts: Mapping[str, str] = field(default_factory=dict)


class EarlierResults:
    """The results of the runs in a store, for the steps of one run (see `engine.Results`).

    `still(step, key)` says whether what the key of a step says of files is so at this moment: what was computed while
    they changed is not kept. With `reads` False nothing is reused, and all is kept.
    """

    def __init__(
        self,
        run: StoredRun,
        workflow: str,
        basis: Basis,
        *,
        still: Callable[[str, Key], bool],
        reads: bool = True,
    ) -> None:
        self.basis = basis
        self._run = run
        self._store = run.store
        self._workflow = workflow
        self._still = still
        self._reads = reads
        self._read: tuple[str, Mapping[str, Kept]] | None = None  # the run that was looked at last, and its results

    def find(self, step: str, key: Key, longest: float, now: float) -> Kept | str:
        """See `engine.Results`."""
        if not self._reads:
            return "the run was started with --no-cache"
        note = self._noted(key.digest)
        if note is None:
            return self._what_changed(step, key)
        if dict(note.parts) != dict(key.parts):
            return f"the note about run {note.run} is about something else"
        try:
            kept = self._result(note)
        except V6flowError as error:
            return f"the result of run {note.run} cannot be read: {error.message}"
        if kept is None:
            return f"run {note.run} no longer has its result"
        age = now - kept.answered
        if age < 0:
            return f"the result of run {note.run} is from the future by this clock"
        if age > longest:
            return f"the result of run {note.run} is too old: it was answered {spell(age)} ago"
        return kept

    def keep(self, step: str, key: Key, ended: float) -> str | None:
        """See `engine.Results`."""
        if not self._still(step, key):
            return "what it depends on has changed meanwhile"
        body = json.dumps(asdict(_Note(self._run.id, step, ended, key.parts))).encode("ascii")
        return self._store.note(key.digest, body) or self._store.note(self._newest(step), body)

    def _newest(self, step: str) -> str:
        """Under what it is noted what the newest result of a step depended on, whichever its iteration or item."""
        return f"steps/{digest([self._workflow, ids.definition(step)])}"

    def _noted(self, key: str) -> _Note | None:
        """The note under a key; None if there is none that can be read."""
        with contextlib.suppress(ValueError, TypeError):
            return _Note(**json.loads(self._store.noted(key) or b""))
        return None

    def _result(self, note: _Note) -> Kept | None:
        """The result that a note speaks of; None if the run does not have it, or has another by now."""
        for fresh in (False, True):  # a run that is still continuing may have come further since it was read
            kept = self._results(note.run, fresh=fresh).get(note.step)
            if kept is not None and kept.ended == note.ended:
                return kept
        return None

    def _results(self, run: str, *, fresh: bool) -> Mapping[str, Kept]:
        if fresh or self._read is None or self._read[0] != run:
            self._read = run, reuse.results(run, self._store.open(run).events())
        return self._read[1]

    def _what_changed(self, step: str, key: Key) -> str:
        """Why there is no result under a key."""
        newest = self._noted(self._newest(step))
        if newest is None:
            return "no earlier run has a result of it"
        changed = [_WORDS.get(part, part) for part in reuse.changed(newest.parts, key.parts)]
        return f"since run {newest.run}, this changed: {', '.join(changed)}" if changed else "its result is gone"
