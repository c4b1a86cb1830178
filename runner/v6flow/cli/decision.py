"""The shared part of the commands approve and reject: record a person's decision at a gate in the run's journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.stores.base import StoredRun


def configure(parser: Parser) -> None:
    common.run_id(parser)
    common.step(parser, "the waiting gate", what="gates")
    parser.add_argument("--comment", metavar="TEXT", default="", help="the reason, for the record")
    common.store(parser)
    common.output(parser)


def decide(arguments: argparse.Namespace, decision: str) -> int:
    """Record a decision (`approved` or `rejected`)."""
    from v6flow import actor
    from v6flow.cli import show
    from v6flow.core.execution.state import replay
    from v6flow.core.planning.plan import iso
    from v6flow.core.views.documents import Decided
    from v6flow.reporters import prose
    from v6flow.runs.gates import check_decision, decide_gate
    from v6flow.runs.opened import open_or_post
    from v6flow.stores.base import DecisionRequest, Holder

    folder = common.open_store(arguments).find(arguments.run)
    who = actor.here()

    def request() -> DecisionRequest:
        asked = check_decision(folder.id, replay(folder.events()), arguments.step, who.by)
        return DecisionRequest(arguments.step, asked, decision, who.by, arguments.comment, who.via)

    opened = open_or_post(folder, request)
    if isinstance(opened, Holder):
        return _told(folder, arguments, decision, who.by, str(opened))
    with opened:
        decided = decide_gate(opened, arguments.step, decision, by=who, comment=arguments.comment)
        if arguments.output == "json":
            told = Decided(folder.id, decided.step, decision, decided.by, iso(decided.at), decided.comment)
            show.write(told.as_json())
            return 0
        show.lines([f"{decision} {decided.step} of run {folder.id}, as {decided.by}"])
        more = prose.waiting_text(opened.state, arguments.store or "")
        show.lines(more or [f"{prose.resume_command(folder.id, arguments.store or '')} continues the run"])
    return 0


def _told(folder: StoredRun, arguments: argparse.Namespace, decision: str, by: str, holder: str) -> int:
    """Report that the process that works on the run received the decision."""
    from v6flow.cli import show
    from v6flow.core.views.documents import Decided

    if arguments.output == "json":
        show.write(Decided(folder.id, arguments.step, decision, by, None, arguments.comment).as_json())
    else:
        show.lines([f"{decision} {arguments.step} of run {folder.id}, as {by}; {holder} continues the run"])
    return 0
