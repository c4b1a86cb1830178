"""Show the events of a run or, with STEP, what an organization's algorithm or a local step printed.

For running work, shows the output so far. With --follow, continues to show new output.
"""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.core.execution import dispatched
from v6flow.core.language.words import suggestion
from v6flow.core.planning import ids
from v6flow.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from v6flow.backends.base import Access
    from v6flow.cli.arguments import Parser
    from v6flow.core.execution.events import Subtask
    from v6flow.core.execution.state import RunState
    from v6flow.stores.base import StoredRun

LOOK = 0.5  # seconds between reads of the journal with --follow
ASK = 2.0  # seconds between requests for logs to a federation with --follow
_UNKNOWN = ("", "")  # the reason why a log is withheld, before it was looked up


def configure(parser: Parser) -> None:
    common.run_id(parser)
    meaning = "the step, in an iteration or a loop item with its number: fit[3].part; default: the story of the run"
    common.step(parser, meaning, nargs="?")
    parser.add_argument("organization", metavar="ORGANIZATION", nargs="?", help="left out: all of the step")
    parser.add_argument("-f", "--follow", action="store_true", help="keep showing what is printed until it is over")
    meaning = "another federation file than that of the run"
    common.completed(parser.add_argument("--federation", metavar="FILE", help=meaning), common.FILES)
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.core.execution.state import replay

    folder = common.open_store(arguments).find(arguments.run)
    state = replay(folder.events())
    if arguments.follow and arguments.output == "json":
        raise UsageError(
            "--follow prints lines as they come, --output json one document at the end",
            hint="leave one of them out",
        )
    if arguments.step is None:
        return _story(folder, state, arguments)
    _check_step(state, arguments.step)
    logs = _Logs(folder, arguments)
    try:
        return logs.follow() if arguments.follow else logs.show()
    finally:
        logs.close()


def _check_step(state: RunState, name: str) -> None:
    """Raise UsageError if there is no such step, or if it is a container step."""
    steps = list(state.pinned.steps)
    wanted = ids.definition(name)
    if wanted not in steps:
        raise UsageError(f"run {state.run} has no step {name!r}", hint=suggestion(name, [*steps, *state.steps]))
    if name in state.steps and (state.step(name).history or state.step(name).items is not None):
        inside = next((each for each in reversed(state.steps) if each.startswith(f"{name}[")), None)
        hint = f"name a nested step, like {inside}" if inside is not None else None
        raise UsageError(f"step {name} has no log of its own", hint=hint)
    if name == wanted and "." in name:
        done = next((each for each in reversed(state.steps) if ids.definition(each) == name), None)
        hint = f"name one of them, like {done}" if done is not None else None
        raise UsageError(f"step {name} runs once for each iteration or item", hint=hint)


def _story(folder: StoredRun, state: RunState, arguments: argparse.Namespace) -> int:
    """Print the progress lines of the run again, from its journal."""
    from v6flow.cli import show
    from v6flow.core.execution.state import RunState, apply
    from v6flow.core.views.documents import Story
    from v6flow.reporters.lines import Lines
    from v6flow.runs.pinning import pinned_plan

    if not state.run:
        raise UsageError(f"run {folder.id} ended before its first journal entry", hint="start a new run")
    told = io.StringIO() if arguments.output == "json" else None
    reporter = Lines(told or sys.stdout, kept=folder.place, store=arguments.store or "")
    retold, seen = RunState(), 0
    while True:
        held = folder.holder() is not None
        for number, event in enumerate(folder.events()):
            if number < seen:
                continue
            seen += 1
            apply(retold, event)
            if number == 0:
                reporter.begin(pinned_plan(retold), retold)
            else:
                reporter.event(event, retold)
        sys.stdout.flush()
        if not arguments.follow or not held or retold.over:
            break
        time.sleep(LOOK)
    reporter.less(retold)
    if told is not None:
        show.write(Story(folder.id, tuple(told.getvalue().splitlines())).as_json())
    return 0


