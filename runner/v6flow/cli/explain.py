"""Say what a step of a run did and why, from the journal alone.

When it began and what it waited for, what was sent to whom, each attempt with its failure, how the quorum was judged,
whose data its value was computed from, and why it failed, was skipped, or has the result of an earlier run. What was
sent is shown as `v6flow plan` does. Steps in rounds and for items have a number: `fit[3].part`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from v6flow.cli import arguments as common
from v6flow.core.language.messages import choice
from v6flow.core.language.words import suggestion
from v6flow.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan

_NAMED = 10  # names that an error lists
_STATES = 6  # of a repeat step, the last ones: enough to see whether they come closer
_LONGEST = 200  # characters of a state


def configure(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's id or the beginning of it")
    parser.add_argument("step", metavar="STEP", help="the step")
    parser.add_argument("organization", metavar="ORGANIZATION", nargs="?", help="left out: all that were asked")
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.cli.status import current
    from v6flow.core.execution.state import replay
    from v6flow.core.views.explanation import explain
    from v6flow.reporters.summary import standing
    from v6flow.runs.pinning import pinned_plan

    folder = common.open_store(arguments).find(arguments.run)
    events = list(folder.events())
    state = replay(events)
    if not state.run:
        raise UsageError(f"run {folder.id} ended before anything was written of it", hint="start a new run")
    plan = pinned_plan(state)
    _check_step(arguments.step, plan, state)
    told = explain(plan, events, arguments.step)
    told["status"] = standing(state.step(arguments.step), current(folder, state))
    if arguments.organization is not None:
        _narrow(told, arguments.organization)
    if arguments.output == "json":
        show.write(told)
    else:
        from v6flow.reporters.terminal import plain

        show.data("".join(f"{plain(line)}\n" for line in _text(told)))
    return 0


def _check_step(name: str, plan: Plan, state: RunState) -> None:
    """Raise UsageError for a step that there is not, and for one that is done more than once."""
    from v6flow.core.planning.ids import definition

    done = [each for each in state.steps if each != name and definition(each) == name]
    if done:
        more = f" and {len(done) - _NAMED} more" if len(done) > _NAMED else ""
        raise UsageError(
            f"step {name} is done more than once: {', '.join(done[:_NAMED])}{more}", hint="name one of them"
        )
    if definition(name) not in plan.steps or ("[" in name and not _is_there(name, plan, state)):
        near = suggestion(name, [*plan.steps, *state.steps])
        raise UsageError(f"run {state.run} has no step {name!r}", hint=near)


def _is_there(name: str, plan: Plan, state: RunState) -> bool:
    """Whether a step is done by this name, or is to be: in a round that goes on, or for an item that is known."""
    from v6flow.core.kinds import ForeachPlan, RepeatPlan
    from v6flow.core.planning import ids

    if name in state.steps:
        return True
    for inner in ids.outward(ids.prefix(name))[:-1]:
        path, number = ids.around(inner)
        outer, planned = state.step(path), plan.step(path)
        last = 0
        if isinstance(planned, ForeachPlan):
            last = len(outer.items or ())
        elif isinstance(planned, RepeatPlan):
            last = min(outer.rounds + (outer.status != "completed"), planned.max)
        if inner != ids.inside(path, number) or not min(last, 1) <= number <= last:
            return False
    return True


def _narrow(told: dict[str, Any], organization: str) -> None:
    """Leave only what is about one organization."""
    asked = list(dict.fromkeys((*told.get("asked", []), *(told["attempts"] if told["kind"] == "task" else ()))))
    if organization not in asked:
        if not asked:
            raise UsageError(f"step {told['step']} asked no organizations")
        hint = suggestion(organization, asked)
        raise UsageError(f"step {told['step']} did not ask {organization!r}: it asked {', '.join(asked)}", hint=hint)
    told["organization"] = organization
    attempts = {name: each for name, each in told["attempts"].items() if name == organization}
    if not attempts:  # a central function asked it: its subtasks are those of the attempts of that
        attempts = {name: [_only(each, organization) for each in every] for name, every in told["attempts"].items()}
    told["attempts"] = attempts


def _only(attempt: dict[str, Any], organization: str) -> dict[str, Any]:
    """An attempt with the subtasks at one organization alone."""
    subtasks = [each for each in attempt.get("subtasks", ()) if each["organization"] == organization]
    return {**attempt, "subtasks": subtasks}


def _text(told: dict[str, Any]) -> list[str]:
    from v6flow.cli.plan import details

    day = _day(told)
    lines = [f"step {told['step']} of run {told['run']}: {told['status']}"]
    if told["description"]:
        lines.append(f"  {told['description']}")
    kind = "central task" if told["does"].get("central") else told["kind"]
    lines += [f"{kind}:", *(f"  {line}" for line in details(told["does"]))]
    lines += ["when:", *(f"  {line}" for line in [*_waiting(told, day), *_ending(told, day)])]
    if told.get("reuse") is not None:
        lines += ["reuse:", f"  {_reused(told['reuse'])}"]
    if told["attempts"]:
        lines.append("attempts:")
        for name, attempts in told["attempts"].items():
            for each in attempts:
                lines.append(f"  {name + ': ' if name else ''}{_attempt(each, day)}")
                lines += [f"    {_subtask(subtask)}" for subtask in each.get("subtasks", ())]
    if "gate" in told:
        lines += ["decision:", f"  {_decision(told['gate'], day)}"]
    if told["kind"] == "task" and told["asked"]:
        lines += ["quorum:", f"  {_judged(told)}"]
    lines += [*_came_of_it(told), *_incomplete(told), *_cohorts(told)]
    return [*lines, *_why(told)]


def _reused(reuse: dict[str, Any]) -> str:
    """Which result was reused, or why the step was done anew."""
    if reuse["run"] is None:
        return f"it was done anew: {reuse['reason']}"
    source = f"step {reuse['step']} of run {reuse['run']}, answered {reuse['answered']}"
    return f"it was not done anew: it has the result of {source}"


def _day(told: dict[str, Any]) -> str:
    return str(told["started"] or told["ended"] or "")[:10]


def _at(moment: str, day: str) -> str:
    """A moment as the time of day; with its date where that is another day than the step's first."""
    return moment[11:] if moment.startswith(day) and day else moment


