"""Reports of tests: as lines for people, as JSON, as JUnit XML."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from msgspec import Struct

from v6flow.core.json import dumps
from v6flow.core.patterns import pattern
from v6flow.core.planning.plan import iso
from v6flow.core.views.documents import Tested, TestedCase
from v6flow.core.views.incomplete import kinds_by_name
from v6flow.reporters.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from v6flow.core.views.incomplete import Incomplete
    from v6flow.testing.judging import Complaint

_NOT_IN_XML = pattern("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Verdict(Struct, frozen=True):
    """The verdict on one case; it passed if there are no complaints."""

    file: str
    case: str
    line: int
    complaints: tuple[Complaint, ...]
    seconds: float  # real time
    incomplete: tuple[Incomplete, ...] = ()  # the incomplete parts of its run
    expected: bool = False  # the case mentions incomplete results

    @property
    def id(self) -> str:
        """The id of the case, which runs it alone."""
        return f"{self.file}::{self.case}"

    @property
    def passed(self) -> bool:
        return not self.complaints

    @property
    def letter(self) -> str:
        return "." if self.passed else "F"

    @property
    def word(self) -> str:
        return "passed" if self.passed else "failed"

    @property
    def unexpected(self) -> tuple[Incomplete, ...]:
        """The incomplete parts of a passed case that does not mention them."""
        return self.incomplete if self.passed and not self.expected else ()


def failures(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The place and the complaints of each failed case, as lines."""
    for verdict in verdicts:
        if verdict.passed:
            continue
        yield ""
        yield plain(f"FAILED {verdict.id} (line {verdict.line})")
        for complaint in verdict.complaints:
            yield from (f"  {line}" for line in plain(str(complaint), keep_newlines=True).split("\n"))


def summary(verdicts: Sequence[Verdict], seconds: float) -> str:
    """The counts of passed and failed cases: `3 passed, 1 failed in 0.2s`."""
    if not verdicts:
        return "no tests were found"
    failed = sum(not verdict.passed for verdict in verdicts)
    counts = [f"{len(verdicts) - failed} passed"] if failed < len(verdicts) else []
    counts += [f"{failed} failed"] if failed else []
    return f"{', '.join(counts)} in {seconds:.1f}s"


def to_expect(verdict: Verdict) -> list[str]:
    """The incomplete parts of a case that does not mention them, as lines, and the text to add to its `expect`."""
    if not verdict.unexpected:
        return []
    kinds = {name: each[0] if len(each) == 1 else each for name, each in kinds_by_name(verdict.unexpected).items()}
    spelt = dumps(kinds).replace('"', "").replace(":", ": ").replace(",", ", ")
    return [
        *(plain(f"  incomplete: {each}") for each in verdict.unexpected),
        plain(f"  to expect it: incomplete: {spelt}"),
    ]


def unexpected(verdicts: Sequence[Verdict]) -> list[str]:
    """The number of cases that passed with incomplete results that they do not mention."""
    count = sum(bool(verdict.unexpected) for verdict in verdicts)
    if not count:
        return []
    cases = "1 case has" if count == 1 else f"{count} cases have"
    return [f"{cases} an incomplete result that `expect` does not mention; -v shows what to add"]


def tested(verdicts: Sequence[Verdict], seconds: float, exit_code: int) -> Tested:
    """The verdicts as the JSON document shows them."""
    passed = sum(verdict.passed for verdict in verdicts)
    cases = (
        TestedCase(each.file, each.case, each.line, each.word, round(each.seconds, 3),
                   tuple(map(str, each.complaints)), each.incomplete)
        for each in verdicts
    )  # fmt: skip
    return Tested(exit_code, passed, len(verdicts) - passed, round(seconds, 3), tuple(cases))


def junit(verdicts: Sequence[Verdict], seconds: float, now: float) -> bytes:
    """The verdicts as JUnit XML: one suite for each file. `now` is the start time of the tests."""
    root = ET.Element("testsuites", _counts(verdicts, seconds, name="v6flow test"))
    for file in dict.fromkeys(verdict.file for verdict in verdicts):
        own = [verdict for verdict in verdicts if verdict.file == file]
        counts = _counts(own, sum(verdict.seconds for verdict in own), name=file)
        suite = ET.SubElement(root, "testsuite", {**counts, "timestamp": iso(now), "skipped": "0"})
        for verdict in own:
            case = ET.SubElement(
                suite,
                "testcase",
                {
                    "classname": _xml(file),
                    "name": _xml(verdict.case),
                    "file": _xml(file),
                    "line": str(verdict.line),
                    "time": f"{verdict.seconds:.3f}",
                },
            )
            if not verdict.passed:
                text = "\n".join(map(str, verdict.complaints))
                message = _xml(verdict.complaints[0].message)
                ET.SubElement(case, "failure", {"message": message}).text = _xml(text)
            if less := to_expect(verdict):
                ET.SubElement(case, "system-out").text = _xml("\n".join(less))
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _counts(verdicts: Sequence[Verdict], seconds: float, *, name: str) -> dict[str, str]:
    failed = sum(not verdict.passed for verdict in verdicts)
    return {
        "name": _xml(name),
        "tests": str(len(verdicts)),
        "failures": str(failed),
        "errors": "0",
        "time": f"{seconds:.3f}",
    }


def _xml(text: str) -> str:
    """The text with escapes for characters that XML does not allow."""
    return _NOT_IN_XML.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