class _Logs:
    """The logs of one step, stored or still being written."""

    def __init__(self, folder: StoredRun, arguments: argparse.Namespace) -> None:
        self._folder = folder
        self._arguments = arguments
        self._step: str = arguments.step
        self._access: Access | None = None
        self._why: tuple[str, str] | None = _UNKNOWN
        self._shown: dict[str, int] = {}

    def close(self) -> None:
        if self._access is not None:
            self._access.close()

    def show(self) -> int:
        """Show the logs."""
        from v6flow.cli import show
        from v6flow.core.language.messages import choice
        from v6flow.core.views.documents import StepLogs
        from v6flow.reporters.terminal import plain

        state = self._state()
        subtasks = self._whose(state)
        texts = {name: self._text(state, name, subtask) for name, subtask in subtasks.items()}
        if self._arguments.output == "json":
            why, _ = self._withheld(state) or (None, None)
            show.write(StepLogs(self._folder.id, self._step, texts, why).as_json())
            return 0
        withheld = self._withheld(state)
        if withheld is not None and state.step(self._step).reused is None:
            why, hint = withheld
            whose = f"{choice(map(plain, texts), 'and')}: " if any(texts) else ""
            show.lines([f"{whose}what the algorithm prints is withheld, because {why}"])
            show.hint(hint)
            return 0
        for name, text in texts.items():
            if len(texts) > 1:
                show.data(f"==> {plain(name)} <==\n")
            if text:
                show.data(plain(text, keep_newlines=True).rstrip("\n") + "\n")
            else:
                show.lines([self._nothing(state, name, subtasks[name])])
        return 0

    def follow(self) -> int:
        """Show the logs and new lines until the step is over or no process works on the run."""
        from v6flow.cli import show
        from v6flow.core.execution.state import SETTLED

        asked_at: float | None = None
        if self._withheld(self._state()) is not None:
            return self.show()
        while True:
            held = self._folder.holder() is not None
            state = self._state()
            step = state.step(self._step)
            over = step.status in SETTLED or not held
            if asked_at is None or over or time.monotonic() - asked_at >= ASK:
                asked_at = time.monotonic()
                whose = self._whose(state)
                for name, subtask in whose.items():
                    self._more(name, self._text(state, name, subtask), last=over, alone=len(whose) == 1)
            if over:
                if step.status not in SETTLED and not state.over:
                    show.lines([f"no process works on run {state.run} now"])
                return 0
            sys.stdout.flush()
            time.sleep(LOOK)

    def _more(self, name: str, text: str | None, *, last: bool, alone: bool) -> None:
        """Show the new whole lines; at the end, all remaining text."""
        from v6flow.cli import show
        from v6flow.reporters.terminal import plain

        new = (text or "")[self._shown.get(name, 0) :]
        if not last:
            new = new[: new.rfind("\n") + 1]
        self._shown[name] = self._shown.get(name, 0) + len(new)
        before = "" if alone else f"{plain(name)} | "
        for line in new.splitlines():
            show.data(f"{before}{plain(line)}\n")

    def _state(self) -> RunState:
        from v6flow.core.execution.state import replay

        return replay(self._folder.events())

    def _whose(self, state: RunState) -> dict[str, Subtask | None]:
        """The requested logs by displayed name: organizations and subtasks; "" for a local step."""
        wanted = self._arguments.organization
        asked = state.step(self._step).organizations
        if not asked:
            if wanted is not None and state.step(self._step).status != "pending":
                raise UsageError(f"step {self._step} asked no organizations")
            return {"": None}
        subtasks = dispatched.labels([each for one in asked.values() for each in one.subtasks])
        found: dict[str, Subtask | None] = {name: None for name in asked if wanted in (None, name)}
        found.update({name: each for name, each in subtasks if wanted in (None, each.organization, name)})
        if not found:
            known = list(dict.fromkeys((*asked, *(each.organization for _, each in subtasks))))
            assert wanted is not None
            hint = suggestion(wanted, known)
            raise UsageError(f"step {self._step} did not ask {wanted!r}: it asked {', '.join(known)}", hint=hint)
        return found

    def _text(self, state: RunState, name: str, subtask: Subtask | None) -> str | None:
        """The stored log, else the log so far."""
        step = state.step(self._step)
        if self._withheld(state) is not None:
            return None
        if subtask is not None:
            return self._text_of(state, subtask)
        asked = step.organizations.get(name)
        if asked is not None and asked.status == "requested":
            return self._live(state, asked.token, name)
        return self._kept(step.log if asked is None else asked.log)

    def _text_of(self, state: RunState, subtask: Subtask) -> str | None:
        """The log of a subtask: the stored one, else, while its step runs, the federation's."""
        if subtask.log is not None or not subtask.run or state.step(self._step).status != "running":
            return self._kept(subtask.log) or subtask.log_tail or None
        access = self._reach(state)
        return access.subtask_log(self._folder.scratch, subtask) if access is not None else None

    def _kept(self, digest: str | None) -> str | None:
        return self._folder.fetch(digest).decode("utf-8", "replace") if digest else None

    def _withheld(self, state: RunState) -> tuple[str, str] | None:
        """The reason why the logs are withheld, and a hint; None if they are shown."""
        from v6flow.runs.pinning import log_withheld

        if self._why is _UNKNOWN:
            self._why = log_withheld(state, self._step)
        return self._why

    def _live(self, state: RunState, token: str, name: str) -> str | None:
        access = self._reach(state)
        return access.log(self._folder.scratch, token, name) if access is not None else None

    def _reach(self, state: RunState) -> Access | None:
        from v6flow import backends
        from v6flow.runs.pinning import pinned_federation

        if self._access is None:
            federation = pinned_federation(state.pinned, self._arguments.federation)
            if federation is None:
                return None
            self._access = backends.reach(federation)
        return self._access

    def _nothing(self, state: RunState, name: str, subtask: Subtask | None) -> str:
        from v6flow.reporters import prose
        from v6flow.reporters.terminal import plain

        where = f" at {plain(name)}" if name else ""
        step = state.step(self._step)
        asked = step.organizations.get(name) if subtask is None else None
        if step.reused is not None:
            words = [step.reused.run, step.reused.source, *([name] if name else [])]
            again = prose.command("logs", *words, store=self._arguments.store or "")
            return f"nothing was run{where}: the step reuses the result of an earlier run; the log of that run: {again}"
        is_at_work = (
            step.status == "running" and dispatched.is_open(subtask)
            if subtask is not None
            else (asked is not None and asked.status == "requested")
        )
        if is_at_work:
            return f"nothing was printed{where} so far, or its node does not share it"
        return f"nothing was printed{where}"
