"""What runs of random workflows meet: organizations, child processes and people, played by what was asked alone."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from v6flow.core.execution import answers, scope
from v6flow.core.execution import events as ev
from v6flow.core.json import canonical
from v6flow.core.kinds import TaskPlan

if TYPE_CHECKING:
    from driver import Driver

    from v6flow.core.json import Json


class World:
    """Organizations and child processes whose outcome depends on nothing but the question.

    `calm`: nothing fails, everybody answers and approves.
    """

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self._seed = seed
        self._calm = calm
        self.computed: set[tuple[str, str]] = set()  # token, organization

    def dice(self, *of: object, sides: int = 6) -> int:
        return zlib.crc32(repr((self._seed, *of)).encode()) % sides

    def play(self, run: Driver) -> Driver:
        """Everything answers, one after the other, until the run is over; people decide when nothing else can go on."""
        turns = 0
        while not run.state.over:
            turns += 1
            assert turns < 20_000, "it goes on for ever"
            if run.state.status == "waiting":
                run = self._decide(run)
                continue
            self._accept_again(run)
            if run.state.status != "running":  # that was all which it waited for
                continue
            open_ = [
                (step.name, each.name)
                for step in run.state.steps.values()
                for each in step.organizations.values()
                if step.status == "running" and each.status == "requested"
                and not (step.deadline is not None and self._is_silent(step.name, each.name))
            ]  # fmt: skip
            if open_:
                self._answer(run, *min(open_))
            elif run.children:
                self._finish(run, min(run.children))
            else:
                wake = run.scheduler.wake()
                assert wake is not None, "it waits for nothing, for ever"
                run.wait(max(wake - run.now, 0))
        return run

    def answer(self, step: str, organization: str, token: str, kwargs: Json) -> Json:
        """What an organization answers."""
        number = zlib.crc32(canonical([token, kwargs]).encode())
        return {"x": number, "count": 9 if self._calm else 1 + number % 12}

    def computes(self, step: str, kwargs: Json) -> Json:
        """What a child process answers."""
        return zlib.crc32(canonical(kwargs).encode())

    def _accept_again(self, run: Driver) -> None:
        """What was asked for again is found there, as a server tells."""
        for (step, organization), request in [*run.requests.items()]:  # what is found may have more asked
            if request.token in run.unknown:
                run.unknown.discard(request.token)
                run.accept(step, organization)

    def _is_silent(self, step: str, organization: str) -> bool:
        return not self._calm and self.dice("silent", step, organization, sides=24) == 0

    def _decide(self, run: Driver) -> Driver:
        """A person decides at the first gate, and somebody takes the run up."""
        step = min(gate.name for gate in run.state.gates)
        decision = "rejected" if not self._calm and self.dice(step) == 0 else "approved"
        run.write(ev.GateDecided(run.now, step, decision, "anna"))
        again = run.resume()
        again.commands[:0] = run.commands
        return again

    def _answer(self, run: Driver, step: str, organization: str) -> None:
        request = run.requests[step, organization]
        self.computed.add((request.token, organization))
        sides = 6 if self._seed % 2 else 24
        kind = {0: "unknown", 1: "crashed"}.get(self.dice(step, organization, request.attempt, sides=sides))
        if kind and not self._calm:
            run.fail(step, organization, kind=kind)
            return
        value = self.answer(step, organization, request.token, dict(request.kwargs))
        planned = run.plan.step(step)
        assert isinstance(planned, TaskPlan)
        subtasks = self._subtasks(step, organization) if planned.central else ()
        lost = [each for each in subtasks if each.status != "completed"]
        if lost and planned.subtasks == "fail":
            run.fail(step, organization, kind="subtask_failed")
            return
        # as the engine judges what has come before it is kept
        params = scope.params(run.plan, run.state, step)
        refused = answers.judge(run.plan.directory, planned, step, organization, value, params)
        if refused is not None:
            run.fail(step, organization, kind=refused.kind, message=refused.message)
        else:
            run.answer(step, organization, value=value, subtasks=subtasks)

    def _subtasks(self, step: str, organization: str) -> tuple[ev.Subtask, ...]:
        lost = not self._calm and self.dice("subtask", step) == 0
        return ev.Subtask("alpha", "failed" if lost else "completed"), ev.Subtask("beta", "completed")

    def _finish(self, run: Driver, step: str) -> None:
        if not self._calm and self.dice(step) == 0:
            run.crash(step)
        else:
            run.finish(step, self.computes(step, dict(run.children[step].kwargs)))
