"""A run that is killed anywhere and taken up again ends as if nothing had happened, and asks nobody twice."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from driver import Driver, make
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow.core import events as ev
from v6flow.core.commands import Ask
from v6flow.core.json import canonical

if TYPE_CHECKING:
    from v6flow.core.plan import Plan


class World:
    """Organizations and child processes whose outcome depends on nothing but the question."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.computed: set[tuple[str, str]] = set()  # token, organization

    def dice(self, *of: object) -> int:
        return zlib.crc32(repr((self._seed, *of)).encode()) % 6

    def play(self, run: Driver) -> Driver:
        """Everything answers, one after the other, until the run is over."""
        while run.state.status == "running":
            open_ = [
                (step.name, each.name)
                for step in run.state.steps.values()
                for each in step.organizations.values()
                if step.status == "running" and each.status == "requested"
            ]
            if open_:
                self._answer(run, *min(open_))
            elif run.children:
                self._finish(run, min(run.children))
            else:
                wake = run.scheduler.wake()
                assert wake is not None, "it waits for nothing, for ever"
                run.wait(max(wake - run.now, 0))
        return run

    def _answer(self, run: Driver, step: str, organization: str) -> None:
        request = run.requests[step, organization]
        self.computed.add((request.token, organization))
        kind = {0: "unknown", 1: "crashed"}.get(self.dice(step, organization, request.attempt))
        if kind:
            run.fail(step, organization, kind=kind)
        else:
            run.answer(
                step,
                organization,
                value=zlib.crc32(canonical([request.token, dict(request.kwargs)]).encode()),
            )

    def _finish(self, run: Driver, step: str) -> None:
        if self.dice(step) == 0:
            run.crash(step)
        else:
            run.finish(step, zlib.crc32(canonical(dict(run.children[step].kwargs)).encode()))


@st.composite
def workflows(draw: st.DrawFn) -> str:
    """A small random graph of steps of all kinds, each using some of those before it."""
    kinds: list[str] = []
    lines = ["steps:"]
    outputs = ["outputs:"]
    for number in range(draw(st.integers(1, 6))):
        earlier: list[int] = list(range(number))
        used = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        terms = [_term(draw, f"steps.s{each}", kinds[each]) for each in used]
        expression = f'"{{{{ [{", ".join(terms)}] }}}}"'
        kind = draw(st.sampled_from(["value", "local", "task", "task"]))
        kinds.append(kind)
        lines.append(f"  s{number}:")
        if kind == "value":
            lines.append(f"    local: {{value: {expression}}}")
        elif kind == "local":
            lines.append(f"    local: {{function: 'm:f', kwargs: {{x: {expression}}}}}")
        else:
            asked = [each for each in used if kinds[each] == "task"]
            narrowed: bool = draw(st.booleans())
            whom = f', organizations: "{{{{ steps.s{asked[0]}.responded }}}}"' if asked and narrowed else ""
            own = ", me: '{{ organization }}'" if draw(st.booleans()) else ""
            together = not own and not whom and draw(st.booleans())
            lines.append(f"    task: {{method: m, kwargs: {{x: {expression}{own}}}{whom}"
                         f"{', isolation: task' if together else ''}}}")  # fmt: skip
            if not together:
                lines.append(f"    quorum: {draw(st.sampled_from(['all', '1', '60%']))}")
                lines.append(f"    retry: {draw(st.sampled_from([1, 2, 3]))}")
        if kind == "task" and draw(st.sampled_from(["no", "check"])) == "check":
            lines.append("    checks: [{that: '{{ this.responded | length > 1 }}', message: too few}]")
        conditional: bool = draw(st.booleans())
        if used and conditional:
            status = draw(st.sampled_from(["completed", "failed", "skipped"]))
            lines.append(f"    when: \"{{{{ steps.s{used[0]}.status == '{status}' }}}}\"")
        lines.append(f"    on_failure: {draw(st.sampled_from(['fail', 'continue']))}")
        if draw(st.booleans()):
            lines.append("    mixed_cohorts: it is a test")
        attribute = "results" if kind == "task" else "result"
        outputs.append(
            f"  o{number}: {{value: \"{{{{ steps.s{number}.{attribute} | default('none') }}}}\", mixed_cohorts: t}}"
        )
    ending: bool = draw(st.booleans())
    if ending:
        lines += ["finally:", "  last: {task: {method: m, kwargs: {how: '{{ run.status }}'}}, retry: 2}"]
        lines += ["  after: {local: {function: 'm:f', kwargs: {x: '{{ steps.last.status }} {{ steps.s0.status }}'}}}"]
    return "\n".join([*lines, *outputs])


def _term(draw: st.DrawFn, step: str, kind: str) -> str:
    value = f"{step}.{'results' if kind == 'task' else 'result'}"
    return draw(st.sampled_from([value, value, f"default({value}, 0)", f"{step}.status",
                                 f"({value} if {step}.status == 'completed' else 1)"]))  # fmt: skip


def end(run: Driver) -> dict[str, Any]:
    """What must not depend on when a run was killed."""
    steps = {
        name: (step.status, step.value, step.responded, step.failed, step.carried, step.accepted)
        for name, step in run.state.steps.items()
    }
    return {"status": run.state.status, "outputs": run.state.outputs, "steps": steps}


def assert_nobody_is_asked_twice(run: Driver, before: list[ev.Event]) -> None:
    """No new question goes to an organization that had answered before the run was taken up again."""
    answered = {(event.step, event.organization) for event in before if isinstance(event, ev.TaskAnswered)}
    new = [command.request for command in run.commands if isinstance(command, Ask) and command.event is not None]
    assert not answered & {(request.step, name) for request in new for name in request.kwargs}


def uninterrupted(made: Plan, seed: int) -> tuple[Driver, World]:
    world = World(seed)
    return world.play(Driver(made)), world


@settings(max_examples=150)
@given(workflows(), st.integers(0, 1000), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
def test_any_prefix_of_a_run_goes_on_to_the_same_end(text: str, seed: int, kills: list[float]) -> None:
    made = make(text)
    whole, undisturbed = uninterrupted(made, seed)
    run, world = whole, World(seed)
    for kill in kills:
        keep = 1 + int(kill * (len(run.events) - 1))  # at least the start of the run, at most all but its end
        before = run.events[:keep]
        run = world.play(run.resume(keep=keep))
        assert_nobody_is_asked_twice(run, before)
    assert end(run) == end(whole)
    assert world.computed <= undisturbed.computed  # no question that an undisturbed run would not have asked


@settings(max_examples=100)
@given(workflows(), st.integers(0, 1000))
def test_retrying_what_failed_asks_only_whom_it_lacks(text: str, seed: int) -> None:
    made = make(text)
    run, world = uninterrupted(made, seed)
    failed = tuple(name for name, step in run.state.steps.items() if step.status == "failed")
    skipped = {name for name, step in run.state.steps.items() if step.status == "skipped"}
    reset = tuple((made.graph.after(failed) | skipped) - set(failed))
    again = run.resume(retry=failed, reset=reset)
    world.play(again)
    assert_nobody_is_asked_twice(again, [event for event in run.events if getattr(event, "step", None) not in reset])
    old = {event.token for event in run.named(ev.TaskRequested)}
    assert not old & {event.token for event in again.events[len(run.events) :] if isinstance(event, ev.TaskRequested)}
    assert {
        name for name, step in again.state.steps.items() if step.status not in ("completed", "failed", "skipped")
    } == set()
