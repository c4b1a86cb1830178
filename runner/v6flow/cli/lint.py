"""Warn about parts of a workflow that are valid but rarely intended; `v6flow validate` reports errors.

A comment `# lint: ignore RULE` silences a rule on its line. Exit codes: 0 nothing found, 1 something found, 2 a file
is invalid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.core.language.problem import Problem

_ALL = ""  # the value of --explain without a rule


def configure(parser: Parser) -> None:
    from v6flow.cli import arguments as common

    common.files(parser, "workflow files", nargs="*")
    parser.add_argument(
        "--explain", metavar="RULE", nargs="?", const=_ALL,
        help="explain a rule with a bad and a good example, or list all rules; reads no file",
    )  # fmt: skip
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.cli import show
    from v6flow.core.views import documents
    from v6flow.errors import UsageError
    from v6flow.reporters.terminal import plain

    if arguments.explain is not None:
        return _explain(arguments.explain, as_json=arguments.output == "json")
    if not arguments.files:
        raise UsageError("nothing to check", hint="name workflow files, or --explain a rule")
    files = _find(arguments.files)
    found = [problem for problems in files.values() for problem in problems]
    code = 1 if found else 0
    if arguments.output == "json":
        show.write(documents.Linted(tuple(map(documents.problem, found)), code).as_json())
        return code
    show.problems(found)
    show.data("".join(f"{plain(file)}: nothing found\n" for file, problems in files.items() if not problems))
    if found:
        count = "1 finding" if len(found) == 1 else f"{len(found)} findings"
        show.lines([f"{count}; `v6flow lint --explain {found[0].rule}` explains the first"])
    return code


def _find(names: list[str]) -> dict[str, list[Problem]]:
    """The findings in each file. Raises UsageError, and InvalidError with the problems of all files."""
    from v6flow import loading
    from v6flow.core.checks import lint
    from v6flow.core.language.problem import InvalidError

    files: dict[str, list[Problem]] = {}
    problems: list[Problem] = []
    for file in dict.fromkeys(names):
        try:
            files[file] = lint.lint(loading.read_workflow(file))
        except InvalidError as error:  # noqa: PERF203 - the problems of all files are reported
            problems += (_remedied(problem) for problem in error.problems)
    if problems:
        raise InvalidError(problems, what="the files to check")
    return files


def _remedied(problem: Problem) -> Problem:
    """The problem; if the file is no workflow, with the command that checks such files."""
    import shlex

    from msgspec.structs import replace

    if problem.rule != "wrong-file":
        return problem
    return replace(
        problem,
        hint=f"lint checks workflows only: `v6flow validate {shlex.quote(problem.file)}` reports its problems",
    )


def _explain(name: str, *, as_json: bool) -> int:
    from v6flow.cli import show
    from v6flow.core.checks.lint import RULES
    from v6flow.core.language.words import suggestion
    from v6flow.core.views.documents import RuleShown, RulesShown
    from v6flow.errors import UsageError

    if name != _ALL and name not in RULES:
        hint = suggestion(name, RULES) or "`v6flow lint --explain` lists the rules"
        raise UsageError(f"no rule {name!r}", hint=hint)
    rules = RULES if name == _ALL else {name: RULES[name]}
    if as_json:
        shown = (RuleShown(each, rule.summary, rule.why, rule.bad, rule.good) for each, rule in rules.items())
        show.write(RulesShown(tuple(shown)).as_json())
    elif name == _ALL:
        width = max(map(len, RULES))
        show.data("".join(f"{each:<{width}}  {rule.summary}\n" for each, rule in RULES.items()))
    else:
        show.data(_page(name))
    return 0


def _page(name: str) -> str:
    """The page on a rule, as wide as a usual terminal."""
    from textwrap import fill, indent

    from v6flow.core.checks.lint import RULES

    rule = RULES[name]
    examples = "".join(
        f"\n{title}:\n\n{indent(text, '    ')}" for title, text in (("bad", rule.bad), ("good", rule.good))
    )
    return f"{name}: {rule.summary}\n\n{fill(rule.why, 100)}\n{examples}"
