"""The output of `v6flow run WORKFLOW --help-params`: the params of a workflow and their allowed values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow import params
from v6flow.cli import show
from v6flow.reporters.terminal import plain

if TYPE_CHECKING:
    from v6flow.core.language.model import Workflow


def tell(workflow: Workflow, output: str) -> None:
    """Show the params on stdout, as text or as one JSON document."""
    described = params.described(workflow)
    if output == "json":
        show.write({"workflow": workflow.name, "params": described})
        return
    if not described:
        show.data(f"workflow {plain(workflow.name)} has no params\n")
        return
    width = max(len(name) for name in workflow.params)
    for param in described:
        rest = "required" if param["required"] else f"default: {show.spell(param['default'])}"
        lines = [f"{param['name']:<{width}}  {plain(str(param['allowed']))}; {plain(rest)}"]
        lines += [f"{'':<{width}}  {plain(line)}" for line in str(param["description"]).strip().splitlines()]
        show.data("".join(f"{line.rstrip()}\n" for line in lines))
    name = next(iter(workflow.params))
    variable = f"{params.ENVIRONMENT}{name.upper()}"
    show.lines([f"values come from --param {name}=VALUE, --params FILE, or {variable} in the environment"])
