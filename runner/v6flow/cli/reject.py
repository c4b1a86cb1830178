"""Reject a waiting gate of a run; the gate fails when `v6flow resume` continues the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.cli import decision

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    decision.configure(parser)


def main(arguments: argparse.Namespace) -> int:
    return decision.decide(arguments, "rejected")
