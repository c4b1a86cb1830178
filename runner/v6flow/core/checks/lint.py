"""What is allowed in a workflow, and seldom meant: one rule, one function; a comment silences a rule on its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow.core.checks import lint_rules
from v6flow.core.language.problem import Position, Problem
from v6flow.core.language.words import suggestion
from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from v6flow.core.checks.lint_rules import Found
    from v6flow.core.language.model import Workflow

_IGNORED = pattern(r"(?:^|\s)#\s*lint:\s*ignore\s+([\w-]+(?:\s*,\s*[\w-]+)*)")


class Rule(Struct, frozen=True):
    """A rule: what it finds, why that matters, a file in which it finds something, and the same file corrected."""

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
        find=lint_rules.unused_param,
    ),
    "unused-step": Rule(
        "a step whose value no step and no output takes",
        "Hospitals are asked in vain. (A function or a command may be there for its effects, so these are reported "
        "only with on_failure: continue, where not even their failure counts.)",
        bad=f"{_HEAD}{_PARTS}  again:\n    task: {{method: partial_average, kwargs: {{column: bmi}}}}\n{_MEAN}",
        good=f"{_HEAD}{_PARTS}{_MEAN}",
        find=lint_rules.unused_step,
    ),
    "builtin-timeout": Rule(
        "a task step without a timeout: the default is 24 hours",
        "A node that is offline is then noticed a day later. Only you know how long the algorithm takes. (A federation "
        "file may say one too, which cannot be seen here.)",
        bad=_HEAD.replace(", timeout: 2h", "") + _PARTS + _MEAN,
        good=_HEAD.replace(", timeout: 2h", "") + _PARTS + "    timeout: 20m\n" + _MEAN,
        find=lint_rules.builtin_timeout,
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
        find=lint_rules.mixed_passes,
    ),
    "moving-image": Rule(
        "an image without a tag or digest, or with the tag latest",
        "The nodes pull what was pushed last, so that the same workflow gives other numbers next month, and one "
        "hospital may run another version than the next.",
        bad=_HEAD.replace(":1.0", "") + _PARTS + _MEAN,
        good=_HEAD + _PARTS + _MEAN,
        find=lint_rules.moving_image,
    ),
    "retry-crashed": Rule(
        "a task that is tried again after its algorithm crashed",
        "The same code on the same data crashes again. Failures that pass by themselves are retried by default.",
        bad=f"{_HEAD}{_PARTS}    retry: {{attempts: 3, on: [start_failed, crashed]}}\n{_MEAN}",
        good=f"{_HEAD}{_PARTS}    retry: {{attempts: 3, delay: 30s}}\n{_MEAN}",
        find=lint_rules.retry_crashed,
    ),
    "secret-literal": Rule(
        "what looks like a password or a key, in kwargs",
        "It is in git, in the journal, and sent to every hospital that is asked. What an algorithm needs to know of a "
        "database belongs to the node.",
        bad=_HEAD + _PARTS.replace("column: age", "column: age, db_password: hunter2") + _MEAN,
        good=_HEAD + _PARTS + _MEAN,
        find=lint_rules.secret_literal,
    ),
    "leading-dash": Rule(
        "an argument of a command that comes from a step, and that could begin with -",
        "What an organization answers then chooses what the program does. Behind -- nothing is an option; what is "
        "passed as kwargs, on stdin, is never one. In a run, a value that begins with - is noted.",
        bad=f'{_HEAD}{_PARTS}  count:\n    local: {{command: [wc, "{{{{ steps.parts.results | json }}}}"]}}\n',
        good=f'{_HEAD}{_PARTS}  count:\n    local: {{command: [wc, --, "{{{{ steps.parts.results | json }}}}"]}}\n',
        find=lint_rules.leading_dash,
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
        find=lint_rules.param_description,
    ),
    "per-organization-output": Rule(
        "an output that contains each organization's own answer",
        "Outputs are passed on. Whoever reads them learns the figures of each single hospital, which pooled "
        "figures hide. If that is meant, say so on the line.",
        bad=f'{_HEAD}{_PARTS}outputs:\n  parts: "{{{{ steps.parts.results }}}}"\n',
        good=f'{_HEAD}{_PARTS}outputs:\n  parts: "{{{{ steps.parts.results }}}}"'
        " # lint: ignore per-organization-output\n",
        find=lint_rules.per_organization_output,
    ),
    "unread-convergence": Rule(
        "a loop with on_max: continue whose .converged nothing reads",
        "A loop that stops at max has a state, and nobody can see from the outputs that it is not the solution. "
        "(v6flow reports the run as incomplete, but what reads the outputs does not see that.)",
        bad=f"v6flow: 1\n{_LOOP}",
        good=f'v6flow: 1\n{_LOOP}  converged: "{{{{ steps.search.converged }}}}"\n',
        find=lint_rules.unread_convergence,
    ),
    "mixed-case-name": Rule(
        "a step, param or output with capital letters in its name",
        "Names may not differ in upper and lower case only, and V6FLOW_PARAM_X is the same for both; small letters "
        "with _ between them leave nothing to remember.",
        bad=_HEAD + (_PARTS + _MEAN).replace("parts:", "ageParts:").replace("steps.parts", "steps.ageParts"),
        good=_HEAD + (_PARTS + _MEAN).replace("parts:", "age_parts:").replace("steps.parts", "steps.age_parts"),
        find=lint_rules.mixed_case,
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
