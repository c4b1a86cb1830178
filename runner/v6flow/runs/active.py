"""Work on a run that was started or resumed: the engine with its parts, until the run is over or released."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct, field

from v6flow.core.execution import events, reuse
from v6flow.core.kinds import local
from v6flow.errors import InterruptedRunError, V6flowError
from v6flow.runs.pinning import source_digest
from v6flow.runs.signals import Signals
from v6flow.stores.base import CancelRequest, DecisionRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.backends.base import Access
    from v6flow.clock import Clock
    from v6flow.core.execution.pinned import Pinned
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan
    from v6flow.engine import Results
    from v6flow.reporters.base import Reporter
    from v6flow.runs.opened import OpenRun
    from v6flow.stores.base import StoredRun


class ActiveRun(Struct):
    """A run that is ready to be worked on."""

    opened: OpenRun
    plan: Plan
    access: Access | None
    jobs: int | None
    clock: Clock
    notes: Sequence[str] = ()
    """What a person should know before it continues."""
    signals: Signals = field(default_factory=Signals)

    def carry_on(self, reporter: Reporter) -> RunState:
        """Work until the run is over or must be released; the state shows how it ended.

        Raises KeyboardInterrupt for a Ctrl-C that the engine could not take in; that is journalled too.
        """
        try:
            return self._carry_on(reporter)
        except KeyboardInterrupt:
            with suppress(V6flowError):  # a run that nobody holds counts as interrupted anyway
                self._keep_interrupt()
            raise
        finally:
            self.close()

    def _keep_interrupt(self) -> None:
        if self.opened.state.status == "running":
            failure = events.Failure(InterruptedRunError.kind, InterruptedRunError.kind)
            self.opened.record(events.RunInterrupted(self.clock.now(), failure, InterruptedRunError.exit_code))

    def keep_notes(self) -> None:
        """Write the notes down, where another process continues the run."""
        self.opened.record(*(events.Noted(self.clock.now(), note) for note in self.notes))

    def close(self) -> None:
        """Close the federation; the run itself is still held."""
        if self.access is not None:
            self.access.close()

    def _carry_on(self, reporter: Reporter) -> RunState:
        from v6flow.engine import Engine
        from v6flow.local.runner import ChildRunner

        local_jobs = self.jobs or os.cpu_count() or 1
        stored, state = self.opened.stored, self.opened.state
        engine = Engine(
            self.plan,
            state,
            self.opened.journal,
            backend=self.access.backend(stored.scratch, jobs=self.jobs) if self.access is not None else None,
            local=ChildRunner(jobs=local_jobs),
            clock=self.clock,
            reporter=reporter,
            jobs=local_jobs,
            results=_earlier_results(stored, self.plan, self.access, state.pinned),
        )
        for note in self.notes:
            engine.note(note)
        requests = stored.requests

        def hear() -> None:
            for request in requests.pending():
                engine.hear(request)

        with self.signals.heard_by(engine), requests.listen(hear):
            for request in requests.pending():
                if state.ending is None or not isinstance(request, CancelRequest):
                    engine.hear(request)
            engine.run()
        waiting = {gate.name for gate in state.gates}
        for request in requests.pending():
            # one that came too late to be heard is heard by who resumes the run
            if isinstance(request, DecisionRequest) and request.step not in waiting:
                requests.forget(request)
        if state.over:
            stored.mark_over(True)
        return state


def _earlier_results(stored: StoredRun, plan: Plan, access: Access | None, pinned: Pinned) -> Results | None:
    """The results of earlier runs, for a plan of which a step may reuse one."""
    if not reuse.wanted(plan):
        return None
    from v6flow.stores.results import EarlierResults

    def still(name: str, key: reuse.Key) -> bool:
        if step := local.planned({name: plan.step(name)}).get(name):
            return key.parts["source"] == (source_digest(step, plan) or "")
        return access is None or key.parts["data"] == access.contents()

    basis = reuse.Basis(pinned.sources, access.contents() if access is not None else "")
    return EarlierResults(stored, plan.workflow.name, basis, still=still, reads=pinned.cache)