def _decision(gate: dict[str, Any], day: str) -> str:
    """What was asked, and what a person has decided."""
    asked = f"asked at {_at(gate['asked'], day)}: {gate['message']}"
    if "decision" not in gate:
        return f"{asked}; nobody has decided"
    comment = f" ({gate['comment']})" if gate["comment"] else ""
    return f"{asked}; {gate['decision']} by {gate['by']} at {_at(gate['at'], day)}{comment}"


def _waiting(told: dict[str, Any], day: str) -> list[str]:
    needs = told["needs"]
    lines = [f"it needs {choice([each['step'] for each in needs], 'and')}"] if needs else ["it needs no other step"]
    if told["status"] == "pending":
        open_ = [f"{each['step']} ({each['status']})" for each in needs if each["ended"] is None]
        return [*lines, f"it waits for {choice(open_, 'and')}" if open_ else "it has not begun"]
    if told["started"] is not None and told["status"] != "skipped":
        after = told["began_after"]
        ended = next((each["ended"] for each in needs if each["step"] == after), None)
        when = f", when {after} had ended ({_at(ended, day)})" if ended is not None else ""
        lines.append(f"it began on {told['started'][:10]} at {_at(told['started'], day)}{when}")
    lines += [
        f"the run was taken up again at {_at(each['at'], day)}"
        + (", to ask those who had failed or not answered" if each["asks_failed_again"] else "")
        for each in told["taken_up_again"]
    ]
    return lines


def _ending(told: dict[str, Any], day: str) -> list[str]:
    from v6flow.core.language.units import spell

    lines = []
    if told["deadline"] is not None and told["ended"] is None:
        lines.append(f"it waits until {_at(told['deadline'], day)} at the latest")
    closed = {"timeout": "its time was up", "quorum": "enough had answered"}.get(told.get("closed") or "")
    if closed:
        lines.append(f"it waited no longer, since {closed}")
    if told["ended"] is not None and told["seconds"] is not None and told["status"] != "skipped":
        lines.append(f"it {told['status']} at {_at(told['ended'], day)}, after {spell(told['seconds'])}")
    return lines


def _attempt(each: dict[str, Any], day: str) -> str:
    from v6flow.core.language.units import spell

    verb = "asked" if "token" in each else "begun"
    task = "" if each["task"] is None else f" ({'' if 'task' in each['task'] else 'task '}{each['task']})"
    again = f" again, attempt {each['attempt']}," if each["attempt"] > 1 else ""
    told = f"{verb}{again} at {_at(each['asked'], day)}{task}"
    if each.get("began") is not None:
        told += f", began at {_at(each['began'], day)}"
    if each["outcome"] in ("answered", "completed"):
        size = f" with {each['size']:,} bytes" if each.get("size") is not None else ""
        return f"{told}, {each['outcome']} after {spell(each['seconds'])}{size}"
    if each["outcome"] == "too late":
        return f"{told}, answered after {spell(each['seconds'])}: too late to be used"
    if each["outcome"] == "no answer":
        return f"{told}, and no answer came"
    if each["failure"] is not None:
        return f"{told}, failed after {spell(each['seconds'])} ({each['outcome']}): {each['failure']['message']}"
    if each["outcome"] == "failed":
        return f"{told}, failed after {spell(each['seconds'])}"
    return f"{told}, not over"


