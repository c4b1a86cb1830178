"""Show what a run would do: the steps in order, and what each would send to whom.

Parameters are filled in; a value that is known only when another step has completed is marked as such. Where
cohorts are bound to mix, that is told on stderr. Nothing is submitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser


def configure(parser: Parser) -> None:
    common.workflow(parser)
    common.params(parser)
    common.federation(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow import loading
    from v6flow.cli import show
    from v6flow.core.checks import soundness
    from v6flow.core.views.preview import preview
    from v6flow.runs.reach import reach_for
    from v6flow.runs.starting import make_plan

    workflow = loading.read_workflow(arguments.workflow)
    params = common.read_params(arguments, workflow)
    federation = common.read_federation(arguments, workflow)
    with show.while_waiting(federation):
        access = reach_for(workflow, federation)
    try:
        plan = make_plan(workflow, params, access, folder=Path(arguments.workflow).absolute().parent)
        misfits = access.misfits(plan) if access is not None else []
    finally:
        if access is not None:
            access.close()
    steps = list(preview(plan))
    warnings = [*soundness.warnings(workflow, plan.directory), *misfits]
    if arguments.output == "json":
        show.write(
            {
                "workflow": workflow.name,
                "params": dict(params),
                "federation": {
                    "file": federation.file if federation is not None else None,
                    "organizations": list(plan.directory.organizations),
                    "offline": list(plan.directory.offline),
                },
                "steps": steps,
                "warnings": [show.problem_document(each) for each in warnings],
            }
        )
        return 0
    show.data("".join(_text(workflow.name, params, plan.directory, steps)))
    show.problems(warnings)
    return 0


def _text(name: str, params: Any, directory: Any, steps: list[dict[str, Any]]) -> list[str]:
    from v6flow.reporters.terminal import plain

    given = ", ".join(f"{key}={_spell(value)}" for key, value in params.items())
    told = [f"workflow {name}" + (f" with {given}" if given else "") + "\n"]
    if directory.organizations:
        told.append(f"organizations: {', '.join(directory.organizations)}\n")
    if directory.offline:
        told.append(f"offline: {', '.join(directory.offline)}\n")
    number = 0
    for step in steps:
        depth = step["step"].count(".")
        number += not depth
        short = [name.rpartition(".")[2] for name in (step["step"], *step["needs"])]
        after = f" after {', '.join(short[1:])}" if step["needs"] else ""
        margin = "   " if not depth else " " * (3 + 2 * depth)
        begin = f"\n{number}." if not depth else f"{margin[:-2]}-"
        last = ", when all else is over" if step.get("finally") and not depth else ""
        told.append(f"{begin} {short[0]} ({_kind(step)}{last}){after}\n")
        told += [f"{margin}{line}\n" for line in details(step)]
    return [plain(line, keep_newlines=True) for line in told]


def _kind(step: dict[str, Any]) -> str:
    return "central task" if step.get("central") else step["kind"]


def details(step: dict[str, Any]) -> list[str]:
    """What a step of a preview sends or computes, in lines."""
    told = [f"only if {_spell(step['when'])}"] if "when" in step else []
    match step["kind"]:
        case "task":
            told += _of_task(step)
        case "local":
            told += _of_local(step)
        case "repeat":
            told += _of_repeat(step)
        case "foreach":
            told += _of_foreach(step)
        case "gate":
            who = ", ".join(step["approvers"]) or "anybody"
            told.append(f"waits until {who} has decided: {_spell(step['message'])}")
        case "workflow":
            told += [f"runs {step['file']}", *([f"with {_spell(step['params'])}"] if step["params"] else [])]
        case _:
            pass
    return told + _modifiers(step)


def _of_task(step: dict[str, Any]) -> list[str]:
    databases = ", ".join(each["label"] for each in step["databases"]) or "none"
    asked = step["organizations"]
    names = asked if isinstance(asked, list) else [asked]
    told = [
        f"{step['method']} of {step['image']} on {databases}",
        f"to {', '.join(each if isinstance(each, str) else _spell(each) for each in names)}",
    ]
    told += [f"  to {name}: {_spell(kwargs)}" for name, kwargs in step.get("kwargs_by_organization", {}).items()]
    minimum = step["quorum"]["min"]
    if minimum != "all":
        told.append(f"quorum {_spell(minimum)}")
    if step.get("kwargs"):
        told.append(f"with {_spell(step['kwargs'])}")
    return told


def _of_local(step: dict[str, Any]) -> list[str]:
    told = [
        f"{key} {step[key] if key == 'function' else _spell(step[key])}"
        for key in ("value", "function", "command")
        if key in step
    ]
    if step.get("kwargs"):
        told.append(f"with {_spell(step['kwargs'])}")
    return told


def _of_repeat(step: dict[str, Any]) -> list[str]:
    until = f", until {_source(step['until'])}" if step["until"] is not None else ""
    told = [
        f"from {_spell(step['state'])}",
        f"at most {step['max']} rounds{until}",
        f"each leaves {_source(step['update'])}",
    ]
    if step["cohort"] != "fixed":
        told.append(f"cohort {step['cohort']}")
    return told


def _of_foreach(step: dict[str, Any]) -> list[str]:
    over = step.get("over", step.get("matrix"))
    told = [f"each.{step['as']} of {_spell(over)}, {step['max_parallel']} at once"]
    if step["result"] is not None:
        told.append(f"each leaves {_source(step['result'])}")
    return told


def _modifiers(step: dict[str, Any]) -> list[str]:
    """What steps of several kinds may say."""
    from v6flow.core.language.units import spell

    told: list[str] = []
    if step.get("retry", {}).get("attempts", 1) > 1:
        told.append(f"up to {step['retry']['attempts']} attempts, after {', '.join(step['retry']['on'])}")
    if "disclosure" in step:
        counts = [step["disclosure"]["count"], *step["disclosure"].get("also", ())]
        told += [f"refused unseen if {_bare(count)} < {step['disclosure']['min_count']}" for count in counts]
    for check in step.get("checks", ()):
        told += [f"check{'' if key == 'that' else ' each'}: {_bare(check[key])}" for key in check if key != "message"]
    if "output_schema" in step:
        told.append("results are held against a schema")
    if "properties" in step:
        told.append(f"publishes {', '.join(step['properties'])}")
    if step.get("timeout") is not None:
        told.append(f"within {spell(step['timeout'])}")
    if "cache" in step:
        told.append(f"reuses a result that is no older than {spell(step['cache'])}")
    return told


def _bare(expression: str) -> str:
    return expression.strip().removeprefix("{{").removesuffix("}}").strip()


def _source(value: Any) -> str:
    """What is known in a round, or of an item, only: its expressions stand for themselves."""
    return _spell(_later(value))


def _later(value: Any) -> Any:
    from v6flow.core.views.preview import UNKNOWN

    if isinstance(value, dict):
        return {key: _later(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_later(item) for item in value]
    return {UNKNOWN: value} if isinstance(value, str) and "{{" in value else value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _spell(value: Any) -> str:
    """A value on one line; what is known only later stands as its expression in ‹ ›."""
    from v6flow.core import json
    from v6flow.core.views.preview import UNKNOWN

    if isinstance(value, dict):
        if list(value) == [UNKNOWN]:
            source = value[UNKNOWN]
            return f"‹{_one_line(source) if isinstance(source, str) else json.dumps(source)}›"
        return "{" + ", ".join(f"{key}: {_spell(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_spell(item) for item in value) + "]"
    return json.dumps(value)
