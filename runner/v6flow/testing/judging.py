"""Comparison of the outcome of a case with its expectations; differences are reported as sentences."""

from __future__ import annotations

import difflib
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.backends.fixtures import DEFAULT, AmbiguousAddressError, addresses
from v6flow.core import json
from v6flow.core.language import quoting, units
from v6flow.core.language.words import suggestion
from v6flow.core.views.incomplete import kinds_by_name
from v6flow.testing import matching
from v6flow.testing.trial import item_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from v6flow.backends.fixtures import FixtureAddress
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.views.incomplete import Incomplete
    from v6flow.testing.suites import Case, Said
    from v6flow.testing.trial import TrialOutcome

MAX_INLINE = 60  # characters of a value that fits in a sentence
MAX_LINES = 60  # the most lines of a difference
LOG_LINES = 12
MAX_KEYS = 20  # the most keys that a message lists

Sent = dict[str, "Mapping[str, Json]"]


class Complaint(Struct, frozen=True):
    """One difference from the expectations: a sentence, and lines that show it."""

    message: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {line}".rstrip() for line in self.lines)])


def judge(case: Case, outcome: TrialOutcome) -> list[Complaint]:
    """The differences from the expectations of a case; empty if there are none."""
    expect = case.expect
    if outcome.unanswered:
        return [*_unanswered(outcome), *_unknown(case.said, outcome.state)]
    if outcome.error is not None and outcome.error["kind"] == AmbiguousAddressError.kind:
        return [Complaint(str(outcome.error["message"]), (str(outcome.error["hint"]),))]
    if outcome.status == "standstill" and outcome.error is not None:
        return [Complaint(f"the run never ends: {outcome.error['message']}", (str(outcome.error["hint"]),))]
    try:
        return [*_found(case, expect, outcome)]
    except AmbiguousAddressError as error:
        return [Complaint(error.message, (str(error.hint),))]


def _found(case: Case, expect: Mapping[str, Any], outcome: TrialOutcome) -> Iterator[Complaint]:
    ending = [*_ending(expect, outcome)]
    yield from ending
    if not ending or outcome.status == "completed":
        yield from _outputs(expect.get("outputs", {}), outcome)
    if "incomplete" in expect:
        yield from _incomplete(expect["incomplete"], outcome.incomplete)
    yield from _steps(expect.get("steps", {}), outcome)
    yield from _sent(expect.get("sent", {}), outcome)
    yield from _duration(expect.get("duration"), outcome.seconds)
    # an answer for all cases of the file may be unused in one case
    told = [said for said in case.said if not said.shared or (ending and outcome.status == "waiting")]
    yield from _unknown(told, outcome.state)
    yield from _undecided(told, outcome.state)


def _unknown(told: Iterable[Said], state: RunState) -> Iterator[Complaint]:
    """The complaints about items that do not exist."""
    for said in told:
        if (found := _lacking(said.address, state)) is not None:
            yield Complaint(f"{said}: {found[0]}", (found[1],))


def _lacking(address: FixtureAddress, state: RunState) -> tuple[str, str] | None:
    """A complaint that a step does not have the item of an address, with its items; None if the items are unknown."""
    before = [""]
    for part in address.parts:
        steps = [state.step(prefix + part.name) for prefix in before]
        listed = [step for step in steps if step.items is not None]
        before = []
        for step in steps:
            keys = item_keys(state, step.name)
            if step.items is None:  # a repeat step may have had any of its iterations; any other step is itself
                before += [f"{step.name}[{number}]." for number in range(1, step.rounds + 2)]
                before.append(f"{step.name}.")
            else:
                numbers = range(1, len(keys) + 1)
                wanted = numbers if part.chosen is None else [n for n in part.numbers(keys) if n in numbers]
                before += [f"{step.name}[{number}]." for number in wanted]
        if listed and not before and part.chosen is not None:
            known = [key for step in listed for key in item_keys(state, step.name)]
            shown = ", ".join([*known[:MAX_KEYS], *(["…"] if len(known) > MAX_KEYS else [])]) or "none"
            near = suggestion(part.chosen or "", known)
            told = f"{near} the items are: {shown}" if near else f"the items are: {shown}"
            return f"step {listed[0].name} has no item {part.chosen}", told
    return None


