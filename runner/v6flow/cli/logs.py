"""Show what an organization's algorithm, or a local step, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common
from v6flow.core.words import suggestion
from v6flow.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.state import RunState


def configure(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's id or the beginning of it")
    parser.add_argument("step", metavar="STEP", help="the step")
    parser.add_argument("organization", metavar="ORGANIZATION", nargs="?", help="left out: all of the step")
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.core.state import replay
    from v6flow.reporters.terminal import plain

    folder = common.open_store(arguments).find(arguments.run)
    state = replay(folder.events())
    texts = {
        name: folder.fetch(log).decode("utf-8", "replace") if log else None
        for name, log in _logs(state, arguments.step, arguments.organization).items()
    }
    if arguments.output == "json":
        show.write({"run": folder.id, "step": arguments.step, "logs": texts})
        return 0
    for name, text in texts.items():
        if len(texts) > 1:
            show.data(f"==> {plain(name)} <==\n")
        if text is None:
            show.lines([f"nothing was printed{f' at {plain(name)}' if name else ''}"])
        else:
            show.data(plain(text, keep_newlines=True).rstrip("\n") + "\n")
    return 0


def _logs(state: RunState, name: str, organization: str | None) -> dict[str, str | None]:
    """The digests of the logs that are meant, by organization ("" for a local step)."""
    steps = list(state.pinned.get("steps", ()))
    if name not in steps:
        raise UsageError(f"run {state.run} has no step {name!r}", hint=suggestion(name, steps))
    step = state.step(name)
    if not step.organizations:
        if organization is not None:
            raise UsageError(f"step {name} asked no organizations")
        return {"": step.log}
    if organization is None:
        return {each.name: each.log for each in step.organizations.values()}
    if organization not in step.organizations:
        hint = suggestion(organization, step.organizations)
        raise UsageError(f"step {name} did not ask {organization!r}: it asked {', '.join(step.asked)}", hint=hint)
    return {organization: step.organizations[organization].log}
