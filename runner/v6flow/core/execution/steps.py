"""What a kind of step defines so that its steps can be executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from v6flow.core.execution.cohorts import Uses
    from v6flow.core.execution.commands import Command
    from v6flow.core.execution.context import Execution
    from v6flow.core.execution.events import Event, Time
    from v6flow.core.execution.frontier import Inside
    from v6flow.core.execution.reuse import Key
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan

NOTHING = object()
"""The state after an iteration that has not ended."""


class StepExecution:
    """How the steps of one kind are executed: what the scheduler asks.

    `run` is what a kind may see and use (see Execution), `name` the name of a step as it is done, `step` its plan.
    Commands are returned: their events are written down and applied to the state, the step's kind observes them, and
    only then they are carried out.
    """

    nests: ClassVar[bool] = False
    """Whether it has nested steps."""

    checks_value: ClassVar[bool] = True
    """Whether `output_schema` is about the value that a step completes with."""

    always: ClassVar[frozenset[str]] = frozenset()
    """The attributes that may be read whatever became of a step, besides `status` and `error`."""

    def begin(self, run: Execution, step: Any, name: str, now: Time, /) -> list[Command]:
        """What follows when a step begins: what it needs is settled, and its `when` holds.

        Raises DependencyFailed and StepInvalid. One that is at work from then on has an entry in `run.work`.
        """
        raise NotImplementedError

    def advance(self, _run: Execution, _step: Any, _name: str, _now: Time, /) -> list[Command]:
        """What follows for a running or waiting step that was touched (see Frontier)."""
        return []

    def start(self, run: Execution, step: Any, name: str, now: Time, /) -> Command:
        """What starts the child process of a step that was queued, once there is a place for it."""
        raise NotImplementedError

    def observe(self, run: Execution, event: Any, /) -> None:
        """Take note of an event of a step, applied to the state, that has not settled it."""
        run.frontier.advance(event.step)

    def resume(self, run: Execution, _step: Any, name: str, /) -> None:
        """Continue with a step that was running when the run was released. Raises DependencyFailed and StepInvalid."""
        run.frontier.touch(name)

    def readopt(self, _run: Execution, _step: Any, _name: str, /) -> list[Command]:
        """What comes before all else for a step that was continued: asking again for what was asked before."""
        return []

    def computed(self, run: Execution, step: Any, name: str, value: Json, log: str | None, now: Time, /) -> Event:
        """The event of a step whose child process answered."""
        raise NotImplementedError

    def kept(self, _run: Execution, _step: Any, _name: str, /) -> Key | None:
        """The key under which later runs find what a step has completed with; None if they may not."""
        return None

    def levels_at_work(self, _step: Any, _state: StepState, _run: RunState, /) -> Iterable[int]:
        """The iterations or items in which something was done, of a step that was running when the run was released."""
        return ()

    def next_level(self, _step: Any, _state: StepState, _inside: Inside, /) -> int | None:
        """The number of the iteration or item that can begin besides those inside (0: the only one); None if none."""
        return None

    def cohort_of(self, _step: Any, _number: int, /) -> tuple[str, int] | None:
        """Who may answer in an iteration: the policy, and the number of the iteration whose answers it goes by.

        None: anybody, as in all that is done once.
        """
        return None

    def attributes(self, _plan: Plan, _step: Any, state: StepState, /) -> Mapping[str, Callable[[], object]]:
        """What expressions see of a step, but for `status` and `error`: all of it if it completed, else `always`."""
        return {"result": lambda: state.value}

    def add_names(self, names: dict[str, object], step: Any, state: StepState, number: int, uses: Uses,
                  following: object, /) -> None:  # fmt: skip
        """Add to the names that are known around a step what those nested in it see as well, in one iteration or item.

        `following` is the state after the iteration, NOTHING where it is not known yet.
        """