def _subtask(subtask: dict[str, Any]) -> str:
    told = f"{subtask['name']}: {subtask['status']}"
    return f"{told}: {subtask['message']}" if subtask["message"] else told


def _judged(told: dict[str, Any]) -> str:
    quorum, asked = told["quorum"], len(told["asked"])
    if told["coordinator"] is not None:
        return _judged_central(told)
    needed = quorum["needed"]
    if needed is None:
        rule = "how many must answer is not known"
    elif asked == 1:
        rule = f"{told['asked'][0]} must answer"
    else:
        rule = f"all {asked} must answer" if needed == asked else f"{needed} of {asked} must answer"
    if quorum["required"]:
        rule += f", {choice(quorum['required'], 'and')} among them"
    answered = choice(told["responded"], "and") or "nobody"
    verdict = {True: ": enough", False: ": not enough", None: " so far"}[quorum["met"]]
    fates = {"failed": "failed", "missing": "never answered"}
    others = [f"{choice(told[key], 'and')} {what}" for key, what in fates.items() if told[key]]
    return "; ".join([rule, f"{answered} answered{verdict}", *others])


def _judged_central(told: dict[str, Any]) -> str:
    """What became of those whom a central function asked; it must answer itself in any case."""
    rule = f"the central function at {told['coordinator']} must answer"
    verdict = {True: "it did", False: "it did not", None: "it has not so far"}[told["quorum"]["met"]]
    fates = {"responded": "answered it", "failed": "failed", "missing": "did not answer it"}
    parts = [f"{choice(told[key], 'and')} {what}" for key, what in fates.items() if told[key]]
    return "; ".join([f"{rule}: {verdict}", *(parts if told["subtasks"] else ())])


def _came_of_it(told: dict[str, Any]) -> list[str]:
    """The rounds, the items and the facts of a step, where it has any."""
    from v6flow.core import json

    lines = []
    if "rounds" in told:
        converged = ", and its condition held" if told["converged"] else ""
        lines.append(f"  {told['rounds']} round{'' if told['rounds'] == 1 else 's'} ended{converged}")
        states = list(enumerate(told["history"]))[-_STATES:]
        lines += [f"  state after round {number}: {_short(state)}" for number, state in states]
    lines += [f"  item {each['key']}: {each['status']}" for each in told.get("items", ())]
    lines += [f"  {name}: {json.dumps(json.printable(value))}" for name, value in told["properties"].items()]
    return ["what came of it:", *lines] if lines else []


def _incomplete(told: dict[str, Any]) -> list[str]:
    """What in its value is less than the whole, with the steps nested in it."""
    lines = [f"  {each['step']}: {each['message']}" for each in told["incomplete"]]
    return ["incomplete:", *lines] if lines else []


def _short(value: Any) -> str:
    """A value on one line, cut where it is long."""
    from v6flow.core import json

    text = json.dumps(json.printable(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cohorts(told: dict[str, Any]) -> list[str]:
    lines = [f"  {each['step']}: {', '.join(each['organizations']) or 'nobody'}" for each in told["cohorts"]]
    if lines:
        lines.insert(0, "whose data its value was computed from:" if told["status"] == "completed" else
                        "whose data it was sent:")  # fmt: skip
    if told["mixture_accepted"]:
        lines.append(f"  these may mix: {told['reasons'].get('mixed_cohorts', 'it was accepted in a step before')}")
    if "allow_cross_site" in told["reasons"]:
        lines.append(f"others may be sent what single organizations answered: {told['reasons']['allow_cross_site']}")
    return lines


def _why(told: dict[str, Any]) -> list[str]:
    lines = []
    if told["failure"] is not None:
        lines += ["why it failed:", f"  {told['failure']['message']}"]
        if told["failure"]["hint"]:
            lines.append(f"  what to do: {told['failure']['hint']}")
    if told["status"] == "skipped":
        from v6flow.reporters.summary import skipped

        cause = told["cause"] or {"reason": None, "step": None, "message": None}
        since = skipped(cause["reason"], cause["step"])
        lines += ["why it was skipped:", f"  {since}: {cause['message']}" if cause["message"] else f"  {since}"]
    return lines
