"""What is allowed in a workflow, and seldom meant: one rule, one function; a comment silences a rule on its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from v6flow.core.checks.mixing import may_be_fewer
from v6flow.core.kinds import STEP_KINDS, settings
from v6flow.core.kinds.base import NOT_CARRYING
from v6flow.core.language.naming import resolve
from v6flow.core.language.problem import Path, Position, Problem
from v6flow.core.language.redaction import SECRET_VALUE
from v6flow.core.language.words import suggestion
from v6flow.core.planning.dependencies import fields

if TYPE_CHECKING:
    from v6flow.core.expressions import Template
    from v6flow.core.kinds.fields import Field
    from v6flow.core.language.model import Step, Workflow

Found: TypeAlias = Iterator[tuple[Position, str, str]]
"""What a rule finds: each time where, what, and the remedy."""

_IGNORED = re.compile(r"(?:^|\s)#\s*lint:\s*ignore\s+([\w-]+(?:\s*,\s*[\w-]+)*)")
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:pass|passwd|password|passphrase|secret|token|api_?key|private_?key|credentials?)$", re.IGNORECASE
)
_WHOLE = re.compile(r"\s*\{\{\s*steps\.(\w+)\.(results|by_organization)\s*\}\}\s*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: what it finds, why that matters, a file in which it finds something, and the same file mended."""

    summary: str
    why: str
    bad: str
    good: str
    find: Callable[[Workflow], Found]


def lint(workflow: Workflow) -> list[Problem]:
    """What the rules find in a sound workflow, as warnings in the order of the file, without what is silenced."""
    document = workflow.document
    problems = []
    for name, rule in RULES.items():
        for where, message, hint in rule.find(workflow):
            if name not in _ignored(document.line(where.line)):
                problems.append(Problem(message, name, document.name, where, hint, "warning"))
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.position)


def _ignored(line: str) -> list[str]:
    """The rules that a comment on a line silences there."""
    match = _IGNORED.search(line)
    return re.split(r"\s*,\s*", match[1]) if match else []


# ---------------------------------------------------------------------------------------------------- the rules


def _unused_param(workflow: Workflow) -> Found:
    used = {reference.path[:1] for _, field in _fields(workflow) for reference in field.template.references
            if reference.root == "params"}  # fmt: skip
    if () in used or (None,) in used:  # all of them, or one that is computed
        return
    for name in _own_params(workflow):
        if (name,) not in used:
            where = workflow.document.key_position(("params", name))
            yield where, f"nothing uses the param {name}", "remove it, or use it"


def _unused_step(workflow: Workflow) -> Found:
    used = {source for name, step in workflow.steps.items() for source in _sources(workflow, name, step.common.needs)}
    for name, field in _fields(workflow):
        used.update(source for source in _sources(workflow, name, _steps(field.template)) if source != name)
    for name, step in workflow.steps.items():
        pure = STEP_KINDS[step.kind].is_pure(step)
        reports = step.asks and step.common.final  # nobody can use it: it is there to report the end
        if name in used or reports or not (pure or step.common.on_failure == "continue"):
            continue
        what = "hospitals are asked, and" if step.asks else "it is computed, and"
        where = workflow.document.key_position(step.common.at)
        yield (
            where,
            f"nothing uses the step {_short(name)}: {what} no step and no output takes it",
            "remove it, or use it",
        )


def _builtin_timeout(workflow: Workflow) -> Found:
    for name, step in workflow.steps.items():
        if step.asks and "timeout" not in STEP_KINDS[step.kind].settings(step):
            yield (
                workflow.document.key_position(step.common.at),
                f"step {_short(name)} says no timeout: it waits {settings.SETTINGS['timeout']} for whoever is silent",
                "write timeout: 2h, say, beside task or in defaults",
            )


