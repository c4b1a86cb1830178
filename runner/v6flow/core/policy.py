"""The policy of a federation: limits that no workflow can lift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.core.json import Json

Counts: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""Expressions that give the number of patients in a result, by image and method."""


class Policy(Struct, frozen=True):
    """The smallest count, the most task runs a run may ask of one organization, the images; None: no such limit.

    `counts` declares which part of a result counts for `min_count`. There are several tables where a run was resumed
    under another policy: a result must pass by each, and one that declares nothing looks at the result's `count`.
    """

    min_count: int | None = None
    max_queries: int | None = None
    images: tuple[str, ...] | None = None
    counts: tuple[Counts, ...] = ()

    def allows(self, image: str) -> bool:
        """Whether an image may run: by its name, or by what it begins with where a pattern ends in `*`."""
        return self.images is None or any(_covers(each, image) for each in self.images)

    def may_ask(self, before: int) -> bool:
        """Whether an organization may be asked that a run has asked so many times."""
        return self.max_queries is None or before < self.max_queries

    def least(self, wanted: int | None) -> int | None:
        """The smallest count that counts: the stricter of the policy's and what a step wants."""
        given = [each for each in (self.min_count, wanted) if each is not None]
        return max(given, default=None)

    def counted_by(self, image: str, method: str) -> tuple[tuple[str, ...], ...]:
        """The expressions that each table declares for a method of an image; empty where one declares none."""
        return tuple(tuple(_declared(table, image, method)) for table in self.counts)

    def stricter(self, before: Policy) -> Policy:
        """The policy that allows only what both allow, and refuses each result that one of them refuses.

        `before` is the older one.
        """
        queries = [each.max_queries for each in (self, before) if each.max_queries is not None]
        tables = [*self._tables(), *before._tables()]
        return Policy(
            self.least(before.min_count),
            min(queries, default=None),
            _common(self.images, before.images),
            tuple(each for index, each in enumerate(tables) if each not in tables[:index]) if any(tables) else (),
        )

    def _tables(self) -> tuple[Counts, ...]:
        """Its tables of counts; an empty one where it demands a count and declares none."""
        return self.counts or (({},) if self.min_count is not None else ())

    def raw(self) -> dict[str, Json]:
        """The policy as plain JSON, which `parse` reads."""
        tables: list[Json] = [{image: dict(methods) for image, methods in table.items()} for table in self.counts]
        limits: dict[str, Json] = {
            "min_count": self.min_count,
            "max_queries": self.max_queries,
            "images": list(self.images) if self.images is not None else None,
            "counts": tables[0] if len(tables) == 1 else tables or None,
        }
        return {key: value for key, value in limits.items() if value is not None}


NO_LIMITS = Policy()


def parse(raw: Mapping[str, Any]) -> Policy:
    """The policy of a mapping that is sound by the schema, or of what `Policy.raw` returned."""
    images, counts = raw.get("images"), raw.get("counts")
    tables = counts if isinstance(counts, list) else [counts] if counts else []
    return Policy(
        raw.get("min_count"), raw.get("max_queries"), tuple(images) if images is not None else None, tuple(tables)
    )


def may_mean(name: str, image: str) -> bool:
    """Whether a name or pattern under `counts` can be used for an image."""
    return any(_nearest([name], image))


def _declared(counts: Counts, image: str, method: str) -> list[str]:
    """The expressions of the entries that are nearest to an image and have the method."""
    for names in _nearest(counts, image):
        found = [counts[name][key] for name in names for key in _matching(counts[name], method)[:1]]
        if found:
            return found
    return []


def _nearest(names: Iterable[str], image: str) -> list[list[str]]:
    """The names that may mean an image, the nearest first; those in one list are equally near.

    A name without a tag means every tag. A name with another tag of the same image comes last: a workflow must not
    get rid of a declaration by another way to write the image.
    """
    known = list(names)
    matching = _matching(known, image)
    repository = _repository(image)
    untagged = [repository] if repository in known and repository not in matching else []
    exact = [name for name in matching if not name.endswith("*")]
    patterns = [name for name in matching if name.endswith("*")]
    others = [
        name for name in known if name not in exact and not name.endswith("*") and _repository(name) == repository
    ]
    return [[name] for name in (*exact, *untagged, *patterns)] + [others]


def _matching(names: Iterable[str], wanted: str) -> list[str]:
    """The names and patterns that cover a text: itself first, then the longest pattern."""
    found = [name for name in names if _covers(name, wanted)]
    return sorted(found, key=lambda name: (name.endswith("*"), -len(name)))


def _covers(pattern: str, text: str) -> bool:
    """Whether a name is a text, or a pattern that ends in `*` its beginning."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _repository(image: str) -> str:
    """An image without its tag and its digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _common(images: tuple[str, ...] | None, before: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The images that two lists allow; None if neither is a limit."""
    if images is None or before is None:
        return before if images is None else images
    both = [one if _covers(other, one) else other
            for other in before for one in images if _covers(other, one) or _covers(one, other)]  # fmt: skip
    return tuple(each for each in dict.fromkeys(both) if not any(each != one and _covers(one, each) for one in both))
