"""A run that is killed anywhere and taken up again ends as if nothing had happened, and asks nobody twice."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from driver import Driver, make
from hypothesis import given, settings
from hypothesis import strategies as st

from v6flow import running
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
        """Everything answers, one after the other, until the run is over; people decide when nothing else can go on."""
        while not run.state.over:
            if run.state.status == "waiting":
                run = self._decide(run)
                continue
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

    def _decide(self, run: Driver) -> Driver:
        """A person decides at the first gate, and somebody takes the run up."""
        step = min(gate.name for gate in run.state.gates)
        decision = "rejected" if self.dice(step) == 0 else "approved"
        run.write(ev.GateDecided(0.0, step, decision, "anna"))
        again = run.resume()
        again.commands[:0] = run.commands
        return again

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


WORKING = ("value", "local", "task", "task", "gate")
OFFERED = {
    "gate": "result",
    "value": "result",
    "local": "result",
    "task": "results",
    "repeat": "result",
    "foreach": "by_key",
}


@st.composite
def workflows(draw: st.DrawFn, kinds: tuple[str, ...] = WORKING) -> str:
    """A small random graph of steps of these kinds, each using some of those before it."""
    lines = ["steps:"]
    outputs = ["outputs:"]
    steps = _add_steps(draw, lines, "  ", "s", kinds, draw(st.integers(1, 6)), {}, [])
    for name, kind in steps.items():
        outputs.append(
            f"  o_{name}: {{value: \"{{{{ steps.{name}.{OFFERED[kind]} | default('none') }}}}\", mixed_cohorts: t}}"
        )
    ending: bool = draw(st.booleans())
    if ending:
        lines += ["finally:", "  last: {task: {method: m, kwargs: {how: '{{ run.status }}'}}, retry: 2}"]
        lines += ["  after: {local: {function: 'm:f', kwargs: {x: '{{ steps.last.status }} {{ steps.s0.status }}'}}}"]
        final = tuple(kind for kind in kinds if kind != "gate")
        _add_steps(draw, lines, "  ", "f", final, draw(st.integers(0, 2)), steps, [])
    return "\n".join([*lines, *outputs])


def _add_steps(
    draw: st.DrawFn,
    lines: list[str],
    pad: str,
    stem: str,
    kinds: tuple[str, ...],
    count: int,
    outside: dict[str, str],
    around: list[str],
) -> dict[str, str]:
    """Add steps that stand together and may use each other, those outside, and what is around them."""
    known: dict[str, str] = {}
    for number in range(count):
        name = f"{stem}{number}"
        earlier = [*outside, *known]
        used = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        terms = [_term(draw, f"steps.{each}", {**outside, **known}[each]) for each in used]
        terms += draw(st.lists(st.sampled_from(around), max_size=1)) if around else []
        expression = f'"{{{{ [{", ".join(terms)}] }}}}"'
        kind = draw(st.sampled_from(kinds))
        lines.append(f"{pad}{name}:")
        if kind == "value":
            lines.append(f"{pad}  local: {{value: {expression}}}")
        elif kind == "local":
            lines.append(f"{pad}  local: {{function: 'm:f', kwargs: {{x: {expression}}}}}")
        elif kind == "gate":
            lines.append(f"{pad}  gate: {{message: {expression}}}")
        elif kind == "repeat":
            _add_rounds(draw, lines, pad, name, expression, {**outside, **known}, around, kinds)
        elif kind == "foreach":
            _add_items(draw, lines, pad, name, expression, {**outside, **known}, around, kinds)
        else:
            asked = [each for each in used if {**outside, **known}[each] == "task"]
            narrowed: bool = draw(st.booleans())
            whom = f', organizations: "{{{{ steps.{asked[0]}.responded }}}}"' if asked and narrowed else ""
            own = ", me: '{{ organization }}'" if draw(st.booleans()) else ""
            together = not own and not whom and draw(st.booleans())
            lines.append(f"{pad}  task: {{method: m, kwargs: {{x: {expression}{own}}}{whom}"
                         f"{', isolation: task' if together else ''}}}")  # fmt: skip
            if not together:
                lines.append(f"{pad}  quorum: {draw(st.sampled_from(['all', '1', '60%']))}")
                lines.append(f"{pad}  retry: {draw(st.sampled_from([1, 2, 3]))}")
            lines.append(f"{pad}  allow_cross_site: it is a test")
            if draw(st.sampled_from(["no", "check"])) == "check":
                lines.append(f"{pad}  checks: [{{that: '{{{{ this.responded | length > 1 }}}}', message: too few}}]")
        conditional: bool = draw(st.booleans())
        if used and conditional:
            status = draw(st.sampled_from(["completed", "failed", "skipped"]))
            lines.append(f"{pad}  when: \"{{{{ steps.{used[0]}.status == '{status}' }}}}\"")
        lines.append(f"{pad}  on_failure: {draw(st.sampled_from(['fail', 'continue']))}")
        if draw(st.booleans()):
            lines.append(f"{pad}  mixed_cohorts: it is a test")
        known[name] = kind
    return known


def _inside(kinds: tuple[str, ...], around: list[str]) -> tuple[str, ...]:
    return tuple(kind for kind in kinds if not around or kind not in ("repeat", "foreach"))


def _add_rounds(
    draw: st.DrawFn,
    lines: list[str],
    pad: str,
    name: str,
    state: str,
    outside: dict[str, str],
    around: list[str],
    kinds: tuple[str, ...],
) -> None:
    alias = f"r_{name}"
    lines.append(f"{pad}  repeat:")
    lines += [f"{pad}    as: {alias}", f"{pad}    state: {state}", f"{pad}    max: {draw(st.integers(1, 3))}"]
    lines.append(f"{pad}    on_max: continue")
    lines.append(f"{pad}    cohort: {draw(st.sampled_from(['fixed', 'shrink', 'any']))}")
    lines.append(f"{pad}    steps:")
    seen = [*around, f"loop.{alias}.state", f"loop.{alias}.index"]
    inner = _add_steps(
        draw, lines, f"{pad}      ", f"{name}_", _inside(kinds, around), draw(st.integers(1, 3)), outside, seen
    )
    terms = [_term(draw, f"steps.{each}", kind) for each, kind in inner.items()]
    lines.append(f'{pad}    update: "{{{{ [{", ".join(["loop.index", *terms])}] }}}}"')
    if draw(st.booleans()):
        lines.append(f'{pad}    until: "{{{{ loop.index >= 2 and loop.next[0] == loop.index }}}}"')


def _add_items(
    draw: st.DrawFn,
    lines: list[str],
    pad: str,
    name: str,
    used: str,
    outside: dict[str, str],
    around: list[str],
    kinds: tuple[str, ...],
) -> None:
    alias = f"e_{name}"
    over = draw(st.sampled_from(["[a, b, c]", "{p: 1, q: 2}", "[]", used, '"{{ range(4) }}"']))
    lines += [f"{pad}  foreach:", f"{pad}    as: {alias}", f"{pad}    over: {over}"]
    lines.append(f"{pad}    on_item_failure: {draw(st.sampled_from(['fail', 'continue']))}")
    lines.append(f"{pad}    max_parallel: {draw(st.integers(1, 3))}")
    lines.append(f"{pad}    steps:")
    seen = [*around, f"each.{alias}", "each.key"]
    inner = _add_steps(
        draw, lines, f"{pad}      ", f"{name}_", _inside(kinds, around), draw(st.integers(1, 2)), outside, seen
    )
    terms = [_term(draw, f"steps.{each}", kind) for each, kind in inner.items()]
    lines.append(f'{pad}    result: "{{{{ [{", ".join(terms)}] }}}}"')


def _term(draw: st.DrawFn, step: str, kind: str) -> str:
    value = f"{step}.{OFFERED[kind]}"
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


ALL_KINDS = ("value", "local", "task", "repeat", "repeat", "foreach", "foreach")


@settings(max_examples=150)
@given(workflows(ALL_KINDS), st.integers(0, 1000), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
def test_any_prefix_of_a_run_with_rounds_and_items_goes_on_to_the_same_end(
    text: str, seed: int, kills: list[float]
) -> None:
    made = make(text)
    whole, undisturbed = uninterrupted(made, seed)
    run, world = whole, World(seed)
    for kill in kills:
        keep = 1 + int(kill * (len(run.events) - 1))
        before = run.events[:keep]
        run = world.play(run.resume(keep=keep))
        assert_nobody_is_asked_twice(run, before)
    assert end(run) == end(whole)
    assert world.computed <= undisturbed.computed


@settings(max_examples=100)
@given(workflows(ALL_KINDS), st.integers(0, 1000))
def test_retrying_what_failed_in_rounds_and_items_asks_only_whom_it_lacks(text: str, seed: int) -> None:
    made = make(text)
    run, world = uninterrupted(made, seed)
    retry, reset = running.what_to_do_again(run.state, made)
    again = run.resume(retry=tuple(retry), reset=tuple(reset))
    again = world.play(again)
    done_anew = {
        name for name in again.state.steps if any(name == each or name.startswith(f"{each}[") for each in reset)
    }
    assert_nobody_is_asked_twice(
        again, [event for event in run.events if getattr(event, "step", None) not in done_anew]
    )
    old = {event.token for event in run.named(ev.TaskRequested)}
    assert not old & {event.token for event in again.events[len(run.events) :] if isinstance(event, ev.TaskRequested)}
    assert all(again.state.step(name).status in ("completed", "failed", "skipped") for name in made.nested(""))


@settings(max_examples=100)
@given(workflows(), st.integers(0, 1000))
def test_retrying_what_failed_asks_only_whom_it_lacks(text: str, seed: int) -> None:
    made = make(text)
    run, world = uninterrupted(made, seed)
    failed = tuple(name for name, step in run.state.steps.items() if step.status == "failed")
    skipped = {name for name, step in run.state.steps.items() if step.status == "skipped"}
    reset = tuple((made.graph.after(failed) | skipped) - set(failed))
    again = run.resume(retry=failed, reset=reset)
    again = world.play(again)
    assert_nobody_is_asked_twice(again, [event for event in run.events if getattr(event, "step", None) not in reset])
    old = {event.token for event in run.named(ev.TaskRequested)}
    assert not old & {event.token for event in again.events[len(run.events) :] if isinstance(event, ev.TaskRequested)}
    assert {
        name for name, step in again.state.steps.items() if step.status not in ("completed", "failed", "skipped")
    } == set()
