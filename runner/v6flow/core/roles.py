"""Roles of the fields of a plan: which views of a question each one takes part in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from v6flow.core.expressions import Template

Fixed: TypeAlias = Literal["asked", "settled"]


def spell(value: Any) -> Any:
    """A value of a plan as plain JSON: templates by their source, records as the list of their values."""
    if isinstance(value, Template):
        return value.source
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, list)):
        return [spell(each) for each in value]
    if isinstance(value, Struct):
        return [spell(getattr(value, name)) for name in value.__struct_fields__]
    return value


def named(values: Any) -> Any:
    """A sequence of records as plain JSON, each a mapping of its values by name."""
    return [{name: spell(getattr(value, name)) for name in value.__struct_fields__} for value in values]


class Role(Struct, frozen=True):
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


Roles: TypeAlias = Mapping[str, tuple[Role, ...]]
"""The roles of each field of a class but `common`."""


def fixed(once: Fixed = "asked", **more: Any) -> tuple[Role, ...]:
    """The role of a field that a resume must not change once somebody was asked, or once the step is settled."""
    return (Role(fixed=once, **more),)


def free(why: str, *, shown: bool = False) -> tuple[Role, ...]:
    """The role of a field that does not decide what is asked or computed; `why` says what it is instead."""
    return (Role(shown=shown, why=why),)


def roles_of(plan: type[Any]) -> tuple[tuple[str, Role], ...]:
    """The roles of each field of a class of plans but `common`. Raises TypeError for a field without a role."""
    if plan not in _KNOWN:
        _KNOWN[plan] = tuple(_declared(plan))
    return _KNOWN[plan]


def _declared(plan: type[Any]) -> Iterator[tuple[str, Role]]:
    for name in plan.__struct_fields__:
        if name == "common":
            continue
        given = plan.ROLES.get(name, ())
        if not given or not all(_decides(role) or role.why for role in given):
            raise TypeError(f"{plan.__name__}.{name} has no role, and no reason why it has none")
        yield from ((name, role) for role in given)


def _decides(role: Role) -> bool:
    return bool(role.sent or role.reuse or role.fixed)


_KNOWN: dict[type[Any], tuple[tuple[str, Role], ...]] = {}
