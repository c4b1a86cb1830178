"""The JSON documents of commands that show no run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core.views.base import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.checks.findings import Finding
    from v6flow.core.json import Json
    from v6flow.core.language.problem import Problem
    from v6flow.core.views.incomplete import Incomplete
    from v6flow.core.views.preview import Preview


class ProblemShown(View, frozen=True):
    """What is wrong, or seldom meant, at a place in a file.

    file: the file
    line: its line, from 1
    column: its column, from 1
    message: in words
    hint: the nearest right word, or what to do
    rule: the rule that it breaks
    severity: `error` or `warning`
    """

    file: str
    line: int
    column: int
    message: str
    hint: str | None
    rule: str
    severity: str


def problem(found: Problem) -> ProblemShown:
    """A problem as documents show it."""
    line, column = found.position.line, found.position.column
    return ProblemShown(found.file, line, column, found.message, found.hint, found.rule, found.severity)


class PlannedFederation(View, frozen=True):
    """Where a workflow would run.

    file: the federation file; null if there is none
    organizations: all that there are
    offline: those whose node is offline
    """

    file: str | None
    organizations: tuple[str, ...]
    offline: tuple[str, ...]


class PlanDocument(View, frozen=True):
    """What a run would do.

    workflow: the workflow's name
    params: by name, with their defaults
    federation: where it would run: `{file, organizations, offline}`
    steps: each step, in order, as `does` of `v6flow explain`
    warnings: what should be known of it; see [Problems](#problems)
    """

    workflow: str
    params: Mapping[str, Json]
    federation: PlannedFederation
    steps: tuple[Preview, ...]
    warnings: tuple[ProblemShown, ...]


class Story(View, frozen=True):
    """How a run went.

    run: its id
    lines: what was shown while it went on
    """

    run: str
    lines: tuple[str, ...]


class StepLogs(View, frozen=True):
    """What a step printed.

    run: the run's id
    step: the step
    logs: by organization, and of its subtasks by their names; of a local step under ""
    withheld: null, or why logs are [withheld](federation.md#what-is-withheld-under-a-minimum-count)
    """

    run: str
    step: str
    logs: Mapping[str, str | None]
    withheld: str | None


class Decided(View, frozen=True):
    """What a person decided at a gate.

    run: the run's id
    step: the gate
    decision: `approved` or `rejected`
    by: who decided
    at: when; null if the process that works on the run was told
    comment: why, in the words of who decided
    """

    run: str
    step: str
    decision: str
    by: str
    at: str | None
    comment: str


class Cancelled(View, frozen=True):
    """What became of a request to cancel.

    run: the run's id
    status: as in a run; `cancelling` if the process that works on the run was told
    holder: the id of that process; null if there is none
    notes (if there is none): what could not be ended, in words
    """

    OPTIONAL = ("notes",)
    run: str
    status: str
    holder: int | None
    notes: tuple[str, ...] | None = None


class Validated(View, frozen=True):
    """Whether files are valid.

    valid: whether there is no error; there may be warnings
    exit_code: the exit code
    problems: see [Problems](#problems)
    """

    valid: bool
    exit_code: int
    problems: tuple[ProblemShown, ...]


class Linted(View, frozen=True):
    """What the rules of lint find.

    findings: see [Problems](#problems)
    exit_code: the exit code
    """

    findings: tuple[ProblemShown, ...]
    exit_code: int


class RuleShown(View, frozen=True):
    """A rule of lint.

    rule: its name
    summary: what it warns of
    why: why that is seldom meant
    bad: an example
    good: the same without it
    """

    rule: str
    summary: str
    why: str
    bad: str
    good: str


class RulesShown(View, frozen=True):
    """The rules of lint.

    rules: all, or the one that is named: `{rule, summary, why, bad, good}`
    """

    rules: tuple[RuleShown, ...]


class Formatted(View, frozen=True):
    """Which files were put in order.

    changed: the files that were not in order
    unchanged: those that were
    written: whether the changed ones were written
    exit_code: the exit code
    diff (with `--diff`): what changes, by file
    """

    OPTIONAL = ("diff",)
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    written: bool
    exit_code: int
    diff: Mapping[str, str] | None


class TestedCase(View, frozen=True):
    """What came of a case.

    file: the test file
    case: its name
    line: where it begins
    status: `passed` or `failed`
    seconds: how long it took
    failures: what is not as expected, in words
    incomplete: as in a run
    """

    file: str
    case: str
    line: int
    status: str
    seconds: float
    failures: tuple[str, ...]
    incomplete: tuple[Incomplete, ...]


class Tested(View, frozen=True):
    """What came of tests.

    exit_code: the exit code
    passed: how many cases passed
    failed: how many failed
    seconds: how long all of it took
    cases: each case
    """

    exit_code: int
    passed: int
    failed: int
    seconds: float
    cases: tuple[TestedCase, ...]


class FindingShown(View, frozen=True):
    """One thing of a federation that was checked.

    status: `ok`, `warning` or `problem`
    subject: what was checked
    organization: the organization that it is about; `message` then continues after its name
    message: how it stands
    remedy: what to do
    image: the image that it is about
    label: the label of the database that it is about
    exit_code: the exit code of `v6flow run` for a problem, else 0
    """

    status: str
    subject: str
    organization: str | None
    message: str
    remedy: str | None
    image: str | None
    label: str | None
    exit_code: int


def finding(found: Finding) -> FindingShown:
    """A finding as documents show it."""
    return FindingShown(**{name: getattr(found, name) for name in FindingShown.__struct_fields__})


class Examined(View, frozen=True):
    """The health of a federation.

    healthy: whether there is no problem
    exit_code: the exit code
    findings: each thing that was checked
    """

    healthy: bool
    exit_code: int
    findings: tuple[FindingShown, ...]