def _mixed_passes(workflow: Workflow) -> Found:
    for name, step in workflow.steps.items():
        if not _asks_several(step) or step.common.mixed_cohorts is not None:
            continue
        path, organizations = STEP_KINDS[step.kind].settings(step).get("organizations", (step.common.at, None))
        if organizations is not None and any(each.path[1:2] == ("responded",) for each in organizations.references):
            continue
        for source in _carried(workflow, name):
            asked = workflow.steps[source]
            if _asks_several(asked) and may_be_fewer(asked):
                hint = f'write organizations: "{{{{ steps.{_short(source)}.responded }}}}"'
                first = _short(source)
                told = f"step {_short(name)} uses what {first} gave, where some may be missing, and asks them too"
                yield workflow.document.key_position(path), told, hint


def _moving_image(workflow: Workflow) -> Found:
    for path, template in _settings(workflow, "image"):
        image = template.source
        if not isinstance(image, str) or "{{" in image or "@" in image:
            continue
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            what = "is whatever was pushed last" if tag else "has no tag: it is whatever was pushed last"
            hint = f"write {image.partition(':latest')[0]}:1.0, say, or a digest"
            yield workflow.document.position(path), f"the image {image} {what}", hint


def _retry_crashed(workflow: Workflow) -> Found:
    for path, template in _settings(workflow, "retry"):
        kinds = template.source.get("on", ()) if isinstance(template.source, dict) else ()
        if "crashed" in kinds:
            where = workflow.document.position((*path, "on", kinds.index("crashed")))
            told = "an algorithm that crashed crashes again on the same data, and each attempt asks the hospital"
            yield where, told, "leave crashed out; mend the cause, then resume the run with --retry-failed"


def _secret_literal(workflow: Workflow) -> Found:
    for step in workflow.steps.values():
        given = (field for field in STEP_KINDS[step.kind].fields(step) if field.key[-1] == "kwargs")
        for path, key, text in (found for field in given for found in _texts(field.template.source, field.key)):
            if "{{" not in text and text and (_SECRET_KEY.search(key) or SECRET_VALUE.search(text)):
                where = workflow.document.position(path)
                told = f"what stands at {key or path[-1]} looks like a secret; it is in the file, the journal, the task"
                yield where, told, "keep it where the algorithm runs, in the node's environment"


def _leading_dash(workflow: Workflow) -> Found:
    for step in workflow.steps.values():
        for path in STEP_KINDS[step.kind].options(step):
            where = workflow.document.position(path)
            told = "a value that begins with - would be read as an option here"
            yield where, told, "write -- before it if the program takes that, or pass it as kwargs, on stdin"


def _param_description(workflow: Workflow) -> Found:
    for name in _own_params(workflow):
        if not workflow.params[name].description:
            where = workflow.document.key_position(("params", name))
            yield where, f"the param {name} has no description", "write description: in words of the people who give it"


def _per_organization_output(workflow: Workflow) -> Found:
    for output in workflow.outputs.values():
        for path, _, text in _texts(output.value.source, output.at):
            if (match := _WHOLE.fullmatch(text)) and match[1] in workflow.steps and workflow.steps[match[1]].asks:
                where = workflow.document.position(path)
                told = f"the output {output.name} has every hospital's own answer, so that all readers see who had what"
                yield where, told, f"output what is pooled from steps.{match[1]}.{match[2]}"


def _unread_convergence(workflow: Workflow) -> Found:
    read: set[str] = set()
    for name, field in _fields(workflow):
        for reference in field.template.references:
            if reference.root == "steps" and reference.path[1:2] in (("converged",), (None,)):
                read.update(_sources(workflow, name, reference.path[:1]))
            elif reference.root == "this" and reference.path[:1] in (("converged",), (None,)):
                read.add(name)
    for name, step in workflow.steps.items():
        path = STEP_KINDS[step.kind].unconverged(step)
        if path is not None and name not in read:
            short = _short(name)
            told = f"step {short} may end at max without having converged, and nothing reads steps.{short}.converged"
            hint = f'write an output: converged: "{{{{ steps.{short}.converged }}}}"'
            if step.common.parent:
                hint = f"use steps.{short}.converged in what the step around it returns"
            yield workflow.document.position(path), told, hint


