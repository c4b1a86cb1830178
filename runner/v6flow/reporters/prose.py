"""Text about a run: why it failed and what to do next, what is incomplete, and a table of its steps."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from v6flow.core.execution import dispatched
from v6flow.core.execution.state import SETTLED
from v6flow.core.json import dumps
from v6flow.core.language.units import spell
from v6flow.core.planning.plan import iso
from v6flow.core.views import incomplete
from v6flow.core.views.summary import WITH_RESULTS, attempts, seconds, skipped, standing, worth_telling
from v6flow.reporters.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from v6flow.core.execution.events import Failure, StepReused
    from v6flow.core.execution.standing import ItemState
    from v6flow.core.execution.state import RunState, StepState
    from v6flow.core.json import Json
    from v6flow.core.kinds.settings import Retry

LOG_LINES = 12  # of the end of a log: few enough to keep the cause in view
FACT = 80  # characters of a property in a table
NAMED = 12  # the most names in one line
FEW = 3  # lines about what is incomplete at the end of a run

# a retry alone does not fix these
_OF_THE_FILE = ("check", "cohorts", "expression", "max", "organizations", "output_schema", "properties", "quorum")

_NOISE = ("error > None",)  # vantage6's own tools end the log of each crash with it

HEAD = ("step", "status", "answered", "seconds", "attempts", "")


def started(state: RunState) -> str:
    """When and by whom a run was started, for people."""
    begun = state.begun
    if begun is None or not begun.by:
        return f"started {iso(state.started)}; by whom is not recorded"
    return f"started {iso(state.started)} by {begun.by} ({begun.via})"


def goes_on_elsewhere(state: RunState) -> bool:
    """Whether tasks of a run are open at a server, where they keep running after the run is released."""
    return state.pinned.backend == "vantage6" and any(
        asked.status == "requested" and not asked.withdrawn
        for step in state.steps.values()
        for asked in step.organizations.values()
    )


def resume_command(run: str, store: str = "", *, retry: bool = False) -> str:
    """The command that resumes a run; `store` is the value of --store, empty if it was not given."""
    return command("resume", *(["--retry-failed"] if retry else []), run, store=store)


def command(verb: str, *words: str, store: str = "") -> str:
    """A v6flow command, quoted for a shell; `store` is the value of --store, empty if it was not given."""
    where = ["--store", store] if store else []
    options = [word for word in words if word.startswith("--")]
    rest = [word for word in words if not word.startswith("--")]
    return plain(shlex.join(["v6flow", verb, *options, *where, *rest]))


def status_command(run: str, store: str = "") -> str:
    """The command that shows the state of a run; `store` as in `resume_command`."""
    return command("status", run, store=store)


def failure_text(state: RunState, store: str = "") -> list[str]:
    """Why a run failed, first cause first, and what to do next.

    Empty if nothing failed, and for a run that continues without the failed parts, which is incomplete.
    """
    if state.status in ("completed", "waiting"):
        return []
    failed = sorted(
        (each for each in state.steps.values() if each.status == "failed"), key=lambda each: each.ended or 0.0
    )
    first = state.failure or next((each.failure for each in failed if each.failure is not None), None)
    lines: list[str] = [] if first is None else [*_cause(first), *_log(first), *_hint(first)]
    lines += _others(failed, first)
    out = [each.name for each in state.steps.values() if each.status == "skipped"]
    if out:
        counted = "1 step was" if len(out) == 1 else f"{len(out)} steps were"
        lines.append(f"{counted} skipped: {named(out)}")
    return [*lines, *_next(state, failed, store)]


def incomplete_text(state: RunState, store: str = "") -> list[str]:
    """One line for each incomplete part of the results of a run; if there are many, the first few.

    Empty if the results are complete, and without results: a failed or resumable run reports that itself.
    """
    if state.status not in WITH_RESULTS:
        return []
    return incomplete_lines(incomplete.of_run(state), f"; {status_command(state.run, store)} shows all")


def incomplete_section(state: RunState) -> list[str]:
    """All incomplete parts of a run, under a heading; empty if the run is complete."""
    found = incomplete.of_run(state)
    return ["incomplete:", *(plain(f"  {each}") for each in found)] if found else []


def incomplete_lines(found: Sequence[object], rest: str) -> list[str]:
    """One line for each incomplete part; if there are many, the first few, a count of the rest, and `rest`."""
    lines = [plain(f"incomplete: {each}") for each in found[:FEW]]
    more = len(found) - FEW
    return [*lines, f"incomplete: {more} more{rest}"] if more > 0 else lines


def waiting_text(state: RunState, store: str = "") -> list[str]:
    """The questions of a waiting run's gates, and the commands to decide; empty if it does not wait."""
    lines: list[str] = []
    for gate in state.gates if state.status == "waiting" else ():
        assert gate.question is not None  # a waiting gate has asked
        asked = f" of {named(gate.question.approvers)}" if gate.question.approvers else ""
        lines.append(plain(f"step {gate.name} asks{asked}: {gate.question.message}"))
        lines += [f"  {command(verb, state.run, gate.name, store=store)}" for verb in ("approve", "reject")]
    return lines


