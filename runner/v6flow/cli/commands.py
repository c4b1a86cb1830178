"""The commands there are."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "run": "run a workflow",
    "validate": "say everything that is wrong with a workflow, without running it",
    "plan": "show what a run would send to whom, in order; nothing is submitted",
    "graph": "draw the steps and what each needs",
    "status": "show how a run fares, and its outputs",
    "list": "list the runs",
    "logs": "show what an organization or a local step printed",
    "resume": "take up a run that was interrupted",
    "cancel": "cancel a run",
    "schema": "print the JSON Schema of workflow or federation files",
    "completion": "print a shell's completion script",
}
"""Each command's one line; its module is `v6flow.cli.<command>`."""
