"""What each step of a plan would do: to whom it would send what, with what is not known yet marked as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from v6flow.core.views.base import Given, View
from v6flow.core.views.by_kind import view_of
from v6flow.core.views.known import Reading, bare, spell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.inputs import Work


class PreviewCheck(View, frozen=True):
    """A condition on a step, or on what each organization answers.

    that (on the step): the condition
    each (on each answer): the condition
    message: what is reported where it does not hold
    """

    OPTIONAL = ("that", "each")
    that: Json
    each: Json
    message: Json


class Preview(View, frozen=True):
    """A step of a plan before it runs.

    step: its name
    kind: its kind
    needs: the steps that it waits for
    when (with `when`): its condition
    checks (with `checks`): its checks
    output_schema (with `output_schema`): as in the file
    properties (with `properties`): as in the file
    final (under `finally`): true
    on_failure (that the run does without if it fails): `continue`
    mixed_cohorts (that may mix cohorts): the reason
    allow_cross_site (that may pass on single answers): the reason
    """

    OPTIONAL = (
        "when", "checks", "output_schema", "properties", "final", "on_failure", "mixed_cohorts",
        "allow_cross_site",
    )  # fmt: skip
    FLAT = ("work",)
    NAMES: ClassVar = {"final": "finally"}
    step: str
    kind: str
    needs: tuple[str, ...]
    work: Work
    when: Given | None
    checks: tuple[PreviewCheck, ...] | None
    output_schema: Mapping[str, Json] | None
    properties: Json
    final: bool | None
    on_failure: str | None
    mixed_cohorts: str | None
    allow_cross_site: str | None

    @property
    def kind_in_words(self) -> str:
        """Its kind, a central task apart from others."""
        return self.work.kind or self.kind

    def lines(self) -> list[str]:
        """What it sends or computes, in words."""
        told = [f"only if {spell(self.when.value)}"] if self.when is not None else []
        told += [*self.work.lines(), *self.work.bounds()]
        for check in self.checks or ():
            told.append(f"check: {bare(check.that)}" if check.each is None else f"check each: {bare(check.each)}")
        if self.output_schema is not None:
            told.append("results are checked against a schema")
        if isinstance(self.properties, dict):
            told.append(f"publishes {', '.join(self.properties)}")
        return told + self.work.limits()


def preview(plan: Plan) -> Iterator[Preview]:
    """The preview of each step, in order."""
    reading = Reading(plan)
    for name, step in plan.steps.items():
        common = step.common
        reading.begin(common)
        yield Preview(
            step=name,
            kind=step.kind,
            needs=tuple(plan.needs[name]),
            work=view_of(step.kind).preview(step, reading),
            when=Given(reading.value(common.when)) if common.when is not None else None,
            checks=tuple(
                PreviewCheck(None, each.condition.source, each.message.source)
                if each.each
                else PreviewCheck(each.condition.source, None, each.message.source)
                for each in common.checks
            )
            or None,
            output_schema=common.output_schema,
            properties=common.properties.source if common.properties is not None else None,
            final=common.final or None,
            on_failure=common.on_failure if common.on_failure != "fail" else None,
            mixed_cohorts=common.mixed_cohorts,
            allow_cross_site=common.allow_cross_site,
        )