def what_next(state: RunState, store: str = "") -> list[str]:
    """What to do after a run was released."""
    return [*(_hint(state.failure) if state.failure is not None else ()), *_next(state, (), store)]


def _cause(failure: Failure) -> list[str]:
    where = f"step {failure.step}" if failure.step else ""
    if failure.organization:
        where += f" at {failure.organization}" if where else failure.organization
    return [plain(f"{where}: {failure.message}" if where else failure.message)]


def _log(failure: Failure) -> list[str]:
    if not failure.log_tail.strip():
        return []
    lines = plain(failure.log_tail.rstrip(), keep_newlines=True).split("\n")
    tail = [line for line in lines if line.strip() not in _NOISE][-LOG_LINES:]
    whose = f" at {plain(failure.organization)}" if failure.organization else ""
    return [f"  the last lines of its log{whose}:", *(f"    {line}".rstrip() for line in tail)]


def _hint(failure: Failure) -> list[str]:
    return [f"  what to do: {plain(failure.hint)}"] if failure.hint else []


def _others(failed: Sequence[StepState], first: Failure | None) -> list[str]:
    """The other steps with a failure of their own, not of a nested step; if there are many, the first few."""
    names = {each.name for each in failed}
    others = [
        each
        for each in failed
        if (first is None or each.name != first.step)
        and not (each.failure is not None and each.failure.step != each.name and each.failure.step in names)
    ]
    more = [f"and {len(others) - NAMED} more failed"] if len(others) > NAMED else []
    return [*map(_also, others[:NAMED]), *more]


def _also(step: StepState) -> str:
    message = step.failure.message if step.failure is not None else "failed"
    return plain(f"also failed: step {step.name}: {message}")


def _next(state: RunState, failed: Sequence[StepState], store: str) -> list[str]:
    """The next command for a person."""
    if state.status == "interrupted":
        lines = [f"to resume where it stopped: {resume_command(state.run, store)}"]
        if goes_on_elsewhere(state):
            cancel = command("cancel", state.run, store=store)
            lines.append(f"its open tasks keep running at the server; to end them: {cancel}")
        return lines
    if state.status == "failed" and state.failure is not None and state.failure.kind == "deadline":
        longer = command("resume", "--retry-failed", "--deadline=2h", state.run, store=store)
        return [f"to resume with more time, say 2 hours: {longer}"]
    if state.status != "failed" or not failed:
        return []
    if all(step.failure is not None and step.failure.kind == dispatched.UNDECLARED for step in failed):
        return []  # a step that has asked somebody cannot be changed; the hint names the fix
    lines = [
        f"to see the state after each iteration: {command('explain', state.run, step.name, store=store)}"
        for step in failed[:FEW]
        if step.failure is not None and (step.failure.kind, step.failure.step) == ("max", step.name)
    ]
    again = resume_command(state.run, store, retry=True)
    if all(step.failure is not None and step.failure.kind in _OF_THE_FILE for step in failed):
        return [*lines, f"to resume after fixing the workflow: {again}"]
    return [*lines, f"to retry only what failed: {again}"]


