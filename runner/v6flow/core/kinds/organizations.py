"""Organizations that a step asks: which a list names, and whether they can meet a quorum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.core import expressions
from v6flow.core.kinds.base import SettingError
from v6flow.core.kinds.settings import shown
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from v6flow.core.expressions import Template
    from v6flow.core.json import Json
    from v6flow.core.kinds.settings import Quorum


def planned(value: Json | Template, members: tuple[str, ...], study: str | int | None) -> tuple[str, ...] | Template:
    """Whom a step asks as far as that is known: those named, else all members. Raises ValueError."""
    if isinstance(value, expressions.Template):
        return value
    if value is None and not members:
        where = "federation" if study is None else f"study {study}"
        raise ValueError(f"the {where} has no organizations, so there is nobody to ask")
    return members if value is None else parse_organizations(value, members, study)


def check_quorum(quorum: Quorum, asked: tuple[str, ...] | Template, members: tuple[str, ...]) -> None:
    """Raise ValueError for a quorum that cannot be met, as far as that is known before anything runs."""
    for name in quorum.required:
        _check_organization(name, members)
    if isinstance(asked, expressions.Template):
        return
    if not isinstance(quorum.minimum, expressions.Template):
        quorum.needed(quorum.minimum, len(asked))
    check_required(quorum, asked)


def check_required(quorum: Quorum, asked: tuple[str, ...]) -> None:
    """Raise ValueError if the quorum requires somebody who is not asked."""
    strangers = [name for name in quorum.required if name not in asked]
    if strangers:
        raise ValueError(f"the quorum requires {', '.join(strangers)}, who is not asked")


class OrganizationError(SettingError):
    """A list of organizations cannot be asked; `index` is the item at fault."""

    def __init__(self, message: str, *, index: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint, () if index is None else (index,))


def parse_organizations(value: Json, members: tuple[str, ...], study: str | int | None = None) -> tuple[str, ...]:
    """The organizations that a list names, of the federation or the study.

    Raises OrganizationError for anything else, an empty list, and twins.
    """
    if not isinstance(value, list):
        raise OrganizationError(f"organizations is a list of names, not {shown(value)}")
    if not value:
        raise OrganizationError("an empty list of organizations asks nobody")
    known, seen = frozenset(members), set()
    for index, name in enumerate(value):
        if not isinstance(name, str) or name not in known:
            _check_organization(name, members, index, study)
        if name in seen:
            raise OrganizationError(f"the organization {name} stands twice", index=index)
        seen.add(name)
    return tuple(value)


def _check_organization(
    name: Json, members: tuple[str, ...], index: int | None = None, study: str | int | None = None
) -> None:
    if not isinstance(name, str):
        raise OrganizationError(f"an organization is named by text, not {shown(name)}", index=index)
    if name not in members:
        where = "the federation" if study is None else f"the study {study}"
        raise OrganizationError(
            f"no organization {shown(name)} in {where}, which has {', '.join(members) or 'none'}",
            index=index,
            hint="leave organizations out to ask all" if name == "all" else suggestion(name, members),
        )
