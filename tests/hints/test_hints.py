"""Every hint leads out: what it shows is written where it says, and the fault is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hint_cases import Expression, File
from hint_table import ADVICE, COMMANDS, REMEDIES
from hint_texts import hints

if TYPE_CHECKING:
    from pathlib import Path

    from hint_cases import Case

CASES = [
    pytest.param(text, case, id=f"{text[:50]}-{number}")
    for text, found in REMEDIES.items()
    for number, case in enumerate(found if isinstance(found, tuple) else (found,))
]


@pytest.mark.parametrize(("text", "case"), CASES)
def test_a_hint_that_is_followed_leads_out(text: str, case: Case, tmp_path: Path) -> None:
    printed = case.printed(tmp_path)
    assert hints()[text].matches(printed), f"this prints another hint: {printed}"
    case.follow(printed, tmp_path)


ADD = """\
{places} {verb} a hint that no test follows:
    {text!r}
Add it to tests/hints/hint_table.py under this very text: to REMEDIES, with a case that provokes and follows it; to
COMMANDS, if it shows nothing to write but commands of v6flow; or to ADVICE, under the reason why it shows nothing."""


def test_every_hint_is_in_the_table() -> None:
    known = {*REMEDIES, *COMMANDS, *(text for texts in ADVICE.values() for text in texts)}
    new = [hint for text, hint in hints().items() if text not in known]
    told = [ADD.format(places=", ".join(each.places), verb="shows", text=each.template) for each in new]
    assert not new, "\n".join(told)


def test_the_table_has_no_hint_that_is_gone() -> None:
    known = [*REMEDIES, *COMMANDS, *(text for texts in ADVICE.values() for text in texts)]
    assert [text for text in known if text not in hints()] == []
    assert len(known) == len(set(known)), "a hint stands in one place"
