"""The policy of a federation: limits that no workflow can lift."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json


@dataclass(frozen=True, slots=True)
class Policy:
    """The smallest count, the most task runs a run may ask of one organization, the images; None: no such limit."""

    min_count: int | None = None
    max_queries: int | None = None
    images: tuple[str, ...] | None = None

    def allows(self, image: str) -> bool:
        """Whether an image may run: by its name, or by what it begins with where a pattern ends in `*`."""
        return self.images is None or any(
            image.startswith(each[:-1]) if each.endswith("*") else image == each for each in self.images
        )

    def may_ask(self, before: int) -> bool:
        """Whether an organization may be asked that a run has asked so many times."""
        return self.max_queries is None or before < self.max_queries

    def least(self, wanted: int | None) -> int | None:
        """The smallest count that counts: the stricter of the policy's and what a step wants."""
        given = [each for each in (self.min_count, wanted) if each is not None]
        return max(given, default=None)

    def raw(self) -> dict[str, Json]:
        """It as plain JSON, which `parse` reads."""
        return {key: list(value) if isinstance(value, tuple) else value
                for key, value in asdict(self).items() if value is not None}  # fmt: skip


NO_LIMITS = Policy()


def parse(raw: Mapping[str, Any]) -> Policy:
    """The policy of a mapping that is sound by the schema."""
    images = raw.get("images")
    return Policy(raw.get("min_count"), raw.get("max_queries"), tuple(images) if images is not None else None)
