"""Roles of the fields of a plan: which views of a question each one takes part in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, TypeAlias

from v6flow.core.expressions import Template

Fixed: TypeAlias = Literal["asked", "settled"]


def spell(value: Any) -> Any:
    """A value of a plan as plain JSON: templates by their source, dataclasses as the list of their values."""
    if isinstance(value, Template):
        return value.source
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, list)):
        return [spell(each) for each in value]
    if is_dataclass(value):
        return [spell(getattr(value, each.name)) for each in fields(value)]
    return value


def named(values: Any) -> Any:
    """A sequence of dataclasses as plain JSON, each a mapping of its values by name."""
    return [{each.name: spell(getattr(value, each.name)) for each in fields(value)} for value in values]


@dataclass(frozen=True, slots=True)
class Role:
    """What one field of a plan takes part in.

    `sent`: it is in the request, and in its digest. `reuse`: the part of the reuse key that it belongs to. `fixed`:
    from when on a resume must not change it: once somebody was asked, or once the step is settled. `shown`: a preview
    shows it. `part`: its name in fingerprints, if not the field's. `take` gives the JSON of its value. A field that is
    neither sent, nor in the key, nor fixed has a reason, `why`.
    """

    sent: bool = False
    reuse: str = ""
    fixed: Fixed | None = None
    shown: bool = False
    part: str = ""
    take: Callable[[Any], Any] = spell
    why: str = ""


Metadata: TypeAlias = Mapping[str, tuple[Role, ...]]


def roles(*each: Role) -> Metadata:
    """The metadata of a field with several roles."""
    return {_ROLES: each}


def fixed(once: Fixed = "asked", **more: Any) -> Metadata:
    """The metadata of a field that a resume must not change once somebody was asked, or once the step is settled."""
    return roles(Role(fixed=once, **more))


def free(why: str, *, shown: bool = False) -> Metadata:
    """The metadata of a field that does not decide what is asked or computed; `why` says what it is instead."""
    return roles(Role(shown=shown, why=why))


def roles_of(plan: type[Any]) -> tuple[tuple[str, Role], ...]:
    """The roles of each field of a class of plans but `common`. Raises TypeError for a field without a role."""
    if plan not in _KNOWN:
        _KNOWN[plan] = tuple(_declared(plan))
    return _KNOWN[plan]


def _declared(plan: type[Any]) -> Iterator[tuple[str, Role]]:
    for each in fields(plan):
        if each.name == "common":
            continue
        given = each.metadata.get(_ROLES, ())
        if not given or not all(_decides(role) or role.why for role in given):
            raise TypeError(f"{plan.__name__}.{each.name} has no role, and no reason why it has none")
        yield from ((each.name, role) for role in given)


def _decides(role: Role) -> bool:
    return bool(role.sent or role.reuse or role.fixed)


_ROLES = "roles"
_KNOWN: dict[type[Any], tuple[tuple[str, Role], ...]] = {}
