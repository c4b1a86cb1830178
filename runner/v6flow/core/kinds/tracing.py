"""What the analyses of a workflow offer to the kinds of steps that they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from v6flow.core.expressions import Flow, Template
    from v6flow.core.language.model import Step, Workflow
    from v6flow.core.language.problem import Path


class Tracing(Protocol):
    """The cross-site analysis: whose answers are in a value. `where` is the step that a value is in."""

    notes: dict[str, dict[str, Flow]]
    """Of each step what its kind notes: `result`; `state`, `item` and `key` are what its nested steps see of it."""

    def flow(self, template: Template, where: str, /) -> Flow:
        """What is in a value."""

    def mixed(self, *values: tuple[Template, str]) -> Flow:
        """What is in something computed from several values, each with the step that it is in."""

    def together(self, *flows: Flow) -> Flow:
        """What is in something computed from several."""

    def note(self, step: Step, result: Flow, /) -> None:
        """Note what its result has in it."""

    def noted(self, step: Step, what: str, /) -> Flow:
        """What was noted of a step; nothing is in what was not."""

    def follow(self, outer: str, /) -> None:
        """Follow the steps that are nested in one."""

    def error(self, step: Step, /) -> Flow:
        """What the error of a step may quote."""

    def send(self, step: Step, template: Template, at: Path, alone: str | None, /) -> None:
        """Report what a step would send to others than those who answered; `alone` is the only one it goes to."""

    def alone(self, step: Any, /) -> str | None:
        """The only organization that a step asks, if there is but one."""

    def call(self, step: Step, inner: Workflow, params: Flow, /) -> Flow:
        """What is in the outputs of another file that is given params."""


class Mixing(Protocol):
    """The analysis of cohorts: which organizations answered what a value is made of."""

    def uses(self, template: Template, at: Path, where: str, /) -> list[Any]:
        """What a value that is in the step `where` uses that carries cohorts."""

    def carry(self, step: Step, uses: Sequence[Any], /, *, again: bool = False) -> None:
        """Note that a step carries the cohorts of all that it uses, and warn if they do not go together.

        `again`: it is the state after an iteration, and no longer that of an earlier one.
        """

    def enter(self, name: str, /, *, earlier: bool = False) -> object:
        """Let nested steps use what a step carries; returns that. `earlier`: answers to its nested steps are older."""

    def carried(self, name: str, /) -> object:
        """What a step carries, to be compared."""

    def has_problem(self, name: str, /) -> bool:
        """Whether a warning was noted for a step."""

    def accept(self, step: Step, /) -> None:
        """Note that what a step carries may be together from here on."""

    def follow(self, outer: str, /) -> None:
        """Follow the steps that are nested in one."""

    def ask(self, step: Any, /) -> None:
        """Note what the answers to a task step carry, and warn of what they mix."""