def _undecided(told: Iterable[Said], state: RunState) -> Iterator[Complaint]:
    """The complaints about decisions that no gate asked for."""
    asked = [step for step in state.steps.values() if step.question is not None]
    keys = partial(item_keys, state)
    for said in told:
        if said.section != "decisions" or _lacking(said.address, state) is not None or not state.run:
            continue
        if not any(said.address.fits(step.name, keys) for step in asked):
            status = state.step(said.address.text).status
            yield Complaint(f"{said}: no gate asked for this decision", (f"the step is {status}",))


def _unanswered(outcome: TrialOutcome) -> Iterator[Complaint]:
    for sent in outcome.unanswered:
        attempt = f" in attempt {sent.attempt}" if sent.attempt > 1 else ""
        yield Complaint(
            f"step {sent.step} asks {sent.organization}{attempt}, and the test has no answer for it",
            (f"it was sent: {json.dumps(dict(sent.kwargs))}",),
        )


def _ending(expect: Mapping[str, Any], outcome: TrialOutcome) -> Iterator[Complaint]:
    told = _told(outcome)
    if "status" in expect:
        if outcome.status != expect["status"]:
            yield Complaint(f"status: expected {expect['status']}, found {outcome.status}", told)
            told = ()
    elif not {"exit_code", "error"} & expect.keys() and outcome.status != "completed":
        ended = "is waiting" if outcome.status == "waiting" else outcome.status
        yield Complaint(f"the run {ended}, and the case does not expect that", told)
        told = ()
    if "exit_code" in expect and outcome.exit_code != expect["exit_code"]:
        yield Complaint(f"exit_code: expected {expect['exit_code']}, found {outcome.exit_code}", told)
    yield from _error(expect.get("error", {}), outcome)


def _told(outcome: TrialOutcome) -> tuple[str, ...]:
    """Why a run failed, with the end of its log; or which gates wait for a decision."""
    if outcome.status == "waiting":
        asked = [(gate.name, gate.question.message) for gate in outcome.state.gates if gate.question is not None]
        name = asked[0][0] if "[" not in asked[0][0] else quoting.quoted(asked[0][0])
        remedy = f"decisions: {{{name}: approve}} decides it; status: waiting expects no decision"
        return (*(f"step {name} asks: {text}" for name, text in asked), remedy)
    if outcome.error is None:
        return ()
    step, organization = outcome.error["step"], outcome.error["organization"]
    where = f"step {step}" if step else ""
    where += f" at {organization}" if organization else ""
    lines = f"{where}: {outcome.error['message']}".removeprefix(": ").split("\n")
    return (*lines, *(f"  {line}" for line in outcome.log_tail.rstrip().split("\n")[-LOG_LINES:] if line))


def _error(expected: Mapping[str, str], outcome: TrialOutcome) -> Iterator[Complaint]:
    found: Mapping[str, Any] | None = outcome.error
    if expected and found is None:
        yield Complaint("error: expected one, found none")
        return
    for key, value in expected.items():
        assert found is not None
        if key == "contains":
            if value not in found["message"]:
                yield Complaint(f"error: its message does not contain {value!r}", tuple(found["message"].split("\n")))
        elif found[key] != value and not (key == "step" and _is_step(value, found[key], outcome.state)):
            yield Complaint(f"error.{key}: expected {value}, found {found[key]}")


