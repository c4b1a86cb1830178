"""What each step of a plan would do: to whom it would send what, with what is not known yet marked as such."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from v6flow.core.views.by_kind import view_of
from v6flow.core.views.fields import Given, View, shown
from v6flow.core.views.reading import Reading, bare, spell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from v6flow.core.json import Json
    from v6flow.core.planning.plan import Plan
    from v6flow.core.views.work import Work


@dataclass(frozen=True, slots=True)
class Check(View):
    """A condition on a step, or on what each organization answers."""

    that: Json = field(metadata=shown("the condition", of="on the step"))
    each: Json = field(metadata=shown("the condition", of="on each answer"))
    message: Json = field(metadata=shown("what is reported where it does not hold"))


@dataclass(frozen=True, slots=True)
class Preview(View):
    """A step of a plan before it runs."""

    step: str = field(metadata=shown("its name"))
    kind: str = field(metadata=shown("its kind"))
    needs: tuple[str, ...] = field(metadata=shown("the steps that it waits for"))
    work: Work = field(metadata=shown("", flat=True))
    when: Given | None = field(metadata=shown("its condition", of="with `when`"))
    checks: tuple[Check, ...] | None = field(metadata=shown("its checks", of="with `checks`"))
    output_schema: Mapping[str, Json] | None = field(metadata=shown("as in the file", of="with `output_schema`"))
    properties: Json = field(metadata=shown("as in the file", of="with `properties`"))
    final: bool | None = field(metadata=shown("true", name="finally", of="under `finally`"))
    on_failure: str | None = field(metadata=shown("`continue`", of="that the run does without if it fails"))
    mixed_cohorts: str | None = field(metadata=shown("the reason", of="that may mix cohorts"))
    allow_cross_site: str | None = field(metadata=shown("the reason", of="that may pass on single answers"))

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
            told.append("results are held against a schema")
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
                Check(None, each.condition.source, each.message.source)
                if each.each
                else Check(each.condition.source, None, each.message.source)
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
