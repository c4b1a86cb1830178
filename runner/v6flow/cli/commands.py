"""The commands and their summaries."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "init": "create a project folder from a template",
    "run": "run a workflow",
    "validate": "report every problem of a workflow without running it",
    "lint": "warn about parts of a workflow that are valid but rarely intended",
    "fmt": "format workflow, federation and test files without changing their meaning",
    "test": "run tests of workflows; needs no server and no algorithm",
    "doctor": "check a federation, and that it has what a workflow needs",
    "plan": "show what a run would send to whom, in order; submit nothing",
    "graph": "draw the steps and their dependencies",
    "status": "show the state of a run and its outputs",
    "list": "list the runs",
    "logs": "show the events of a run, or what an organization or a local step printed",
    "explain": "explain what a step of a run did, and why",
    "wait": "wait for a run in another process, and exit with its exit code",
    "resume": "resume a run that was interrupted",
    "approve": "approve a waiting gate of a run",
    "reject": "reject a waiting gate of a run",
    "cancel": "cancel a run",
    "keygen": "create a private key for encrypted collaborations",
    "upload-key": "upload your organization's public key to the server",
    "schema": "print the JSON Schema of workflow, federation or test files",
    "completion": "print a completion script for a shell",
}
"""The one-line summary of each command."""


def module_of(command: str) -> str:
    """The module of a command: `v6flow.cli.<command>`, with _ in place of -."""
    return f"v6flow.cli.{command.replace('-', '_')}"