def _outputs(expected: Mapping[str, Json], outcome: TrialOutcome) -> Iterator[Complaint]:
    for name, value in expected.items():
        if name not in outcome.state.outputs:
            yield Complaint(f"outputs.{name}: expected a value, found none", _told(outcome))
        else:
            yield from _compare(f"outputs.{name}", value, outcome.state.outputs[name])


def _incomplete(
    expected: str | list[str] | dict[str, str | list[str]], found: Sequence[Incomplete]
) -> Iterator[Complaint]:
    """Compare the incomplete parts step by step, and their kinds if the case gives kinds."""
    kinds = {name: sorted(every) for name, every in kinds_by_name(found).items()}
    wanted: dict[str, list[str]] = {}
    if isinstance(expected, dict):
        wanted = {name: [given] if isinstance(given, str) else sorted(given) for name, given in expected.items()}
    elif isinstance(expected, list):
        wanted = {name: kinds.get(name, ["any"]) for name in expected}
    if wanted != kinds:
        message = f"incomplete: expected {_kinds(wanted)}, found {_kinds(kinds)}"
        yield Complaint(message, tuple(map(str, found)))


def _kinds(kinds: Mapping[str, list[str]]) -> str:
    return ", ".join(f"{name}: {' and '.join(every)}" for name, every in kinds.items()) or "none"


def _steps(expected: Mapping[str, Mapping[str, Any]], outcome: TrialOutcome) -> Iterator[Complaint]:
    for name, step in expected.items():
        for done in _done(name, outcome.state.steps, outcome.state):
            for key, value in step.items():
                yield from _STEP[key](f"steps.{done}.{key}", value, outcome.state.step(done))


def _done(name: str, known: Iterable[str], state: RunState) -> list[str]:
    """The steps with a name: one, or for a nested step without a number, that step in every iteration or item."""
    address, keys = addresses.parse(name), partial(item_keys, state)
    return [each for each in known if address.fits(each, keys)] or [name]


def _is_step(name: str, found: str | None, state: RunState) -> bool:
    """Whether a name identifies a step by a key, or by several numbers."""
    try:
        return found is not None and "[" in name and addresses.parse(name).fits(found, partial(item_keys, state))
    except ValueError:  # not the name of a step
        return False


def _names(where: str, expected: list[str], found: list[str]) -> Iterator[Complaint]:
    if sorted(expected) != sorted(found):
        yield Complaint(f"{where}: expected {_list(expected)}, found {_list(found)}")


def _failed(where: str, expected: list[str] | dict[str, str], step: StepState) -> Iterator[Complaint]:
    if isinstance(expected, list):
        yield from _names(where, expected, step.failed)
        return
    kinds = {name: failure.kind if failure is not None else "" for name, failure in step.failures.items()}
    if expected != kinds:
        yield Complaint(f"{where}: expected {_pairs(expected)}, found {_pairs(kinds)}")


def _attempts(where: str, expected: int | dict[str, int], step: StepState) -> Iterator[Complaint]:
    if isinstance(expected, int):
        if step.attempts != expected:
            yield Complaint(f"{where}: expected {expected}, found {step.attempts}")
        return
    for name, number in expected.items():
        asked = step.organizations.get(name)
        found = asked.attempt if asked is not None else 0
        if found != number:
            yield Complaint(f"{where}.{name}: expected {number}, found {found}")


def _status(where: str, expected: str, step: StepState) -> Iterator[Complaint]:
    if step.status != expected:
        message = step.failure.message if step.failure is not None else ""
        yield Complaint(f"{where}: expected {expected}, found {step.status}", (message,) if message else ())


def _result(where: str, expected: Json, step: StepState) -> Iterator[Complaint]:
    others = "a task step" if step.organizations else "a foreach step" if step.items is not None else None
    if step.status != "completed" or others is not None:
        what = others or f"one that is {step.status}"
        yield Complaint(f"{where}: expected the single result of a completed step, found {what}")
    else:
        yield from _compare(where, expected, step.value)


