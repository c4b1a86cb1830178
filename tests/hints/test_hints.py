"""Every hint leads out: what it shows is written where it says, and the fault is gone."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
from hint_table import ADVICE, COMMANDS, REMEDIES
from hint_texts import HOLE, hints

from v6flow.cli.commands import COMMANDS as COMMAND_NAMES
from v6flow.cli.main import parser
from v6flow.core.kinds.programs import INTERPRETERS
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hint_cases import Case
    from hint_log_ins import LogIn
    from hint_texts import Hint

CASES = [
    pytest.param(text, case, id=f"{text[:50]}-{number}")
    for text, found in REMEDIES.items()
    for number, case in enumerate(found if isinstance(found, tuple) else (found,))
]


@pytest.mark.parametrize(("text", "case"), CASES)
def test_a_hint_that_is_followed_leads_out(text: str, case: Case | LogIn, tmp_path: Path) -> None:
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


# -------------------------------------------------------------------------------------------------------- commands

_QUOTED = re.compile(r"`((?:v6flow|resume|cancel) [^`]*)`")
_TO_THE_END = re.compile(r"(?:^|: )(v6flow [a-z{].*)$")
_ANY = re.compile(r"v6flow ([a-z][a-z-]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OTHERS = {"--help", "--version"}
FILLED = {"STEP[/ORGANIZATION]": "one/alpha", "DURATION": "2h", "…": "w.yaml", "{}": "x"}


def commands_in(text: str) -> list[str]:
    """The command lines in a hint: in backquotes, or from a colon to the end."""
    found: list[str] = _QUOTED.findall(text)
    if not found:
        found = [line for line in _TO_THE_END.findall(text) if not _is_prose(text, line)]
    return [line.removesuffix(" &") for line in found]


def _is_prose(text: str, line: str) -> bool:
    """Whether a text that begins with the program's name is a sentence about it."""
    word = line.split()[1]
    return text == line and word not in COMMAND_NAMES and HOLE not in word


def parse(line: str) -> None:
    """Have the command's own parser take a line, with placeholders filled in."""
    for hole, word in FILLED.items():
        line = line.replace(hole, word)
    words = shlex.split(line)
    assert words[0] == "v6flow", f"{line!r} is typed as it is shown, and is no command of a shell"
    if words[1] == "x":
        return  # the whole line is made by one function
    assert words[1] in COMMAND_NAMES, line
    try:
        parser(words[1]).parse(words[2:])
    except UsageError as error:
        raise AssertionError(f"{line}: {error.message}") from error


@pytest.mark.parametrize("text", [text for text in hints() if commands_in(text)])
def test_the_commands_in_a_hint_can_be_parsed(text: str) -> None:
    for line in commands_in(text):
        parse(line)


def test_commands_stand_where_a_person_sees_what_to_type() -> None:
    """A command amid words is in backquotes; else nobody can tell where it ends."""
    bare = {
        text: word
        for text in hints()
        for word in _ANY.findall(re.sub(r"`[^`]*`", "", text))
        if word in COMMAND_NAMES and not commands_in(text) and text not in REMEDIES
    }
    assert bare == {}


def test_the_options_in_a_hint_exist() -> None:
    known = OTHERS.union(*(parser(command)._option_string_actions for command in COMMAND_NAMES))
    theirs = {option for program in INTERPRETERS.values() for option in program.options}
    unknown = {
        option: hint.places
        for text, hint in hints().items()
        for option in _OPTION.findall(text)
        if option not in (known | theirs if _is_about_programs(hint) else known)
    }
    assert unknown == {}


def _is_about_programs(hint: Hint) -> bool:
    """Whether a hint shows how to call a program that is not ours."""
    return all(place.startswith("core/kinds/programs.py:") for place in hint.places)


def test_what_would_be_wrong_is_found() -> None:
    for line in ("v6flow runn x", "v6flow resume --retry-faild RUN", "resume --resubmit STEP RUN"):
        with pytest.raises(AssertionError):
            parse(line)
    assert commands_in("`v6flow list` shows them") == ["v6flow list"]
    assert commands_in("name one: v6flow resume RUN") == ["v6flow resume RUN"]
    assert commands_in("v6flow used nothing of it") == []
    for text in ("v6flow resume RUN", "name one: v6flow resumee RUN", "`v6flow resumee RUN` does", "v6flow {}"):
        assert len(commands_in(text)) == 1