def table(state: RunState, steps: Sequence[str]) -> str:
    """The steps as a plain-text table, one line each, without a final line break."""
    rows = [HEAD, *(row(state.step(name), state.status) for name in _worth_a_row(state, steps))]
    widths = [max(len(each[column]) for each in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip() for each in rows
    )


def _worth_a_row(state: RunState, steps: Sequence[str]) -> list[str]:
    """The top-level steps, each followed by its running and failed nested steps; if there are many, the first few."""
    inside: dict[str, list[str]] = {}
    for name in worth_telling(state, ()):
        inside.setdefault(name[: name.index("[")], []).append(name)
    return [each for name in steps if "." not in name for each in (name, *inside.get(name, ())[:NAMED])]


def row(step: StepState, run_status: str) -> tuple[str, ...]:
    """The cells of a step, in the columns of `HEAD`."""
    asked = len(step.asked)
    answered = f"{len(step.responded)}/{asked}" if asked else ""
    took = seconds(step.started, step.ended) if step.status != "skipped" else None
    tried = attempts(step)
    lasted = "" if took is None else spell(took)
    return (
        plain(step.name),
        standing(step, run_status),
        answered,
        lasted,
        str(tried) if tried else "",
        remark(step),
    )


def remark(step: StepState) -> str:
    """Which organizations failed or are missing, or why the step was skipped, and its properties."""
    if step.status == "skipped":
        return plain(skipped(step.reason, step.cause))
    if step.history:
        if step.status == "running" and not step.converged:
            return f"in iteration {step.rounds + 1}"
        ended = ", converged" if step.converged else ", not converged" if step.exhausted else ""
        return f"{step.rounds} iteration{'' if step.rounds == 1 else 's'}{ended}"
    if step.items is not None:
        return _items(step.items)
    if step.status == "waiting" and step.question is not None:
        return plain(step.decision.decision if step.decision is not None else step.question.message)
    told = [reused(step.reused)] if step.reused is not None else []
    told += [f"failed: {named(step.failed)}"] if step.failed else []
    told += [f"missing: {named(step.missing)}"] if step.missing else []
    told += ["its subtasks are not visible to this user"] if dispatched.hides(step) else []
    told += _open(step)
    if not told and step.status == "failed" and step.failure is not None:
        told = [plain(step.failure.message)]
    told += facts(step.properties)
    return "; ".join(told)


def _items(items: Sequence[ItemState]) -> str:
    done = sum(each.status == "completed" for each in items)
    failed = [each.key for each in items if each.status == "failed"]
    return f"{done} of {len(items)} items" + (f"; failed: {named(failed)}" if failed else "")


def facts(properties: Mapping[str, Json]) -> list[str]:
    """The properties of a step, each as `accuracy: 0.93`, shortened if long."""
    told = [plain(f"{name}: {dumps(value)}") for name, value in properties.items()]
    return [fact if len(fact) <= FACT else fact[: FACT - 1] + "…" for fact in told]


def reused(found: StepReused) -> str:
    """Which earlier result a step reuses, as text that is safe to show."""
    return plain(incomplete.reused(found))


def _open(step: StepState) -> list[str]:
    """The subtasks that an ended step left open, as far as is known."""
    names = dispatched.still_open(step) if step.status in SETTLED else []
    return [f"subtasks not known to have ended: {named(names)}"] if names and names != step.missing else []


def named(names: Sequence[str]) -> str:
    """Names for people: the first dozen, and a count of the rest."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(plain(name) for name in names[:NAMED]) + more


def asked_again(retry: Retry, kind: str | None, tried: int) -> bool:
    """Whether there is another attempt after a failure of this kind in the given attempt (from 1)."""
    return kind in retry.on and tried < retry.attempts