def _step_error(where: str, expected: str, step: StepState) -> Iterator[Complaint]:
    if step.failure is None:
        yield Complaint(f"{where}: expected a failure, found none")
    elif expected not in step.failure.message:
        yield Complaint(f"{where}: the message does not contain {expected!r}", tuple(step.failure.message.split("\n")))


_STEP: dict[str, Any] = {
    "status": _status,
    "asked": lambda where, expected, step: _names(where, expected, step.asked),
    "responded": lambda where, expected, step: _names(where, expected, step.responded),
    "missing": lambda where, expected, step: _names(where, expected, step.missing),
    "failed": _failed,
    "attempts": _attempts,
    "result": _result,
    "error": _step_error,
}
"""The check for each expectation about a step."""


def _sent(expected: Mapping[str, Any], outcome: TrialOutcome) -> Iterator[Complaint]:
    asked = dict.fromkeys(each.step for each in outcome.sent)
    for name, by in expected.items():
        for step in _done(name, asked, outcome.state):
            yield from _sent_in(step, by, outcome)


def _sent_in(step: str, by: Mapping[str, Any] | None, outcome: TrialOutcome) -> Iterator[Complaint]:
    sent: Sent = {each.organization: each.kwargs for each in outcome.sent if each.step == step}
    if by is None:
        if sent:
            yield Complaint(f"sent.{step}: expected no request, found {_list([*sent])}")
        return
    others = {name: by[DEFAULT] for name in sent if name not in by} if DEFAULT in by else {}
    for name, kwargs in {**{name: each for name, each in by.items() if name != DEFAULT}, **others}.items():
        where = f"sent.{step}.{name}"
        if kwargs is None and name in sent:
            yield Complaint(f"{where}: expected nothing, found {json.dumps(dict(sent[name]))}")
        elif kwargs is not None and name not in sent:
            yield Complaint(f"{where}: nothing was sent")
        elif kwargs is not None:
            yield from _compare(where, kwargs, dict(sent[name]))


def _duration(expected: str | Mapping[str, str] | None, seconds: float) -> Iterator[Complaint]:
    found = f"found {units.spell(seconds)}"
    limits = expected if isinstance(expected, dict) else {}
    if isinstance(expected, str) and abs(units.seconds(expected) - seconds) > _INSTANT:
        yield Complaint(f"duration: expected {expected}, {found}")
    if "at_least" in limits and seconds < units.seconds(limits["at_least"]) - _INSTANT:
        yield Complaint(f"duration: expected at least {limits['at_least']}, {found}")
    if "at_most" in limits and seconds > units.seconds(limits["at_most"]) + _INSTANT:
        yield Complaint(f"duration: expected at most {limits['at_most']}, {found}")


_INSTANT = 1e-3  # seconds: tolerance for sums of floats


def _compare(where: str, expected: Json, found: Json) -> Iterator[Complaint]:
    fits, filled = matching.match(expected, found)
    if fits:
        return
    found = json.printable(found)
    short, shown = json.dumps(filled), json.dumps(found)
    if len(short) <= MAX_INLINE and len(shown) <= MAX_INLINE:
        yield Complaint(f"{where}: expected {short}, found {shown}")
    else:
        yield Complaint(f"{where}: expected the lines with -, found the lines with +", _difference(filled, found))


def _difference(expected: Json, found: Json) -> tuple[str, ...]:
    before, after = (json.dumps(value, indent=2).split("\n") for value in (expected, found))
    lines = list(difflib.unified_diff(before, after, n=2, lineterm=""))[2:]
    lines = ["…" if line.startswith("@@") else line for line in lines]
    more = [f"… and {len(lines) - MAX_LINES} lines more"] if len(lines) > MAX_LINES else []
    return (*lines[:MAX_LINES], *more)


def _list(names: list[str]) -> str:
    return ", ".join(names) or "nobody"


def _pairs(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in kinds.items()) or "nobody"