def _mixed_case(workflow: Workflow) -> Found:
    steps = [(step.common.at, _short(name)) for name, step in workflow.steps.items()]
    params = [(("params", name), name) for name in _own_params(workflow)]
    outputs = [(("outputs", name), name) for name in workflow.outputs]
    for path, name in (*steps, *params, *outputs):
        if name != name.lower():
            better = _HUMP.sub("_", name).lower()
            yield workflow.document.key_position(path), f"the name {name} has capital letters", f"write {better}"


def _unknown_rule(workflow: Workflow) -> Found:
    text = workflow.document.text
    if "lint:" not in text:
        return
    for number in range(1, text.count("\n") + 2):
        line = workflow.document.line(number)
        for name in _ignored(line):
            if name not in RULES:
                where = Position(number, line.rfind(name) + 1)
                hint = suggestion(name, RULES) or "`v6flow lint --explain` lists the rules"
                yield where, f"no rule {name!r} is there to be silenced", hint


# ------------------------------------------------------------------------------------------- looking at workflows


def _fields(workflow: Workflow) -> Iterator[tuple[str, Field]]:
    """Every place where expressions may stand, with the step it is in, empty outside of steps."""
    return ((step.common.name if step is not None else "", field) for step, field in fields(workflow))


def _own_params(workflow: Workflow) -> list[str]:
    """The params that the file itself has."""
    return [name for name in workflow.params if name in workflow.document.value.get("params", {})]


def _settings(workflow: Workflow, key: str) -> Iterator[tuple[Path, Template]]:
    """Each place where a setting of task steps is said, once."""
    given = [STEP_KINDS[step.kind].settings(step) for step in workflow.steps.values()]
    said = [each[key] for each in given if key in each]
    if key in workflow.defaults:
        said.append(workflow.defaults[key])
    yield from dict(said).items()


def _steps(template: Template, *, carrying: bool = False) -> Iterator[str]:
    """The names of the steps that a template uses; on demand only those whose values it takes."""
    for reference in template.references:
        if reference.root == "steps" and reference.path and isinstance(reference.path[0], str):
            if carrying and reference.path[1:2] and reference.path[1] in NOT_CARRYING:
                continue
            yield reference.path[0]


def _sources(workflow: Workflow, where: str, names: Any) -> Iterator[str]:
    """The steps that names mean in a step: those nested in it or beside it before those farther outside."""
    found = (resolve(workflow.steps, where, name) for name in names)
    return (name for name in found if name is not None)


def _carried(workflow: Workflow, name: str) -> list[str]:
    """The steps whose values are in what a step is given, also by way of others."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        step = workflow.steps[name]
        for template in STEP_KINDS[step.kind].passed_on(step):
            for source in _sources(workflow, name, _steps(template, carrying=True)):
                if source not in found:
                    found[source] = None
                    waiting.append(source)
    return list(found)


def _asks_several(step: Step) -> bool:
    """Whether a step asks several organizations, whose results it offers as a list."""
    return step.asks and "results" in STEP_KINDS[step.kind].offers(step)


def _texts(value: Any, path: Path, key: str = "") -> Iterator[tuple[Path, str, str]]:
    """The texts in a value, each with its place and the nearest key above it."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, (*path, name), name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index), key)
    elif isinstance(value, str):
        yield path, key, value


def _short(name: str) -> str:
    return name.rpartition(".")[2]


# ------------------------------------------------------------------------------------------------- what there is

