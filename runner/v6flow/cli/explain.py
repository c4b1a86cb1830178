"""Explain what a step of a run did and why, from the journal alone.

Shows when the step began and what it waited for, what was sent to whom, each attempt with its failure, how the quorum
was evaluated, which organizations' data its value comes from, and why it failed, was skipped, or reused the result of
an earlier run. Requests are shown as in `v6flow plan`. Steps in iterations and items have a number: `fit[3].part`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from v6flow.cli import arguments as common
from v6flow.core.language.messages import choice
from v6flow.core.language.words import suggestion
from v6flow.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from v6flow.cli.arguments import Parser
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.explanation import Attempt, Explanation

    Time: TypeAlias = Callable[[str], str]

_NAMED = 10  # names that an error lists


def configure(parser: Parser) -> None:
    common.run_id(parser)
    common.step(parser, "the step")
    parser.add_argument("organization", metavar="ORGANIZATION", nargs="?", help="left out: all that were asked")
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.cli.status import current
    from v6flow.core.execution.state import replay
    from v6flow.core.views.explanation import explain
    from v6flow.core.views.summary import standing
    from v6flow.runs.pinning import pinned_plan

    folder = common.open_store(arguments).find(arguments.run)
    events = list(folder.events())
    state = replay(events)
    if not state.run:
        raise UsageError(f"run {folder.id} ended before its first journal entry", hint="start a new run")
    plan = pinned_plan(state)
    _check_step(arguments.step, plan, state)
    status = current(folder, state)
    told = explain(plan, events, arguments.step, lambda step: standing(step, status))
    if arguments.organization is not None:
        told = _narrow(told, arguments.organization)
    if arguments.output == "json":
        show.write(told.as_json())
    else:
        from v6flow.reporters.terminal import plain

        show.data("".join(f"{plain(line)}\n" for line in _text(told)))
    return 0


def _check_step(name: str, plan: Plan, state: RunState) -> None:
    """Raise UsageError for an unknown step, and for one that runs more than once."""
    from v6flow.core.planning.ids import definition

    done = [each for each in state.steps if each != name and definition(each) == name]
    if done:
        more = f" and {len(done) - _NAMED} more" if len(done) > _NAMED else ""
        raise UsageError(f"step {name} runs more than once: {', '.join(done[:_NAMED])}{more}", hint="name one of them")
    if definition(name) not in plan.steps or ("[" in name and not _is_there(name, plan, state)):
        near = suggestion(name, [*plan.steps, *state.steps])
        raise UsageError(f"run {state.run} has no step {name!r}", hint=near)


def _is_there(name: str, plan: Plan, state: RunState) -> bool:
    """Whether a step has this name, now or later: in the current iteration, or for a known item."""
    from v6flow.core.planning import ids
    from v6flow.core.views.by_kind import view_of

    if name in state.steps:
        return True
    for inner in ids.outward(ids.prefix(name))[:-1]:
        path, number = ids.around(inner)
        outer, planned = state.step(path), plan.step(path)
        last = view_of(planned.kind).last(outer, planned)
        if inner != ids.inside(path, number) or not min(last, 1) <= number <= last:
            return False
    return True


def _narrow(told: Explanation, organization: str) -> Explanation:
    """The part of the explanation about one organization."""
    asked = told.organizations
    if organization not in asked:
        if not asked:
            raise UsageError(f"step {told.step} asked no organizations")
        hint = suggestion(organization, asked)
        raise UsageError(f"step {told.step} did not ask {organization!r}: it asked {', '.join(asked)}", hint=hint)
    return told.only(organization)


def _text(told: Explanation) -> list[str]:
    from v6flow.core import json
    from v6flow.core.views.explained import Explained

    day = (told.started or told.ended or "")[:10]
    more = told.more if told.more is not None else Explained()

    def time(moment: str) -> str:
        """A moment as the time of day; with the date if it is not the day on which the step began."""
        return moment[11:] if moment.startswith(day) and day else moment

    lines = [f"step {told.step} of run {told.run}: {told.status}"]
    if told.description:
        lines.append(f"  {told.description}")
    lines += [f"{told.does.kind_in_words}:", *(f"  {line}" for line in told.does.lines())]
    lines += ["when:", *(f"  {line}" for line in [*_waiting(told, time), *_ending(told, more.closing, time)])]
    lines += more.before()
    if told.attempts:
        lines.append("attempts:")
        for name, attempts in told.attempts.items():
            for each in attempts:
                lines.append(f"  {name + ': ' if name else ''}{_attempt(each, time)}")
                lines += [
                    f"    {one.name}: {one.status}{f': {one.message}' if one.message else ''}"
                    for one in each.subtasks or ()
                ]
    lines += more.after(time)
    facts = [f"  {name}: {json.dumps(json.printable(value))}" for name, value in told.properties.items()]
    for heading, found in (
        ("result:", [*more.results(), *facts]),
        ("incomplete:", [f"  {each.step}: {each.message}" for each in told.incomplete]),
    ):
        lines += [heading, *found] if found else []
    return [*lines, *_cohorts(told), *_why(told)]


def _waiting(told: Explanation, time: Time) -> list[str]:
    needs = told.needs
    lines = [f"it needs {choice([each.step for each in needs], 'and')}"] if needs else ["it needs no other step"]
    if told.status == "pending":
        open_ = [f"{each.step} ({each.status})" for each in needs if each.ended is None]
        return [*lines, f"it is waiting for {choice(open_, 'and')}" if open_ else "it has not begun"]
    if told.started is not None and told.status != "skipped":
        ended = next((each.ended for each in needs if each.step == told.began_after), None)
        when = f", when {told.began_after} had ended ({time(ended)})" if ended is not None else ""
        lines.append(f"it began on {told.started[:10]} at {time(told.started)}{when}")
    lines += [
        f"the run was resumed at {time(each.at)}"
        + (", to ask those again that had failed or not answered" if each.asks_failed_again else "")
        for each in told.taken_up_again
    ]
    return lines


def _ending(told: Explanation, closing: str | None, time: Time) -> list[str]:
    from v6flow.core.language.units import spell

    lines = []
    if told.deadline is not None and told.ended is None:
        lines.append(f"it waits until {time(told.deadline)} at the latest")
    if closing:
        lines.append(f"it stopped waiting, because {closing}")
    if told.ended is not None and told.seconds is not None and told.status != "skipped":
        lines.append(f"it {told.status} at {time(told.ended)}, after {spell(told.seconds)}")
    return lines


def _attempt(each: Attempt, time: Time) -> str:
    from v6flow.core.language.units import spell

    run = each.run
    verb = "asked" if run is not None else "begun"
    task = "" if each.task is None else f" ({'' if 'task' in each.task else 'task '}{each.task})"
    again = f" again, attempt {each.attempt}," if each.attempt > 1 else ""
    told = f"{verb}{again} at {time(each.asked)}{task}"
    if run is not None and run.began is not None:
        told += f", began at {time(run.began)}"
    took = spell(each.seconds) if each.seconds is not None else ""
    if each.outcome in ("answered", "completed"):
        size = f" with {run.size:,} bytes" if run is not None and run.size is not None else ""
        return f"{told}, {each.outcome} after {took}{size}"
    if each.outcome == "too late":
        return f"{told}, answered after {took}: too late to be used"
    if each.outcome == "no answer":
        return f"{told}, and no answer came"
    if each.failure is not None:
        return f"{told}, failed after {took} ({each.outcome}): {each.failure.message}"
    return f"{told}, failed after {took}" if each.outcome == "failed" else f"{told}, not finished"


def _cohorts(told: Explanation) -> list[str]:
    lines = [f"  {each.step}: {', '.join(each.organizations) or 'nobody'}" for each in told.cohorts]
    if lines:
        done = told.status == "completed"
        lines.insert(0, "its value was computed from the data of:" if done else "it was sent the data of:")
    reasons = told.reasons
    if told.mixture_accepted:
        lines.append(f"  mixing these cohorts is accepted: {reasons.mixed_cohorts or 'by an earlier step'}")
    if reasons.allow_cross_site is not None:
        lines.append(f"sending single organizations' answers to others is accepted: {reasons.allow_cross_site}")
    return lines


def _why(told: Explanation) -> list[str]:
    from v6flow.core.views.summary import skipped

    lines = []
    if told.failure is not None:
        lines += ["why it failed:", f"  {told.failure.message}"]
        if told.failure.hint:
            lines.append(f"  what to do: {told.failure.hint}")
    if told.status == "skipped":
        cause = told.cause
        since = skipped(cause.reason, cause.step) if cause is not None else skipped(None, None)
        message = cause.message if cause is not None else None
        lines += ["why it was skipped:", f"  {since}: {message}" if message else f"  {since}"]
    return lines
