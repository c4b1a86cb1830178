"""The commands there are."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "init": "start a project folder from a template",
    "run": "run a workflow",
    "validate": "say everything that is wrong with a workflow, without running it",
    "lint": "warn of what is allowed in a workflow, and seldom meant",
    "fmt": "put workflow, federation and test files in order, without changing what they say",
    "test": "run tests of workflows; no server and no algorithm is needed",
    "doctor": "check a federation, and what a workflow needs of it",
    "plan": "show what a run would send to whom, in order; nothing is submitted",
    "graph": "draw the steps and what each needs",
    "status": "show how a run fares, and its outputs",
    "list": "list the runs",
    "logs": "show how a run went, or what an organization or a local step printed",
    "explain": "say what a step did, and why",
    "wait": "wait for a run that goes on elsewhere, and end as it does",
    "resume": "take up a run that was interrupted",
    "approve": "approve what a gate of a run waits for",
    "reject": "reject what a gate of a run waits for",
    "cancel": "cancel a run",
    "keygen": "make a private key for encrypted collaborations",
    "upload-key": "put your organization's public key at the server",
    "schema": "print the JSON Schema of workflow, federation or test files",
    "completion": "print a shell's completion script",
}
"""Each command's one line."""


def module_of(command: str) -> str:
    """The module of a command: `v6flow.cli.<command>`, with _ for -."""
    return f"v6flow.cli.{command.replace('-', '_')}"
