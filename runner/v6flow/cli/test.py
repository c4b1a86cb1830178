"""Run tests of workflows, without a server and without an algorithm.

A test file gives the answers of organizations and the expected outputs, cohorts and requests of the run. Time is
virtual: an answer that takes three hours arrives at once. Without FILE: all files *.test.yaml, and all YAML files with
`v6flow_test: 1`, below the current folder.
Exit codes: 0 all tests passed, 1 a test failed, 2 a test file is invalid, 5 no tests were found.

With --record RUN, a test is written from a stored run, and executed. Its values are made up and have the same shapes
as those of the run, unless --values is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.cli import arguments as common

if TYPE_CHECKING:
    import argparse

    from v6flow.cli.arguments import Parser
    from v6flow.testing.report import Verdict
    from v6flow.testing.suites import Suite

NONE_FOUND = 5  # as in pytest


def configure(parser: Parser) -> None:
    common.files(parser, "test files, folders, or FILE::CASE", nargs="*")
    parser.add_argument("-k", dest="chosen", metavar="TEXT", help="only cases with this text in their FILE::CASE")
    parser.add_argument("-v", "--verbose", action="store_true", help="print one line for each case")
    parser.add_argument("--junit", metavar="XML", help="also write a JUnit report into this file")
    record = parser.add_argument("--record", metavar="RUN", help="write a test from this run into FILE, a new file")
    common.completed(record, common.candidates("runs"))
    parser.add_argument("--values", action="store_true", help="with --record: keep the real values")
    common.store(parser)
    common.output(parser)


def main(arguments: argparse.Namespace) -> int:
    from v6flow.errors import UsageError

    if arguments.record is not None:
        _record(arguments)
    elif arguments.values:
        raise UsageError("--values needs --record RUN")
    suites, wanted = _read(arguments.files)
    return _run(suites, wanted, arguments)


def _read(places: list[str]) -> tuple[list[Suite], set[str]]:
    """The requested suites, and the ids of the requested cases. Raises InvalidError with the problems of all files."""
    from os.path import normpath

    from v6flow.core.language.words import suggestion
    from v6flow.errors import UsageError
    from v6flow.testing.suites import find, read_all

    named: dict[str, list[str]] = {}  # the cases of each file or folder; an empty name means all
    for place in places or ["."]:
        file, _, case = place.partition("::")
        named.setdefault(normpath(file), []).append(case)
    suites = read_all(find(named))
    wanted: set[str] = set()
    for suite in suites:
        cases = [case.name for case in suite.cases]
        for name in named.get(suite.file, [""]):
            if name and name not in cases:
                raise UsageError(f"no case {name!r} in {suite.file}", hint=suggestion(name, cases))
            wanted.update(f"{suite.file}::{case}" for case in cases if name in ("", case))
    return suites, wanted


def _run(suites: list[Suite], wanted: set[str], arguments: argparse.Namespace) -> int:
    import time

    from v6flow.cli import show
    from v6flow.testing import report

    started, began = time.time(), time.perf_counter()
    chosen = (arguments.chosen or "").lower()
    verdicts: list[Verdict] = []
    for suite in suites:
        verdicts += _run_suite(suite, {each for each in wanted if chosen in each.lower()}, arguments)
    seconds = time.perf_counter() - began
    code = NONE_FOUND if not verdicts else int(not all(verdict.passed for verdict in verdicts))
    if arguments.junit:
        _write(arguments.junit, report.junit(verdicts, seconds, started))
    if arguments.output == "json":
        show.write(report.tested(verdicts, seconds, code).as_json())
    else:
        told = [*report.unexpected(verdicts), report.summary(verdicts, seconds)]
        lines = [*report.failures(verdicts), *([""] if verdicts else []), *told]
        show.data("".join(f"{line}\n" for line in lines))
    return code


def _run_suite(suite: Suite, wanted: set[str], arguments: argparse.Namespace) -> list[Verdict]:
    """Run the requested cases of a file, and report each when it ends."""
    import time

    from v6flow.cli import show
    from v6flow.reporters.terminal import plain
    from v6flow.testing import judging, report, trial
    from v6flow.testing.report import Verdict

    cases = [case for case in suite.cases if f"{suite.file}::{case.name}" in wanted]
    tell = show.data if arguments.output == "text" and cases else _nothing
    verdicts = []
    tell("" if arguments.verbose else f"{plain(suite.file)} ")
    for case in cases:
        began = time.perf_counter()
        outcome = trial.run(suite, case)
        complaints = tuple(judging.judge(case, outcome))
        took, mentioned = time.perf_counter() - began, "incomplete" in case.expect or outcome.status == "failed"
        verdict = Verdict(suite.file, case.name, case.line, complaints, took, outcome.incomplete, mentioned)
        verdicts.append(verdict)
        lines = [f"{plain(verdict.id)} {verdict.word}", *report.to_expect(verdict)]
        tell("".join(f"{line}\n" for line in lines) if arguments.verbose else verdict.letter)
    tell("" if arguments.verbose else "\n")
    return verdicts


def _nothing(_text: str) -> None:
    """Print nothing: a JSON document replaces the lines."""


def _write(file: str, body: bytes) -> None:
    import os

    from v6flow.errors import UsageError

    try:
        with open(file, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as report:
            report.write(body)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {file}: {error.strerror}") from error


def _record(arguments: argparse.Namespace) -> None:
    """Write the test for --record."""
    from v6flow.cli import show
    from v6flow.core.execution.state import replay
    from v6flow.errors import UsageError
    from v6flow.testing import recording

    if len(arguments.files) != 1:
        raise UsageError("--record needs exactly one test file", hint="v6flow test --record RUN average.test.yaml")
    (file,) = arguments.files
    folder = common.open_store(arguments).find(arguments.record)
    events = list(folder.events())
    notes = recording.write(Path(file), replay(events), events, values=arguments.values)
    show.lines([f"{file} was written from run {folder.id}", *notes])
