"""A federation of lists of numbers, as its file describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from v6flow.backends.base import Federation
from v6flow.core.directory import Directory
from v6flow.core.json import canonical
from v6flow.core.language.problem import Problem
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.backends.base import FederationFile
    from v6flow.core.language.document import Document

IMAGE = "toy"


class ToyFederation(Federation, frozen=True):
    """The numbers of each organization."""

    backend: ClassVar[str] = "toy"
    access_class: ClassVar[str] = f"{__package__}.access:ToyAccess"
    outlives_program: ClassVar[bool] = False
    numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    offline: tuple[str, ...] = ()

    @classmethod
    def parse(cls, file: FederationFile) -> ToyFederation:
        return cls(
            numbers={name: tuple(numbers) for name, numbers in file.raw["numbers"].items()},
            offline=tuple(file.raw.get("offline", ())),
            **file.shared(),
        )

    @classmethod
    def problems(cls, document: Document) -> list[Problem]:
        known = document.value["numbers"]
        return [
            Problem(
                f"no organization {name!r}",
                "unknown-organization",
                document.name,
                document.position(("offline", index)),
                suggestion(name, known),
            )
            for index, name in enumerate(document.value.get("offline", ()))
            if name not in known
        ]

    def directory(self) -> Directory:
        return Directory(
            tuple(self.numbers),
            ids={name: number for number, name in enumerate(self.numbers, start=1)},
            offline=self.offline,
            identity=canonical({"toy": {name: list(numbers) for name, numbers in self.numbers.items()}}),
            defaults=self.defaults,
            images=(IMAGE,),
            policy=self.policy,
        )