_HEAD = "v6flow: 1\ndefaults: {image: registry.example/hospital-stats:1.0, timeout: 2h}\n"
_MEAN = """\
  pooled:
    local:
      function: v6flow.aggregation:pooled_mean
      kwargs: {partials: "{{ steps.parts.results }}"}
outputs:
  mean: "{{ steps.pooled.result.mean }}"
"""
_LOOP = """\
steps:
  search:
    repeat:
      state: 1.0
      max: 20
      on_max: continue
      steps:
        better: {local: {value: "{{ (loop.state + 2 / loop.state) / 2 }}"}}
      update: "{{ steps.better.result }}"
      until: "{{ abs(loop.next - loop.state) < 1e-9 }}"
outputs:
  root: "{{ steps.search.result }}"
"""
_PARTS = """\
steps:
  parts:
    task: {method: partial_average, kwargs: {column: age}}
"""

RULES: dict[str, Rule] = {
    "unused-param": Rule(
        "a param that no expression uses",
        "Whoever sets it believes that it changes something. Often a literal stands where it should be used.",
        bad=f"{_HEAD}params:\n  column: {{type: string, default: age, description: Column}}\n{_PARTS}{_MEAN}",
        good=f"{_HEAD}params:\n  column: {{type: string, default: age, description: Column}}\n"
        + _PARTS.replace(": age", ': "{{ params.column }}"')
        + _MEAN,
        find=_unused_param,
    ),
    "unused-step": Rule(
        "a step whose value no step and no output takes",
        "Hospitals are asked for nothing. (A function or a command may be there for what it does, so those are told "
        "of only if not even their failure counts: on_failure: continue.)",
        bad=f"{_HEAD}{_PARTS}  again:\n    task: {{method: partial_average, kwargs: {{column: bmi}}}}\n{_MEAN}",
        good=f"{_HEAD}{_PARTS}{_MEAN}",
        find=_unused_step,
    ),
    "builtin-timeout": Rule(
        "a task step that says no timeout, so that 24 hours are built in",
        "A node that is off is then found out a day later. Only you know how long the algorithm takes. (A federation "
        "file may say one too, which cannot be seen here.)",
        bad=_HEAD.replace(", timeout: 2h", "") + _PARTS + _MEAN,
        good=_HEAD.replace(", timeout: 2h", "") + _PARTS + "    timeout: 20m\n" + _MEAN,
        find=_builtin_timeout,
    ),
    "mixed-passes": Rule(
        "a second pass that asks all, after a first pass that some may be missing from",
        "If somebody is missing, the two passes are about different patients, and the run fails for mixing cohorts, "
        "when the hospitals have been asked already. Ask those who responded, or say mixed_cohorts: and why.",
        bad=f"{_HEAD}{_PARTS}    quorum: 2\n"
        + _MEAN.partition("outputs")[0]
        + '  spread:\n    task: {method: partial_variance, kwargs: {mean: "{{ steps.pooled.result.mean }}"}}\n'
        + "outputs:\n  n: \"{{ steps.spread.results | sum(attribute='n') }}\"\n",
        good=f"{_HEAD}{_PARTS}    quorum: 2\n"
        + _MEAN.partition("outputs")[0]
        + "  spread:\n    task:\n      method: partial_variance\n"
        + '      kwargs: {mean: "{{ steps.pooled.result.mean }}"}\n'
        + '      organizations: "{{ steps.parts.responded }}"\n'
        + "outputs:\n  n: \"{{ steps.spread.results | sum(attribute='n') }}\"\n",
        find=_mixed_passes,
    ),
    "moving-image": Rule(
        "an image without a tag or digest, or with the tag latest",
        "The nodes pull what was pushed last, so that the same workflow gives other numbers next month, and one "
        "hospital may run another version than the next.",
        bad=_HEAD.replace(":1.0", "") + _PARTS + _MEAN,
        good=_HEAD + _PARTS + _MEAN,
        find=_moving_image,
    ),
    "retry-crashed": Rule(
        "a task that is tried again after its algorithm crashed",
        "The same code on the same data crashes again. What passes by itself (start_failed, unknown) is built in.",
        bad=f"{_HEAD}{_PARTS}    retry: {{attempts: 3, on: [start_failed, crashed]}}\n{_MEAN}",
        good=f"{_HEAD}{_PARTS}    retry: {{attempts: 3, delay: 30s}}\n{_MEAN}",
        find=_retry_crashed,
    ),
    "secret-literal": Rule(
        "what looks like a password or a key, in kwargs",
        "It is in git, in the journal, and sent to every hospital that is asked. What an algorithm needs to know of a "
        "database belongs to the node.",
        bad=_HEAD + _PARTS.replace("column: age", "column: age, db_password: hunter2") + _MEAN,
        good=_HEAD + _PARTS + _MEAN,
        find=_secret_literal,
    ),
    "leading-dash": Rule(
        "an argument of a command that comes from a step, and that could begin with -",
        "What an organization answers then chooses what the program does. Behind -- nothing is an option; what is "
        "passed as kwargs, on stdin, is never one. In a run, a value that begins with - is noted.",
        bad=f'{_HEAD}{_PARTS}  count:\n    local: {{command: [wc, "{{{{ steps.parts.results | json }}}}"]}}\n',
        good=f'{_HEAD}{_PARTS}  count:\n    local: {{command: [wc, --, "{{{{ steps.parts.results | json }}}}"]}}\n',
        find=_leading_dash,
    ),
    "param-description": Rule(
        "a param without a description",
        "A description is all that somebody sees who runs your workflow and has not written it.",
        bad=f"{_HEAD}params:\n  column: {{type: string, default: age}}\n"
        + _PARTS.replace(": age", ': "{{ params.column }}"')
        + _MEAN,
        good=f"{_HEAD}params:\n  column: {{type: string, default: age, description: Column to average}}\n"
        + _PARTS.replace(": age", ': "{{ params.column }}"')
        + _MEAN,
        find=_param_description,
    ),
    "per-organization-output": Rule(
        "an output that is every organization's own answer",
        "Outputs are what is passed on. Whoever reads them then learns what each single hospital had, which pooled "
        "figures do not tell. If that is meant, say so on the line.",
        bad=f'{_HEAD}{_PARTS}outputs:\n  parts: "{{{{ steps.parts.results }}}}"\n',
        good=f'{_HEAD}{_PARTS}outputs:\n  parts: "{{{{ steps.parts.results }}}}"'
        " # lint: ignore per-organization-output\n",
        find=_per_organization_output,
    ),
    "unread-convergence": Rule(
        "a loop with on_max: continue of which nothing reads .converged",
        "A loop that stops at max has a state, and nobody can see from the outputs that it is not the solution. "
        "(v6flow reports the run as incomplete, but what reads the outputs does not see that.)",
        bad=f"v6flow: 1\n{_LOOP}",
        good=f'v6flow: 1\n{_LOOP}  converged: "{{{{ steps.search.converged }}}}"\n',
        find=_unread_convergence,
    ),
    "mixed-case-name": Rule(
        "a step, param or output with capital letters in its name",
        "Names may not differ in upper and lower case only, and V6FLOW_PARAM_X is the same for both; small letters "
        "with _ between them leave nothing to remember.",
        bad=_HEAD + (_PARTS + _MEAN).replace("parts:", "ageParts:").replace("steps.parts", "steps.ageParts"),
        good=_HEAD + (_PARTS + _MEAN).replace("parts:", "age_parts:").replace("steps.parts", "steps.age_parts"),
        find=_mixed_case,
    ),
    "unknown-rule": Rule(
        "a comment that silences a rule that is not there",
        "It silences nothing.",
        bad=_HEAD.replace("2h}", "2h} # lint: ignore moving-images") + _PARTS + _MEAN,
        good=_HEAD.replace("2h}", "2h} # lint: ignore moving-image") + _PARTS + _MEAN,
        find=_unknown_rule,
    ),
}
"""Each rule by its name, which `# lint: ignore NAME` on a line silences there."""
