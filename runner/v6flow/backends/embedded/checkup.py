"""Looks an embedded federation over: its files, the packages of its images, who is off, and what a plan needs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow import paths
from v6flow.backends.embedded import methods
from v6flow.backends.embedded.configuration import Faults
from v6flow.backends.embedded.obstacles import unusable
from v6flow.core.checks import declarations, findings
from v6flow.core.checks.findings import Finding, ok, warning
from v6flow.core.language.messages import clip
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from v6flow.backends.embedded.configuration import Algorithm, EmbeddedFederation, EmbeddedOrganization
    from v6flow.core.checks.declarations import Misfit
    from v6flow.core.checks.findings import Need
    from v6flow.core.kinds import TaskPlan
    from v6flow.core.planning.plan import Plan

_WRONG = 2  # the exit code of what is wrong in a federation


def preflight(federation: EmbeddedFederation, plan: Plan | None) -> list[Finding]:
    """Findings about a federation, yet to be weighed by the plan."""
    needs = findings.needs(plan)
    count = len(federation.organizations)
    found = [
        ok("federation", f"{federation.collaboration} is simulated on this machine, with {count} organizations"),
        *(each for algorithm in federation.algorithms.values() for each in _image(algorithm)),
    ]
    for organization in federation.organizations:
        found += _organization(organization, [need for need in needs if organization.name in need.organizations])
    return [*found, *(_undeclared(*each) for each in central(federation, plan))] if plan is not None else found


def central(federation: EmbeddedFederation, plan: Plan) -> Iterator[tuple[TaskPlan, Misfit]]:
    """The steps that call a central function, as its source says, and do not say so themselves.

    That a function is given a client is no more than a reason to ask; that it creates tasks is certain.
    """
    known: dict[tuple[str, str], methods.Nature | None] = {}
    for step in plan.tasks():
        if (algorithm := federation.algorithms.get(step.image)) is None:
            continue
        key = step.image, step.method
        if key not in known:
            known[key] = methods.nature(algorithm, step.method)
        if not step.central and known[key] == "dispatches":
            yield step, declarations.undeclared(step)
        elif not step.central and known[key] == "client":
            yield step, declarations.undeclared(step, "warning", certain=False)


def _undeclared(step: TaskPlan, misfit: Misfit) -> Finding:
    status: findings.Status = "problem" if misfit.severity == "error" else "warning"
    return Finding(
        f"step {step.common.name}", status, misfit.message, misfit.hint, _WRONG if status == "problem" else 0
    )


def _image(algorithm: Algorithm) -> Iterator[Finding]:
    """What keeps an image from running anywhere."""
    name = clip(algorithm.image)
    fault = _fault(algorithm)
    if fault is None:
        yield ok("image", f"{name} stands for the package {algorithm.package}")
        return
    message, remedy = fault
    yield Finding("image", "problem", f"{name} cannot run: {message}", remedy, _WRONG, image=algorithm.image)


def _fault(algorithm: Algorithm) -> tuple[str, str] | None:
    mend = "correct it under `algorithms` in the federation file"
    if algorithm.path is not None and not paths.is_folder(algorithm.path):
        return f"the folder {algorithm.path} of its package is not there", mend
    if algorithm.python is not None:  # which packages it has is seen when it runs
        usable = os.access(algorithm.python, os.X_OK)
        return None if usable else (f"the interpreter {algorithm.python} cannot be run", mend)
    if not _importable("vantage6.algorithm.tools"):
        return "vantage6's algorithm tools are not installed", 'pip install "v6flow[embedded]"'
    if not _importable(algorithm.package.partition(".")[0], algorithm.path):
        where = f"in {algorithm.path}" if algorithm.path is not None else "here"
        return f"there is no package {algorithm.package} {where}", f"install it, or {mend}"
    return None


def _importable(name: str, folder: str | None = None) -> bool:
    """Whether a package is there, which is found without running any of it."""
    if folder is not None and any(paths.readable(Path(folder) / each) for each in (name, f"{name}.py")):
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _organization(organization: EmbeddedOrganization, needs: Sequence[Need]) -> Iterator[Finding]:
    name = organization.name
    known = [each.label for each in organization.databases]
    wrong = [*_files(organization)]
    for label in dict.fromkeys(label for need in needs for label in need.labels if label not in known):
        message = f"has no database {clip(label)}; it has {', '.join(map(clip, known)) or 'none'}"
        wrong.append(Finding(name, "problem", message, _add(label, known), _WRONG, organization=name, label=label))
    if organization.offline:
        remedy = "remove `offline: true` from the federation file; a step waits for it until its timeout"
        wrong.append(warning(name, "is offline", remedy, organization=name))
    if organization.faults != Faults():
        wrong.append(warning(name, "has `faults`: it fails on purpose", organization=name))
    yield from wrong
    if not wrong:
        message = f"has the databases {', '.join(map(clip, known))}" if known else "has no databases"
        yield ok(name, message, organization=name)


def _files(organization: EmbeddedOrganization) -> Iterator[Finding]:
    for database in organization.databases:
        found = unusable(database)
        if found is not None:
            path, why = found
            yield Finding(
                organization.name,
                "problem",
                f"has no file for its database {clip(database.label)}: {path} {why.removeprefix('it ')}",
                "correct it under `organizations` in the federation file",
                _WRONG,
                organization=organization.name,
                label=database.label,
            )


def _add(label: str, known: Sequence[str]) -> str:
    near = suggestion(label, known)
    return f"{near + ' ' if near else ''}the federation file gives an organization its `databases`"
