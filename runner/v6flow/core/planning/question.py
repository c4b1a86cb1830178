"""The question of a step: the one identity of what is asked or computed, and of all that its answer depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from v6flow.core.json import Json, digest
from v6flow.core.roles import Role, fixed, roles_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.language.model import Planned
    from v6flow.core.planning.plan import Plan
    from v6flow.core.roles import Roles


class Origin(Struct, frozen=True):
    """What answers depend on and no plan can see, as digests; None or empty where it is not known here.

    `source`: the functions, scripts and files of a local step. `federation`: its identity. `data`: its databases and
    algorithms. Which of these concern a step is declared by its plan, `Planned.origin`.
    """

    ROLES: ClassVar[Roles] = {
        "source": fixed(reuse="source"),
        "federation": (Role(fixed="asked"), Role(reuse="federation", take=digest)),
        "data": (Role(reuse="data"),),
    }
    source: str | None = None
    federation: str = ""
    data: str = ""


class Fingerprint(Struct, frozen=True):
    """What a resume must leave as it is: `asked` once somebody was asked, `settled` once the step is settled."""

    asked: Mapping[str, Json]
    settled: Mapping[str, Json]

    @property
    def parts(self) -> dict[str, Json]:
        """All of it, by name."""
        return {**self.asked, **self.settled}


class Question(Struct, frozen=True):
    """What a step asks or computes. The request, the fingerprint and the reuse key are views of it.

    `fields` are the fields of its plan, of what all kinds have, and of its origin, each with one of its roles.
    """

    kind: str
    fields: tuple[tuple[str, Role, Any], ...]

    def sent(self) -> dict[str, Any]:
        """The values that the request has, by the names of the fields."""
        return {name: value for name, role, value in self.fields if role.sent}

    def fingerprint(self) -> Fingerprint:
        """What a resume compares."""
        parts: dict[str | None, dict[str, Json]] = {"asked": {"kind": self.kind}, "settled": {}, None: {}}
        for name, role, value in self.fields:
            parts[role.fixed][role.part or name] = role.take(value)
        return Fingerprint(parts["asked"], parts["settled"])

    def key(self) -> dict[str, str]:
        """The parts of the key under which a result is reused: a text as it is, anything else as its digest."""
        groups: dict[str, list[Json]] = {}
        for _, role, value in self.fields:
            if role.reuse:
                groups.setdefault(role.reuse, []).append(role.take(value))
        return {part: _short(values[0] if len(values) == 1 else values) for part, values in groups.items()}


_UNKNOWN = Origin()


def of(step: Planned, origin: Origin = _UNKNOWN, **known: Any) -> Question:
    """The question of a step; `known` are the values that fields have by now which the plan has as templates."""
    return Question(
        step.kind,
        (
            *((name, role, known.get(name, getattr(step, name))) for name, role in roles_of(type(step))),
            *((name, role, getattr(origin, name)) for name, role in roles_of(Origin) if name in step.origin),
            *((name, role, getattr(step.common, name)) for name, role in roles_of(type(step.common))),
        ),
    )


def sent_digest(plan: type[Any], request: object) -> str:
    """The digest of what a request sends that was made of `Question.sent` for a class of plans."""
    return digest([role.take(getattr(request, name)) for name, role in roles_of(plan) if role.sent])


def fingerprints(plan: Plan, sources: Mapping[str, str]) -> dict[str, Fingerprint]:
    """The fingerprint of each step; `sources` are digests of functions and files, by step.

    How patiently a step waits, how it is described, whether it may mix cohorts and who is offline is not in it.
    """
    return {
        name: of(step, Origin(sources.get(name), plan.directory.identity)).fingerprint()
        for name, step in plan.steps.items()
    }


def _short(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else digest(value)
